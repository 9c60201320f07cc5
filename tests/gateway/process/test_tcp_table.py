"""The kernel's list of TCP sockets, seen beside sockets of our own."""

from __future__ import annotations

# not quick: it listens on all addresses
import os
import socket

import pytest

from gateway.process.tcp_table import connected, listens


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_and_who_is_connected_to_it(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        assert listens(os.getpid(), host, port)
        assert not listens(os.getppid(), host, port)
        assert connected(host, port) == []
        with socket.create_connection((host, port)), socket.create_connection((host, port)):
            assert connected(host, port) == [host], "each address once"
            assert connected("::" if ":" in host else "0.0.0.0", port) == [host]
            assert connected("10.9.9.9", port) == []
    assert not listens(os.getpid(), host, port)


def test_an_ipv4_peer_of_a_socket_for_both_is_told_by_its_ipv4_address() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert connected("::", port) == ["127.0.0.1"]
            assert listens(os.getpid(), "::", port)


def test_nobody_listens_for_a_process_that_is_gone() -> None:
    assert not listens(2**22 + 1, "127.0.0.1", 9)
