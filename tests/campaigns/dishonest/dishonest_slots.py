"""Histories in which as many polls were recorded as were due, and others than those: for an audit to find."""

from __future__ import annotations

from ledger_client.formats.senml import Quality, Reading
from tests.campaigns.dishonest.dishonest_edits import EVERY_MS, announced, any_meter, covered_to, early, edited
from tests.campaigns.dishonest.dishonest_stage import Case, Stage
from tests.campaigns.dishonest.forged_history import History, Unsigned

SECOND_MS = 1000


def _bunch(history: History, stage: Stage, *, behind: bool) -> None:
    """All readings of a meter in a batch are a second apart, signed as they say: at its beginning or at its end."""
    meter, batch = any_meter(history, stage), early(stage)
    places = [place for place in history.places(Reading, meter) if place[0] == batch]
    fixed = history.at(*places[-1 if behind else 0])
    for number, place in enumerate(places):
        by_ms = (number - (len(places) - 1 if behind else 0)) * SECOND_MS
        history.put(place, _dated(history.at(*place), fixed, by_ms))


def _dated(record: Unsigned, fixed: Unsigned, by_ms: int) -> Unsigned:
    """A reading that was taken and signed some time behind another one."""
    claims = fixed.claims
    record = record.at(iat=claims.iat + by_ms // SECOND_MS, up_ms=claims.up_ms + by_ms, clock=claims.clock)
    return record.saying(time_ms=fixed.time_ms + by_ms)


def _copied(history: History, stage: Stage, *, late: bool) -> None:
    """A reading is left out, and another one stands in its place once more: with a time of its own, or as LATE."""
    meter, batch = any_meter(history, stage), early(stage)
    places = [place for place in history.places(Reading, meter) if place[0] == batch]
    copied, left_out = history.at(*places[1]), places[-2]
    body = copied.body
    assert isinstance(body, Reading)
    if late:
        values = tuple(value._replace(quality=value.quality | Quality.LATE) for value in body.values)
        history.put(left_out, history.at(*left_out).saying(time_ms=body.time_ms, values=values))
        return
    del history.batches[batch].records[left_out[1]]
    index = places[1][1] + 1
    history.batches[batch].records.insert(index, copied.saying(time_ms=body.time_ms + 1))
    history.number(meter)


def _grid_before(history: History, stage: Stage) -> None:
    """A grid is announced that begins in time that a coverage record has counted already."""
    meter, batch = any_meter(history, stage), early(stage)
    ends_ms = covered_to(history, meter, batch - 1)
    grids = {meter: [[ends_ms - 3 * EVERY_MS, 0], [ends_ms - 1 + EVERY_MS, EVERY_MS]]}
    announced(history, batch, "schedule", grids=grids)


NOT_DUE = "not due, the first at"
CASES = {
    "bunched": Case("audit", "due", NOT_DUE, edited(lambda h, s: _bunch(h, s, behind=False))),
    "bunched-behind-a-hole": Case("audit", "due", NOT_DUE, edited(lambda h, s: _bunch(h, s, behind=True))),
    "reading-copied": Case("audit", "due", NOT_DUE, edited(lambda h, s: _copied(h, s, late=False))),
    "copied-as-late": Case("audit", "due", NOT_DUE, edited(lambda h, s: _copied(h, s, late=True))),
    "grid-before-its-coverage": Case("audit", "due", "begins at .* its coverage before", edited(_grid_before)),
}
