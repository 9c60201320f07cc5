"""Totals from the database alone, with what a running gateway reports of its silent meters: for commands.

Raises StoreError; Damaged where a record does not hold; GatewayError for a period that makes no sense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.accounting.statements.keeper import Keeper
from gateway.accounting.statements.stated import StatedRows
from gateway.accounting.statements.stating import FOLDER
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.process import control_socket
from gateway.storage.database import Database
from gateway.storage.record_reader import read_body
from gateway.totals.flows import Flow
from gateway.totals.power import Newest, power_flows, silences
from gateway.totals.reading import Energies, energies, sources_of
from ledger_client.formats.senml import Reading


@dataclass(frozen=True, slots=True)
class Totals:
    """Power now in W and energies of a site, as of ``now_ms``."""

    now_ms: int
    power: Mapping[str, Flow]
    energies: Energies


def totals_at_rest(config: Config, store: Database, now_ms: int, period: str | None = None) -> Totals:
    """The totals now. ``period``: that one alone."""
    now_ms = max(now_ms, store.records.latest_ms())  # the system's clock may be behind record times
    health = control_socket.ask(config.data, "health") or {}
    sources = sources_of(config)
    newest = {name: _newest(store, name, health.get("silences", {}).get(name) or {}) for name in sources}
    every_poll = int(health.get("every_poll", 1))
    keeper = Keeper(config.database, lambda: now_ms)
    keeper.look()
    known = keeper.read()
    if known.problem is not None:
        raise GatewayError(known.problem)
    silent = silences(sources, newest, every_poll, now_ms)
    rows = StatedRows(config.data / FOLDER)
    found = energies(config, store, known, rows, now_ms, period=period, silent=silent)
    return Totals(now_ms, power_flows(sources, newest, every_poll, now_ms), found)


def _newest(store: Database, meter: str, silence: Mapping[str, Any]) -> Newest:
    row = store.records.newest(meter, "reading")
    body = read_body(row.kind, row.time_ms, row.data) if row is not None else None
    reading = body if isinstance(body, Reading) else None
    return Newest(reading, silence.get("since"), silence.get("reason") or "")
