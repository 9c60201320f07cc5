"""Exception hierarchy of the fieldbus.

FieldbusError
├── NotARead    our own code asked for a frame that is not a read; nothing was sent
├── BadFrame    bytes that are not the frame they were taken for; carries them
├── PortError   a port cannot be opened: what, where, and the way out
│   └── PortMissing … because it is not there now
└── LineDown    the port or connection went away in use
    └── Unreachable … because there is no other end: no answer to the connection or on it, no route

A device's silence or refusal is no error here: it is an outcome, reported with its reason.
"""

from __future__ import annotations

import errno
import os
import ssl

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import Sentence

NO_OTHER_END = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN})
"""Why a connection fails when its other end has no power. Who refuses or resets has."""


class FieldbusError(GatewayError):
    """Root of what the fieldbus raises."""


class NotARead(FieldbusError):
    """A frame that is not one of the few reads; the gate refused it and nothing was sent."""


class BadFrame(FieldbusError):
    """Bytes that do not form the frame they were taken for, which its text shows."""

    def __init__(self, why: Sentence, frame: bytes) -> None:
        super().__init__(Message("frame-bad", why=why, frame=frame.hex(" ").upper() or "-"))
        self.frame = frame


class PortError(FieldbusError):
    """A port that cannot be used: what is wrong, where, and the way out. ``what`` is the fault without its place."""

    def __init__(self, where: str, what: Message) -> None:
        super().__init__(Message("port-at", where=where, what=what))
        self.where, self.what = where, what


class PortMissing(PortError):
    """There is no such port now: an adapter that is not plugged in, an address that this machine has not yet."""


class LineDown(FieldbusError):
    """The port or connection is gone; the line is reopened before the next read."""


class Unreachable(LineDown):
    """There is no other end, as when the device has no power."""


def not_connected(error: OSError) -> LineDown:
    """Why a connection could not be made."""
    if isinstance(error, TimeoutError):
        return Unreachable(Message("device-no-connection"))
    if isinstance(error, ssl.SSLError):
        return broken(connection_error(error), error)
    code = error.errno or 0
    sentence = os_error(OSError(code, os.strerror(code)) if code > 0 else error)  # asyncio only says that a call failed
    return broken(sentence, error)


def connection_error(error: OSError) -> Sentence:
    """What ended a connection: the system's word, or that of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Message("device-certificate", error=error.verify_message.rstrip("."))
    if isinstance(error, ssl.SSLError):
        return Message("device-tls", error=(error.reason or "TLS").lower().replace("_", " "))
    return os_error(error)


def broken(sentence: Sentence, error: BaseException | None) -> LineDown:
    """A connection that failed or broke off. ``error``: that of the system, which shows if the other end is gone."""
    gone = isinstance(error, OSError) and error.errno in NO_OTHER_END and not isinstance(error, ssl.SSLError)
    return Unreachable(sentence) if gone else LineDown(sentence)
