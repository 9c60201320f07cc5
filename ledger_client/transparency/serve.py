"""The process ``meterseal-ledger serve``: one folder, one HTTP address and, if asked, a place at a broker."""

from __future__ import annotations

import errno
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from ledger_client.errors import LedgerClientError
from ledger_client.transparency.certificates import Certificates
from ledger_client.transparency.directory import open_dir
from ledger_client.transparency.doors import Doors
from ledger_client.transparency.log_view import LogView
from ledger_client.transparency.mqtt import MqttService
from ledger_client.transparency.policy import PolicyFile
from ledger_client.transparency.server import app
from ledger_client.transparency.service import Service

_GRACE_S = 3
_KEEP_ALIVE_S = 60


class ListenError(LedgerClientError):
    """The address cannot be listened at: which one, why, and the way out."""


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._say_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say_started()


def serve(path: Path, doors: Doors, *, name: str | None, say: Callable[[str], None]) -> None:
    """Serve the ledger in ``path`` until SIGTERM or SIGINT; ``say`` gets the one line of its start.

    Raises ``LedgerClientError`` for whatever keeps it from starting.
    """
    doors.check()
    with closing(listen_at(doors.listen)) as listener, closing(open_dir(path, name)) as folder:
        policy = PolicyFile(folder.policy)
        ledger = Service(folder, policy.current)
        broker = None if doors.mqtt is None else MqttService(ledger, doors.mqtt, doors.broker)
        try:
            started = f"ledger {ledger.name} listens on {_url(doors, listener)}"
            _run(app(ledger, LogView(folder)), listener, doors, lambda: say(started))
        finally:
            if broker is not None:
                broker.close()


def _run(application: Starlette, listener: socket.socket, doors: Doors, started: Callable[[], None]) -> None:
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=doors.cert,
        ssl_keyfile=doors.key,
    )
    config.load()
    if doors.cert is not None:
        config.ssl = Certificates(doors.own).context
    # uvicorn raises the signal that ended it once more when it is done; being asked to stop is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    _Server(config, started).run(sockets=[listener])


def listen_at(listen: str) -> socket.socket:
    """A listening socket at ``HOST:PORT``; port 0 takes a free one. Raises ``ListenError``."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ListenError(f"--listen {listen!r}: not an address; write it as HOST:PORT, for example 127.0.0.1:8700")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named because asyncio sets TCP_NODELAY on such sockets only; without, an answer takes 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            problem = "another process listens there; stop it, or give another port with --listen (0: any free one)"
        else:
            problem = f"{error.strerror or error}; give an address of this machine with --listen"
        raise ListenError(f"--listen {listen}: {problem}") from None
    return listener


def _url(doors: Doors, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{doors.scheme}://[{host}]:{port}" if ":" in host else f"{doors.scheme}://{host}:{port}"
