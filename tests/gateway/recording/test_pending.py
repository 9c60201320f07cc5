"""Pending records alone: what a failed commit takes back, and in what order events wait."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.recording.pending import Pending
from gateway.recording.signer import Signer
from gateway.records import ALARM, CLOCK, GATEWAY, MeterEvent, Timestamp
from ledger_client.formats.record import Event
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
