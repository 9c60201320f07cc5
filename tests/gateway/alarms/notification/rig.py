"""Receivers of notifications, real ones: a web server with fault hooks, a mail server (aiosmtpd), and ntfy."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.processes import Server, free_port

BIG = 10_000_000


@dataclass(frozen=True, slots=True)
class Posted:
    """A request as it came."""

    time: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Hook:
    """A web server. ``faults``: what it does with the next requests, behind them 200; ``always`` with all of them:
    a status, "hangs", "big" (200 with 10 MB), "drips" (200, whose body never ends), "cut" (takes it and closes)."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    faults: list[int | str] = field(default_factory=list)
    always: int | str = 200
    body: bytes = b"taken"
    headers: dict[str, str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def ids(self) -> list[str]:
        """The ids of all that came."""
        return [one.json["id"] for one in self.posted]


def _handler(hook: Hook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posted.append(Posted(time.time(), self.path, dict(self.headers), body))
            self._answer(hook.faults.pop(0) if hook.faults else hook.always)

        def _answer(self, fault: int | str) -> None:
            if fault == "hangs":
                hook.over.wait(60)
            if fault in ("hangs", "cut"):
                self.close_connection = True
                return
            self.send_response(fault if isinstance(fault, int) else 200)
            for name, value in hook.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(BIG if isinstance(fault, str) else len(hook.body)))
            self.end_headers()
            try:
                if fault == "drips":
                    while not hook.over.wait(0.2):
                        self.wfile.write(b".")
                self.wfile.write(b"x" * BIG if fault == "big" else hook.body)
            except OSError:  # the other side has heard enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    return Handler


@contextmanager
def hook(tls: tuple[Path, Path] | None = None) -> Iterator[Hook]:
    """A running web server; ``tls``: its certificate and key."""
    made = Hook()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    server.daemon_threads = True
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    host = "localhost" if tls else "127.0.0.1"
    made.url = f"http{'s' if tls else ''}://{host}:{server.server_port}/hook/s3cr3t"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()


class MailServer(Server):
    """aiosmtpd as a process of its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self._file = free_port(), folder / "mails.jsonl"
        script = Path(__file__).with_name("mail_server.py")
        plain = {"port": self.port, "mails": str(self._file), **options}
        command = [os.environ["METERSEAL_AIOSMTPD_PYTHON"], "-u", str(script), json.dumps(plain)]
        super().__init__("mail server", command, "is ready", folder / "mail.log")

    @property
    def mails(self) -> list[dict[str, Any]]:
        """Every mail that it took: when, from whom, to whom, over TLS or not, and its text."""
        return [json.loads(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []

    def messages(self) -> list[EmailMessage]:
        """The same, parsed."""
        found = [message_from_string(mail["text"], policy=default) for mail in self.mails]
        return [one for one in found if isinstance(one, EmailMessage)]


@contextmanager
def mail_server(folder: Path, **options: Any) -> Iterator[MailServer]:
    """A running mail server."""
    server = MailServer(folder, **options)
    server.start()
    try:
        yield server
    finally:
        server.close()


class Ntfy(Server):
    """An ntfy server that keeps its messages in memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "server.yml"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config.write_text(f'listen-http: "{self.url.removeprefix("http://")}"\nbase-url: "{self.url}"\n')
        super().__init__("ntfy", ["ntfy", "serve", "--config", str(config)], "Listening on", folder / "ntfy.log")

    def listens(self) -> bool:
        """It says so before it does."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """What was published on a topic."""
        with urllib.request.urlopen(f"{self.url}/{topic}/json?poll=1", timeout=10) as answer:
            lines = [json.loads(line) for line in answer.read().splitlines()]
        return [line for line in lines if line["event"] == "message"]


@contextmanager
def ntfy(folder: Path) -> Iterator[Ntfy]:
    """A running ntfy server."""
    server = Ntfy(folder)
    try:
        server.start()
        until(server.listens)
        yield server
    finally:
        server.close()


def until(found: Any, within_s: float = 30.0) -> Any:
    """Wait for what others do; fails when it does not come in time."""
    deadline = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.01)
    return answer
