"""The doctor on values of a running gateway: sizes that no value has, bad ones, a reversed phase, silence; and on key
files that were exchanged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.commissioning.record.configured import record_of
from gateway.config.device_keys import key_files
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.devices.places import Factor, Identifier, Obis, Place
from gateway.devices.points import Point
from gateway.devices.remarks import value_remark
from gateway.doctor import keys, meters
from gateway.doctor.check import CheckContext, Finding
from gateway.process import control_server
from gateway.process.threads import in_thread
from gateway.records import MeterEvent, PollResult, Timestamp
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.gateways.farm import farm
from tests.support.gateways.tcp_gateway import tcp_site
from tests.support.samples import START_S, Hands, site

METER = "export-main"
GOOD = Value("voltage_ln_l1", 231.4, "V")
REVERSED = tuple(Value(f"active_power_l{n}", power, "W") for n, power in ((1, 800.0), (2, -790.0), (3, 810.0)))


def recorded(loaded: Config, *values: Value) -> int:
    """A reading with these values is the newest of the meter; gives its time."""
    hands = Hands(loaded)
    hands.poll(1)
    now = Timestamp.now(hands.clock)
    due_ms = hands.anchor_ms + hands.polls * Hands.EVERY_MS
    hands.journal.poll(PollResult(METER, due_ms, Reading(now.time_ms, values), now))
    hands.end()
    return now.time_ms


def found(loaded: Config, now_ms: int, silences: Mapping[str, Any] | None = None) -> list[Finding]:
    """What the doctor says of the meter beside a gateway that answers so."""

    async def health(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"silences": silences or {}, "every_poll": 1}

    async def work() -> list[Finding]:
        def look() -> list[Finding]:
            case = CheckContext.of(loaded, now_ms, pid=os.getppid())
            assert case.store is not None
            try:
                return list(meters.meters(case))
            finally:
                case.store.close()

        server = await control_server.serve(loaded.data, {"health": health})
        try:
            return await in_thread(look, "doctor")
        finally:
            server.close()

    return [one for one in asyncio.run(work()) if one.check == f"meter {METER}"]


def test_values_of_a_running_gateway_are_judged_as_read_does(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    odd = Value("voltage_ln_l2", -6.6e18, "V")
    high = Value("frequency", 99.0, "Hz", quality=int(Quality.RANGE_HIGH))
    read_ms = recorded(loaded, GOOD, odd, high, *REVERSED)
    size, bad, phase = found(loaded, read_ms + 3000)
    assert (size.result, bad.result, phase.result) == ("bad", "warn", "warn")
    assert "read 3 s ago, but voltage_ln_l2 -6.6e+18 V: a float of this size" in size.text
    assert "`word_order` of the meter" in size.way_out
    assert "bad values: frequency" in bad.text
    assert "the power of L2 runs against both other phases" in phase.text
    assert f"meterseal commission CONFIG {METER}" in phase.way_out


def test_a_meter_that_gives_nothing_is_bad_with_its_reason_and_a_good_one_is_well(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    read_ms = recorded(loaded, GOOD)
    (well,) = found(loaded, read_ms + 3000)
    assert (well.result, well.text) == ("ok", "read 3 s ago")
    silence = {METER: {"since": read_ms + 10_000, "reason": "skipped", "cause": "skipped"}}
    (silent,) = found(loaded, read_ms + 70_000, silence)
    assert (silent.result, "no reading for 60 s" in silent.text) == ("bad", True)
    assert silent.way_out
    (asleep,) = found(loaded, read_ms + 70_000, {METER: silence[METER] | {"reason": "asleep"}})
    assert (asleep.result, asleep.text) == ("ok", "asleep for 60 s")


def test_two_key_files_that_were_exchanged_are_named_as_check_does(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    files = key_files(loaded)
    one, other = files[METER], files["stack-co2"]
    mine, theirs = one.read_bytes(), other.read_bytes()
    one.write_bytes(theirs)
    other.write_bytes(mine)
    swapped = [
        finding for finding in keys.keys(CheckContext.of(loaded, START_S * 1000, pid=None)) if finding.result == "bad"
    ]
    assert [finding.way_out for finding in swapped] == ["put the key files back in place"] * 2
    assert f"{one}: {loaded.trust} lists this as the key of meter 'stack-co2', not the key of meter '{METER}'" in (
        swapped[0].text
    )


@pytest.mark.parametrize("place", [Obis("1-0:1.8.0"), Factor("a21026", "Rtd"), Identifier("00010000", "XXXXXX.XX")])
def test_a_value_that_stands_in_no_register_has_no_odd_size(place: Place) -> None:
    assert value_remark(Point("energy_import", place, unit="kWh"), 1e30) is None


def test_a_meter_by_hand_is_judged_as_the_same_poll_of_read_and_another_device_is_named(tmp_path: Path) -> None:
    """Two meters on the wire, one of them read with the words exchanged; a third device was commissioned."""
    with farm(2) as wire:
        path = tcp_site(tmp_path, wire.ports, every="10s").path
        profile = (tmp_path / "bench.toml").read_text()
        (tmp_path / "little.toml").write_text(
            profile.replace('type = "float32"', 'type = "float32"\nword_order = "little"')
        )
        path.write_text(path.read_text().replace('"bench.toml"', '"little.toml"', 1))
        loaded = load_config(path)
        hands = Hands(loaded)
        for name in loaded.meters:
            record = record_of(loaded, name, identity="serial_number=7", by="x", at_ms=START_S * 1000)
            hands.journal.happened(MeterEvent(name, record.event()))
        hands.end()
        case = CheckContext.of(loaded, START_S * 1000, pid=None)
        findings = list(meters.meters(case))
        assert case.store is not None
        case.store.close()
    odd = [one for one in findings if one.message.code == "meter-odd-values"]
    assert [(one.check, one.result) for one in odd] == [("meter meter-000", "bad")]
    assert "answers as serial_number=" in odd[0].text
    other = [one for one in findings if one.message.code == "meter-other-device"]
    assert [(one.check, one.result) for one in other] == [(f"meter {name}", "bad") for name in loaded.meters]
    assert "but serial_number=7 was commissioned" in other[0].text
    assert [one.check for one in findings if one.result == "ok"] == ["meter meter-001"]
