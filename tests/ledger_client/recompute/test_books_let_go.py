"""Books of a recomputation: those of statements whose batches are passing, once for versions; its verdicts stay."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

import pytest

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import parse_entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.formats.record import Coverage, Reading, record_hash
from ledger_client.formats.senml import Value
from ledger_client.inputs.effects import put_aside
from ledger_client.recompute import desk
from ledger_client.recompute.run import recompute
from tests.ledger_client.accounting.stacks import stack_fields
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import METER, NOW

STATEMENTS = 6


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Accounted:
    """A statement of each quarter of an hour, of the batch that it ends in and the one before."""
    site = Accounted(tmp_path_factory.mktemp("quarters"))
    from_ms, before = site.from_ms, None
    site.publish(plan_fields(from_ms))
    for n in range(STATEMENTS):
        site.polls(100 if n else 110)
        site.seal()
        begin_ms = from_ms + n * QUARTER_MS
        site.state(begin_ms, begin_ms + QUARTER_MS, (max(n - 1, 0), n), before=before)
        before = record_hash(site.rows[-1])
    for _ in range(2):
        site.polls(2)
        site.seal()
    return site


class Watched(Books):
    """Remembers how many of them held something at once."""

    alive: ClassVar[WeakSet[Books]] = WeakSet()
    most: ClassVar[int] = 0

    def coverage(self, meter: str, coverage: Coverage) -> None:
        super().coverage(meter, coverage)
        self.alive.add(self)
        Watched.most = max(Watched.most, len(self.alive))


def test_books_are_let_go_when_their_last_batch_has_passed(site: Accounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "Books", Watched)
    rows = sorted(site.folder.glob("*.mrows"))
    result = recompute(site.files, trusted(), NOW, rows=rows)
    assert [period.differences for period in result.periods] == [[]] * STATEMENTS
    assert [period.rows for period in result.periods] == [1] * STATEMENTS
    assert all(period.rows_compared for period in result.periods)
    assert Watched.most == 2
    assert not Watched.alive


def test_a_batch_that_nobody_gave_is_named_of_each_statement_that_cites_it(site: Accounted) -> None:
    files = [path for number, path in enumerate(site.files) if number != 2]
    periods = recompute(files, trusted(), NOW).periods
    assert len(periods) == STATEMENTS - 1  # the batch bears one too
    cite = [p for p in periods if p.fields["batches"][0][0] <= 2 <= p.fields["batches"][1][0]]
    assert [p for p in periods if "T2" in {d.rule for d in p.differences if d.where == "batches"}] == cite
    assert len(cite) == 2


class Counted(Books):
    """Counts what is kept."""

    readings: ClassVar[int] = 0

    def reading(self, meter: str, clock: str, reading: Reading, record: bytes) -> None:
        super().reading(meter, clock, reading, record)
        Counted.readings += 1


def test_versions_keep_their_books_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an earlier version has to wait for a statement that it uses, while the later one's batches go on."""
    monkeypatch.setattr(desk, "Books", Counted)
    site = Accounted(tmp_path)
    begin_ms, polls = site.from_ms, 0
    site.publish(plan_fields(begin_ms))
    for count in (200, 100, 100):
        site.polls(count)
        polls += count
        site.seal()
    middle_ms, end_ms = begin_ms + QUARTER_MS, begin_ms + 2 * QUARTER_MS
    site.state(begin_ms, middle_ms, (0, 2))
    before = record_hash(site.rows[-1])
    site.state(middle_ms, end_ms, (0, 1), before=before, uses=(before,))
    first = record_hash(site.rows[-1])
    register = {"kind": "register", "of": POINT, "from": begin_ms, "to": begin_ms, "unit": "kWh"}
    site.event("entry", **register, values={"final": 1, "initial": 0}, reason="of another time", user="a")
    site.seal()
    site.state(middle_ms, end_ms, (0, 3), before=before, uses=(before,), version=2, supersedes=first, reason="late")
    site.polls(2)
    site.seal()
    result = recompute(site.files, trusted(), NOW)
    assert [period.differences for period in result.periods] == [[]] * 3
    assert Counted.readings == polls


def test_books_of_another_calibration_are_kept_apart() -> None:
    entry = {
        "kind": "calibration", "of": "stack/c", "from": 0, "to": 10**13, "values": {"a": 1, "b": 2},
        "reason": "test", "user": "a",
    }  # fmt: skip
    books = Books(parse_plan(stack_fields("EU-MRR")))
    assert books.beside([parse_entry(entry, bytes(32))]) is None
    other = books.beside([])
    assert other is not None
    assert other.keeps_the_same(books)


def test_books_that_were_set_apart_stay_as_they_are() -> None:
    books = Books(parse_plan(plan_fields(0)))
    other = books.beside([])
    assert other is not None
    for ms in (0, QUARTER_MS):
        other.reading(METER, "S", Reading(ms, (Value("energy", ms, "kWh"),)), bytes(32))
    apart = put_aside(books, None)[0]
    other.reading(METER, "S", Reading(2 * QUARTER_MS, (Value("energy", QUARTER_MS + 1, "kWh"),)), bytes(32))
    (key,) = books.registers
    assert (list(apart.registers[key].edges), list(books.registers[key].edges)) == ([0, 1], [0, 1, 2])
    assert apart.plan is books.plan
    assert not apart.keeps_the_same(books)
