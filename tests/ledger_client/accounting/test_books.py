"""Books keep of coverage the sums of each interval: what a period is asked for is what its records say together."""

from __future__ import annotations

from random import Random

from ledger_client.accounting.books import Books, Capture, too_dense
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.formats.record import Coverage
from tests.ledger_client.accounting.plans import HOUR, T0, plan_fields
from tests.ledger_client.accounting.stacks import stack_fields

HOURS = 6
REASONS = ("timeout", "stopped", "crc")


def coverages(chance: Random) -> list[Coverage]:
    """Coverage records on and beside the edges of hours, of no time, denser than any sample, and recorded again."""
    found, begin_ms = list[Coverage](), T0 - HOUR
    while begin_ms < T0 + HOURS * HOUR:
        end_ms = begin_ms + chance.choice((0, 1, 60_000, 90_001, HOUR))
        if chance.random() < 0.3:
            end_ms = max(begin_ms, end_ms // HOUR * HOUR + chance.choice((0, 1)))
        missed = {reason: chance.randint(0, 3) for reason in chance.sample(REASONS, chance.randint(0, 3))}
        recorded = chance.choice((0, 6, 1000))
        found.append(Coverage(begin_ms, end_ms, recorded + sum(missed.values()), recorded, missed))
        if chance.random() < 0.1:
            found.append(found[chance.randrange(len(found))])
        begin_ms = end_ms
    return found


def test_capture_of_any_period_is_what_its_records_say() -> None:
    plan = parse_plan(stack_fields("EU-MRR"))
    meter = min(plan.meters)
    least_ms = min(point.sample_ms for point in plan.points.values() if point.meter == meter)
    for seed in range(20):
        books, kept, last_ms = Books(plan), list[Coverage](), -1
        for coverage in coverages(Random(seed)):
            books.coverage(meter, coverage)
            if coverage.to_ms > last_ms:
                kept.append(coverage)
                last_ms = coverage.to_ms
        assert books.covered_to_ms(meter) == last_ms
        for begin in range(HOURS):
            for end in range(begin + 1, HOURS + 1):
                from_ms, to_ms = T0 + begin * HOUR, T0 + end * HOUR
                expected = Capture()
                within = [coverage for coverage in kept if from_ms < coverage.to_ms <= to_ms]
                for c in within:
                    expected.add(c, c.due * least_ms >= c.to_ms - c.from_ms + least_ms)
                assert books.capture(from_ms, to_ms) == ({meter: expected} if within else {})
                assert too_dense(books.capture(from_ms, to_ms)) == expected.dense


def test_coverage_of_a_meter_that_the_plan_does_not_name_is_nothing() -> None:
    books = Books(parse_plan(plan_fields()))
    books.coverage("other", Coverage(T0, T0 + HOUR, 1, 1, {}))
    assert books.capture(T0, T0 + HOUR) == {}
    assert books.covered_to_ms("other") == 0
