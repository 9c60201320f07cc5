"""HTTP as a client that trusts no answer's shape: bounded in time and size, no redirects, no proxy unasked."""

from __future__ import annotations

import http.cookiejar
import time
from dataclasses import dataclass
from typing import Final

import requests
import urllib3

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.wire import excerpt

_RETRY_AFTER_CAP_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: never longer than was asked for."""

    url: str
    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in small letters; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def retry_after_s(self) -> float | None:
        """Retry-After in seconds, capped; a date or nonsense counts as absent."""
        text = self.headers.get("Retry-After", "").strip()
        return min(float(text), _RETRY_AFTER_CAP_S) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def __str__(self) -> str:
        kind = self.media_type or "no content type"
        return f"{self.url} answered {self.status}, {kind}, {len(self.body)} bytes: {excerpt(self.body)}"


class _Session(requests.Session):
    """Knows of no redirects: requests would read a redirect's body without a cap even when it does not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Client:
    """Requests to one service. ``timeout_s`` bounds connecting and each wait for bytes, and an answer as a whole may
    take twice as long."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session = _Session()
        self._session.trust_env = False  # neither a proxy nor a .netrc that nobody wrote down in the configuration
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
        self._session.headers.update({"Accept-Encoding": "identity", "User-Agent": "meterseal"})

    def ask(self, method: str, url: str, headers: dict[str, str], cap: int, body: bytes | None = None) -> Answer:
        """One question, one answer of at most ``cap`` bytes, whatever its status; raises ``LedgerUnavailable``."""
        deadline = time.monotonic() + 2 * self._timeout_s
        try:
            with self._session.request(
                method, url, data=body, headers=headers, timeout=self._timeout_s, allow_redirects=False, stream=True
            ) as response:
                return Answer(url, response.status_code, response.headers, _read(response, url, cap, deadline))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise LedgerUnavailable(f"{url}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _read(response: requests.Response, url: str, cap: int, deadline: float) -> bytes:
    """The body, up to ``cap`` bytes, in whatever pieces come; a peer that drips them does not hold us for ever."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise LedgerUnavailable(f"{url}: an answer that is compressed, which was not asked for")
    body = bytearray()
    while chunk := response.raw.read1(65536):
        body += chunk
        if len(body) > cap:
            raise LedgerUnavailable(f"{url}: an answer of more than {cap} bytes: {excerpt(bytes(body))}")
        if time.monotonic() > deadline:
            raise LedgerUnavailable(f"{url}: the answer did not end in time; {len(body)} bytes: {excerpt(bytes(body))}")
    return bytes(body)
