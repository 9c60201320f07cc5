"""Registry of faults: what is armed and cleared while meters answer, and the one table that says what may be."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_sim.meters.answer_faults import Dead, Late, WrongCount
from firmware_sim.meters.armed import ENDED_KEPT, Choice, Faults, Order, When
from firmware_sim.scenario.complaints import Unfit
from firmware_sim.scenario.faults import Places, ordered

PLACES = Places(
    {"line": "modbus-rtu", "park": "modbus-tcp", "645": "dlt645"}, {"a": "line", "b": "line", "pv": "park", "7": "645"}
)


def dead(*meters: str, bus: str = "", count: int | None = None) -> Order:
    return Order(bus or meters[0], meters, "dead", lambda: (Choice("dead", Dead()),), When(), count, bus=bus)


def struck(faults: Faults, meter: str, t_ms: int = 0) -> list[str]:
    return [armed.id for armed in faults.of(meter) if armed.strikes(t_ms)]


def test_what_is_armed_and_cleared_is_met_by_who_holds_the_list() -> None:
    faults = Faults(7)
    held = faults.of("a")
    of_file = faults.arm(dead("a"), injected=False)
    injected = faults.arm(dead("a", "b", bus="line"))
    assert (of_file, injected) == ("f1", "i1")
    assert [armed.id for armed in held] == ["f1", "i1"]
    assert [armed.seed for armed in held] == ["7/0", "7/i1/a"]
    assert (struck(faults, "b"), len(faults.of_bus("line"))) == (["i1"], 1)
    armed = held[1]
    assert faults.clear(["i1", "i9"]) == ["i1"]
    assert armed.cleared
    assert ([each.id for each in held], faults.of("b"), faults.of_bus("line")) == (["f1"], [], [])
    assert faults.arm(dead("b")) == "i2"
    assert [standing.id for standing in faults.standing()] == ["f1", "i2"]


def test_a_count_is_of_all_meters_of_a_bus_together() -> None:
    faults = Faults()
    faults.arm(dead("a", "b", bus="line", count=3))
    assert [struck(faults, meter) for meter in "abab"] == [["i1"], ["i1"], ["i1"], []]
    (standing,) = faults.standing()
    assert (standing.listed(0)["struck"], standing.listed(0)["state"]) == (3, "over")
    faults.arm(dead("a"))
    assert [armed.id for armed in faults.of("a")] == ["i2"]  # what is over is out of the way, and still listed
    assert [standing.id for standing in faults.standing()] == ["i1", "i2"]


def test_faults_that_are_over_do_not_pile_up() -> None:
    faults = Faults()
    for _ in range(5 * ENDED_KEPT):
        faults.arm(dead("a", count=1))
        assert struck(faults, "a")
    assert len(faults.of("a")) == 1
    assert len(faults.standing()) == ENDED_KEPT + 1


@pytest.mark.parametrize(
    ("row", "key", "fix"),
    [
        ({"meter": "a", "kind": "laet"}, "kind", "did you mean 'late'?"),
        ({"meter": "a", "kind": "late", "delayms": 5}, "delayms", "did you mean 'delay_ms'?"),
        ({"meter": "a", "kind": "late", "form": 5}, "form", "did you mean 'from'?"),
        ({"meter": "aa", "kind": "late"}, "meter", "did you mean 'a'?"),
        ({"bus": "lime", "kind": "late"}, "bus", "did you mean 'line'?"),
        ({"meter": "a", "bus": "line", "kind": "late"}, "bus", "remove bus or meter"),
        ({"kind": "late"}, "meter", "add meter, or bus for all meters of one"),
        ({"meter": "a", "kind": "late", "count": 0}, "count", ""),
        ({"meter": "a", "kind": "late", "share": 1.5}, "share", ""),
        ({"meter": "a", "kind": "wrong-count", "registers": 126}, "registers", ""),
        ({"meter": "a", "kind": "late", "delay_ms": "5"}, "delay_ms", ""),
        ({"bus": "park", "kind": "corrupted"}, "kind", "move it to a meter on a serial line"),
        ({"bus": "645", "kind": "dead", "above": 9}, "above", "remove it"),
    ],
)
def test_a_wrong_table_is_refused_by_key_with_the_nearest(row: dict[str, Any], key: str, fix: str) -> None:
    with pytest.raises(Unfit) as refused:
        ordered(row, PLACES)
    assert refused.value.key == key
    assert not fix or refused.value.fix == fix


def test_texts_of_a_command_line_are_the_same_table() -> None:
    late = ordered({"meter": "7", "kind": "late", "delay_ms": "1.5", "every": "3"}, PLACES, texts=True)
    assert (late.meters, late.when.every, late.keys) == (("7",), 3, {"delay_ms": 1.5})
    assert late.made()[0].fault == Late(delay_ms=1.5)
    count = ordered({"bus": "line", "kind": "wrong-count", "registers": "-2", "count": 2}, PLACES, texts=True)
    assert (count.meters, count.bus, count.count) == (("a", "b"), "line", 2)
    first, second = (count.made()[0].fault for _ in range(2))
    assert first == second == WrongCount(registers=-2)
    assert first is not second
    with pytest.raises(Unfit) as refused:
        ordered({"meter": "a", "kind": "wrong-count", "registers": "two"}, PLACES, texts=True)
    assert refused.value.key == "registers"
