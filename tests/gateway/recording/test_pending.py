"""Pending records alone: what a failed commit takes back, and in what order events wait."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.recording.pending import Pending
from gateway.recording.signer import Signer
from gateway.records import ALARM, CLOCK, GATEWAY, MeterEvent, PollResult, Timestamp
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.samples import site

ALARMED = MeterEvent(GATEWAY, Event(ALARM, {"raised": True}))
CORRECTED = MeterEvent(GATEWAY, Event(CLOCK, {}))


def pending(folder: Path) -> tuple[Pending, Timestamp]:
    loaded, clock = site(folder), Clock()
    keys = load_keys(loaded)
    signer = Signer(loaded.gateway_id, bytes(8), keys, dict.fromkeys([GATEWAY, *loaded.meters]))
    return Pending(signer, clock), Timestamp.now(clock)


def test_numbers_of_a_failed_commit_are_given_again(tmp_path: Path) -> None:
    made, now = pending(tmp_path / "site")
    made.event(ALARMED, now)
    (first,) = made.take()
    made.undo()
    assert (len(made), made.since_ms, made.waiting) == (0, None, [ALARMED])
    (again,) = made.sign_waiting(now)
    assert again.row == first.row


def test_what_is_committed_is_never_signed_again(tmp_path: Path) -> None:
    made, now = pending(tmp_path / "site")
    made.event(ALARMED, now)
    made.take()
    made.committed()
    made.event(CORRECTED, now)
    (second,) = made.take()
    made.undo()
    assert (second.row.seq, made.waiting) == (1, [CORRECTED])


def test_events_of_the_epochs_own_times_come_first(tmp_path: Path) -> None:
    made, now = pending(tmp_path / "site")
    made.waiting += [ALARMED, CORRECTED]
    assert [one.body for one in made.sign_waiting(now)] == [CORRECTED.event, ALARMED.event]


def test_a_break_on_a_reading_that_is_no_record_stands_on_the_next_one_once(tmp_path: Path) -> None:
    made, now = pending(tmp_path / "site")
    meter, other = "export-main", "pv-inverter"
    reset, wrap = int(Quality.COUNTER_RESET), int(Quality.ROLLOVER)

    def reading(name: str, quality: int) -> Reading:
        return Reading(now.time_ms, (Value("a", 1, "Wh", quality), Value(name, 1, "Wh", 0)))

    def recorded(of: str, name: str) -> list[int]:
        made.reading(PollResult(of, 0, None, now), reading(name, 0), now)
        body = made.take()[-1].body
        assert isinstance(body, Reading)
        return [value.quality for value in body.values]

    made.left_out(meter, reading("b", reset))
    made.left_out(meter, reading("b", wrap | int(Quality.SHARED_LINE)))
    made.left_out(meter, Reading(now.time_ms, (Value("c", 1, "Wh", wrap),)))
    assert recorded(other, "b") == [0, 0]
    assert recorded(meter, "b") == [reset | wrap, 0]
    assert recorded(meter, "c") == [0, wrap]
    assert recorded(meter, "c") == [0, 0]
