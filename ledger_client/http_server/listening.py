"""Listening socket of an HTTP server; failures say what is wrong with the address."""

from __future__ import annotations

import errno
import socket

from ledger_client.errors import LedgerClientError


class ListenError(LedgerClientError):
    """The address cannot be listened at: which one, why, and the way out."""


def listen_at(listen: str, option: str = "--listen", *, backlog: int = 1024) -> socket.socket:
    """A listening socket at ``HOST:PORT``; port 0 takes a free one. Raises ``ListenError``, which names the option."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ListenError(f"{option} {listen!r}: not an address", "write it as HOST:PORT, for example 127.0.0.1:8700")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named because asyncio sets TCP_NODELAY on such sockets only; without, an answer takes 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            way_out = f"stop it, or give another port with {option} (0: any free one)"
            raise ListenError(f"{option} {listen}: another process listens there", way_out) from None
        way_out = f"give an address of this machine with {option}"
        raise ListenError(f"{option} {listen}: {error.strerror or error}", way_out) from None
    return listener
