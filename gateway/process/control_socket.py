"""Control socket: orders to a running gateway over a Unix socket in the data folder, one JSON line each way.

Only the gateway's own user (or root) may connect: the socket is 0600 and the peer's credentials are checked. What can
be ordered is a table; an order that fails answers with the message that the command then prints.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import Declined, GatewayError, StoreError
from gateway.messages.languages import said_in
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import said_of

SOCKET = "control.sock"
MAX_LINE = 256 * 1024
"""An event to be signed, of 60 KiB, is 80 KiB of base64."""
WITHIN_S = 60.0
"""An order may wait for a line: a meter is read before it is accepted."""
ASK_WITHIN_S = 5.0
"""A query is answered at once, unless the gateway hangs."""
Order = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


_KEPT: Any = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Python 3.13 would remove the socket by a path that leads through a folder that is closed by then."""


@contextmanager
def _address(data: Path) -> Iterator[str]:
    """The socket's path by way of an open folder: sun_path holds 107 bytes, a data folder may be deeper (unix(7))."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


async def serve(data: Path, orders: Mapping[str, Order]) -> asyncio.Server:
    """Server in the data folder, which this process has locked; the caller closes it. Raises StoreError."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await _answer(reader, writer, orders)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller is gone; whether the order was carried out is in the records
        finally:
            writer.close()

    try:
        (data / SOCKET).unlink(missing_ok=True)
        with _address(data) as path:
            before = os.umask(0o177)
            try:
                return await asyncio.start_unix_server(connected, path, limit=MAX_LINE, **_KEPT)
            finally:
                os.umask(before)
    except OSError as error:
        raise StoreError(Message("control-no-socket", socket=str(data / SOCKET), error=os_error(error))) from None


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, orders: Mapping[str, Order]
) -> dict[str, Any]:
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, os.geteuid()):
        return _refusal(GatewayError(Message("control-not-allowed", uid=uid)))
    try:
        order = json.loads(await reader.readline())
        return await orders[order["order"]](order)
    except GatewayError as error:
        return _refusal(error) | {"declined": isinstance(error, Declined)}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        return _refusal(GatewayError(Message("control-unknown-order", error=said_of(error))))


def _refusal(error: GatewayError) -> dict[str, Any]:
    fields = error.message.to_fields() if error.message else {}
    return {"error": error.problem, "way_out": error.way_out, **fields}


def ask(data: Path, order: str) -> dict[str, Any] | None:
    """Answer of the gateway that uses ``data``; None without one, or where it does not answer in time."""
    try:
        return give(data, order, within_s=ASK_WITHIN_S)
    except GatewayError:
        return None


def give(data: Path, order: str, *, within_s: float = WITHIN_S, **details: Any) -> dict[str, Any]:
    """Answer of the gateway that uses ``data`` to an order.

    Args:
        data: its data folder.
        order: the name of the order.
        within_s: seconds to wait for the answer.
        details: what the order is about, as its function expects it.

    Raises:
        Declined: the answer is no.
        GatewayError: no gateway runs there, it does not answer in time, or the order fails.
    """
    try:
        with _address(data) as path, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(within_s)
            link.connect(path)
            link.sendall(json.dumps({"order": order, **details}).encode() + b"\n")
            with link.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline(MAX_LINE) or b"{}")
    except PermissionError as error:
        raise GatewayError(Message("user-not-owner", path=str(data), error=os_error(error))) from None
    except TimeoutError:
        raise GatewayError(Message("control-no-answer", data=str(data), limit_s=round(within_s))) from None
    except (OSError, ValueError):
        raise GatewayError(Message("control-no-gateway", data=str(data))) from None
    if not answer:
        raise GatewayError(Message("control-gateway-ended"))
    if "error" in answer:
        kind = Declined if answer.get("declined") else GatewayError
        raise kind(said_in(answer, answer["error"]), answer.get("way_out", ""))
    return answer
