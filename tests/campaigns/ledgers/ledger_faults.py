"""Ledgers that fail in every way: is each batch on each ledger exactly once, whatever happens on the way?

The shipped recorder and uplink anchor ``batches`` batches on a real ledger, by each driver. ``faults``: a fault in
every second call (lost before or after the ledger has heard, an answer late, never, twice, garbage, another's).
``ledger-killed``, ``broker-killed``: SIGKILL in mid-run and a new start; mosquitto keeps nothing on disk.
``leader-killed``: so is the leader of the messages' stream among three nodes of nats-server. ``postgresql`` is the
ledger over HTTP with its log there; ``database-killed``: so is that server, under a ledger that goes on. On a chain,
``reorganised``: the newest blocks are taken back; ``stuck``: gas becomes dear; ``nonce-gap``: the node forgets the
transaction that is next; ``older-state``: the node comes back without what it had called final.

Counted in the ledger's own log, all of which is verified: ``anchored``, ``duplicated``, ``missing``. ``submitted`` is
how often it was given a statement; ``longest_stall_s`` is the longest time without a new receipt.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.ledgers import chain_troubles
from tests.campaigns.ledgers.faulty_ledger import NO_TROUBLE, Plan, Work
from tests.contract.faults import every_second
from tests.contract.stands import STANDS, ClusterStand, MqttStand, PostgresqlStand, Stand, nats_cluster

KILLS = 4
MESSAGES = "$MQTT_msgs"
TIMEOUT_S = 1.0

BUILDERS = STANDS | {"nats-cluster": nats_cluster}


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of ledger, and what goes wrong with it."""

    driver: str
    name: str
    prepare: Callable[[Stand], object] = lambda _: None
    """Before the first batch is given to it."""
    plan: Plan = NO_TROUBLE
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


def _database_killed(stand: Stand) -> None:
    assert isinstance(stand, PostgresqlStand)
    stand.server.kill()
    stand.server.start()


def _leader_killed(stand: Stand) -> None:
    """The node that leads the stream of the messages; the others go on without it, and it comes back."""
    assert isinstance(stand, ClusterStand)
    leader = next(node for node in stand.nodes if MESSAGES in node.leads())
    leader.kill()
    leader.start()
    assert leader.takes_clients()


_REORGANISED = Plan(chain_troubles.reorganised, KILLS, "included")
_STUCK, _GAP = Plan(chain_troubles.stuck, KILLS, "submitted"), Plan(chain_troubles.gap, KILLS, "submitted")

CASES = (
    Case("memory", "faults", prepare=_every_second_call),
    Case("memory", "ledger-killed", plan=Plan(_ledger_killed, KILLS)),
    Case("http", "faults", prepare=_every_second_call),
    Case("http", "ledger-killed", plan=Plan(_ledger_killed, KILLS)),
    Case("postgresql", "faults", prepare=_every_second_call),
    Case("postgresql", "ledger-killed", plan=Plan(_ledger_killed, KILLS)),
    Case("postgresql", "database-killed", plan=Plan(_database_killed, KILLS)),
    Case("mqtt", "faults", prepare=_every_second_call),
    Case("mqtt", "ledger-killed", plan=Plan(_ledger_killed, KILLS)),
    Case("mqtt", "broker-killed", plan=Plan(_broker_killed, KILLS)),
    Case("mqtt-3.1.1", "faults", prepare=_every_second_call),
    Case("nats-cluster", "leader-killed", plan=Plan(_leader_killed, KILLS)),
    Case("evm", "faults", prepare=_every_second_call),
    Case("evm", "reorganised", prepare=chain_troubles.blocks, plan=_REORGANISED),
    Case("evm", "stuck", prepare=chain_troubles.blocks, plan=_STUCK),
    Case("evm", "nonce-gap", prepare=chain_troubles.blocks, plan=_GAP),
    Case("evm", "older-state", plan=Plan(chain_troubles.older_state, 2, last_alone=True)),
)


def store_of(driver: str) -> str:
    """Where a ledger's log is."""
    return "postgresql" if driver == "postgresql" else "sqlite"


SMALLEST = ({"batches": 3, "driver": "memory", "case": "faults"},)
"""``one`` is to be called for each of the cases, with few batches: tests/contract/test_faults.py."""


def run(
    batches: int = 500, driver: str = "", case: str = "", store: str = "", within_s: float = 3600.0
) -> dict[str, object]:
    """``batches`` in each case, which may take ``within_s`` seconds; only those of this ``driver``, name and ``store``
    of the log."""
    with tempfile.TemporaryDirectory() as name:
        chosen = [
            c for c in CASES if driver in ("", c.driver) and case in ("", c.name) and store in ("", store_of(c.driver))
        ]
        cases = [one(c, Path(name) / f"{c.driver}-{c.name}", batches, within_s) for c in chosen]
    totals = {key: sum(int(str(figures[key])) for figures in cases) for key in ("anchored", "duplicated", "missing")}
    return {**totals, "cases": cases}


def one(case: Case, folder: Path, batches: int, within_s: float, *, timeout_s: float = TIMEOUT_S) -> dict[str, object]:
    """The figures of one case."""
    folder.mkdir()
    with ExitStack() as stack:
        stand = BUILDERS[case.driver](folder, stack)
        work = Work(stand, folder, batches, case.plan)
        case.prepare(stand)
        figures = work.run(timeout_s, within_s)
    return {"driver": case.driver, "case": case.name, **figures}
