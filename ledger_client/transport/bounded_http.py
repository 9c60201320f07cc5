"""HTTP client for untrusted servers: time and size limits, no redirects, authentication. Network."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import requests
import urllib3

from ledger_client.errors import LedgerUnavailable
from ledger_client.messages import Message
from ledger_client.transport.access import Access, AccessError
from ledger_client.transport.http_session import Session, explain
from ledger_client.transport.wire import excerpt

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
        """Retry-After (RFC 9110 §10.2.3) in seconds, capped; nonsense counts as absent.

        A date is taken relative to the answer's own Date: our clock may be wrong.
        """
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            return min(float(text), _RETRY_AFTER_CAP_S)
        until, now = _date(text), _date(self.headers.get("Date", ""))
        if until is None:
            return None
        seconds = until.timestamp() - (time.time() if now is None else now.timestamp())
        return max(0.0, min(seconds, _RETRY_AFTER_CAP_S))

    @property
    def sentence(self) -> Message:
        """The answer as evidence in a message: where it came from, and how it begins."""
        return Message(
            "http-answer",
            url=self.url,
            status=self.status,
            kind=self.media_type or Message("http-no-content-type"),
            n=len(self.body),
            body=excerpt(self.body),
        )


class Client:
    """Requests to the service at ``base``. ``timeout_s`` bounds connecting and each wait for bytes, and an answer as a
    whole may take twice as long."""

    def __init__(self, base: str, access: Access, timeout_s: float) -> None:
        self.access, self.timeout_s = access, timeout_s
        self._base = base
        self._session = Session(access)

    def ask(
        self, method: str, url: str, headers: dict[str, str], cap: int, body: bytes | None = None, *, cut: bool = False
    ) -> Answer:
        """One question, one answer of at most ``cap`` bytes, whatever its status; raises ``LedgerUnavailable``.

        A 401 is asked once more if the secret in its file is a new one. ``cut``: the status is the answer, and of the
        body only the beginning is read, however it ends.
        """
        secret = self._authorization()
        answer = self._once(method, url, headers | secret, cap, body, cut=cut)
        if answer.status == 401 and (fresh := self._authorization()) != secret:
            answer = self._once(method, url, headers | fresh, cap, body, cut=cut)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _once(
        self, method: str, url: str, headers: dict[str, str], cap: int, body: bytes | None, *, cut: bool
    ) -> Answer:
        deadline = time.monotonic() + 2 * self.timeout_s
        try:
            with self._session.request(
                method, url, data=body, headers=headers, timeout=self.timeout_s, allow_redirects=False, stream=True
            ) as response:
                data = _beginning(response, cap, deadline) if cut else _read(response, url, cap, deadline)
                return Answer(url, response.status_code, response.headers, data)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            tls = self._base.startswith("https:")
            what = explain(error, self.access, tls=tls)
            raise LedgerUnavailable(Message("at", place=self._base, what=what)) from error

    def _authorization(self) -> dict[str, str]:
        try:
            token, password = self.access.token(), self.access.password()
        except AccessError as error:  # it was there at the start: somebody is changing it
            raise LedgerUnavailable(Message("at", place=self._base, what=error.sentence)) from error
        if token is not None:
            return {"Authorization": f"Bearer {token}"}
        if self.access.user is not None:
            login = b64encode(f"{self.access.user}:{password or ''}".encode()).decode()
            return {"Authorization": f"Basic {login}"}
        return {}


def _read(response: requests.Response, url: str, cap: int, deadline: float) -> bytes:
    """The body, up to ``cap`` bytes, in whatever pieces come; a peer that drips them does not hold us for ever."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise LedgerUnavailable(Message("http-compressed", url=url))
    body = bytearray()
    while chunk := response.raw.read1(65536):
        body += chunk
        if len(body) > cap:
            raise LedgerUnavailable(Message("http-too-large", url=url, limit=cap, body=excerpt(bytes(body))))
        if time.monotonic() > deadline:
            raise LedgerUnavailable(Message("http-unfinished", url=url, n=len(body), body=excerpt(bytes(body))))
    return bytes(body)


def _beginning(response: requests.Response, cap: int, deadline: float) -> bytes:
    """The first ``cap`` bytes of the body, or what came of them until the deadline or the end of the connection."""
    body = bytearray()
    with suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
        while len(body) < cap and time.monotonic() < deadline and (chunk := response.raw.read1(cap - len(body))):
            body += chunk
    return bytes(body)


def _date(text: str) -> datetime | None:
    """An HTTP date."""
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
