"""The gateway's side of the control socket: the orders of its commands, one JSON line each way.

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
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.errors import Declined, GatewayError, StoreError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.control_socket import MAX_LINE, SOCKET, address
from ledger_client.messages import sentence_of

Order = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]

_KEPT: Any = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Python 3.13 would remove the socket by a path that leads through a folder that is closed by then."""


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
        with address(data) as path:
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
        return _refusal(GatewayError(Message("control-unknown-order", error=sentence_of(error))))


def _refusal(error: GatewayError) -> dict[str, Any]:
    fields = error.message.to_fields() if error.message else {}
    return {"error": error.problem, "way_out": error.way_out, **fields}
