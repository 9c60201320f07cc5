"""Command export --period: everything that the statements of a period are made of, in one folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.terminal.common import open_store
from gateway.config.model import Config
from gateway.errors import NotYet
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from gateway.process import control_socket

if TYPE_CHECKING:
    from gateway.evidence.period_export import Scope
    from gateway.storage.database import Database

_POLL_S = 1.0


def export_period(config_path: Path, period: str, folder: Path, *, as_json: bool) -> None:
    """Write the folder, and say what it has."""
    from gateway.accounting.plans.history import history_of
    from gateway.accounting.plans.moments import span_ms
    from gateway.evidence import export as exporter
    from gateway.evidence import period_export

    config, store = open_store(config_path)
    scope = period_export.scope_of(store, history_of(store), period, lambda civil_min: span_ms(period, civil_min))
    _await(config, store, scope)
    chosen = period_export.numbers(store, scope)
    written = list(exporter.export_to(store, config.gateway_id, chosen, folder))
    beside = period_export.beside(store, config.gateway_id, config.data, scope, folder)
    files = {number: folder / exporter.file_name(config.gateway_id, number) for number in chosen}
    lacking = [*exporter.note_files(store, files), *beside.lacking]
    proofs = dict.fromkeys([*(path for done in written for path in done.proofs), *beside.proofs])
    ask = f"meterseal-ledger recompute {folder} --trust {config.trust} --period {period}"
    if as_json:
        facts = {
            "batches": [str(path) for path in files.values()],
            "written": [done.batch for done in written],
            "proofs": [str(path) for path in proofs],
            "rows": [str(path) for path in beside.rows],
            "documents": [str(path) for path in beside.documents],
            "lacking": [in_language(lack, "en") for lack in lacking],
        }
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{folder}: {len(files)} batches, {len(written)} of them new, {len(proofs)} proofs of what was signed"
        )
        click.echo(
            f"before them, {len(beside.rows)} rows files, {len(beside.documents)} documents\nrecompute it: {ask}"
        )
    for lack in lacking:
        click.echo(f"note: {in_language(lack, 'en')}", err=True)


def _await(config: Config, store: Database, scope: Scope) -> None:
    """Wait until a running gateway has sealed the newest statement and has all receipts. Raises GatewayError: none
    runs; NotYet: there is no ledger that gives receipts."""
    from gateway.evidence import period_export

    before: Message | None = None
    while (why := period_export.waits_for(store, scope)) is not None:
        if not config.document.ledger:
            raise NotYet(Message("export-no-ledger", config=str(config.path)))
        control_socket.give(config.data, "health")
        if why != before:
            click.echo(f"waiting: {in_language(why, 'en')}", err=True)
            before = why
        time.sleep(_POLL_S)
