"""A commissioning record with every field, for tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from gateway.commissioning.record.content import CommissioningRecord, Comparison, Photo

T0_MS: Final = 1_795_000_000_000
COMPARISON = Comparison(
    point="energy_import",
    unit="Wh",
    value=Decimal("1234567.8"),
    display="1234.56 kWh",
    request=bytes.fromhex("010300000002c40b"),
    answer=bytes.fromhex("01030400000000fa33"),
    at_ms=T0_MS - 60_000,
    verdict="agrees",
)
RECORD = CommissioningRecord(
    meter="meter-a",
    identity="serial_number=4711",
    profile="generic-3p",
    profile_hash=bytes(range(32)),
    settings={"bus": "rs485", "address": 7, "baudrate": 2400, "parity": "E", "word_order": "little"},
    role="export",
    by="somebody",
    at_ms=T0_MS,
    ratios={"ct": "200/5"},
    reversed=True,
    comparisons=(COMPARISON,),
    plate_serial="4711",
    seals=("A 1", "A 2"),
    position="cabinet 2, third from the left",
    photos=(Photo("plate.jpg", 123_456, bytes(32)),),
    remarks="no neutral\nsecond line",
    reversed_phase="an inverter on one phase",
)
