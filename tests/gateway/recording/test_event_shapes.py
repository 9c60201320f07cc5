"""Events of a gateway: each kind has a rule in docs/evidence.cddl that what is really written fits, and nothing else.

``check_books`` holds whatever it is given against the same rules, so that the events of every test that calls it do.
"""

from __future__ import annotations

import ast
import importlib
import random
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pycddl import ValidationError

from gateway.alarms import events as alarm_events
from gateway.clock import KernelClock
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.support.announced import RULES, check_shape
from tests.support.books import check_books
from tests.support.clock_history import LIMIT, History
from tests.support.samples import Hands, Machine, site

ROOT = Path(__file__).parents[3]
HASH, EPOCH = bytes(32), bytes(8)
LATELY: dict[str, list[dict[str, Any]]] = {
    "alarm-acknowledged": [{"code": "line-down", "line": "bus", "user": "somebody", "meter": "pv-1", "note": "works"}],
    "alarm-shelved": [{"code": "line-down", "line": "bus", "user": "somebody", "until": 5}],
    "alarm-unshelved": [
        {"code": "line-down", "line": "bus", "user": "somebody"},
        {"code": "line-down", "line": "bus", "reason": "over", "message": "shelf-ended", "facts": {}},
    ],
    "data-changed": [{"label": "20260101", "part": 1}],
    "events-left-out": [{"events": 1, "since": 5}],
    "equivocation": [{"ledger": "demo-ledger", "batch": 3, "theirs": HASH}],
    "keys": [{"owner": "gateway", "key": HASH}],
    "ratio-changed": [{"ratios": {"ct": {"before": "40", "now": "50"}}}],
    "ratio-differs": [{"ratios": {}}],
    "repaired": [
        {"file": "x.damaged", "why": "torn", "records": 1, "lost": 1, "batches": 1, "batches-lost": 0,
         "ranges": [["pv-1", EPOCH, 0, 0]]},
    ],
    "rollback": [{"ledger": "demo-ledger", "theirs": 3, "statement": HASH, "records": 0}],
    "shared-cleared": [{"line": "bus", "stranger": "01 03", "user": "somebody"}],
    "write-seen": [{"unit": 1, "function": 6, "address": 16, "more": 0}],
}  # fmt: skip
"""Of what a journal alone does not write, what must be in it; the tests of those who write it check what they wrote."""
BY_JOURNAL = {"start", "stop", "clock", "recording-period", "schedule"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Event]]:
    """Events of a real journal, by kind: those whose fields are not those of one before."""
    loaded, found = site(tmp_path_factory.mktemp("shapes") / "site"), defaultdict[str, list[Event]](list)
    works: list[Callable[[Config], None]] = [partial(_by_chance, seed) for seed in range(3)]
    for work in (*works, _dated_later):
        work(loaded)
        check_books(loaded)
        store = Database(loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60)]
        store.close()
        for body in [body for body in bodies if isinstance(body, Event)]:
            if body.fields.keys() not in [before.fields.keys() for before in found[body.name]]:
                found[body.name].append(body)
    return found


def _by_chance(seed: int, loaded: Config) -> None:
    history = History(loaded, random.Random(seed))
    history.run(3)
    history.end()


def _dated_later(loaded: Config) -> None:
    """The second of two epochs begins without a clock; the first is thinned."""
    for old in loaded.data.glob("*"):
        old.unlink()
    machine = Machine()
    hands = Hands(loaded, machine, epoch=b"\1" * 8)
    hands.journal._record_every(2, LIMIT)
    hands.poll(3)
    hands.end()
    machine.passes(600)
    right_ms, machine.wall_ms, machine.kernel = machine.wall_ms, 1000, KernelClock(False, None)
    hands = Hands(loaded, machine, epoch=b"\2" * 8)
    hands.poll(6)
    machine.wall_ms, machine.kernel = right_ms + 60_000, KernelClock(True, 20)
    hands.poll(3)
    hands.end()


def test_what_a_journal_writes_has_every_shape_that_is_published(written: dict[str, list[Event]]) -> None:
    assert written.keys() >= BY_JOURNAL
    optional = {name: {key for event in events for key in event.fields} for name, events in written.items()}
    assert optional["clock"] >= {"error", "tenths", "grids", "began", "stopped"}
    assert optional["recording-period"] == {"factor", "used", "limit", "grids"}
    assert [event.fields for event in written["stop"]] == [{}]


@pytest.mark.parametrize("name", sorted(BY_JOURNAL | LATELY.keys()))
def test_nothing_else_fits(name: str, written: dict[str, list[Event]]) -> None:
    events = written[name] if name in BY_JOURNAL else [Event(name, fields) for fields in LATELY[name]]
    for event in events:
        check_shape(event)
        others = [{**event.fields, "note": 1}, *({**event.fields, key: None} for key in event.fields)]
        for fields in others:
            with pytest.raises(ValidationError):
                check_shape(Event(name, fields))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("clock", {"before": 1, "after": 2, "up": 3, "clock": "S", "tenths": 10}),
        ("clock", {"before": 1, "after": 2, "up": 3, "clock": "R"}),
        ("clock", {"before": 1, "after": 2, "up": 3, "clock": "S", "stopped": {"pv-1": 0}}),
        ("recording-period", {"factor": 0, "used": 1, "limit": 2}),
        ("schedule", {"grids": {"pv-1": []}}),
        ("alarm-shelved", {"code": "line-down", "line": "bus", "user": "somebody"}),
        ("start", {"config": HASH, "software": "meterseal"}),
    ],
)
def test_a_fact_of_another_value_does_not_fit(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check_shape(Event(name, fields))


def _constant(module: object, name: str) -> str | None:
    """The text that a module means by this name, which may be of another module (``repair_report.REPAIRED``)."""
    for part in name.split("."):
        module = getattr(module, part, None)
    return module if isinstance(module, str) else None


def test_every_kind_of_event_that_the_gateway_can_write_has_a_rule() -> None:
    """Each is made by its name, a constant of the module; or by a variable, of which these modules alone know."""
    names, variable = set[str](), set[str]()
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        module, text = ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text()
        for node in ast.walk(ast.parse(text)) if "Event(" in text else ():
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Event"):
                continue
            known = _constant(importlib.import_module(module), ast.unparse(node.args[0]))
            names |= {known} if known else set()
            variable |= set() if known else {module}
    of_alarms = {alarm_events.ACKNOWLEDGED, alarm_events.SHELVED, alarm_events.UNSHELVED}
    assert names | of_alarms | {"plan", "entry", "period"} == set(RULES)
    assert variable == {
        "gateway.accounting.plans.signing",
        "gateway.agent.accounting_orders",
        "gateway.alarms.events",
        "gateway.commissioning.record.submit",
        "gateway.recording.announcements",
        "gateway.storage.key_table",
    }
