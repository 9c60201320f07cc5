"""The doctor on commissioning records: as recorded, what differs, and what waits to be signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.submit import submit, waiting_path
from gateway.config.model import Config
from gateway.doctor.check import CheckContext, Finding
from gateway.doctor.commissioned import commissioned
from gateway.records import MeterEvent
from ledger_client.formats.record import Event
from tests.support.samples import START_S, Hands, site

METER, NOW_MS = "export-main", START_S * 1000


def found(loaded: Config, pid: int | None = None) -> list[Finding]:
    case = CheckContext.of(loaded, NOW_MS, pid=None)
    try:
        return list(commissioned(replace(case, pid=pid)))
    finally:
        if case.store is not None:
            case.store.close()


def test_a_meter_is_compared_with_its_record_and_one_without_is_not_told(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    assert found(loaded) == []
    record = record_of(loaded, METER, identity="serial_number=1", by="somebody", at_ms=NOW_MS)
    hands = Hands(loaded)
    hands.journal.happened(MeterEvent(METER, record.event()))
    hands.end()
    (well,) = found(loaded)
    assert (well.check, well.result) == (f"meter {METER}", "ok")
    assert "is as somebody commissioned it on 2027-01-15" in well.text

    hands = Hands(loaded, epoch=b"anotherr")
    facts = {"identity": "serial_number=2", "old": "serial_number=1"}
    hands.journal.happened(MeterEvent(METER, Event("meter-exchange", facts)))
    hands.end()
    (other,) = found(loaded)
    assert other.result == "warn"
    assert "the device is serial_number=2, commissioned as serial_number=1" in other.text
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
    assert (waits.check, waits.result) == ("commissioning", "warn")
    assert str(waiting_path(loaded.data, METER)) in waits.text
    assert "when the gateway starts" in waits.way_out
    (waits,) = found(loaded, pid=1)
    assert "meterseal reload" in waits.way_out
