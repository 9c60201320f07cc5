"""Exports of the pages: recorded readings of a period as a file, byte for byte what the command `readings` writes; of a
chart also its steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from gateway.api.recorded import Recorded
from gateway.api.shapes.portions import Listing
from gateway.api.shapes.reading_lists import ReadingList
from gateway.api.shapes.reading_writers import PLAIN, MakeWriter
from gateway.api.step_lists import StepList
from gateway.config.model import Config
from gateway.dashboard.pages import charts_page
from gateway.dashboard.shell.time.asked_range import BadQuery, Bounds
from gateway.errors import GatewayError
from gateway.history.export_wide import WideCsvWriter
from gateway.history.point_columns import columns_of, demand_points
from gateway.history.value_lines import FOR_EVER_MS, Walk, Wanted
from gateway.local_calendar import DAY_MS, local
from gateway.messages.message import Message
from gateway.storage.database import Database

WIDE: Final = "wide"
STEPS: Final = "steps"
FORMS: Final = {"csv": "csv", WIDE: "csv", "jsonl": "jsonl"}
"""What a page's form calls a format, and the format that it is."""


def export(config: Config, query: Sequence[tuple[str, str]], now_ms: int) -> Listing[Database]:
    """The list that an address asks for.

    Args:
        config: the configuration in force.
        query: ``meter`` (may come several times; none: all), ``points`` (names, separated by commas), or ``s`` as a
            chart's address has it (the points of its meters); ``from`` and ``to`` as people write times (none: without
            end); ``form``; of the steps of a chart also ``by``.
        now_ms: the time that ages count from.

    Raises:
        NotFound: a chart of a meter that there is not.
        BadQuery: a time is none, or the form is not known. What only the database knows is refused as the list begins.
    """
    last = dict(query)
    form = last.get("form", "csv")
    if form == STEPS:
        return _steps(config, query, now_ms)
    if form not in FORMS:
        raise BadQuery(Message("export-form", form=form[:40], forms=(*FORMS, STEPS)))
    bounds = Bounds.of(last, config.zone, now_ms)
    begin_ms, end_ms = bounds.from_ms, bounds.to_ms
    drawn = [text.partition(":") for name, text in query if name == "s" and text]
    named = [text for name, text in query if name == "meter" and text]
    meters = tuple(dict.fromkeys([*named, *(meter for meter, _, _ in drawn)]))
    chosen = [*last.get("points", "").split(","), *(point for _, _, point in drawn)]
    points = tuple(dict.fromkeys(name.strip() for name in chosen if name.strip())) or None
    of = meters or tuple(config.meters)

    def prepare(store: Database) -> MakeWriter:
        for meter in meters:
            if meter not in config.meters and store.records.newest(meter, "reading") is None:
                raise BadQuery(Message("page-no-meter", meter=meter[:80]))
        try:
            demand_points(config, store, of, points)
        except GatewayError as error:
            raise BadQuery(error.sentence) from None
        if form != WIDE:
            return PLAIN[form]
        columns = columns_of(config, store, of, points)
        if not columns:
            raise BadQuery(Message("readings-wide-none", config=str(config.path), meters=of))
        return partial(WideCsvWriter, columns=columns)

    what = [*(meters if len(meters) == 1 else ["readings"]), *([WIDE] if form == WIDE else [])]
    headers = _saved_as(config, what, (begin_ms, end_ms), FORMS[form])
    kept = None if points is None else frozenset(points)
    walk = Walk(Wanted(meters or None, begin_ms or 0, FOR_EVER_MS if end_ms is None else end_ms, kept))
    return ReadingList(Recorded(walk), FORMS[form], prepare, headers)


def _steps(config: Config, query: Sequence[tuple[str, str]], now_ms: int) -> StepList:
    last = dict(query)
    bounds = Bounds.of(last, config.zone, now_ms)
    window = bounds.window(DAY_MS, now_ms, config.zone)
    names = [text for name, text in query if name == "s"]
    facts = charts_page.look(config, names, "", last.get("by"), bounds, window)
    return StepList(config, facts, _saved_as(config, ["chart"], (window.from_ms, window.to_ms), "csv"))


def _saved_as(config: Config, what: Sequence[str], times_ms: Sequence[int | None], kind: str) -> dict[str, str]:
    """The header that names a file by what it holds, with times of the site."""
    times = [local(ms, config.zone).strftime("%Y%m%dT%H%M%S") for ms in times_ms if ms is not None]
    return {"Content-Disposition": f'attachment; filename="{"_".join([*what, *times])}.{kind}"'}
