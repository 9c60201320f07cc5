"""Numbers of an identity: what tells a device from others of its make and model. Pure.

An identity is what a device says of itself, as ``serial_number=4711`` or ``manufacturer=A, device_model=B``.
"""

from __future__ import annotations

from typing import Final

_MAKE_AND_MODEL: Final = frozenset({"manufacturer", "device_model", "meter_model", "version", "firmware_version"})
"""Points that all devices of one make and model share; any other point of an identity is a number of the device."""


def device_numbers(identity: str | None) -> tuple[str, ...]:
    """The numbers of an identity that no other device of its make and model has; none where it has make and model
    alone."""
    parts = [part.partition("=") for part in identity.split(", ")] if identity else []
    named = [value for name, _, value in parts if "serial" in name]
    return tuple(named or [value or name for name, _, value in parts if name not in _MAKE_AND_MODEL])
