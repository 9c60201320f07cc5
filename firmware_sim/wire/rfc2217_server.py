"""Device server for RFC 2217: one serial line, whose speed and parity the client sets over the connection.

It has one client at a time. Bytes that the line says without a client are lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from firmware_sim.errors import WireError
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import RTU, Frames, Line
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.ports import Listener
from firmware_sim.wire.rtu_wire import RtuWire
from firmware_sim.wire.telnet import Order, Telnet, answer, escaped
from firmware_sim.wire.uart import Parity, Received, Uart

SIGNATURE = b"meterseal-sim"
BUSY = b"The port is in use by another client\r\n"
AT_FIRST = Uart()
"""What the port is set to until a client sets it."""
DATA_READY, WRONG_PARITY, NO_STOP, BREAK = 0x01, 0x04, 0x08, 0x10  # RFC 2217, NOTIFY-LINESTATE
CTS_DSR_CARRIER = 0x10 | 0x20 | 0x80  # RFC 2217, NOTIFY-MODEMSTATE
PARITIES: dict[int, Parity] = {1: "N", 2: "O", 3: "E", 4: "M", 5: "S"}
PURGE_RECEIVED, PURGE_SENT, PURGE_BOTH = 1, 2, 3
CONTROLS = {0: 1, 4: 6, 7: 8, 10: 11, 13: 14}
"""What SET-CONTROL asks for, and what the state is at first: no flow control, no break, DTR and RTS on."""
_SLOWEST, _FASTEST = 50, 4_000_000


class Rfc2217Bus(RtuWire):
    """One listening address with a line of bits behind it.

    Args:
        units: the devices on the line.
        line: its settings; what other masters and noise use.
        settings: what each device is set to, in their order.
        host: to listen on.
        port: 0 takes a free one; the attribute is the real one once it is open.
        disturbances: what else happens on the line.
        frames: what is spoken on it.
    """

    def __init__(
        self,
        units: Units,
        line: Line,
        settings: Sequence[Uart],
        host: str,
        port: int,
        disturbances: Sequence[Disturbance] = (),
        frames: Frames = RTU,
    ) -> None:
        super().__init__(units, line, disturbances, frames, settings=settings)
        assert self._paired is not None
        self.pair = self._paired
        self.host, self.port = host, port
        self.client: _Client | None = None

    async def open(self) -> None:
        """Start to serve. Raises ``WireError`` when the address is taken."""
        self._start()
        self.listener = Listener(self.units.bus, lambda: _Client(self), self.host, self.port)
        try:
            await self.listener.open()
        except WireError:
            self._is_open = False
            raise
        self.port = self.listener.port

    def go(self) -> None:
        """Refuse, and hang up on the client."""
        self.listener.go()
        if self.client is not None:
            self.client.abort()

    def come(self) -> None:
        """Listen again."""
        self.listener.come()

    def hang_up(self) -> None:
        """End the client's connection."""
        if self.client is not None:
            self.client.close()

    def close(self) -> None:
        """Stop, and hang up."""
        self._stop()
        self.listener.close()
        if self.client is not None:
            self.client.abort()

    def has_listener(self) -> bool:
        """Whether a client is connected."""
        return self.client is not None

    def master_uart(self) -> Uart:
        """What the client has set."""
        return AT_FIRST if self.client is None else self.client.uart

    def arrived(self, received: Sequence[Received]) -> None:
        """Pass bytes on, each behind the state of the line that it came with."""
        if self.client is not None:
            self.client.give(received)


class _Client(asyncio.Protocol):
    """One connection: its settings, and the line states of which it wants to be notified."""

    def __init__(self, bus: Rfc2217Bus) -> None:
        self._bus, self._telnet = bus, Telnet()
        self.uart = AT_FIRST
        self._line_mask, self._modem_mask = 0, 0xFF
        self._controls = dict(CONTROLS)
        self._is_suspended, self._waiting = False, bytearray()
        self._has_ordered = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._bus.listener.is_gone:
            transport.abort()
            return
        if self._bus.client is not None:
            transport.write(BUSY)
            transport.close()
            return
        self._bus.client = self
        self._bus.pair.take()
        self._telnet.greet()
        self._negotiated()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._bus.client is self:
            self._bus.client = None
            self._bus.pair.drop_received()

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._bus.client is not self:
            return
        for piece in self._telnet.feed(data):
            self._negotiated()
            if isinstance(piece, bytes):
                self._bus.hear(piece)
            else:
                self._obey(*piece)
        self._negotiated()

    def _negotiated(self) -> None:
        if self._telnet.outgoing:
            self._transport.write(bytes(self._telnet.outgoing))
            self._telnet.outgoing.clear()

    def give(self, received: Sequence[Received]) -> None:
        out = bytearray()
        for each in received:
            wrong = WRONG_PARITY * each.wrong_parity | NO_STOP * each.no_stop | BREAK * each.is_break
            if wrong & self._line_mask:
                out += answer(Order.NOTIFY_LINESTATE, bytes([(wrong | DATA_READY) & self._line_mask]))
            out += escaped(bytes([each.byte]))
        if self._is_suspended:
            self._waiting += out
        else:
            self._transport.write(bytes(out))

    def _say(self, order: Order, value: bytes) -> None:
        self._transport.write(answer(order, value))

    def _obey(self, number: int, value: bytes) -> None:
        """Carry out an order; one that RFC 2217 does not have is ignored."""
        wanted = int.from_bytes(value[:4], "big")
        if not self._has_ordered:
            self._has_ordered = True
            self._say(Order.NOTIFY_MODEMSTATE, bytes([CTS_DSR_CARRIER]))
        if number == Order.SIGNATURE and not value:
            self._say(Order.SIGNATURE, SIGNATURE)
        elif Order.SET_BAUDRATE <= number <= Order.SET_STOPSIZE and value:
            self._set(Order(number), wanted)
        elif number == Order.SET_CONTROL and value:
            self._control(value[0])
        elif number == Order.NOTIFY_LINESTATE:
            self._say(Order.NOTIFY_LINESTATE, b"\0")
        elif number == Order.NOTIFY_MODEMSTATE:
            self._say(Order.NOTIFY_MODEMSTATE, bytes([CTS_DSR_CARRIER]))
        elif number == Order.FLOWCONTROL_SUSPEND:
            self._is_suspended = True
        elif number == Order.FLOWCONTROL_RESUME:
            self._is_suspended = False
            self._transport.write(bytes(self._waiting))
            self._waiting.clear()
        elif number == Order.SET_LINESTATE_MASK and value:
            self._line_mask = value[0]
            self._say(Order.SET_LINESTATE_MASK, value[:1])
        elif number == Order.SET_MODEMSTATE_MASK and value:
            self._modem_mask = value[0]
            self._say(Order.SET_MODEMSTATE_MASK, value[:1])
            if self._modem_mask & CTS_DSR_CARRIER:
                self._say(Order.NOTIFY_MODEMSTATE, bytes([CTS_DSR_CARRIER & self._modem_mask]))
        elif number == Order.PURGE_DATA and value:
            self._purge(value[0])

    def _set(self, order: Order, wanted: int) -> None:
        """Change a setting and acknowledge what holds now; a value that is not possible, and 0, change nothing."""
        uart = self.uart
        if order == Order.SET_BAUDRATE and _SLOWEST <= wanted <= _FASTEST:
            uart = replace(uart, baudrate=wanted)
        elif order == Order.SET_DATASIZE and 5 <= wanted <= 8:
            uart = replace(uart, data_bits=wanted)
        elif order == Order.SET_PARITY and wanted in PARITIES:
            uart = replace(uart, parity=PARITIES[wanted])
        elif order == Order.SET_STOPSIZE and wanted in (1, 2):
            uart = replace(uart, stopbits=2 if wanted == 2 else 1)
        if uart != self.uart:
            self.uart = uart
            self._bus.pair.take()
        parity = next(code for code, name in PARITIES.items() if name == uart.parity)
        held = {
            Order.SET_BAUDRATE: uart.baudrate.to_bytes(4, "big"),
            Order.SET_DATASIZE: bytes([uart.data_bits]),
            Order.SET_PARITY: bytes([parity]),
            Order.SET_STOPSIZE: bytes([uart.stopbits]),
        }
        self._say(order, held[order])

    def _control(self, wanted: int) -> None:
        """Acknowledge; flow control, break, DTR and RTS have no effect on a two-wire line."""
        asked = max(place for place in self._controls if place <= wanted)
        if wanted != asked:
            self._controls[asked] = wanted
        self._say(Order.SET_CONTROL, bytes([self._controls[asked]]))

    def _purge(self, what: int) -> None:
        if what in (PURGE_RECEIVED, PURGE_BOTH):
            self._bus.pair.drop_received()
            self._waiting.clear()
        if what in (PURGE_SENT, PURGE_BOTH):
            self._bus.pair.cut()
        self._say(Order.PURGE_DATA, bytes([what]))
