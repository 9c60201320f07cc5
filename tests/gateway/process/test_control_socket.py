"""The socket of orders: whose it is, and what becomes of lines that are no orders."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.process import control_server, control_socket

NONSENSE = (b"", b"{", b"[]", b"1", b'"order"', b"{}", b'{"order":1}', b'{"order":"nothing"}', b'{"order":{}}', b"\xff")


@pytest.mark.parametrize("line", [*NONSENSE, b"[" * 60_000, b" " * 100_000])
def test_what_is_no_order_is_told_so(tmp_path: Path, line: bytes) -> None:
    async def work() -> dict[str, str]:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        server = await control_server.serve(tmp_path, {})
        path = tmp_path / control_socket.SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with control_socket.address(tmp_path) as address:
            reader, writer = await asyncio.open_unix_connection(address)
        writer.write(line + b"\n")
        answer = await reader.readline()
        writer.close()
        server.close()
        await server.wait_closed()
        assert failures == []
        found: dict[str, str] = json.loads(answer)
        return found

    assert "unknown order" in asyncio.run(work())["error"]


def test_a_gateway_that_is_slow_to_answer_is_not_called_absent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, control_socket.address(tmp_path) as address:
        listener.bind(address)
        listener.listen()  # and takes no order
        with pytest.raises(GatewayError, match="did not answer") as error:
            control_socket.give(tmp_path, "reload", within_s=0.01)
    assert "meterseal status" in error.value.way_out
