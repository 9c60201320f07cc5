"""Minutes and hours are what the records say, whatever happens to the gateway meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.config.model import Config
from gateway.history.aggregate_codec import Form, pack, unpack
from gateway.history.aggregates import Aggregate
from gateway.history.backfill import first_hour, put, rebuild_before
from gateway.history.series import history
from gateway.records import PollResult, Timestamp
from gateway.storage.capacity.pruning import prune_summaries
from gateway.storage.database import Database
from ledger_client.formats.senml import Columns, Reading, Value
from tests.support.epochs import epoch, until
from tests.support.gateways.recount import check_figures, check_summaries
from tests.support.samples import START_S, Hands, Machine, site

METER = "export-main"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return site(tmp_path_factory.mktemp("summaries") / "site", {'every = "60s"': 'every = "10s"'})


@pytest.fixture
def loaded(sites: Config) -> Iterator[Config]:
    """The site with an empty data folder."""
    yield sites
    for file in sites.data.iterdir():
        file.unlink()


_numbers = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.floats(-1e300, 1e300),
    st.integers(-(10**15), 10**15).map(lambda n: Decimal(n).scaleb(-2)),
    st.decimals(-1000, 1000, places=3),
)
_contents = st.one_of(_numbers, st.none(), st.text(max_size=5), st.booleans())
_qualities = st.sampled_from([0, 0, 0, 1 << 17, 1 << 20, (1 << 28) | 1, 1 << 40])


@st.composite
def _readings(draw: st.DrawFn, most: int = 8) -> list[tuple[Value, ...]]:
    """Readings of the same points, mostly of one kind each, as a meter gives them."""
    kinds = draw(st.lists(st.sampled_from([_numbers, st.floats(width=32, allow_nan=False, allow_infinity=False),
                                           st.integers(0, 70_000), st.just(Decimal("50.0")),
                                           st.integers(0, 99).map(lambda n: Decimal(n).scaleb(-1)), _contents]),
                          min_size=1, max_size=4))  # fmt: skip
    return [
        tuple(
            Value(f"p{n}", content, "V", quality or (2 if content in (None, "") else 0))
            for n, kind in enumerate(kinds)
            for content, quality in [(draw(kind), draw(_qualities))]
        )
        for _ in range(draw(st.integers(1, most)))
    ]


@given(_readings())
def test_what_is_kept_of_a_span_is_what_it_was(readings: list[tuple[Value, ...]]) -> None:
    span = Aggregate(MINUTE_MS)
    span.waiting += [Reading(MINUTE_MS + 7 * n, values) for n, values in enumerate(readings)]
    form = Form.of(span.fold())
    kept = unpack(pack(span, 3, form.points), MINUTE_MS, form)
    for n, (name, _) in enumerate(form.points):
        check_figures(span.points[name], [(MINUTE_MS + 7 * k, values[n]) for k, values in enumerate(readings)])
        check_figures(kept.points[name], [(MINUTE_MS + 7 * k, values[n]) for k, values in enumerate(readings)])
        alone = unpack(pack(span, 3, form.points), MINUTE_MS, form, [name])
        assert list(alone.points) == [name]
        assert repr(alone.points[name].last) == repr(kept.points[name].last)


class _Story(Hands):
    """A gateway whose polls a test decides."""

    def one(self, meter: str, values: tuple[Value, ...] | Columns | None) -> None:
        now = Timestamp.now(self.clock)
        reading = Reading(now.time_ms, values) if values is not None else None
        due_ms = self.clock.schedule_ms() // self.EVERY_MS * self.EVERY_MS + self.anchor_ms % self.EVERY_MS
        due_ms -= self.EVERY_MS if due_ms > self.clock.schedule_ms() else 0  # the newest that is due by its schedule
        self.journal.poll(PollResult(meter, due_ms, reading, now if reading else None, None if reading else "timeout"))

    def passes(self, seconds: float) -> None:
        self.machine.passes(seconds)
        self.journal.keep_time()


_steps = st.lists(
    st.one_of(
        _readings(3),
        st.sampled_from(["miss", "miss", "columns", "kill", "stop", "broken", "gap", "hour", "boundary", "set back"]),
    ),
    min_size=1,
    max_size=15,
)


def test_rows_are_a_recount_of_the_records(loaded: Config) -> None:
    @settings(max_examples=25, phases=set(Phase) - {Phase.explain})
    @given(steps=_steps, commit_every_ms=st.sampled_from([1, 5_000, 30_000]))
    def recounted(steps: list[object], commit_every_ms: int) -> None:
        for file in loaded.data.iterdir() if loaded.data.exists() else ():
            file.unlink()
        _tell(loaded, steps, commit_every_ms)

    recounted()


def _tell(loaded: Config, steps: list[object], commit_every_ms: int) -> None:
    machine, epochs = Machine(), count(1)
    meters = list(loaded.meters)

    def start() -> _Story:
        story = _Story(loaded, machine, next(epochs).to_bytes(8), commit_every_ms=commit_every_ms)
        story.store.run("PRAGMA synchronous = OFF")  # kills are not power cuts
        return story

    story = start()
    for step in steps:
        if isinstance(step, list):
            for values in step:
                for meter in meters[:2]:
                    story.one(meter, values)
                story.passes(10)
        elif step == "columns":
            for n in range(8):
                story.one(METER, Columns(("a", "b"), (n, n / 2), ("V", None), 1 << 21 if n > 4 else 0))
                story.passes(10)
        elif step == "miss":
            story.one(METER, None)
            story.passes(10)
        elif step in ("kill", "stop"):
            if step == "stop":
                story.journal.finish()
            story.store.close()
            story = start()
        elif step == "broken":
            story.store._db.close()  # the next commit fails, and the one after that is on a new connection
        elif step == "boundary":
            machine.passes(60 - machine.wall_ms % 60_000 / 1000)
        elif step == "set back":
            machine.wall_ms -= 90_000
        else:
            machine.passes(200 if step == "gap" else 4000)
    for _ in range(20):  # until everything is read that was not known, and the disk is back
        story.one(METER, (Value("last", 1, "V"),))
        story.passes(30)
    for _ in range(10):
        story.passes(1)
    assert not story.journal._committer.summaries.behind
    story.journal.finish()
    for meter in meters:
        _rebuild(story.store, meter)
    story.store.close()
    store = Database(loaded.database, read_only=True)
    check_summaries(store, [METER])
    store.close()


def _rebuild(store: Database, meter: str) -> None:
    """What the gateway's companion does in the background."""
    before_ms = first_hour(store.summaries, meter, 1 << 42)
    while step := rebuild_before(store.summaries, meter, before_ms, 0):
        before_ms, found = step
        put(store, meter, found)


def test_a_plain_hour_has_its_rows(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.store.run("PRAGMA synchronous = OFF")
    hands.poll(360 + 1)
    assert check_summaries(hands.store, loaded.meters) == 3 * (60 + 1)
    hands.end()


def test_what_is_older_than_wanted_goes(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.store.run("PRAGMA synchronous = OFF")
    hands.poll(2 * 360 + 1)
    now_ms = hands.clock.now_ms()
    before_ms = START_S * 1000 + 90 * MINUTE_MS
    while prune_summaries(hands.store, before_ms, before_ms):
        pass
    for meter in loaded.meters:
        assert next(at for at, _ in hands.store.summaries.between(meter, MINUTE_MS, 0, now_ms)) == before_ms
        assert [at for at, _ in hands.store.summaries.between(meter, HOUR_MS, 0, now_ms)] == [START_S * 1000 + HOUR_MS]
    hands.end()


def test_a_minute_that_a_kill_cut_in_two_is_whole(loaded: Config) -> None:
    machine = Machine()
    hands = Hands(loaded, machine)
    hands.poll(8)
    hands.store.close()
    hands = Hands(loaded, machine, epoch=b"\x01" * 8)
    hands.poll(8)
    assert check_summaries(hands.store, loaded.meters) == 3 * 2
    hands.end()
    store = Database(loaded.database, read_only=True)
    assert store.summaries.newest(METER, HOUR_MS) is None
    store.close()


def test_what_is_missing_is_made_from_the_records_after_a_start(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.store.run("PRAGMA synchronous = OFF")
    hands.poll(2 * 360 + 100)
    hands.end()
    store = Database(loaded.database)
    with store.transaction():  # as a recovery leaves it, or a migration
        store.run("DELETE FROM summaries")
        store.run("DELETE FROM summary_forms")

    rows = len(loaded.meters) * (120 + 2)  # of two hours; the third one is over, too, if the machine's clock says so

    async def run() -> None:
        async with epoch(loaded):
            await until(lambda: store.count("SELECT count(*) FROM summaries") >= rows)

    asyncio.run(run())
    assert check_summaries(store) >= rows
    store.close()


def test_a_row_that_cannot_be_read_is_a_gap_and_costs_no_record(loaded: Config) -> None:
    machine = Machine()
    hands = Hands(loaded, machine)
    hands.poll(60)
    with hands.store.transaction():
        hands.store.run("UPDATE summaries SET data = x'01'")
    hands.store.close()
    hands = Hands(loaded, machine, epoch=b"\x01" * 8)
    hands.poll(60)
    assert hands.journal.trouble is None
    shown = history(hands.store, METER, ["count"], START_S * 1000, START_S * 1000 + HOUR_MS, 50)
    assert 60 <= sum(shown.readings) < 120
    assert hands.store.totals()["readings"] == 3 * 120
    hands.end()
