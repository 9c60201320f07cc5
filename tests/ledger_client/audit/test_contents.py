"""Contents of readings: values by point, points that are left out, and due times without a reading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from ledger_client.audit.contents import MOST_POINTS, Contents
from ledger_client.audit.records import Shape
from ledger_client.audit.report import audit_in_words
from ledger_client.audit.result import Audit
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.audit_batches import CONFIG, EVERY_MS, Gateway, audited, findings
from tests.support.evidence import METER

ANOTHER = bytes(32)
NONE = int(Quality.COMM_FAIL)
BOTH = "energy power"


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path, {METER: EVERY_MS})


def values(text: str, late: int = 0) -> tuple[Value, ...]:
    """Points with a value; those in brackets have none."""
    names = text.split()
    return tuple(
        Value(name[1:-1], None, None, NONE | late) if name[0] == "(" else Value(name, 1, None, late) for name in names
    )


def polls(gateway: Gateway, texts: Iterable[str], late: int = 0) -> list[bytes]:
    """A reading a period, of these points; "-" and a reason: a poll that is missed."""
    chain, rows = gateway.chains[METER], []
    for text in texts:
        due_ms = gateway.clock.now_ms
        gateway.clock.passes(20)
        if text[0] == "-":
            chain.miss(text[1:])
        else:
            rows.append(chain.add(Reading(gateway.clock.now_ms, values(text, late))))
            chain.since += 1
        chain.due_ms = due_ms + 1
        gateway.clock.passes(EVERY_MS - 20)
    return rows


def batch(gateway: Gateway, texts: Iterable[str], late: int = 0) -> Path:
    return gateway.write([*([] if gateway.began else gateway.start()), *polls(gateway, texts, late), *gateway.cut()])


def test_values_are_counted_by_point_and_readings_without_any_are_noted(gateway: Gateway) -> None:
    result = audited(batch(gateway, [BOTH, "(energy) power", "(energy) (power)", BOTH, "(energy) (power)"]))
    account = result.as_json()["meters"][0]
    assert (findings(result), account["readings"], account["empty"], account["late"]) == ([], 5, 2, 0)
    held = {point["name"]: (point["readings"], point["values"], point["lacking"]) for point in account["points"]}
    assert held == {"energy": (5, 2, 0), "power": (5, 3, 0)}
    times = "the first at 2026-11-18T09:27:00.020Z, the last at 2026-11-18T09:27:20.020Z"
    assert result.notes == [f"2 of 5 readings of {METER} are without any value, {times}"]
    words = "\n".join(audit_in_words(result))
    assert "values: power in 3; energy in 2" in words
    assert "readings: 2 without any value" in words


def test_a_point_that_is_left_out_is_noted_with_its_time(gateway: Gateway) -> None:
    paths = [batch(gateway, [BOTH, "power", "power", BOTH]), batch(gateway, [BOTH, "power"])]
    result = audited(*paths)
    times = "the first at 2026-11-18T09:26:50.020Z, the last at 2026-11-18T09:27:30.020Z"
    assert (findings(result), result.notes) == ([], [f"3 of 6 readings of {METER} do not have energy, {times}"])


def test_every_name_is_told_however_many_points_are_left_out_beside_it(gateway: Gateway) -> None:
    others = " ".join(f"p{number:03}{'x' * 60}" for number in range(100))
    result = audited(batch(gateway, [f"{others} energy", "power", f"{others} energy"]))
    words = "\n".join(audit_in_words(result))
    assert all(name in words for name in others.split())
    assert [note.count("energy") for note in result.notes if "1 of 3 readings" in note] == [0, 0, 0, 0, 0, 1]


def test_a_point_that_comes_later_was_left_out_before(gateway: Gateway) -> None:
    assert [note.split(",")[0] for note in audited(batch(gateway, ["power", "power", BOTH])).notes] == [
        f"2 of 3 readings of {METER} do not have energy"
    ]


@pytest.mark.parametrize("config", [CONFIG, ANOTHER])
def test_a_point_is_left_out_also_between_two_configurations(gateway: Gateway, config: bytes) -> None:
    """A day's first batch repeats the configuration; and one may be changed for a while."""
    first = batch(gateway, [BOTH, BOTH])
    gateway.config = config
    second = gateway.write([gateway.configuration("change"), *polls(gateway, ["power", "power"]), *gateway.cut()])
    gateway.config = CONFIG
    third = gateway.write([gateway.configuration("change"), *polls(gateway, [BOTH]), *gateway.cut()])
    notes = audited(first, second, third).notes
    assert [note.split(",")[0] for note in notes if "do not have" in note] == [
        f"2 of 5 readings of {METER} do not have energy"
    ]


def test_what_an_honest_gateway_lacks_is_not_noted(gateway: Gateway) -> None:
    """A point that another configuration brings, a late reading, the second look at a counter."""
    paths = [batch(gateway, [BOTH, "energy energy.second power", "energy energy.first power", BOTH])]
    paths.append(batch(gateway, ["power"], late=int(Quality.LATE)))
    gateway.config = ANOTHER
    rows = [gateway.configuration("change"), *polls(gateway, ["energy power voltage"] * 2), *gateway.cut()]
    result = audited(*paths, gateway.write(rows))
    assert (findings(result), [note for note in result.notes if "do not have" in note]) == ([], [])
    account = result.as_json()["meters"][0]
    assert {point["name"]: point["values"] for point in account["points"]} == {
        "energy": 6, "energy.first": 1, "energy.second": 1, "power": 7, "voltage": 2,
    }  # fmt: skip
    assert account["late"] == 1


def test_what_only_looks_like_a_second_look_is_a_point(gateway: Gateway) -> None:
    assert len(audited(batch(gateway, ["power energy.first", "power"])).notes) == 1


def test_parts_of_a_series_hold_what_they_hold() -> None:
    result = Audit()
    contents = Contents(result, lambda meter: False)
    for number in range(4):
        contents.reading(METER, number, Shape(("a",) if number % 2 else ("b",), ()), late=False)
    contents.end()
    assert (result.notes, {name: point.values for name, point in result.account(METER).points.items()}) == (
        [], {"b": 2, "a": 2},
    )  # fmt: skip


def test_points_without_end_cost_bounded_memory() -> None:
    result = Audit()
    contents = Contents(result, lambda meter: True)
    for number in range(MOST_POINTS):
        contents.reading(METER, number, Shape((f"a{number}", f"b{number}"), ()), late=False)
    contents.end()
    account = result.account(METER)
    assert (len(account.points), account.values_beyond) == (MOST_POINTS, MOST_POINTS)
    assert (
        f"{MOST_POINTS} values of {METER} are of more points than {MOST_POINTS}: not counted by point" in result.notes
    )


# — due times without a reading —


def longest(*paths: Path) -> dict[str, object] | None:
    result = audited(*paths)
    assert findings(result) == []
    found: dict[str, object] | None = result.as_json()["meters"][0]["longest_free"]
    return found


def test_the_longest_run_of_due_times_without_a_reading_has_its_reasons(gateway: Gateway) -> None:
    paths = [batch(gateway, [BOTH, "-timeout", BOTH, BOTH]), batch(gateway, ["-refused"] * 3)]
    paths += [batch(gateway, ["-asleep", "-timeout"]), batch(gateway, ["-timeout", BOTH, "-skipped", BOTH])]
    assert longest(*paths) == {
        "slots": 6,
        "from": "2026-11-18T09:27:20.000Z",
        "to": "2026-11-18T09:28:20.000Z",
        "missed": {"asleep": 1, "refused": 3, "skipped": 1, "timeout": 2},
    }


def test_a_meter_that_never_answers_again_is_a_run_until_the_end_of_coverage(gateway: Gateway) -> None:
    paths = [batch(gateway, [BOTH, BOTH]), batch(gateway, ["-timeout"] * 3)]
    found = longest(*paths)
    assert found is not None
    assert (found["slots"], found["missed"]) == (3, {"timeout": 3})
    assert found["from"] == "2026-11-18T09:27:00.000Z"


def test_downtime_is_a_run_also_where_its_clock_is_learned_later(gateway: Gateway) -> None:
    first = batch(gateway, [BOTH, BOTH])
    rows = gateway.restart(2, stopped_ms=60_000, letter="U", jump_ms=-30_000)
    second = gateway.write([*rows, *polls(gateway, [BOTH]), *gateway.cut()])
    began_ms = gateway.clock.now_ms + 30_000 - EVERY_MS
    rows = gateway.correct(30_000, began=began_ms, stopped={METER: 6})
    gateway.clock.letter = "S"
    found = longest(first, second, gateway.write([*rows, *polls(gateway, [BOTH]), *gateway.cut()]))
    assert found is not None
    assert (found["slots"], found["missed"]) == (6, {"stopped": 6})


def test_every_poll_answered_is_no_run(gateway: Gateway) -> None:
    """Also where some are answered just before the next is due, as on a line that is listened to."""
    assert longest(batch(gateway, [BOTH] * 5)) is None
    chain, rows = gateway.chains[METER], []
    for late_ms in (20, 9_900, 20, 20, 9_900):
        chain.due_ms = gateway.clock.now_ms + 1
        gateway.clock.passes(late_ms)
        rows.append(chain.add(Reading(gateway.clock.now_ms, values(BOTH))))
        chain.since += 1
        gateway.clock.passes(EVERY_MS - late_ms)
    assert longest(gateway.folder / "0.mbatch", gateway.write([*rows, *gateway.cut()])) is None


def test_asleep_for_a_day_is_noted_and_a_night_is_not(tmp_path: Path) -> None:
    for polls_asleep, noted in ((8639, 0), (8640, 1)):
        gateway = Gateway(tmp_path, {METER: EVERY_MS})
        paths = [batch(gateway, [BOTH]), batch(gateway, ["-asleep"] * polls_asleep), batch(gateway, [BOTH])]
        result = audited(*paths)
        notes = [note for note in result.notes if "asleep" in note]
        assert (findings(result), len(notes)) == ([], noted)
    assert notes == [
        f"{METER} was asleep for a day or longer: 8640 due times in a row without a reading, from "
        "2026-11-18T09:26:50.000Z to 2026-11-19T09:26:50.000Z; missed then: asleep 8640"
    ]
