"""Energies of a site as its pages and its API show them: read by a thread, once a minute at most, and kept.

Whoever looks gets the newest result and never waits for the database: a month of two hundred meters has 150,000 rows.
The thread begins when somebody looks at an old result, reads meter by meter, each in a snapshot of its own, rests after
each as long as it took, and ends. A site at which nobody looks has none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from gateway.accounting.statements.keeper import Known
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.local_calendar import Stretch
from gateway.storage.database import Database
from gateway.totals.energy import Figures, Runs, energy_part
from gateway.totals.flows import Flow, Part, flows
from gateway.totals.periods import stretch, stretches
from gateway.totals.sources import Source, source
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence

if TYPE_CHECKING:
    from gateway.accounting.statements.stated import StatedRows
    from gateway.totals.accounts import Account

FRESH_S: Final = 60.0
"""Age in seconds at which a result is old."""
_SHARE: Final = 30.0
"""… or so many times as long as reading it took, so that a large site spends little on it."""


@dataclass(frozen=True, slots=True)
class Energies:
    """Energies of a site in Wh, by period and flow, as of ``at_ms`` (0: not read yet).

    ``accounts``: of published plans; without any, ``readings`` of the meters count, by the days of the site's time zone
    (``periods``). ``problem``: why they were not read anew.
    """

    at_ms: int = 0
    periods: Mapping[str, Stretch] = field(default_factory=dict)
    readings: Mapping[str, Mapping[str, Flow]] = field(default_factory=dict)
    accounts: tuple[Account, ...] = ()
    problem: Sentence | None = None


def sources_of(config: Config) -> dict[str, Source]:
    """The meters of the totals, by name."""
    found = {name: source(meter, config.profiles[name]) for name, meter in config.meters.items()}
    return {name: one for name, one in found.items() if one is not None}


def energies(
    config: Config,
    store: Database,
    known: Known,
    rows: StatedRows,
    now_ms: int,
    *,
    period: str | None = None,
    silent: Mapping[str, str] | None = None,
    kept: dict[str, Runs] | None = None,
    rest: Callable[[float], bool] = lambda seconds: False,
) -> Energies:
    """The energies now. Raises StoreError; GatewayError for a period that makes no sense.

    Args:
        config: of the site.
        store: its database.
        known: of its accounting.
        rows: of its statements.
        now_ms: the time now, among record times.
        period: one alone (``periods.stretch``); None: those of the page.
        silent: meters that give no reading now, and why.
        kept: what the call before has kept of each meter.
        rest: called with the seconds that a meter took; True: nobody needs the result any more.
    """
    if known.history.plans:
        from gateway.totals.accounts import accounts  # most sites have no plan

        found = tuple(accounts(known, rows, now_ms, period))
        if found:
            return Energies(now_ms, accounts=found)
    zone: tzinfo = config.zone
    spans = stretches(now_ms, zone) if period is None else {period: stretch(period, now_ms, zone)}
    sources, kept = sources_of(config), {} if kept is None else kept
    for name in kept.keys() - sources.keys():
        del kept[name]
    figures: dict[str, Mapping[str, Figures]] = {}
    for name, one in sources.items():
        began = time.perf_counter()
        with store.snapshot():
            figures[name] = kept.setdefault(name, Runs()).figures(store, one, spans, zone, now_ms)
        if rest(time.perf_counter() - began):
            break
    made = {key: _flows(sources, figures, key, to_ms > now_ms, silent or {}) for key, (_, to_ms) in spans.items()}
    return Energies(now_ms, spans, made)


def _flows(
    sources: Mapping[str, Source],
    figures: Mapping[str, Mapping[str, Figures]],
    period: str,
    is_open: bool,
    silent: Mapping[str, str],
) -> Mapping[str, Flow]:
    def part(one: Source, flow: str) -> Part:
        return energy_part(one, flow, figures[one.meter][period], silent.get(one.meter, "") if is_open else "")

    return flows([one for name, one in sources.items() if name in figures], part)


class EnergyReader:
    """The newest energies of one epoch. ``look``, ``wait`` and ``close`` may be called by any thread."""

    def __init__(
        self,
        in_force: Callable[[], Config],
        known: Callable[[], Known],
        rows: StatedRows,
        now_ms: Callable[[], int],
        silent: Callable[[], Mapping[str, str]],
    ) -> None:
        """``silent``: the meters that give no reading, and why; called in the thread that looks."""
        self._in_force, self._known, self._rows, self._now_ms, self._silent = in_force, known, rows, now_ms, silent
        self._changed = threading.Condition(threading.RLock())
        self._newest, self._read_s, self._took_s = Energies(), 0.0, 0.0
        self._config: Config | None = None
        self._sources: tuple[Config, Mapping[str, Source]] | None = None
        self._working = self._over = False
        self._kept: dict[str, Runs] = {}

    def sources(self, config: Config) -> Mapping[str, Source]:
        """The meters of the totals by a configuration."""
        with self._changed:
            if self._sources is None or self._sources[0] is not config:
                self._sources = config, sources_of(config)
            return self._sources[1]

    def look(self) -> Energies:
        """The newest result; begins to read where it is old, or of another configuration. Does not wait."""
        config = self._in_force()
        with self._changed:
            fresh_s = max(FRESH_S, _SHARE * self._took_s)
            is_old = config is not self._config or time.monotonic() - self._read_s > fresh_s
            known = self._known()
            if not known.at_ms and known.problem is None:
                return self._newest  # whether a plan is published is not known yet
            if is_old and not self._working and not self._over:
                self._working, silent = True, self._silent()
                threading.Thread(target=self._work, args=(config, silent), name="totals", daemon=True).start()
            return self._newest

    def wait(self, seconds: float) -> Energies:
        """The result once what was begun has ended, or after this time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working, seconds)
            return self._newest

    @property
    def reading(self) -> bool:
        """Whether another result is being read."""
        return self._working

    def close(self) -> None:
        """End the thread behind the meter that it reads; nobody looks any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _work(self, config: Config, silent: Mapping[str, str]) -> None:
        began, found = time.monotonic(), self._newest
        try:
            found = self._read(config, silent)
        except (GatewayError, LedgerClientError) as error:
            found = replace(self._newest, problem=error.sentence)
        finally:
            with self._changed:
                self._read_s, self._took_s, self._config = time.monotonic(), time.monotonic() - began, config
                self._newest, self._working = found, False
                self._changed.notify_all()

    def _read(self, config: Config, silent: Mapping[str, str]) -> Energies:
        store = Database(config.database, read_only=True)
        try:
            known = self._known()
            made = energies(
                config, store, known, self._rows, self._now_ms(),
                silent=silent, kept=self._kept, rest=self._rest,
            )  # fmt: skip
            return self._newest if self._over else replace(made, problem=known.problem)
        finally:
            store.close()

    def _rest(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._over, seconds)
