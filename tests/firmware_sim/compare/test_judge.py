"""What a recorded value is: right, faithful, wrong, doubled or missing; and what would make a wrong one look right."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.firmware_sim.compare.logs import Row, answer, compared, counts

N = 20
"""Polls, one a second."""


def power(n: float) -> float:
    """A power that moves, in digits that a binary32 holds."""
    return 1000 + 0.25 * n


LINES = [answer(n, {"power": power(n), "volts": 230.5 + n / 64}) for n in range(N)]
ROWS: list[Row] = [
    (n + 0.05, "main", point, value)
    for n in range(N)
    for point, value in (("power", power(n)), ("volts", 230.5 + n / 64))
]


def test_what_was_sent_is_right(tmp_path: Path) -> None:
    result = compared(tmp_path, LINES, ROWS)
    assert counts(result) == {"right": 2 * N}
    assert result.holds
    (meter,) = result.as_json()["meters"]
    assert (meter["every_s"], meter["every_by"]) == (1.0, "log")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n, p, v: (n, "volts" if p == "power" else "power", v), "question"),
        (lambda n, p, v: (n, p, v if p == "volts" else power(int(n) - 7) if n >= 9 else v), "time"),
        (lambda n, p, v: (n + 3.0 if n < N - 4 else n, p, v), "time"),
        (lambda n, p, v: (n, p, round(v * 1.001, 3)), "unsent"),
        (lambda n, p, v: (n, p, math.inf), "unsent"),
        (lambda n, p, v: (n + 3600.0 * (n > 2), p, v), "outside"),
    ],
)
def test_what_was_not_sent_there_and_then_is_wrong(tmp_path: Path, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    rows: list[Row] = []
    for at_s, meter, point, value, *_ in ROWS:
        seconds, name, shown = change(at_s, point, value)
        rows.append((seconds, meter, name, shown))
    result = compared(tmp_path, LINES, rows)
    assert not result.holds
    assert result.reasons[reason] >= N - 10


def test_a_value_of_another_meter_is_right_only_where_its_own_has_shown_it(tmp_path: Path) -> None:
    other = [answer(n + 0.2, {"power": 5.0 if n % 2 else power(n)}, meter="other") for n in range(N)]
    rows: list[Row] = [(n + 0.25, "main", "power", 5.0 if n % 2 else power(n)) for n in range(N)]
    result = compared(tmp_path, [*LINES, *other], rows, every={"other": 100.0, "main": 1.0})
    assert counts(result)["right"] == N / 2
    assert result.reasons == {"meter": N / 2}


def test_frozen_values_are_faithful_and_flags_are_counted_apart(tmp_path: Path) -> None:
    lines = [answer(n, {"power": power(0)}, "frozen", true={"power": power(n)} if n else None) for n in range(N)]
    rows: list[Row] = [(n, "main", "power", power(0), "uncertain" if n > 4 else "good") for n in range(N)]
    found = counts(compared(tmp_path, lines, rows))
    assert found == {"right": 1, "faithful_unflagged": 4, "faithful_flagged": N - 5}
    (row,) = compared(tmp_path, lines, rows).as_json()["meters"][0]["faults"]
    assert row["fault"] == "frozen"


def test_flags_on_everything_do_not_make_a_value_right_and_are_seen(tmp_path: Path) -> None:
    rows: list[Row] = [(n, "main", "power", power(n) + (n == 3), "bad") for n in range(N)]
    assert counts(compared(tmp_path, LINES, rows)) == {"right": N - 1, "right_flagged": N - 1, "wrong": 1}


def test_what_repeats_the_last_value_is_doubled_and_fills_no_gap(tmp_path: Path) -> None:
    """A gateway that shows the last value while its meter is silent."""
    lines = [line for n, line in enumerate(LINES) if n not in (8, 9)]
    rows: list[Row] = [(n, "main", "power", power(7 if n in (8, 9) else n)) for n in range(N)]
    found = compared(tmp_path, lines, rows)
    assert counts(found) == {"right": N - 2, "doubled": 2, "missing_unsaid": 2}
    (meter,) = found.as_json()["meters"]
    assert {row["fault"]: row["missing_unsaid"] for row in meter["faults"]} == {"none": 0, "silent": 2}
    assert counts(compared(tmp_path, LINES, [*ROWS, *ROWS]))["doubled"] == 2 * N


def test_more_readings_than_polls_fill_no_gap(tmp_path: Path) -> None:
    """A reader that reads twice in good times does not make up for a time without a reading."""
    lines = [answer(n / 2, {"power": power(n)}) for n in range(2 * N) if not 19 <= n < 30]
    rows: list[Row] = [(n / 2, "main", "power", power(n)) for n in range(2 * N) if not 19 <= n < 30]
    assert counts(compared(tmp_path, lines, rows, every={"main": 1.0})) == {"right": 29, "missing_unsaid": 5}


def test_one_reading_too_few_is_missing_wherever_it_is_and_a_late_one_is_not(tmp_path: Path) -> None:
    for gone in (1, 7, N - 4):
        rows: list[Row] = [(n, "main", "power", power(n)) for n in range(N) if n != gone]
        assert counts(compared(tmp_path, LINES, rows))["missing_unsaid"] == 1
    late: list[Row] = [(n + (0.9 if n in (5, 6, 11) else 0.1), "main", "power", power(n)) for n in range(N)]
    assert counts(compared(tmp_path, LINES, late)) == {"right": N}
    rows = [(n, "main", "power", None if n == 4 else power(n), "missing") for n in range(N)]
    assert counts(compared(tmp_path, LINES, rows))["missing_said"] == 1


@pytest.mark.parametrize("first", [0.0, 0.5, 0.97])
def test_polls_that_come_later_and_later_are_each_counted_once(tmp_path: Path, first: float) -> None:
    """A line with too much to do: every second poll is missed, the others come at any time of their period. When one is
    due nobody says, and the first may have been on time or late. The last one is not due before the end."""
    read = [n for n in range(N) if n < 10 or n % 2 == 0]
    times = {n: n + (first if n == 0 else 0.97 if n % 6 == 0 else 0.4 + n % 5 / 10) for n in read}
    rows: list[Row] = [(times[n], "main", "power", power(n)) for n in read]
    found = counts(compared(tmp_path, LINES, rows))
    assert found == {"right": len(read), "missing_unsaid": N - len(read) - 1}


def test_what_begins_late_or_ends_early_is_missing(tmp_path: Path) -> None:
    rows: list[Row] = [(n, "main", "power", power(n)) for n in range(5, N - 8)]
    assert 4 + 5 <= counts(compared(tmp_path, LINES, rows))["missing_unsaid"] <= 5 + 8


def test_a_meter_that_is_left_out_is_missing_as_a_whole(tmp_path: Path) -> None:
    other = [answer(n + 0.2, {"power": power(n)}, meter="other") for n in range(N)]
    result = compared(tmp_path, [*LINES, *other], ROWS)
    assert counts(result)["missing_unsaid"] >= N - 4
    assert [meter["meter"] for meter in result.as_json()["meters"]] == ["main", "other"]


def test_missed_polls_that_are_counted_are_admitted_up_to_their_number(tmp_path: Path) -> None:
    missed = tmp_path / "missed.csv"
    missed.write_text("meter,polls\nmain,2\n")
    rows: list[Row] = [(n, "main", "power", power(n)) for n in range(N) if n not in (5, 6, 9)]
    found = compared(tmp_path, LINES, rows, missed=missed)
    assert counts(found) == {"right": N - 3, "missing_said": 2, "missing_unsaid": 1}
    missed.write_text("meter,polls\nmain,200\n")
    found = compared(tmp_path, LINES, rows, missed=missed)
    assert found.holds
    assert any("200" in note for note in found.notes)


def test_a_dead_meter_is_missing_by_its_period(tmp_path: Path) -> None:
    missed = tmp_path / "missed.csv"
    missed.write_text("meter,polls\ndead,17\n")
    found = compared(tmp_path, LINES, ROWS, every={"dead": 1.0}, missed=missed)
    assert counts(found) == {"right": 2 * N, "missing_said": 17}
    assert counts(compared(tmp_path, LINES, ROWS, every={"dead": 1.0}))["missing_unsaid"] == 17


def test_no_value_where_the_meter_sent_none_is_right_and_a_number_there_is_wrong(tmp_path: Path) -> None:
    lines = [answer(n, {"power": None}, true={"power": power(n)} if n > 9 else None) for n in range(N)]
    none: list[Row] = [(n, "main", "power", "NaN" if n % 2 else None, "bad") for n in range(N)]
    assert counts(compared(tmp_path, lines, none)) == {"right": 10, "right_flagged": 10, "faithful_flagged": 10}
    zero: list[Row] = [(n, "main", "power", 0) for n in range(N)]
    assert compared(tmp_path, lines, zero).reasons == {"not-available": N}


RTU, TCP = "0104000000020d0a", "000700000006010400000002"


@pytest.mark.parametrize(("asked", "wrong"), [(RTU, 1), (TCP, 0)])
def test_an_answer_that_left_behind_the_next_request_is_that_requests_on_a_serial_line(
    tmp_path: Path, asked: str, wrong: int
) -> None:
    """The late answer of second 5 leaves at 6.3, when second 6 has asked at 6.2; a frame of TCP names its request."""
    at = {n: n + 0.2 * (n == 6) for n in range(N)}
    lines = [
        answer(at[n], {"power": power(n)}, *(["late"] if n == 5 else []), late_s=1.3 * (n == 5), asked=asked)
        for n in range(N)
    ]
    rows: list[Row] = [(at[n], "main", "power", power(n)) for n in range(N) if n not in (5, 6)]
    rows.append((6.31, "main", "power", power(5)))
    result = compared(tmp_path, lines, rows)
    assert result.total.wrong == wrong
    assert result.reasons == ({"question": 1} if wrong else {})


def test_an_answer_that_was_held_longer_than_times_may_differ_is_of_another_time(tmp_path: Path) -> None:
    lines = [answer(5 * n, {"power": power(n)}, *(["late"] if n == 5 else []), late_s=3 * (n == 5)) for n in range(N)]
    rows: list[Row] = [(5 * n + 3 * (n == 5), "main", "power", power(n)) for n in range(N)]
    assert compared(tmp_path, lines, rows).total.wrong == 1
    assert compared(tmp_path, lines, rows, within_ms=4000).holds


@pytest.mark.parametrize("speed", [0.25, 60])
def test_how_long_an_answer_was_held_does_not_depend_on_the_plants_speed(tmp_path: Path, speed: float) -> None:
    lines = [answer(5 * n, {"power": power(n)}, *(["late"] if n == 5 else []), late_s=n == 5) for n in range(N)]
    lines = [line | {"at_ms": round(line["at_ms"] * speed)} for line in lines]
    rows: list[Row] = [(5 * n + (n == 5), "main", "power", power(n)) for n in range(N)]
    assert counts(compared(tmp_path, lines, rows)) == {"right": N}
    assert compared(tmp_path, lines, rows, within_ms=900).total.wrong == 1


def test_the_copy_of_an_answer_is_no_second_one(tmp_path: Path) -> None:
    lines = [answer(n, {"power": power(n)}, "doubled", frame=f"{n:04x}") for n in range(N)]
    lines += [answer(n, {"power": power(n)}, "doubled", late_s=0.3, frame=f"{n:04x}") for n in range(N)]
    rows: list[Row] = [(n, "main", "power", power(n)) for n in range(N)]
    assert counts(compared(tmp_path, lines, rows)) == {"right": N}
    rows = [(n + late, "main", "power", power(n)) for n in range(N) for late in (0, 0.4)]
    assert counts(compared(tmp_path, lines, rows)) == {"right": N, "doubled": N}


def test_what_a_frame_says_is_of_another_is_wrong_whatever_it_holds(tmp_path: Path) -> None:
    rows: list[Row] = [(n, "main", "power", power(n)) for n in range(N)]
    for fault, reason in (("wrong-unit", "meter"), ("wrong-function", "question")):
        lines = [answer(n, {}, *([fault] if n == 5 else []), true={"power": power(n)}) for n in range(N)]
        result = compared(tmp_path, lines, rows)
        assert (result.total.right, result.reasons) == (N - 1, {reason: 1})


def test_a_second_look_at_a_counter_is_judged_as_its_point(tmp_path: Path) -> None:
    lines = [answer(n + again, {"power": power(n) + again}) for n in range(N) for again in (0, 0.25)]
    rows: list[Row] = [(n, "main", f"power{'.second' * (a > 0)}", power(n) + a) for n in range(N) for a in (0, 0.25)]
    assert counts(compared(tmp_path, lines, rows, every={"main": 1.0})) == {"right": 2 * N}
    first = [(at_s, meter, point.replace("second", "first"), value) for at_s, meter, point, value, *_ in rows]
    assert counts(compared(tmp_path, lines, first, every={"main": 1.0})) == {"right": 2 * N}
    rows[3] = (1, "main", "power.second", 7.5)
    assert compared(tmp_path, lines, rows, every={"main": 1.0}).total.wrong == 1


def test_rows_in_any_order_and_number_are_judged_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_sim.compare.run.CHUNK", 7)
    shuffled = ROWS[::2] + ROWS[1::2]
    assert counts(compared(tmp_path, LINES, shuffled[::-1])) == {"right": 2 * N}
