"""Source interface: what a line that is listened to needs of the connections on which its meters speak unasked; and
the opening of one that is only read."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

from gateway.devices.blocks import Block, Raw
from gateway.fieldbus.wire import serial_port, stream_link
from gateway.fieldbus.wire.errors import not_connected
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.records import Token

CONNECT_S = 3.0


class Heard(NamedTuple):
    """A message, or one part of one: whose it is, what kind it is of and what it holds.

    ``completed_ms``: the record time at which it was complete. ``label_ms``: the time that it bears (Unix ms).
    ``token``: by what it is known when it is sent again; None: nobody waits for an answer to it. ``missing``: names of
    points that neither this part nor any other of the message holds. ``refused``: another master asked for the block
    and got no answer that counts, and why.
    """

    unit: Unit
    block: Block
    raw: Raw
    completed_ms: int
    label_ms: int | None = None
    token: Token | None = None
    missing: frozenset[str] = frozenset()
    refused: Refused | None = None


class Wrote(NamedTuple):
    """Another master wrote to a unit (0: to all), from this register or coil on; at that record time."""

    unit: Unit
    function: int
    address: int
    at_ms: int


class Crowded(NamedTuple):
    """There are too many connections, and older ones are closed for new ones. ``unit``: whose most of them are; None:
    it is not known whose they are. ``host``: from where; ``connections``: how many those are of ``most`` in all."""

    unit: Unit | None
    host: str
    connections: int
    most: int


class Source(Protocol):
    """An open port or listening socket. Event loop only."""

    async def hear(self) -> Heard | Wrote | Crowded:
        """The next message, what another master did, or that there are too many connections. Raises LineDown when port
        or connection is gone; the source is then closed and replaced."""

    def connected(self, unit: Unit) -> bool:
        """A connection on which this unit has spoken is open; of a port: it is open."""

    def reply(self, unit: Unit, token: Token) -> None:
        """The record of this message is durable: acknowledge it to its sender, once for each time that it was sent."""

    def release(self, unit: Unit, token: Token) -> None:
        """This message is not recorded: forget it without an acknowledgement, so that its sender sends it again."""

    def close(self) -> None:
        """Release port and connections; harmless if done before."""


async def open_to_read(spec: LineSpec) -> stream_link.Port:
    """The port or connection of a line that is only read. Raises PortError, or LineDown."""
    if spec.port is not None:  # looking for other holders may block for a while
        settings = spec.port, spec.baudrate, spec.parity, spec.stopbits
        return await asyncio.get_running_loop().run_in_executor(None, serial_port.open_to_read, *settings)
    char_s, t35_s = char_seconds(spec.baudrate, spec.parity, spec.stopbits), t35_seconds(spec.baudrate)
    try:
        return await stream_link.connect(str(spec.host), spec.tcp_port or 502, CONNECT_S, char_s, t35_s)
    except OSError as error:
        raise not_connected(error) from None
