"""Opening of a line: serial port (of a device server too), RTU over TCP, Modbus TCP; whether its port can be opened."""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import partial

from serial.rs485 import RS485Settings

from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.modbus.tcp_link import TcpLink
from gateway.fieldbus.wire import device_server, serial_port, stream_link
from gateway.fieldbus.wire.acceptor import MOST_UNKNOWN
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.dialed import MOST_WAITING, Dialed
from gateway.fieldbus.wire.errors import NotARead, PortError, not_connected
from gateway.fieldbus.wire.framing import NO_TEXTS, Framing, Texts
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.link import Link, Witness
from gateway.fieldbus.wire.listener import listening_socket, most_connections
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.messages.message import Message
from gateway.process import tcp_table
from ledger_client.transport.access import Access, AccessError

log = logging.getLogger("meterseal.fieldbus")

CONNECT_S = 3.0
SETTLE_S = 0.05
"""What a device or adapter still had to say comes within this time after opening."""


async def connect(spec: LineSpec, endpoint: Endpoint, witness: Witness, *, wait_s: float = 0.0) -> Link:
    """Open the line.

    Args:
        endpoint: its keys, and what earlier connections showed of it; outlives the link.
        witness: called with bytes that are no expected answer.
        wait_s: how long to wait for a device to connect, on a line that listens.

    Raises:
        PortError: the serial port cannot be opened, the address not be listened on, or a file of TLS not be used.
        NotARead: the line is only listened to.
        LineDown: the network connection cannot be opened, or no device has connected.
    """
    if spec.passive:
        raise NotARead(Message("line-passive"))
    table, connections = endpoint.table, endpoint.connections
    framing = DIALECTS[spec.type].framing
    if framing is None:
        delay_ms = max(meter.profile.connect_delay_ms for meter in spec.meters)
        host, tcp_port = str(spec.host), spec.tcp_port or 502
        tls = tls_context(spec)
        tcp = TcpLink(host, tcp_port, table, witness, delay_ms / 1000, connections=connections, tls=tls)
        await tcp.connect()
        return tcp
    if spec.sets_line:
        link = stream_link.StreamLink(await _serial(spec), framing, table, witness, echo=spec.echo)
    else:
        link = await _over_tcp(spec, framing, endpoint, witness, wait_s)
    try:
        await link.settle(SETTLE_S)
    except BaseException:
        link.close()
        raise
    return link


def tls_context(spec: LineSpec) -> ssl.SSLContext | None:
    """What a line with TLS is opened with, from its files as they are now; None without. Raises PortError."""
    if not spec.tls:
        return None
    try:
        return Access(ca=spec.ca, cert=spec.cert, key=spec.key).tls_context()
    except AccessError as error:
        raise PortError(spec.where, Message("line-tls-file", key=error.key, error=error.what)) from None


async def _over_tcp(
    spec: LineSpec, framing: Framing, endpoint: Endpoint, witness: Witness, wait_s: float
) -> stream_link.StreamLink:
    begun = asyncio.get_running_loop().time()
    if spec.listen is None:
        again, texts, dialed = partial(_device_server, spec), NO_TEXTS, None
        port = await again()
    else:
        endpoint.connections.inbound = True
        dialed = endpoint.dialed = endpoint.dialed or endpoint.acceptors.join(spec)
        again, texts = partial(_dialed, spec, dialed), Texts((*spec.hello, *spec.heartbeat))
        port = await _dialed(spec, dialed, wait_s)
    endpoint.connections.opened(asyncio.get_running_loop().time() - begun)
    return stream_link.StreamLink(
        port,
        framing,
        endpoint.table,
        witness,
        echo=spec.echo,
        texts=texts,
        reconnect=again,
        connections=endpoint.connections,
        dialed=dialed,
    )


async def _dialed(spec: LineSpec, dialed: Dialed, wait_s: float = 0.0) -> stream_link.Port:
    """The connection of a device that has connected."""
    call = await dialed.connection(wait_s)
    char_s, t35_s = char_seconds(spec.baudrate, spec.parity, spec.stopbits, spec.databits), t35_seconds(spec.baudrate)
    released = partial(dialed.release, call)
    return stream_link.Port(call.sock.fileno(), released, char_s, t35_s, paced=False, read_at=call.read_at)


def direction_of(spec: LineSpec) -> RS485Settings | None:
    """How the port's driver is to switch the direction, None where it need not. pyserial takes seconds and cuts them
    down to whole ms, so half a ms is added lest 15 become 14."""
    if not spec.rs485:
        return None
    before_s, after_s = (spec.rs485_before_ms + 0.5) / 1000, (spec.rs485_after_ms + 0.5) / 1000
    return RS485Settings(delay_before_tx=before_s, delay_before_rx=after_s)


async def _serial(spec: LineSpec) -> stream_link.Port:
    """Opening and the search for other holders may block for a while, so a thread does it."""
    loop = asyncio.get_running_loop()
    speed, parity, stopbits, databits = spec.baudrate, spec.parity, spec.stopbits, spec.databits
    if spec.rfc2217:
        remote = str(spec.host), int(spec.tcp_port or 0), speed, parity, stopbits, databits
        opened = loop.run_in_executor(None, device_server.open_port, *remote)
    else:
        local = str(spec.port), speed, parity, stopbits, direction_of(spec), databits
        opened = loop.run_in_executor(None, serial_port.open_port, *local)
    try:
        return await asyncio.shield(opened)
    except asyncio.CancelledError:
        opened.add_done_callback(_close_late)
        raise


def _close_late(opened: asyncio.Future[stream_link.Port]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()


async def _device_server(spec: LineSpec) -> stream_link.Port:
    char_s = char_seconds(spec.baudrate, spec.parity, spec.stopbits, spec.databits)
    try:
        return await stream_link.connect(
            str(spec.host), spec.tcp_port or 502, CONNECT_S, char_s, t35_seconds(spec.baudrate)
        )
    except OSError as error:
        raise not_connected(error) from None


def check_port(spec: LineSpec) -> None:
    """PortError when the line's serial port is missing, not permitted or held by another process, or when nothing can
    listen at its address.

    A name that may move to another adapter is only a warning. Hosts are not tried: they may come up later.
    """
    if spec.listen is not None:
        listening_socket(*spec.listen).close()
    if spec.port is None:
        return
    serial_port.check(spec.port, to_read=spec.only_read)
    if warning := serial_port.warning(spec.port):
        log.warning("%s: %s", spec.name, warning, extra={"line": spec.name})


def open_files(spec: LineSpec) -> int:
    """How many files a line may have open at most."""
    if spec.type == "hj212":
        return 1 + most_connections(len({meter.address for meter in spec.meters}))
    return 1 + MOST_UNKNOWN + MOST_WAITING if spec.listen is not None else 1


def holds(pid: int | None, spec: LineSpec) -> bool:
    """Whether this process has the line's serial port open, or listens at its address."""
    if pid is None:
        return False
    if spec.listen is not None:
        return tcp_table.listens(pid, *spec.listen)
    return spec.port is not None and any(holder.pid == pid for holder in serial_port.holders(spec.port, ours=True))
