"""Serial line as data: its settings, and the frames of the protocol that is spoken on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from firmware_sim.meters import dlt645_pdu
from firmware_sim.meters import pdu as modbus
from firmware_sim.meters.answers import Unit
from firmware_sim.meters.device import Frame
from firmware_sim.wire.uart import Parity, Uart


@dataclass(frozen=True, slots=True)
class Line:
    """Line settings, and how true to the wire the line behaves.

    ``emulate``: bytes take their time on the wire. ``batch_ms``: answers arrive in the batches of a USB adapter.
    ``check_settings``: a client with another speed or other stop bits is not understood (a pty carries no parity).
    ``echo``: a client's bytes come back.
    """

    baudrate: int = 9600
    parity: Parity = "N"
    stopbits: Literal[1, 2] = 1
    emulate: bool = True
    batch_ms: float = 0
    check_settings: bool = False
    echo: bool = False

    @property
    def byte_s(self) -> float:
        """Seconds that one byte takes: start, 8 data, parity and stop bits."""
        return (9 + (self.parity != "N") + self.stopbits) / self.baudrate

    @property
    def silence_s(self) -> float:
        """t3.5, the silence that ends a frame."""
        return silence_s(self.baudrate)

    @property
    def uart(self) -> Uart:
        """The settings alone."""
        return Uart(self.baudrate, self.parity, self.stopbits)


def silence_s(baudrate: int) -> float:
    """t3.5 of a speed (Modbus serial line guide): 3.5 characters of 11 bits, fixed above 19200 baud."""
    return 3.5 * 11 / baudrate if baudrate <= 19200 else 0.00175


@dataclass(frozen=True, slots=True)
class Frames:
    """What goes over a line: the frames of one protocol.

    ``request_length``: length of the request that starts the bytes; None: too few to tell; 0: no request is known by
    them. ``opened``: address and PDU of a whole frame; None when its checksum is wrong. ``frame``: a whole frame of
    address and PDU.
    """

    request_length: Callable[[bytes | bytearray], int | None]
    opened: Callable[[bytes], tuple[Unit, bytes] | None]
    frame: Frame


RTU = Frames(modbus.request_length, modbus.opened, modbus.rtu)


def dlt645(wake_up: int) -> Frames:
    """DL/T 645, whose meters put so many FE before their frames."""
    return Frames(dlt645_pdu.request_length, dlt645_pdu.opened, partial(dlt645_pdu.frame, wake_up=wake_up))
