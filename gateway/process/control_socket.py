"""Control socket: orders to a running gateway over a Unix socket in the data folder, one JSON line each way.

This is the side of the commands, which needs no event loop; the gateway's is control_server.py.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import Declined, GatewayError
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

SOCKET = "control.sock"
MAX_LINE = 256 * 1024
"""An event to be signed, of 60 KiB, is 80 KiB of base64."""
WITHIN_S = 60.0
"""An order may wait for a line: a meter is read before it is accepted."""
ASK_WITHIN_S = 5.0
"""A query is answered at once, unless the gateway hangs."""


@contextmanager
def address(data: Path) -> Iterator[str]:
    """The socket's path by way of an open folder: sun_path holds 107 bytes, a data folder may be deeper (unix(7))."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


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
        with address(data) as path, socket.socket(socket.AF_UNIX) as link:
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
        raise kind(sentence_in(answer, answer["error"]), answer.get("way_out", ""))
    return answer
