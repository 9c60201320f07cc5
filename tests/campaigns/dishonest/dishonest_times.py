"""Histories in which coverage or times do not agree, while each record by itself verifies: for an audit to find."""

from __future__ import annotations

from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading
from tests.campaigns.dishonest.dishonest_edits import (
    EVERY_MS,
    Edit,
    any_meter,
    any_reading,
    early,
    edited,
    moved,
)
from tests.campaigns.dishonest.dishonest_stage import ACCOMPLICE, Case, Stage
from tests.campaigns.dishonest.forged_history import History

DAY_MS = 86_400_000
LAST_S = 253_402_300_799
"""The last second of 9999."""


# — coverage —


def _without_coverage(history: History, stage: Stage) -> None:
    """A batch has none; the next one counts what it leaves out."""
    batch = early(stage)
    for meter in history.meters:
        _swallow(history, meter, next(p for p in history.places(Coverage, meter) if p[0] == batch))
    history.number()


def _swallow(history: History, meter: str, place: tuple[int, int]) -> None:
    """A coverage record is left out, and the one behind it speaks for both."""
    places = history.places(Coverage, meter)
    left, behind = history.at(*place).body, places[places.index(place) + 1]
    next_ = history.at(*behind).body
    assert isinstance(left, Coverage)
    assert isinstance(next_, Coverage)
    missed = {key: left.missed.get(key, 0) + next_.missed.get(key, 0) for key in {*left.missed, *next_.missed}}
    due, recorded = left.due + next_.due, left.recorded + next_.recorded
    history.put(behind, history.at(*behind).saying(from_ms=left.from_ms, due=due, recorded=recorded, missed=missed))
    del history.batches[place[0]].records[place[1]]


def _vanished(history: History, stage: Stage) -> None:
    meter, batch = any_meter(history, stage), early(stage)
    for later in history.batches[batch + 1 :]:
        later.records = [record for record in later.records if record.meter != meter]


def _first_is_no_coverage(history: History, stage: Stage) -> None:
    """The downtime before a start is counted by the first cut only."""
    meter = any_meter(history, stage)
    second = next(r.claims.epoch for r in reversed(history.batches[-1].records))
    place = next(p for p in history.places(Coverage, meter) if history.at(*p).claims.epoch == second)
    _swallow(history, meter, place)
    history.number()


def _ends_early(history: History, stage: Stage) -> None:
    """From some batch on a meter's coverage stands still: nothing is due any more."""
    meter, batch = any_meter(history, stage), early(stage)
    last = next(b for p in history.places(Coverage, meter) if p[0] == batch and (b := history.at(*p).body))
    assert isinstance(last, Coverage)
    for later in history.batches[batch + 1 :]:
        later.records = [r for r in later.records if not (r.meter == meter and isinstance(r.body, Reading))]
        for index, record in enumerate(later.records):
            if record.meter == meter and isinstance(record.body, Coverage):
                later.records[index] = record.saying(from_ms=last.to_ms, to_ms=last.to_ms, due=0, recorded=0, missed={})
    history.number()


def _back_dated(history: History, stage: Stage) -> None:
    """A reading of the first batch is a day older than its coverage."""
    place = any_reading(history, stage, 0, any_meter(history, stage))
    record = history.at(*place)
    history.put(place, record.saying(time_ms=record.time_ms - DAY_MS))


def _behind_its_coverage(history: History, stage: Stage) -> None:
    """A reading is of after the signature of the coverage record that counts it."""
    meter, batch = any_meter(history, stage), early(stage)
    place = [p for p in history.places(Reading, meter) if p[0] == batch][-1]
    counts = next(p for p in history.places(Coverage, meter) if p[0] == batch)
    time_ms = (history.at(*counts).claims.iat + 1) * 1000 + 3000
    history.put(place, history.at(*place).saying(time_ms=time_ms))


# — times —


def _bt_falls(history: History, stage: Stage) -> None:
    meter, batch = any_meter(history, stage), early(stage)
    place = any_reading(history, stage, batch, meter)
    places = history.places(Reading, meter)
    before = history.at(*places[places.index(place) - 1])
    history.put(place, history.at(*place).saying(time_ms=before.time_ms - 500))


def _up_falls(history: History, stage: Stage) -> None:
    place = any_reading(history, stage, early(stage), any_meter(history, stage))
    history.put(place, history.at(*place).at(up_ms=history.at(*place).claims.up_ms - 11_000))


def _step_untold(history: History, stage: Stage) -> None:
    """What was before some batch of an epoch was an hour earlier, and no event says that the clock was set."""
    batch, hour_ms, hidden = early(stage), 3_600_000, 3_600_000 // EVERY_MS
    for number, changed in enumerate(history.batches):
        for index, record in enumerate(changed.records):
            body = record.body
            if number < batch:
                changed.records[index] = moved(record, -hour_ms)
            elif number == batch and isinstance(body, Coverage):
                changed.records[index] = record.saying(
                    from_ms=body.from_ms - hour_ms, due=body.due + hidden, missed={"timeout": hidden}
                )


def _signed_before(history: History, stage: Stage) -> None:
    """A reading was signed before it was read."""
    place = any_reading(history, stage, early(stage), any_meter(history, stage))
    record = history.at(*place)
    history.put(place, record.at(iat=record.claims.iat - 5, up_ms=record.claims.up_ms - 5000))


def _signed_long_after(history: History, stage: Stage) -> None:
    """All readings of a batch are of its first second."""
    meter, batch = any_meter(history, stage), early(stage)
    counts = next(p for p in history.places(Coverage, meter) if p[0] == batch)
    body = history.at(*counts).body
    assert isinstance(body, Coverage)
    for number, place in enumerate(p for p in history.places(Reading, meter) if p[0] == batch):
        history.put(place, history.at(*place).saying(time_ms=body.from_ms + number))


def _signed_after_its_receipt(history: History, stage: Stage) -> None:
    place = any_reading(history, stage, 5, any_meter(history, stage))
    history.put(place, history.at(*place).at(iat=int(stage.now_s) + 600))


def _statement_from(history: History, stage: Stage) -> None:
    history.batches[0].changes["from_ms"] = history.from_ms - 3_600_000


def _statement_to(history: History, stage: Stage) -> None:
    batch = history.batches[early(stage)]
    batch.changes["to_ms"] = batch.to_ms + 60_000


def _statement_of(iat: int) -> Edit:
    """Some batch was signed then, says its statement."""

    def edit(history: History, stage: Stage) -> None:
        history.batches[early(stage)].changes["iat"] = iat

    return edit


CASES = {
    "no-coverage": Case("audit", "coverage", "no coverage", edited(_without_coverage)),
    "vanished-meter": Case("audit", "coverage", "no coverage", edited(_vanished)),
    "start-without-coverage": Case("audit", "coverage", "first", edited(_first_is_no_coverage)),
    "coverage-stands-still": Case("audit", "coverage", "ends", edited(_ends_early)),
    "back-dated": Case("audit", "coverage", "before", edited(_back_dated)),
    "reading-behind-its-coverage": Case("audit", "coverage", "after", edited(_behind_its_coverage)),
    "bt-falls": Case("audit", "times", "LATE", edited(_bt_falls)),
    "up-falls": Case("audit", "times", "up", edited(_up_falls)),
    "clock-set-untold": Case("audit", "times", "clock", edited(_step_untold)),
    "signed-before-it-was-read": Case("audit", "times", "signed", edited(_signed_before)),
    "signed-long-after": Case("audit", "times", "signed", edited(_signed_long_after)),
    "signed-after-its-receipt": Case("audit", "validity", "signed", edited(_signed_after_its_receipt)),
    "statement-from-wrong": Case("audit", "statement", "from", edited(_statement_from)),
    "statement-to-wrong": Case("audit", "statement", "to", edited(_statement_to)),
    "statement-of-1970": Case("audit", "statement", "signed at 1970", edited(_statement_of(0), ledger=ACCOMPLICE)),
    "statement-of-9999": Case("audit", "validity", "signed at 9999", edited(_statement_of(LAST_S), ledger=ACCOMPLICE)),
    "statement-of-1970-offered": Case("ledger", "Malformed statement", "1970", edited(_statement_of(0))),
    "statement-of-9999-offered": Case("ledger", "Not yet", "9999", edited(_statement_of(LAST_S))),
}
