"""Errors of the fieldbus.

FieldbusError
├── NotARead    our own code asked for a frame that is not a read; nothing was sent
├── BadFrame    bytes that are not the frame they were taken for; carries them
├── PortError   a port cannot be opened: what, where, and the way out
│   └── PortMissing … because it is not there now
└── LineDown    the port or connection went away in use

A device's silence or refusal is no error here: it is an outcome, reported with its reason.
"""

from __future__ import annotations

from gateway.errors import GatewayError


class FieldbusError(GatewayError):
    """Root of what the fieldbus raises."""


class NotARead(FieldbusError):
    """A frame that is not one of the few reads; the gate refused it and nothing was sent."""


class BadFrame(FieldbusError):
    """Bytes that do not form the frame they were taken for."""

    def __init__(self, problem: str, frame: bytes) -> None:
        super().__init__(f"{problem}: {frame.hex(' ').upper() or 'no bytes'}")
        self.problem, self.frame = problem, frame


class PortError(FieldbusError):
    """A port that cannot be used: what is wrong, where, and the way out."""

    def __init__(self, where: str, problem: str, way_out: str) -> None:
        super().__init__(f"{where}: {problem}", way_out)
        self.where, self.fault = where, problem


class PortMissing(PortError):
    """There is no such port now: an adapter that is not plugged in."""


class LineDown(FieldbusError):
    """The port or connection is gone; the line is reopened before the next read."""
