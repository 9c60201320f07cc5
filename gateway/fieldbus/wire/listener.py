"""Listening socket of a line on which devices connect, and the networks they may come from."""

from __future__ import annotations

import errno
import fcntl
import socket
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from gateway.fieldbus.wire.errors import PortError, PortMissing
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.open_files import SELECTABLE

BACKLOG = 128
FEWEST_CONNECTIONS = 500
KEEPALIVE_S, KEEPALIVE_EVERY_S, KEEPALIVES = 60, 20, 3
"""A peer that has vanished without a word, as behind a modem, is known as gone after two minutes."""


def listening_socket(host: str, tcp_port: int) -> socket.socket:
    """A TCP socket that listens at an address of this machine; port 0 takes a free one. Raises PortError."""
    where = f"[{host}]:{tcp_port}" if ":" in host else f"{host}:{tcp_port}"
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # those that it accepts inherit these (tcp(7))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVES)
        listener.bind((host, tcp_port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortError(where, Message("listen-in-use")) from None
        if error.errno == errno.EACCES:
            raise PortError(where, Message("listen-not-permitted")) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortMissing(where, Message("listen-no-address")) from None
        raise PortError(where, Message("listen-failed", error=os_error(error))) from None
    return listener


def most_connections(stations: int) -> int:
    """How many connections a listener of so many stations may have: two for each of them, and 500 at least."""
    return max(FEWEST_CONNECTIONS, 2 * stations)


class HighSocket(socket.socket):
    """A listening socket whose connections have high descriptors where the process may open so many: those of libraries
    that use select(2), as MQTT's, stay low."""

    @classmethod
    def of(cls, listener: socket.socket) -> HighSocket:
        """The same listening socket."""
        return cls(listener.family, listener.type, listener.proto, fileno=listener.detach())

    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        try:
            high = fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, SELECTABLE)
        except OSError:  # it may not open so many
            return connection, address
        connection.close()
        return socket.socket(self.family, self.type, self.proto, fileno=high), address


def within(host: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether a peer's address lies in one of the networks; an IPv4 address in IPv6 form counts as what it is."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for network in networks)
