"""Serial port of a device server over RFC 2217 (telnet COM port control), by pyserial's client.

Two threads carry the bytes between that client and a socket pair, so that a line reads and writes it like any other
descriptor. Errors of the line (parity, framing) that the server reports are counted.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Final

import serial
from serial import rfc2217

from gateway.fieldbus.wire.errors import LineDown, PortError, not_connected
from gateway.fieldbus.wire.serial_port import LineErrors
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.fieldbus.wire.stream_link import Port
from gateway.messages.message import Message

log = logging.getLogger("meterseal.fieldbus")

_LOOK_S = 0.5
"""Seconds between two looks of the reading thread at whether the connection still stands."""
_REPORTED: Final = 0x1E
"""Overrun, parity and framing errors and breaks (RFC 2217, NOTIFY-LINESTATE)."""
_OVERRUN, _PARITY, _FRAMING, _BREAK = 0x02, 0x04, 0x08, 0x10


class DeviceServerPort:
    """One open port of a device server. Blocking: to be made and changed in a thread.

    ``errors``: how many bytes the server has reported as damaged, by kind.
    """

    def __init__(
        self, host: str, tcp_port: int, baudrate: int, parity: str = "N", stopbits: int = 1, databits: int = 8
    ) -> None:
        """Connect, and set the line. Raises LineDown; PortError: the server does not set it so."""
        self.errors = LineErrors()
        self._where = f"rfc2217://{f'[{host}]' if ':' in host else host}:{tcp_port}"
        self._device = device = rfc2217.Serial(None, baudrate, databits, parity, stopbits, timeout=_LOOK_S)
        # pyserial keeps the last line state alone, and its thread dies of what no server should say, with a traceback
        self._take_suboption = device._telnet_process_subnegotiation  # type: ignore[attr-defined]
        self._read_until_end = device._telnet_read_loop  # type: ignore[attr-defined]
        device._telnet_process_subnegotiation, device._telnet_read_loop = self._hear, self._listen  # type: ignore[attr-defined]
        device.port = self._where
        settings = f"{baudrate} baud {databits}{parity}{stopbits}"
        with _as_ours(self._where, settings, opening=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it names its thread in the old way
            device.open()
            device.rfc2217_send_subnegotiation(rfc2217.SET_LINESTATE_MASK, bytes([_REPORTED]))
        self._databits = databits
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        for carry in (self._carry_up, self._carry_down):
            threading.Thread(target=carry, name=self._where, daemon=True).start()

    def port(self) -> Port:
        """It for a line, at the settings as they are now. Nobody here knows when bytes leave it: not ``paced``."""
        d = self._device
        char_s = char_seconds(d.baudrate, d.parity, int(d.stopbits), self._databits)
        return Port(self._ours.fileno(), self.close, char_s, t35_seconds(d.baudrate), paced=False)

    def change(self, baudrate: int, parity: str, stopbits: int) -> None:
        """Set the line otherwise. Raises PortError: the server does not do it; LineDown."""
        with _as_ours(self._where, f"{baudrate} baud {self._databits}{parity}{stopbits}"):
            for name, value in (("baudrate", baudrate), ("parity", parity), ("stopbits", stopbits)):
                if getattr(self._device, name) != value:
                    setattr(self._device, name, value)

    def close(self) -> None:
        """Release it; the threads end, and the connection with them. Harmless if done before."""
        self._ours.close()

    def _listen(self) -> None:
        """The work of pyserial's thread."""
        try:
            self._read_until_end()
        except Exception as error:
            log.warning("%s: what the device server says is not understood: %s", self._where, error)

    def _hear(self, suboption: bytes) -> None:
        if suboption[1:2] == rfc2217.SERVER_NOTIFY_LINESTATE and len(suboption) > 2:
            state = suboption[2]
            found = (bool(state & bit) for bit in (_PARITY, _FRAMING, _OVERRUN, _BREAK))
            self.errors = LineErrors(*(before + new for before, new in zip(self.errors, found, strict=True)))
        self._take_suboption(suboption)

    def _carry_down(self) -> None:
        """From the line to us, until either end is gone."""
        with contextlib.suppress(OSError):  # of pyserial's errors, too
            while True:
                if data := self._device.read(1):
                    self._theirs.sendall(data + self._device.read(self._device.in_waiting))
        with contextlib.suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    def _carry_up(self) -> None:
        """From us to the line, until either end is gone; then all is released."""
        with contextlib.suppress(OSError):
            while data := self._theirs.recv(4096):
                self._device.write(data)
        with contextlib.suppress(OSError):
            self._device.close()
        self._theirs.close()


def open_port(host: str, tcp_port: int, baudrate: int, parity: str = "N", stopbits: int = 1, databits: int = 8) -> Port:
    """The port of a device server with these settings. Blocking. Raises LineDown or PortError."""
    return DeviceServerPort(host, tcp_port, baudrate, parity, stopbits, databits).port()


@contextlib.contextmanager
def _as_ours(where: str, settings: str = "", *, opening: bool = False) -> Iterator[None]:
    """What pyserial raises, as ours."""
    try:
        yield
    except serial.SerialException as error:
        if isinstance(error.__context__, OSError):
            raise not_connected(error.__context__) from None
        raise LineDown(Message("rfc2217-not-spoken")) from None
    except ValueError:  # the server sets something else than was asked for
        raise PortError(where, Message("rfc2217-settings-refused", settings=settings)) from None
    except OSError as error:
        if opening and isinstance(error, ConnectionError):  # it has hung up while the options were settled
            raise LineDown(Message("rfc2217-not-spoken")) from None
        raise not_connected(error) from None
