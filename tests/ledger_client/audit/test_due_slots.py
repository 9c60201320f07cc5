"""Due slots: which polls were recorded, not only how many."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ledger_client.audit.due_slots import FreeSlots, Slots, room_ms
from ledger_client.audit.result import Audit
from ledger_client.audit.times import Jumps
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading, Value
from tests.support.audit_batches import EVERY_MS, Gateway, audited, findings
from tests.support.evidence import METER

NONE = Jumps()


def slots(*grids: tuple[int, int]) -> Slots:
    made = Slots()
    made.learn(grids)
    return made


def taken(made: Slots, times_ms: list[int], jumps: Jumps = NONE) -> list[bool]:
    return [made.take(time_ms, jumps) for time_ms in times_ms]


def test_the_room_of_a_slot_grows_with_its_step() -> None:
    assert [room_ms(step) for step in (250, 1000, 10_000, 900_000)] == [10_500, 12_000, 30_000, 960_000]


def test_each_reading_takes_a_slot_of_its_own() -> None:
    made = slots((0, 1000))
    assert all(taken(made, [due + 20 for due in range(0, 50_000, 1000)]))
    assert taken(made, [49_100, 49_200, 49_300]) == [True, False, False]  # that of 50 s, which is a second ahead


def test_a_reading_may_come_late_as_long_as_its_slot_is_free() -> None:
    made = slots((0, 1000))
    assert taken(made, [12_000, 12_001, 12_002]) == [True, True, True]  # of 0, 1 and 2 s
    assert taken(made, [20_000]) == [True]
    assert taken(made, [20_000]) == [False]  # its time does not rise


def test_what_was_not_due_takes_none() -> None:
    assert taken(slots((0, 1000), (5000, 0)), [0, 1000, 2000, 3000, 4000, 4500, 5000]) == [True] * 5 + [False] * 2
    assert taken(slots((5000, 1000)), [3900, 4100]) == [False, True]
    assert taken(slots((0, 1000), (2000, 0), (60_000, 1000)), [100, 1100, 30_000, 60_100]) == [True, True, False, True]


def test_a_later_grid_counts_from_its_beginning_on() -> None:
    made = slots((0, 1000))
    assert all(taken(made, [0, 1000, 2000]))
    made.learn(((0, 1000), (3000, 10_000)))
    assert taken(made, [3000, 4000, 5000, 13_000]) == [True, False, False, True]
    made.learn(((0, 1000), (3000, 10_000), (20_000, 5000), (20_000, 1000)))  # announced, and at once anew
    assert taken(made, [20_000, 21_000, 22_000]) == [True, True, True]


def test_an_answer_just_before_a_jump_over_its_due_time_takes_that() -> None:
    jumps = Jumps()
    jumps.add(4_000, 64_000)
    made = slots((0, 1000), (3_001, 0), (64_000, 1000))
    assert taken(made, [100, 1_100, 2_100, 3_000, 4_000], jumps) == [True] * 5
    assert taken(slots((64_000, 1000)), [4_000]) == [False]


def test_a_jump_of_the_clock_excuses_what_it_goes_over() -> None:
    jumps = Jumps()
    jumps.add(10_000, 3_600_000)
    grids = ((0, 1000), (10_000, 0), (3_600_000, 1000))
    assert taken(slots(*grids), [3_600_000]) == [True]
    made = slots(*grids)
    assert all(taken(made, [3_600_000 + n for n in range(11)], jumps))  # ten that were under way, and its first
    assert taken(made, [3_600_020, 3_600_021], jumps) == [True, False]  # that of a second later
    assert taken(slots((0, 1000), (10_000, 0)), [3_600_000]) == [False]


@pytest.mark.parametrize("seed", range(5))
def test_slots_are_taken_as_by_trying_each(seed: int) -> None:
    """Against a list of all slots, from which the earliest that fits is taken."""
    chance = random.Random(seed)
    grids: list[tuple[int, int]] = []
    jumps, pairs = Jumps(), []
    at = 0
    for _ in range(6):
        grids.append((at, chance.choice((0, 300, 1000, 7000))))
        at += chance.randint(1, 20_000)
        if chance.random() < 0.4:
            size = chance.choice((500, 5000, 40_000))
            jumps.add(at, at + size)
            pairs.append((at, at + size))
            at += size
    grids.append((at, 0))
    ends = [*(begins for begins, _ in grids[1:]), at]
    free = [d for (b, step), e in zip(grids, ends, strict=True) if step for d in range(b, e, step)]
    step_of = {d: step for (b, step), e in zip(grids, ends, strict=True) if step for d in range(b, e, step)}
    made, latest = slots(*grids), -1
    for time_ms in sorted(chance.choices(range(at + 30_000), k=120)):
        if any(before < time_ms < after for before, after in pairs):
            continue  # no record is of that time

        def fits(due: int, time_ms: int = time_ms) -> bool:
            jumped = sum(b - a for a, b in pairs if a >= due - 2000 and b <= time_ms + 2000)
            early = sum(b - a for a, b in pairs if a >= time_ms - 2000 and b <= due + 2000)
            return due - 1000 - early <= time_ms <= due + room_ms(step_of[due]) + jumped

        found = next((due for due in free if fits(due)), None) if time_ms > latest else None
        latest = max(latest, time_ms)
        if found is not None:
            free = [due for due in free if due > found]
        assert made.take(time_ms, jumps) == (found is not None), time_ms


@pytest.mark.parametrize("seed", range(5))
def test_gaps_are_those_of_a_list_of_all_due_times(seed: int) -> None:
    chance = random.Random(seed)
    begins = sorted(chance.sample(range(100_000), 8))
    grids = [(begin, chance.choice((0, 300, 1000, 7000))) for begin in begins]
    ends = [*begins[1:], 110_000]
    step_of = {d: step for (b, step), e in zip(grids, ends, strict=True) if step for d in range(b, e, step)}
    made, answered = Slots(), -1
    for time_ms in sorted(chance.sample(range(110_000), k=60)):
        made.learn([grid for grid in grids if grid[0] <= time_ms + 2000])  # they are announced as time goes on
        dues = [d for d, step in step_of.items() if answered < d <= time_ms + min(1000, step // 10)]
        gap = made.gap(time_ms, answered=True)
        assert (gap.slots, gap.from_ms, gap.to_ms) == (len(dues) - 1, dues[0], dues[-1]) if gap else len(dues) < 2
        assert gap is None or gap.free_ms == sum(step_of[d] for d in dues[:-1])
        made.take(time_ms, NONE)
        answered = dues[-1] if dues else answered
    rest, tail = [d for d in step_of if d > answered], made.gap(110_000, answered=False)
    assert (tail.slots, tail.from_ms) == (len(rest), rest[0]) if tail else not rest


def test_ten_years_of_a_grid_of_one_millisecond_cost_nothing() -> None:
    made, year_ms = slots((0, 1)), 365 * 86_400_000
    gaps = [made.gap(year * year_ms, answered=True) for year in range(1, 11)]
    assert [gap.slots for gap in gaps if gap is not None] == [year_ms, *[year_ms - 1] * 9]
    assert all(taken(made, [year * year_ms for year in range(1, 11)]))


def test_a_million_readings_of_one_time_cost_little() -> None:
    result, made = Audit(), slots((0, EVERY_MS))
    body = Coverage(0, 1, 1_000_000, 1_000_000, {})
    without = FreeSlots(result, METER).place(body, [5000] * 1_000_000, made, NONE)
    assert (len(without), result.account(METER).longest_free) == (999_999, None)


def readings(gateway: Gateway, offsets_ms: list[int], quality: int = 0) -> list[str]:
    """What the step *due* finds of a batch with readings at these times from now on, each of which is counted."""
    first, chain = gateway.write(), gateway.chains[METER]
    now_ms = gateway.clock.now_ms
    rows = []
    for offset_ms in offsets_ms:
        rows.append(chain.add(Reading(now_ms + offset_ms, (Value("count", 1, "count", quality=quality),))))
        chain.since += 1
    chain.due_ms += len(offsets_ms) * EVERY_MS
    gateway.clock.passes(len(offsets_ms) * EVERY_MS)
    result = audited(first, gateway.write([*rows, *gateway.cut()]))
    return [found.detail for found in result.findings if found.step == "due"]


def test_readings_in_a_bunch_are_found_and_one_a_coverage_record_is_told(tmp_path: Path) -> None:
    honest = readings(Gateway(tmp_path), [n * EVERY_MS for n in range(12)])
    assert honest == []
    (finding,) = readings(Gateway(tmp_path), [n * 1000 for n in range(12)])
    assert "of the readings that it counts were not due, the first at" in finding


def test_findings_of_a_site_without_any(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    assert findings(audited(gateway.write(), gateway.write())) == []
