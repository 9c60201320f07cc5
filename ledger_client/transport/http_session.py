"""HTTP session of a ledger client: no redirects, cookies or environment; a time limit on every wait. Network.

``explain`` says in one line what a failed request failed of.
"""

from __future__ import annotations

import http.cookiejar
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from ledger_client.messages import Message, Sentence
from ledger_client.system_errors import os_error
from ledger_client.transport.access import Access
from ledger_client.transport.tls import tls_failure


class _Ending:
    """An answer's headers are here within the connection's time-out, however small the pieces that they come in."""

    sock: Any
    timeout: Any

    def getresponse(self) -> Any:
        late, peer = threading.Event(), self.sock

        def end() -> None:
            late.set()
            with suppress(OSError):  # socket's own shutdown: SSLSocket's would take away what a read still works with
                socket.socket.shutdown(peer, socket.SHUT_RDWR)

        timer = threading.Timer(float(self.timeout), end)
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()  # type: ignore[misc]
        except Exception:
            if not late.is_set():
                raise
        finally:
            timer.cancel()
        if late.is_set():  # and what looks like an end of the headers may be the end that we made
            raise TimeoutError("the answer's headers did not end in time")
        return answer


class _Plain(_Ending, HTTPConnection):
    pass


class _Tls(_Ending, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _Tls if pool.scheme == "https" else _Plain
        return pool


class Session(requests.Session):
    """One ledger's session: give every request ``timeout`` and ``stream``, and read the body with a cap.

    Certificates and CA are read anew for every new connection.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.trust_env = False  # neither a proxy nor a .netrc that nobody wrote down in the configuration
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": "meterseal"})
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())
        self.verify = str(access.ca) if access.ca is not None else _machine_cas()
        if access.cert is not None and access.key is not None:
            self.cert = str(access.cert), str(access.key)
        if access.proxy is not None:
            self.proxies = {"http": access.proxy, "https": access.proxy}

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests would read a redirect's body without a cap even when it does not follow."""
        return None


def explain(error: Exception, access: Access, *, tls: bool) -> Sentence:
    """What a request failed of, without the layers of libraries around it."""
    causes = list(_causes(error))
    sentence: Sentence | None = next((found for cause in causes if (found := tls_failure(cause))), None)
    if sentence is None and any(
        isinstance(cause, ConnectionResetError | BrokenPipeError | ssl.SSLError) for cause in causes
    ):
        sentence = _ended(access, tls=tls)
    if sentence is None and isinstance(error, requests.exceptions.Timeout):
        sentence = Message("errno-timed-out")
    if sentence is None:
        inmost = next((cause for cause in reversed(causes) if isinstance(cause, OSError) and cause.strerror), None)
        sentence = os_error(inmost) if inmost else str(error)
    if any(isinstance(cause, requests.exceptions.ProxyError) for cause in causes):
        sentence = Message("connection-through-proxy", proxy=access.proxy or "", what=sentence)
    return sentence


def _ended(access: Access, *, tls: bool) -> Message:
    """asyncio's servers, for one, close without a word when they do not like a client's certificate."""
    if not tls:
        return Message("connection-ended")
    return Message("connection-ended-maybe-cert") if access.cert is None else Message("connection-ended-maybe-refused")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and everything that it wraps, outermost first."""
    queue, seen = [error], set[int]()
    while queue:
        one = queue.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            wrapped = (getattr(one, "reason", None), one.__cause__, one.__context__, *one.args)
            queue += [inner for inner in wrapped if isinstance(inner, BaseException)]


def _machine_cas() -> str | bool:
    """The CAs that this machine trusts; True: those that come with the HTTP library, where it has none."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True
