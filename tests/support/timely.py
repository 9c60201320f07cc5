"""The times of records agree with each other (docs/decisions/034), read from the records alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, Record, parse_record
from ledger_client.formats.senml import Quality, Reading

APART_MS = 2_000
SIGNED_WITHIN_MS = 60_000


@dataclass
class Course:
    """How record times go on within an epoch: from a moment of ``up`` on, at full speed or at some tenths of it."""

    up_ms: int
    time_ms: int
    tenths: int = 10
    jumps: list[tuple[int, int]] = field(default_factory=list)
    """Of the epoch's corrections: the record time before, and how far it jumped."""

    def at(self, up_ms: int) -> int:
        return self.time_ms + (up_ms - self.up_ms) * self.tenths // 10


@dataclass
class Last:
    """The record before, of one meter."""

    record: Record | None = None
    bt_ms: int = 0
    to_ms: int | None = None
    readings: list[int] = field(default_factory=list)


def check_times(config: Config) -> None:
    """Along each meter's numbers ``up`` and ``iat`` never fall, and go on alike between corrections; a reading is
    signed soon after it was read, in order, and within the coverage that counts it; a meter's first record is one."""
    store = Database(config.database, read_only=True)
    rows = [] if store.records.pruned()[0] or store.repairs.all() else store.records.rows(1, 1 << 60)
    store.close()
    courses: dict[bytes, Course] = {}
    meters: dict[str, Last] = defaultdict(Last)
    periods: dict[str, int] = {}
    for row in rows:
        record = parse_record(row.data)
        claims, body, last = record.claims, record.body, meters[row.meter]
        course = courses.setdefault(claims.epoch, Course(claims.up_ms, claims.iat * 1000))
        if isinstance(body, Event) and row.meter == "gateway":
            periods |= {meter: its["period"] for meter, its in body.fields.get("meters", {}).items()}
            if body.name == "clock":
                jump = body.fields["after"] - body.fields["before"]
                jumps = [*course.jumps, (body.fields["before"], jump)]
                course = Course(body.fields["up"], body.fields["after"], body.fields.get("tenths", 10), jumps)
                courses[claims.epoch] = course
        elif last.record is None or last.record.claims.epoch != claims.epoch:
            assert isinstance(body, Coverage), f"{record.id}: the first of its epoch is no coverage record"
        _check_stamp(record, last.record, course)
        if isinstance(body, Reading):
            _check_reading(record, body, last, course, periods[row.meter])
        elif isinstance(body, Coverage):
            _check_counted(record, body, last)
        last.record = record


def _check_stamp(record: Record, before: Record | None, course: Course) -> None:
    claims = record.claims
    if before is not None:
        assert claims.iat >= before.claims.iat, f"{record.id}: signed at {claims.iat}, before {before.claims.iat}"
        if before.claims.epoch == claims.epoch:
            assert claims.up_ms >= before.claims.up_ms, f"{record.id}: up {claims.up_ms} falls"
    off_ms = claims.iat * 1000 - course.at(claims.up_ms)
    assert abs(off_ms) <= APART_MS, f"{record.id}: signed {off_ms} ms off the course of its epoch"


def _check_reading(record: Record, body: Reading, last: Last, course: Course, period_ms: int) -> None:
    iat_ms, bt_ms = record.claims.iat * 1000, body.time_ms
    late = any(value.quality & Quality.LATE for value in body.values)
    assert bt_ms >= last.bt_ms or late, f"{record.id}: read at {bt_ms}, the one before at {last.bt_ms}"
    # a reading that was dated a moment on, to be behind the one before, may bear a later time than the jump began
    jumped = sum(jump for before_ms, jump in course.jumps if before_ms >= bt_ms - APART_MS)
    assert bt_ms - 1000 <= iat_ms <= bt_ms + period_ms + SIGNED_WITHIN_MS + jumped, (
        f"{record.id}: read at {bt_ms}, signed at {iat_ms}"
    )
    last.bt_ms = max(bt_ms, last.bt_ms)
    last.readings.append(bt_ms)


def _check_counted(record: Record, body: Coverage, last: Last) -> None:
    end_ms = record.claims.iat * 1000 + 1000
    for bt_ms in last.readings:
        assert body.from_ms - 1000 <= bt_ms < end_ms, (
            f"{record.id}: counts a reading of {bt_ms} from {body.from_ms}, signed {end_ms - 1000}"
        )
    assert body.to_ms <= end_ms, f"{record.id}: covers up to {body.to_ms}, signed at {end_ms - 1000}"
    last.to_ms, last.readings = body.to_ms, []
