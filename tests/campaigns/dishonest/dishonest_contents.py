"""Histories whose readings are all there, and do not hold what they should: for an audit to name."""

from __future__ import annotations

from ledger_client.formats.senml import Quality, Reading, Value
from tests.campaigns.dishonest.dishonest_edits import any_meter, early, edited
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import History, Unsigned
from tests.support.commands import ledger_command

JUNK = 120
"""Receipts that are none: an audit names each of them."""


def _places(history: History, stage: Stage) -> list[tuple[int, int]]:
    """Where the readings of a meter in a batch are, without its first and last."""
    meter, batch = any_meter(history, stage), early(stage)
    return [place for place in history.places(Reading, meter) if place[0] == batch][1:-1]


def _empty(history: History, stage: Stage) -> None:
    """Readings are recorded in time, and no point has a value."""
    for place in _places(history, stage):
        record = history.at(*place)
        assert isinstance(record.body, Reading)
        values = tuple(v._replace(value=None, quality=int(Quality.DEVICE_FAULT)) for v in record.body.values)
        history.put(place, record.saying(values=values))


def _left_out(history: History, stage: Stage) -> None:
    """All readings have two points, and some of them one."""
    history.each(_of_two_points)
    for place in _places(history, stage):
        record = history.at(*place)
        assert isinstance(record.body, Reading)
        history.put(place, record.saying(values=record.body.values[1:]))


def _of_two_points(record: Unsigned) -> Unsigned:
    if not isinstance(record.body, Reading):
        return record
    (value,) = record.body.values
    return record.saying(values=(value._replace(name="energy"), Value("power", 4, "W")))


def _hundred_notes(stage: Stage) -> list[Objection]:
    """Readings are empty, and so many receipts that do not count are in the files that nobody reads all notes.

    What is said must be in the words as well as in the JSON.
    """
    history = stage.history()
    _empty(history, stage)
    sealed = history.sealed()
    receipts = stage.submit(sealed)
    share = -(-JUNK // len(sealed))
    junk = [[stage.chance.randbytes(40) for _ in range(share)] for _ in sealed]
    files = [stage.file(b, [r, *more]) for b, r, more in zip(sealed, receipts, junk, strict=True)]
    trust = stage.trust(history)
    words = ledger_command("audit", *files, "--trust", trust)
    objections = stage.audit(files, trust)
    assert sum("not confirmed" in one.text for one in objections) >= 100, "not a hundred notes"
    return [one for one in objections if one.where != "note" or one.text in words.out]


CASES = {
    "empty-readings": Case("audit", "note", r"\d+ of \d+ readings of .* are without any value", edited(_empty)),
    "point-left-out": Case("audit", "note", r"\d+ of \d+ readings of .* do not have energy,", edited(_left_out)),
    "hundred-notes": Case("audit", "note", r"\d+ of \d+ readings of .* are without any value", _hundred_notes),
}
