"""Hours in which nothing was due because the clock is said to have jumped over them: for an audit to find."""

from __future__ import annotations

from functools import partial
from typing import Any

from ledger_client.formats.record import Coverage, Event
from tests.campaigns.dishonest.dishonest_edits import EVERY_MS, announced, covered_to, early, moved
from tests.campaigns.dishonest.dishonest_stage import ACCOMPLICE, AGO_S, Case, Objection, Stage
from tests.campaigns.dishonest.forged_history import Unsigned
from tests.campaigns.honest.honest_history import UNDATED_S, undated

HOUR_MS, DAY_S = 3_600_000, 86_400
DAY_MS = DAY_S * 1000


def _hidden_hour(stage: Stage) -> list[Objection]:
    """The gateway is held still for an hour within an epoch; then a clock event says that it had been an hour slow.

    Its batches were anchored as they were cut, so the ledger's times say how late it was at most.
    """
    history, batch = stage.recorded.under(stage.name), early(stage)
    for earlier in history.batches[:batch]:
        earlier.records = [moved(record, -HOUR_MS) for record in earlier.records]
    first = history.batches[batch].records[0]
    after_ms = history.batches[batch - 1].to_ms + HOUR_MS
    grids = {}
    for meter in history.meters:
        ended_ms = covered_to(history, meter, batch - 1)
        grids[meter] = [[ended_ms, 0], [ended_ms - 1 + HOUR_MS + EVERY_MS, EVERY_MS]]
        place = next(p for p in history.places(Coverage, meter) if p[0] == batch)
        history.put(place, history.at(*place).saying(from_ms=ended_ms))
    up_ms = first.claims.up_ms - (first.time_ms - after_ms)
    facts = {"before": after_ms - HOUR_MS, "after": after_ms, "up": up_ms, "clock": "S", "error": 20, "grids": grids}
    announced(history, batch, "clock", **facts)
    place = history.events("clock")[0]
    history.put(place, history.at(*place).at(iat=after_ms // 1000, up_ms=up_ms))
    sealed = history.sealed()
    files = []
    for batch_sealed, cut in zip(sealed, history.batches, strict=True):
        receipt = stage.signed_off(batch_sealed.entry, cut.to_ms / 1000 + 5)
        files.append(stage.file(batch_sealed, [receipt]))
    return stage.audit(files, stage.trust(history, [ACCOMPLICE]))


def _dated(stage: Stage, **changes: Any) -> list[Objection]:
    """An epoch that began without a clock, dated by an event of which something is changed."""
    began_s = stage.now_s - AGO_S - UNDATED_S
    history = stage.enrolled(undated(stage.folder / "undated", began_s, stage.chance).under(stage.name))
    (place,) = history.events("clock")
    body = history.at(*place).body
    assert isinstance(body, Event)
    fields = {key: value for key, value in {**body.fields, **changes}.items() if value is not None}
    history.put(place, history.at(*place)._replace(body=Event("clock", fields)))
    return stage.tell(history)


def _began_early(stage: Stage) -> list[Objection]:
    """The epoch is said to have begun where the one before ended: then nothing was due between them."""
    return _dated(stage, began=int((stage.now_s - AGO_S - UNDATED_S + 235) * 1000), stopped=None)


def _stopped_untold(stage: Stage) -> list[Objection]:
    return _dated(stage, stopped=None)


def _stopped_less(stage: Stage) -> list[Objection]:
    return _dated(stage, stopped=dict.fromkeys(stage.recorded.meters, 1))


def _lags(stage: Stage, days: int, *, always: bool) -> list[Objection]:
    """``days`` are left out before the second epoch, whose clock is unknown for ever, or lags and is called right;
    ``always``: they were left out before the first."""
    history = stage.recorded.under(stage.name)
    first = history.batches[0].records[0].claims.epoch
    for cut in history.batches:
        cut.records = [_lagging(moved(record, -days * DAY_MS), first, unknown=not always) for record in cut.records]
        cut.iat -= days * DAY_S
    files = []
    for sealed, cut in zip(history.sealed(), history.batches, strict=True):
        lags = always or any(record.claims.epoch != first for record in cut.records)
        receipt = stage.signed_off(sealed.entry, cut.to_ms / 1000 + 5 + lags * days * DAY_S)
        files.append(stage.file(sealed, [receipt]))
    return stage.audit(files, stage.trust(history, [ACCOMPLICE], policy='max_delay = "8d"'))


def _lagging(record: Unsigned, first: bytes, *, unknown: bool) -> Unsigned:
    return record.at(clock="U", err_ms=None) if unknown and record.claims.epoch != first else record


CASES = {
    "hour-hidden-by-a-clock-event": Case("audit", "times", "ledger", _hidden_hour),
    "clock-lags-for-ever": Case(
        "audit", "validity", "held back for 9 d .*max_delay is 8 d", partial(_lags, days=9, always=False)
    ),
    "clock-lags-six-days": Case(
        "audit", "note", "[56] d .* at least after its newest record", partial(_lags, days=6, always=True)
    ),
    "downtime-hidden-by-an-early-begin": Case("audit", "times|due", "began", _began_early),
    "downtime-of-an-undated-start-untold": Case("audit", "due", "were due before its epoch", _stopped_untold),
    "downtime-of-an-undated-start-less": Case("audit", "due", "were due before its epoch", _stopped_less),
}
