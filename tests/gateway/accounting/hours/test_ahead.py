"""Hours that no statement has: those that a statement would have, and why each is not measured."""

from __future__ import annotations

# not quick: the keeper of unstated hours pauses between two reads
from pathlib import Path

from gateway.accounting.hours.hour import RUNNING, Hour, Why, strip
from gateway.accounting.plans.history import history_of
from gateway.accounting.statements.keeper import Keeper, Known
from gateway.accounting.statements.stating import Part, make
from ledger_client.accounting.formats.rows import parse_row
from tests.support.stated import METER, POINT, QUARTER_MS, Site

RESET = 1 << 17


def known(site: Site) -> Known:
    """All that is known of a site now."""
    keeper = Keeper(site.loaded.database, lambda: site.machine.wall_ms)
    keeper.look()
    return keeper.read()


def hours(found: Known) -> tuple[Hour, ...]:
    (ahead,) = found.ahead
    return ahead.hours.get("station", ())


def days_work(site: Site) -> None:
    """Quarters of an hour: measured, split at an edge, with a reset, and a stretch over an outage."""
    site.publish()
    site.polls(6 + 90)
    for _ in range(2):  # 30 s without a register around each of two edges
        site.polls(2, answered=False)
        site.polls(88)
    site.polls(30)
    site.polls(1, quality=RESET, gain=-site.register)
    site.polls(59 + 90)
    site.polls(150, answered=False)
    site.polls(100)
    site.stop()


def test_hours_that_are_not_stated_are_those_of_the_statement(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    days_work(site)
    found = known(site)
    assert found.problem is None
    assert not found.reading
    store = site.store()
    history = history_of(store)
    part = Part(history.plans[0], site.from_ms, site.from_ms + 6 * QUARTER_MS)
    rows = [parse_row(row) for row in make(store, history, part, tmp_path, None).statement.rows]
    store.close()
    ours = [(h.from_ms, h.to_ms, h.status, h.amount) for h in hours(found) if h.to_ms <= part.to_ms]
    assert ours == [(row.from_ms, row.to_ms, row.status, row.amount) for row in rows]
    assert {status for _, _, status, _ in ours} >= {"measured", "split", "unknown"}


def test_each_hour_that_is_not_measured_says_why(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    days_work(site)
    found = hours(known(site))
    whys = {hour.status: hour.why for hour in found}
    assert whys["measured"] == ()
    split, begins = whys["split"], site.from_ms + QUARTER_MS
    assert split == (
        Why("gap", {"point": POINT, "at_ms": begins + QUARTER_MS, "gap": "30"}),
        Why("missed", {"meter": METER, "count": 2, "reason": "timeout"}),
    )
    assert whys["unknown"] == (Why("unknown", {"point": POINT}),)
    opened = next(hour for hour in found if hour.status == "unallocated")
    assert opened.why[0] == Why("open", {"point": POINT, "at_ms": opened.from_ms + QUARTER_MS})
    assert opened.why[1] == Why("missed", {"meter": METER, "count": 150, "reason": "timeout"})


def test_the_hours_go_on_where_they_were_and_nothing_is_read_twice(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.publish()
    site.polls(6 + 4 * 90)
    keeper = Keeper(site.loaded.database, lambda: site.machine.wall_ms)
    keeper.look()
    first = hours(keeper.read())
    (part,) = keeper._readers.values()
    assert len(part._books.registers[POINT, "own-test"].edges) <= 2, "what has become an hour is forgotten"
    site.polls(45)
    site.polls(150, answered=False)
    site.polls(100)
    site.stop()
    place = part._place
    whole = hours(keeper.read())
    (same,) = keeper._readers.values()
    assert same is part
    assert part._place > place
    assert whole[: len(first) - 1] == first[:-1]
    assert whole == hours(known(site)), "who reads all of it anew finds the same"


def test_each_interval_of_a_day_stands_in_its_strip(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    days_work(site)
    found = known(site)
    (ahead,) = found.ahead
    plan, end_ms = ahead.signed.plan, site.from_ms + 12 * QUARTER_MS
    shown = strip(plan, plan.nodes["station"], site.from_ms - QUARTER_MS, end_ms, hours(found), site.machine.wall_ms)
    assert [hour.from_ms for hour in shown] == list(range(site.from_ms - QUARTER_MS, end_ms, QUARTER_MS))
    stretch = [hour for hour in shown if hour.status == "unallocated"]
    assert len(stretch) == 3
    assert {hour.row for hour in stretch} == {(stretch[0].from_ms, stretch[-1].to_ms)}
    assert (shown[0].status, shown[-1].status) == ("no-plan", RUNNING)


def test_a_month_that_is_over_is_due_and_says_what_to_look_at(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    days_work(site)
    assert known(site).due == ()
    month_ms = 31 * 24 * 4 * QUARTER_MS
    keeper = Keeper(site.loaded.database, lambda: site.machine.wall_ms + month_ms)
    keeper.look()
    found = keeper.read()
    first = found.due[0]
    assert (first.plan, first.from_ms, first.since_ms) == ("main", site.from_ms, first.to_ms)
    assert first.lacking == {"unknown": 1}
    assert "its coverage has not reached" in str(first.waits)
    site.start()
    site.passes((first.to_ms - site.machine.wall_ms) // 10_000 + 10)
    site.polls(120)
    site.stop()
    (again, *_) = known(site).due
    assert (again.to_ms, again.waits) == (first.to_ms, None)


def test_a_database_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "none.db", lambda: 0)
    keeper.look()
    found = keeper.read()
    assert "none.db" in str(found.problem)
    assert not found.reading
