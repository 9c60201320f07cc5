"""What changes of a history have in common: which batch, meter and record they strike, and how they are announced."""

from __future__ import annotations

from collections.abc import Callable

from ledger_client.formats.record import GATEWAY_ITSELF, Coverage, Event
from ledger_client.formats.senml import Reading, Value
from tests.campaigns.dishonest.dishonest_stage import LEDGERS, Objection, Stage
from tests.campaigns.dishonest.forged_history import History, Unsigned

EVERY_MS = 10_000
Edit = Callable[[History, Stage], None]


def edited(edit: Edit, *, ledger: str = LEDGERS[0]) -> Callable[[Stage], list[Objection]]:
    """The honest history with one thing changed, given to a ledger and to an audit."""

    def story(stage: Stage) -> list[Objection]:
        history = stage.history()
        edit(history, stage)
        return stage.tell(history, ledgers=(ledger,))

    return story


def any_meter(history: History, stage: Stage) -> str:
    return stage.chance.choice(history.meters)


def early(stage: Stage) -> int:
    """A batch of the first epoch with another one of it on either side."""
    return stage.chance.choice((1, 2))


def any_reading(history: History, stage: Stage, batch: int, meter: str) -> tuple[int, int]:
    """One of the meter's readings in that batch, not its first or last."""
    return stage.chance.choice([place for place in history.places(Reading, meter) if place[0] == batch][1:-1])


def announced(history: History, batch: int, name: str, **facts: object) -> None:
    """An event of the gateway as the first record of a batch."""
    records = history.batches[batch].records
    last = next(r for b in reversed(history.batches[:batch]) for r in reversed(b.records) if r.meter == GATEWAY_ITSELF)
    claims = records[0].claims._replace(meter=GATEWAY_ITSELF, seq=last.claims.seq + 1)
    records.insert(0, Unsigned(claims, Event(name, facts)))
    history.number(GATEWAY_ITSELF)


def covered_to(history: History, meter: str, batch: int) -> int:
    body = [history.at(*p).body for p in history.places(Coverage, meter) if p[0] == batch][-1]
    assert isinstance(body, Coverage)
    return body.to_ms


def other_value(record: Unsigned) -> Unsigned:
    """A reading with a better value."""
    return record.saying(values=(Value("count", 9_999, "count"),)) if isinstance(record.body, Reading) else record


def moved(record: Unsigned, by_ms: int) -> Unsigned:
    """Some time earlier or later, with all that it says of grids."""
    record, body = record.at(iat=record.claims.iat + by_ms // 1000), record.body
    if isinstance(body, Reading):
        return record.saying(time_ms=body.time_ms + by_ms)
    if isinstance(body, Coverage):
        return record.saying(from_ms=body.from_ms + by_ms, to_ms=body.to_ms + by_ms)
    if "meters" not in body.fields:
        return record
    meters = {
        name: {**meter, "grids": [[begins + by_ms, period] for begins, period in meter["grids"]]}
        for name, meter in body.fields["meters"].items()
    }
    return record.saying(meters=meters)
