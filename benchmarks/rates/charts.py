"""Charts of two years: a year of one quantity, of four, and energy by month, page against bare query.

The site has hours of two years, minutes of three days and the records of an hour, of a meter of 18 points. Each page is
made as the gateway makes it, view and template, in turn with the bare ``history`` or ``energy_of`` of the same time
(target: at most 3.3 times as long, and 200 KB).
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from gateway.config.model import Config
from gateway.dashboard.render.html import HTML
from gateway.dashboard.routes import contents
from gateway.dashboard.shell.page import Pages
from gateway.dashboard.shell.sessions import Asked
from gateway.dashboard.shell.time.asked_range import stamp
from gateway.dashboard.shell.time.steps import MOST, stretches
from gateway.history.aggregates import Aggregate
from gateway.history.energy import energy_of
from gateway.history.rollup import Forms
from gateway.history.series import history
from gateway.local_calendar import DAY_MS, HOUR_MS, MINUTE_MS
from gateway.storage.database import Database
from ledger_client.formats.senml import Reading, Value
from tests.support.epochs import epoch
from tests.support.samples import START_S, Hands, site

METER = "export-main"
ZONE = "Europe/Berlin"
READINGS_AN_HOUR = 4
END_MS = START_S * 1000 // HOUR_MS * HOUR_MS
SMALLEST = ({"days": 70, "runs": 1},)


@dataclass(frozen=True, slots=True)
class Case:
    """One page, and what it asks of the database, bare."""

    name: str
    query: str
    bare: Callable[[Database, Config], object]


def run(days: int = 730, runs: int = 15) -> dict[str, object]:
    """Medians of ``runs`` in ms, the ratio of both, and the size of each page, over half of ``days``."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = site(Path(folder) / "site", {"[gateway]": f'[gateway]\ntimezone = "{ZONE}"'})
        points = _fill(loaded, days)
        HTML.prepare()
        figures = asyncio.run(_measure(loaded, _cases(days // 2), runs))
    return {"days": days, "points": points, "runs": runs, **figures}


def _cases(length: int) -> list[Case]:
    begin_ms = END_MS - length * DAY_MS
    time_ = f"from={stamp(begin_ms)}&to={stamp(END_MS)}"
    powers = [f"active_power_{phase}" for phase in ("total", "l1", "l2", "l3")]

    def course(*points: str) -> Callable[[Database, Config], object]:
        return lambda store, loaded: history(store, METER, points, begin_ms, END_MS, MOST, loaded.zone)

    def by_month(store: Database, loaded: Config) -> object:
        steps = stretches("month", begin_ms, END_MS, loaded.zone)
        return energy_of(store, METER, "energy_import", steps)

    return [
        Case("one", f"s={METER}:{powers[0]}&{time_}", course(powers[0])),
        Case("four", "&".join(f"s={METER}:{point}" for point in powers) + f"&{time_}", course(*powers)),
        Case("energy_by_month", f"s={METER}:energy_import&by=month&{time_}", by_month),
    ]


async def _measure(loaded: Config, cases: list[Case], runs: int) -> dict[str, object]:
    figures: dict[str, object] = {}
    async with epoch(loaded) as running:
        pages = contents(running)
        with closing(Database(loaded.database, read_only=True)) as store:
            for case in cases:
                figures |= _compared(pages, store, loaded, case, runs)
    return figures


def _compared(pages: Pages[Database], store: Database, loaded: Config, case: Case, runs: int) -> dict[str, object]:
    bare, page, size = list[float](), list[float](), 0
    for _ in range(runs):
        gc.collect()
        bare.append(_timed(lambda: case.bare(store, loaded)))
        page.append(_timed(lambda: _page(pages, store, case.query)))
    size = len(_page(pages, store, case.query))
    found = {"bare_ms": statistics.median(bare), "page_ms": statistics.median(page)}
    found["ratio"] = found["page_ms"] / found["bare_ms"]
    figures: dict[str, object] = {f"{case.name}_{key}": round(value, 3) for key, value in found.items()}
    return figures | {f"{case.name}_bytes": size}


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _page(pages: Pages[Database], store: Database, query: str) -> bytes:
    pairs = tuple(parse_qsl(query))
    asked = Asked("/charts", {}, dict(pairs), languages="en", user="vera", role="viewer", several=pairs)
    with store.snapshot():
        return pages.views["/charts"](asked)(store).body


def _fill(loaded: Config, days: int) -> int:
    """Write the summaries and some records; the number of points."""
    hands = Hands(loaded)
    hands.poll(360)
    profile = loaded.profiles[METER]
    names = [(point.name, point.unit, point.kind == "counter") for point in profile.points if point.record]
    forms = Forms(hands.store.summaries)
    for length_ms, begin_ms in ((HOUR_MS, END_MS - days * DAY_MS), (MINUTE_MS, END_MS - 3 * DAY_MS)):
        with hands.store.transaction():
            spans = (_span(names, ms, length_ms) for ms in range(begin_ms, END_MS, length_ms))
            hands.store.summaries.put([forms.row(METER, length_ms, span) for span in spans])
    hands.end()
    return len(names)


def _span(names: list[tuple[str, str | None, bool]], start_ms: int, length_ms: int) -> Aggregate:
    found = Aggregate(start_ms)
    for n in range(READINGS_AN_HOUR):
        ms = start_ms + n * length_ms // READINGS_AN_HOUR
        level = 230.0 + (ms // length_ms * 7 + n * 3) % 50 / 7
        values = tuple(
            Value(name, ms // 3600 if counts else level + place, unit)
            for place, (name, unit, counts) in enumerate(names)
        )
        found.waiting.append(Reading(ms, values))
    return found.fold()
