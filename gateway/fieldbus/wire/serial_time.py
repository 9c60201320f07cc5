"""Serial time: how long a character and the silence between two frames take on the wire."""

from __future__ import annotations

from gateway.devices.read_plan import bits_per_char, silence_ms


def char_seconds(baudrate: int, parity: str = "N", stopbits: int = 1, databits: int = 8) -> float:
    """Time of one character on the wire (``read_plan.bits_per_char``)."""
    return (bits_per_char(parity, stopbits) - 8 + databits) / baudrate


def t35_seconds(baudrate: int) -> float:
    """Silence between two frames (``read_plan.silence_ms``)."""
    return silence_ms(baudrate) / 1000
