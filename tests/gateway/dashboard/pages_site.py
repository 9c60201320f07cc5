"""A real gateway with pages for the tests: a process that reads two simulated meters, and a browser's half of HTTP."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateway.config import model
from gateway.config.load import load_config
from gateway.dashboard.auth import setup
from tests.support.gateways.farm import farm
from tests.support.gateways.tcp_gateway import tcp_site
from tests.support.processes import Server, free_port

PASSWORDS = {"ines": "correct horse battery", "vera": "staple of the viewer"}
ROLES = {"ines": "installer", "vera": "viewer"}
SCRIPT = "</title><script>alert('label')</script><img src=x onerror=alert(1)>\" onload='alert(2)"
"""What the first meter is called."""
TRUST = '[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n'


def pages_of(folder: Path, ports: Sequence[int], section: str, users: Iterable[str] = ROLES) -> model.Config:
    """A site with one meter a port, whose section ``[web]`` this is, and its users."""
    loaded = tcp_site(folder, ports, f"\n[web]\n{section}", every="1s")
    loaded.trust.write_text(TRUST + loaded.trust.read_text())
    for name in users:
        setup.set_user(loaded, name, ROLES[name], PASSWORDS[name])
    return loaded


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    text: str


@dataclass(slots=True)
class Browser:
    """Keeps cookies and says where it comes from; ``forms`` of the last page that it was shown."""

    port: int
    tls: ssl.SSLContext | None = None
    source: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)
    shown: str = ""

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request on a connection of its own; names of headers with underscores for dashes."""
        host = f"127.0.0.1:{self.port}"
        if self.tls is None:
            here = (self.source, 0)
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=here)
        else:
            link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.tls)
        sent = {"Host": host, "Connection": "close"}
        if self.cookies:
            sent["Cookie"] = self.cookie
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, body, sent)
        answer = link.getresponse()
        cookies = answer.headers.get_all("Set-Cookie") or []
        for cookie in cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        found = Answer(answer.status, dict(answer.getheaders()), cookies, answer.read().decode())
        link.close()
        return found

    def again(self) -> Browser:
        """Another window of the same browser."""
        return Browser(self.port, self.tls, self.source, dict(self.cookies))

    @property
    def cookie(self) -> str:
        """The header that it sends."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def raw(self, *lines: str, body: bytes = b"") -> socket.socket:
        """A connection that has sent these lines as a request's head, without more."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        link.sendall("\r\n".join((*lines, "", "")).encode() + body)
        return link

    def get(self, path: str, **headers: str) -> Answer:
        """A page, of which it remembers the form's token."""
        answer = self.ask("GET", path, b"", **headers)
        self.shown = answer.text
        return answer

    @property
    def form(self) -> str:
        """The token of the forms on the page that was shown last."""
        found = re.search('name="form" value="([^"]+)"', self.shown)
        assert found is not None, self.shown
        return found[1]

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        """A form of the page that was shown last."""
        scheme = "http" if self.tls is None else "https"
        usual = {"Origin": f"{scheme}://127.0.0.1:{self.port}", "Content_Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urlencode(fields).encode(), **usual | headers)

    def login(self, name: str, password: str | None = None) -> Answer:
        """Log in as one of the users."""
        self.get("/login")
        given = PASSWORDS[name] if password is None else password
        return self.post("/login", {"form": self.form, "user": name, "password": given})


@contextmanager
def running(loaded: model.Config, ready: str = "pages at") -> Iterator[Server]:
    """The gateway process, which has said ``ready``."""
    command = [sys.executable, "-m", "gateway.cli", "run", str(loaded.path)]
    server = Server("gateway", command, ready, loaded.path.with_suffix(".log"))
    try:
        server.start()
        yield server
        assert server.stop() == 0
    finally:
        server.close()


@contextmanager
def plain_site(folder: Path) -> Iterator[int]:
    """Pages without TLS on the loopback address: their port."""
    port = free_port()
    with farm(2) as meters:
        path = pages_of(folder, meters.ports, f'listen = "127.0.0.1:{port}"\n').path
        path.write_text(path.read_text().replace("address = 1", f"address = 1\nlabel = {json.dumps(SCRIPT)}", 1))
        with running(load_config(path)):
            yield port


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """(event, data) of a piece of an event stream."""
    pairs = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)
    return [(name, json.loads(data)) for name, data in pairs]


def everything(link: socket.socket) -> bytes:
    """What comes until the connection ends, whichever way."""
    data = b""
    try:
        while more := link.recv(65536):
            data += more
    except ConnectionError:
        pass
    return data
