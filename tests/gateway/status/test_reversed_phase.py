"""A phase that looks reversed is a problem of the status until a commissioning record says why, signed or not yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.commissioning.record import submit
from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.content import CommissioningRecord
from gateway.commissioning.record.reversed_phase import unexplained_phase
from gateway.config.model import Config
from gateway.messages.languages import in_language
from gateway.records import MeterEvent, PollResult, Timestamp
from gateway.status.collect import collect
from gateway.storage.database import Database
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.samples import Hands, site

METER = "export-main"
AGAINST = (
    f"meter {METER}: the power of L2 runs against both other phases (L1 500 W, L2 -400.5 W, L3 800 W): its current "
    "transformer may be the wrong way round, or two phases are exchanged"
)


def powers(l2: float, quality: int = 0) -> tuple[Value, ...]:
    shown = {"active_power_l1": 500, "active_power_l2": l2, "active_power_l3": 800}
    return tuple(Value(name, power, "W", quality) for name, power in shown.items())


def problems(loaded: Config, now_ms: int) -> list[str]:
    store = Database(loaded.database, read_only=True)
    found = collect(loaded, store, now_ms).problems()
    store.close()
    return [text for text in (in_language(each, "en") for each in found) if text.startswith(f"meter {METER}")]


def signed(loaded: Config, record: CommissioningRecord, epoch: bytes) -> None:
    hands = Hands(loaded, epoch=epoch)
    hands.journal.happened(MeterEvent(METER, record.event()))
    hands.end()


def test_a_phase_is_a_problem_until_the_record_says_why(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    now = Timestamp.now(hands.clock)
    hands.journal.poll(PollResult(METER, hands.anchor_ms, Reading(now.time_ms, powers(-400.5)), now))
    hands.end()
    assert problems(loaded, now.time_ms) == [AGAINST]
    record = record_of(loaded, METER, identity=None, by="somebody", at_ms=now.time_ms)
    signed(loaded, record, b"second..")
    assert problems(loaded, now.time_ms) == [AGAINST]
    reasoned = replace(record, at_ms=now.time_ms + 1, reversed_phase="a generator on L2")
    submit.submit(loaded, reasoned)  # no gateway runs: it waits to be signed
    assert problems(loaded, now.time_ms) == []
    submit.done_with(submit.waiting_path(loaded.data, METER))
    assert problems(loaded, now.time_ms) == [AGAINST]
    signed(loaded, reasoned, b"third...")
    assert problems(loaded, now.time_ms) == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (powers(-400.5), "reversed-phase"),
        (powers(400), None),
        (powers(-400.5, Quality.MANUAL), "reversed-phase"),
        (powers(-400.5, Quality.RANGE_LOW), None),
        (powers(float("nan")), None),
        (powers(-400.5)[:2], None),
        ((*powers(-400.5)[:2], Value("active_power_l3", None, "W", Quality.COMM_FAIL)), None),
        ((), None),
    ],
)
def test_bad_and_missing_values_say_nothing_of_a_phase(
    tmp_path: Path, values: tuple[Value, ...], code: str | None
) -> None:
    found = unexplained_phase(tmp_path, None, METER, values)
    assert (found and found.code) == code
