"""Ledgers that fail in every way: is each batch on each ledger exactly once, whatever happens on the way?

The shipped recorder and uplink anchor ``batches`` batches on a real ledger, by each driver. ``faults``: a fault in
every second call (lost before or after the ledger has heard, an answer late, never, twice, garbage, another's).
``ledger-killed``, ``broker-killed``: SIGKILL in mid-run, ``KILLS`` times, and a new start; the broker keeps nothing on
disk. Counted in the ledger's own log, which is verified as a whole: ``anchored``, ``duplicated``, ``missing``;
``submitted`` is how often it was given a statement. ``longest_stall_s`` is the longest time without a new receipt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parts.faulty_ledger import Trouble, Work
from tests.contract.faults import every_second
from tests.contract.stands import STANDS, MqttStand, Stand

KILLS = 4
TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of ledger of the contract's table, and what goes wrong with it."""

    driver: str
    name: str
    prepare: Callable[[Stand], object] = lambda _: None
    """Before the first batch is given to it."""
    trouble: Trouble | None = None
    """In mid-run."""


def _every_second_call(stand: Stand) -> None:
    stand.faults.go_on_with(every_second(), lookups=True)


def _ledger_killed(stand: Stand) -> None:
    stand.end(kill=True)
    stand.begin()


def _broker_killed(stand: Stand) -> None:
    assert isinstance(stand, MqttStand)
    stand.served.broker.kill()
    stand.served.broker.start()


CASES = (
    Case("memory", "faults", prepare=_every_second_call),
    Case("memory", "ledger-killed", trouble=_ledger_killed),
    Case("http", "faults", prepare=_every_second_call),
    Case("http", "ledger-killed", trouble=_ledger_killed),
    Case("mqtt", "faults", prepare=_every_second_call),
    Case("mqtt", "ledger-killed", trouble=_ledger_killed),
    Case("mqtt", "broker-killed", trouble=_broker_killed),
)


def run(batches: int = 500, within_s: float = 3600.0) -> dict[str, object]:
    """So many ``batches`` in each case, which ends with an error after ``within_s`` seconds."""
    with tempfile.TemporaryDirectory() as name:
        cases = [one(case, Path(name) / f"{case.driver}-{case.name}", batches, within_s) for case in CASES]
    totals = {key: sum(int(str(case[key])) for case in cases) for key in ("anchored", "duplicated", "missing")}
    return {**totals, "cases": cases}


def one(
    case: Case, folder: Path, batches: int, within_s: float, *, timeout_s: float = TIMEOUT_S, times: int = KILLS
) -> dict[str, object]:
    """The figures of one case."""
    folder.mkdir()
    with ExitStack() as stack:
        stand = STANDS[case.driver](folder, stack)
        work = Work(stand, folder, batches)
        case.prepare(stand)
        figures = work.run(timeout_s, within_s, case.trouble, times)
    return {"driver": case.driver, "case": case.name, **figures}
