"""The doctor on commissioning records: as recorded, what differs, and what waits to be signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.submit import submit, waiting_path
from gateway.config.model import Config
from gateway.doctor.check import CheckContext, Finding
from gateway.doctor.commissioned import commissioned
from gateway.messages.message import Message
from gateway.records import MeterEvent
from ledger_client.formats.record import Event
from tests.support.samples import START_S, Hands, rewritten, site

METER, NOW_MS = "export-main", START_S * 1000


def found(loaded: Config, pid: int | None = None) -> list[Finding]:
    """But for the meters that nobody has commissioned, which are one finding."""
    return [one for one in every(loaded, pid) if one.message.code != "commissioned-never"]


def never(loaded: Config) -> list[str]:
    """What is said of these."""
    return [one.text for one in every(loaded) if one.message.code == "commissioned-never"]


def every(loaded: Config, pid: int | None = None) -> list[Finding]:
    case = CheckContext.of(loaded, NOW_MS, pid=None)
    try:
        return list(commissioned(replace(case, pid=pid)))
    finally:
        if case.store is not None:
            case.store.close()


def test_a_meter_is_compared_with_its_record_and_those_without_are_named_once(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    (none,) = every(loaded)
    assert (none.check, none.result) == ("commissioning", "warn")
    meters = ("export-main", "stack-co2", "pv-inverter")
    assert none.message == Message("commissioned-never", n=3, total=3, meters=meters, config=str(loaded.path))
    assert f"meterseal commission {loaded.path} METER" in none.way_out
    record = record_of(loaded, METER, identity="serial_number=1", by="somebody", at_ms=NOW_MS)
    hands = Hands(loaded)
    hands.journal.happened(MeterEvent(METER, record.event()))
    hands.end()
    (well,) = found(loaded)
    assert [METER in text for text in never(loaded)] == [False]
    assert (well.check, well.result) == (f"meter {METER}", "ok")
    assert well.message == Message("commissioned-as-recorded", at_ms=NOW_MS, by="somebody")

    hands = Hands(loaded, epoch=b"anotherr")
    facts = {"identity": "serial_number=2", "old": "serial_number=1"}
    hands.journal.happened(MeterEvent(METER, Event("meter-exchange", facts)))
    hands.end()
    (other,) = found(loaded)
    assert other.result == "warn"
    differs = (Message("as-recorded-identity", now="serial_number=2", recorded="serial_number=1"),)
    assert (other.message.code, other.message.facts["differences"]) == ("commissioned-otherwise", differs)
    assert f"meterseal commission CONFIG {METER}" in other.way_out

    hands = Hands(loaded, epoch=b"a thirdd")
    newest = replace(record, identity="serial_number=2", ratios={"pt": "100/1"}, at_ms=NOW_MS + 1)
    hands.journal.happened(MeterEvent(METER, newest.event()))
    hands.end()
    (ratio,) = found(loaded)
    assert "pt 1, commissioned with 100/1" in ratio.text
    assert "serial_number" not in ratio.text


def test_a_record_that_waits_is_told_with_what_signs_it(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    submit(loaded, record_of(loaded, METER, identity=None, by="somebody", at_ms=NOW_MS))
    (waits,) = found(loaded)
    assert [METER in text for text in never(loaded)] == [False]
    assert (waits.check, waits.result) == ("commissioning", "warn")
    assert str(waiting_path(loaded.data, METER)) in waits.text
    assert "when the gateway starts" in waits.way_out
    (waits,) = found(loaded, pid=1)
    assert "meterseal reload" in waits.way_out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "rs485-1"', 'name = "rs485-9"', "bus rs485-9, commissioned with rs485-1"),
        ('port = "rs485-1"', 'port = "rs485-2"', "rs485-2, commissioned with "),
        ("address = 1\n", "address = 17\n", "address 17, commissioned with 1"),
    ],
)
def test_a_meter_that_was_moved_is_not_as_commissioned(tmp_path: Path, old: str, new: str, words: str) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    hands.journal.happened(MeterEvent(METER, record_of(loaded, METER, identity=None, by="x", at_ms=NOW_MS).event()))
    hands.end()
    assert [one.result for one in found(loaded)] == ["ok"]
    (moved,) = found(rewritten(loaded, (old, new)))
    assert (moved.result, words in moved.text) == ("warn", True)
    assert "undo it" in moved.way_out
