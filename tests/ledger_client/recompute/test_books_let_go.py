"""A recomputation keeps the books of those statements alone whose batches are passing; its verdicts stay the same."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakSet

import pytest

from ledger_client.accounting.books import Books
from ledger_client.formats.record import Coverage, record_hash
from ledger_client.recompute import run
from ledger_client.recompute.run import recompute
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import NOW

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
    monkeypatch.setattr(run, "Books", Watched)
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
