"""Devices of an audit: one at two meters, and commissioning records unlike the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger_client.formats.record import COMMISSIONED, EXCHANGE, Event
from tests.support.audit_batches import OTHER, Gateway, audited, findings, proof_of
from tests.support.evidence import METER

AS_CONFIGURED: dict[str, Any] = {
    "role": "main", "profile": "meter", "profile-hash": bytes(32), "reversed": False, "settings": {}, "by": "x",
    "at": 1,
}  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def commissioned(gateway: Gateway, meter: str = METER, **facts: Any) -> bytes:
    fields = AS_CONFIGURED | {key.replace("_", "-"): fact for key, fact in facts.items()}
    return gateway.chains[meter].add(Event(COMMISSIONED, fields))


def notes(*paths: Path) -> list[str]:
    result = audited(*paths)
    assert findings(result) == []
    return result.notes


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("serial_number=4711", "serial_number=4711", True),
        ("manufacturer=A, serial_number=4711", "meter_number= 00-47 11", True),
        ("serial_number=a1", "serial_number=\uff211", True),
        ("manufacturer=A, serial_number=4711", "manufacturer=A, serial_number=4712", False),
        ("GMP252", "GMP252", True),
    ],
)
def test_one_device_at_two_meters(gateway: Gateway, one: str, other: str, same: bool) -> None:
    gateway.chains[METER].facts["identity"], gateway.chains[OTHER].facts["identity"] = one, other
    shown = other.encode("ascii", "backslashreplace").decode()
    place = f"gateway/{gateway.epoch.hex()}/0"
    note = [f"{place}: meter {OTHER} is {shown}, and meter {METER} is or was, too, by {place}"]
    assert notes(gateway.write(), gateway.write([gateway.configuration("day"), *gateway.usual()])) == (
        note if same else []
    )


def test_a_device_that_moves_and_one_that_its_plate_names(gateway: Gateway) -> None:
    gateway.chains[METER].facts["identity"] = "serial_number=4711"
    first = gateway.write()
    gateway.chains[METER].facts["identity"] = "serial_number=1"
    exchanged = gateway.chains[METER].add(Event(EXCHANGE, {"identity": "serial_number=1", "old": "serial_number=4711"}))
    here = gateway.chains[OTHER].add(Event(EXCHANGE, {"identity": "", "old": "", "plate": "4711", "by-hand": True}))
    moved = gateway.write([exchanged, here, gateway.configuration("day"), *gateway.usual()])
    (by_hand, device) = sorted(notes(first, moved), key=lambda note: "is or was" in note)
    assert "exchanged by hand" in by_hand
    assert f"meter {OTHER} is 4711 by its plate, and meter {METER} is or was, too" in device


def test_a_commissioning_record_as_configured_says_nothing(gateway: Gateway) -> None:
    gateway.chains[METER].facts |= {"ratios": {"ct": "200/5"}, "ratios-compared": {"pt": "100"}, "reversed": True}
    first = gateway.write()
    record = commissioned(gateway, ratios={"ct": "200/5", "pt": "100"}, reversed=True, identity="serial_number=1")
    gateway.chains[METER].facts["identity"] = "serial_number=1"
    assert notes(first, gateway.write([record, *gateway.usual(), gateway.configuration("day")])) == []


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"ratios": {"ct": "200/5"}}, "ratios ct 200/5 by its commissioning record {}, none as configured"),
        ({"reversed": True}, "reversed yes by its commissioning record {}, no as configured"),
        ({"role": "auxiliary"}, "role auxiliary by its commissioning record {}, main as configured"),
        ({"identity": "serial=2"}, "identity serial=2 by its commissioning record {}, serial=1 as configured"),
    ],
)
def test_a_commissioning_record_unlike_the_configuration(
    gateway: Gateway, recorded: dict[str, Any], words: str
) -> None:
    gateway.chains[METER].facts["identity"] = "serial=1"
    first = gateway.write()
    record = commissioned(gateway, **recorded)
    note = f"meter {METER}: {words.format(f'{METER}/{gateway.epoch.hex()}/{gateway.chains[METER].seq - 1}')}"
    paths = [first, gateway.write([record, *gateway.usual()])]
    assert notes(*paths) == [note]
    later = gateway.write([gateway.configuration("day"), *gateway.usual()])
    begins = "begins at batch 2: nothing is said of what was before it"
    assert sorted(notes(proof_of(paths[1], COMMISSIONED), proof_of(first, "configuration"), later)) == [begins, note]


def test_a_device_behind_its_commissioning_record_is_no_first_one(gateway: Gateway) -> None:
    paths = [gateway.write(), gateway.write([commissioned(gateway, identity="serial=1"), *gateway.usual()])]
    gateway.chains[METER].facts["identity"] = "serial=2"
    paths.append(gateway.write([gateway.configuration("day"), *gateway.usual()]))
    (change,) = audited(*paths).changes
    assert (change.before, change.after, change.exchange) == ("serial=1", "serial=2", False)


@pytest.mark.parametrize("wrong", [{"reversed": 1}, {"profile_hash": b"x"}, {"identity": 7}, {"ratios": [1]}])
def test_a_record_that_cannot_be_compared_is_found(gateway: Gateway, wrong: dict[str, Any]) -> None:
    first, seq = gateway.write(), gateway.chains[METER].seq
    result = audited(first, gateway.write([commissioned(gateway, **wrong), *gateway.usual()]))
    assert findings(result) == [(1, f"{METER}/{gateway.epoch.hex()}/{seq}", "parse")]
