"""Numbers of an identity: what tells a device from others of its make and model."""

from __future__ import annotations

import pytest

from gateway.devices.knowledge.device_numbers import device_numbers


@pytest.mark.parametrize(
    ("identity", "numbers"),
    [
        (None, ()),
        ("", ()),
        ("serial_number=4711", ("4711",)),
        ("manufacturer=A, device_model=B, serial_number=4711", ("4711",)),
        ("manufacturer=A, device_model=B", ()),
        ("meter_model=PM5560, firmware_version=2.1", ()),
        ("meter_number=000012345678", ("000012345678",)),
        ("equipment_id=4530", ("4530",)),
        ("object 0x80=K0710040", ("K0710040",)),
        ("4711", ("4711",)),
    ],
)
def test_make_and_model_are_no_number(identity: str | None, numbers: tuple[str, ...]) -> None:
    assert device_numbers(identity) == numbers
