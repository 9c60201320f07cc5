"""A device server for tests: pyserial's end of RFC 2217, with a device of ``devices`` behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from serial.rfc2217 import PortManager

from tests.gateway.fieldbus.devices import Cutter, Device, Responder, rtu_requests

SPEEDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)


@dataclass
class Uart:
    """What pyserial's server sets. A speed that it does not know is refused."""

    speeds: Collection[int] = SPEEDS
    bytesize: int = 8
    parity: str = "N"
    stopbits: int = 1
    xonxoff: bool = False
    rtscts: bool = False
    cts: bool = True
    dsr: bool = True
    ri: bool = False
    cd: bool = True
    dtr: bool = True
    rts: bool = True
    _speed: int = 115200
    was: list[tuple[int, int, str, int]] = field(default_factory=list)
    """The settings at each request."""

    @property
    def baudrate(self) -> int:
        return self._speed

    @baudrate.setter
    def baudrate(self, speed: int) -> None:
        if speed not in self.speeds:
            raise ValueError(speed)
        self._speed = speed

    def reset_input_buffer(self) -> None:
        """Nothing waits in it."""

    def reset_output_buffer(self) -> None:
        """Nothing waits in it."""

    @property
    def settings(self) -> tuple[int, int, str, int]:
        return self.baudrate, self.bytesize, self.parity, self.stopbits


def rfc2217_talk(
    uart: Uart,
    device: Device,
    before: Callable[[Callable[[bytes], object]], None] = lambda send: None,
    cut: Cutter = rtu_requests,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A device server with one device.

    Args:
        before: called at each request with a function that sends raw bytes of telnet.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        manager = PortManager(uart, writer)  # type: ignore[arg-type]  # its stubs know whole serial ports alone
        responder = Responder(device, lambda data: writer.write(b"".join(manager.escape(data))), cut)
        while data := await reader.read(4096):
            if asked := b"".join(manager.filter(data)):
                uart.was.append(uart.settings)
                before(writer.write)
                responder.receive(asked)

    return talk
