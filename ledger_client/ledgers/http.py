"""A ledger over HTTP: the SCITT reference APIs (draft-ietf-scitt-scrapi), as a client that trusts no answer's shape.

Redirects are never followed (303 and 302 mean "not yet" here), a Location counts only on the ledger's own origin, every
answer has a size cap and a time limit. Refused is what the ledger itself says with a 4xx; everything else that is not
an answer is LedgerUnavailable with the start of what came instead.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from urllib.parse import urljoin, urlsplit

from ledger_client import cbor
from ledger_client.errors import LedgerClientError, LedgerUnavailable, Refused
from ledger_client.ledgers import Pending, Unsupported
from ledger_client.ledgers.bounded import Answer, Client
from ledger_client.ledgers.wire import (
    CBOR,
    COSE,
    MAX_PAGE,
    MAX_RECEIPT,
    id_to_text,
    parse_problem,
)
from ledger_client.shape import is_name
from ledger_client.statement import parse_statement, statement_id

_RETRY_AFTER_S = 5.0  # when a ledger says "not yet" and not for how long
_ENOUGH = 1000  # statements at once: a gateway on a small machine walks through years of them
_LOCATIONS = 256  # of statements on their way, remembered until their receipt is here
_PASSING = frozenset({408, 421, 425, 429})  # of 4xx: about this moment, not about this statement


class HttpLedger:
    """A SCITT transparency service at ``url``; see ``ledgers.Ledger``.

    ``last`` and ``statements`` are extensions of the embedded ledger and ``Unsupported`` elsewhere.
    ``timeout_s`` bounds connecting and each wait for bytes, and an answer as a whole may take twice as long.
    """

    def __init__(self, name: str, url: str, *, timeout_s: float = 10.0) -> None:
        self.name = name
        self._base = url.rstrip("/")
        self._client = Client(timeout_s)
        self._locations: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def submit(self, entry: bytes) -> bytes | Pending:
        """POST /entries: 201 with the receipt, or 303: Pending."""
        answer = self._ask("POST", self._base + "/entries", COSE, MAX_RECEIPT, entry)
        if answer.status in (200, 201):
            return self._receipt(answer, statement_id(entry))
        if answer.status in (302, 303):
            return self._pending(answer, statement_id(entry))
        raise _refusal(answer)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """GET the Location that the submission got, else /entries/{base64url(statement id)}."""
        with self._lock:
            location = self._locations.get(statement_id)
        answer = self._ask("GET", location or f"{self._base}/entries/{id_to_text(statement_id)}", COSE, MAX_RECEIPT)
        if answer.status == 200:
            return self._receipt(answer, statement_id)
        if answer.status in (302, 303):
            return self._pending(answer, statement_id)
        if answer.status == 404:
            self._forget(statement_id)
            return None
        raise _refusal(answer)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """GET /gateways/{gateway}/last."""
        answer = self._extension(gateway, "last")
        match _value(answer):
            case None:
                return None
            case {"batch": int(batch), "id": bytes(id_)} if len(id_) == 32 and batch >= 0:
                return batch, id_
        raise LedgerUnavailable(f"not a last statement: {answer}")

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """GET /gateways/{gateway}/statements?after=N, page after page, up to about ``_ENOUGH`` statements."""
        entries: list[bytes] = []
        while len(entries) < _ENOUGH and (page := self._page(gateway, after)):
            for number, entry in page:
                if number <= after:
                    raise LedgerUnavailable(f"{self._base}: statements of {gateway} after {after} hold batch {number}")
                after = number
                entries.append(entry)
        return entries

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _page(self, gateway: str, after: int) -> list[tuple[int, bytes]]:
        answer = self._extension(gateway, f"statements?after={after}")
        entries = _value(answer)
        if not isinstance(entries, list) or not all(isinstance(entry, bytes) for entry in entries):
            raise LedgerUnavailable(f"not a list of statements: {answer}")
        try:
            return [(parse_statement(entry).statement.batch, entry) for entry in entries]
        except LedgerClientError as error:
            raise LedgerUnavailable(f"not a statement ({error}): {answer}") from error

    def _extension(self, gateway: str, question: str) -> Answer:
        if not is_name(gateway):
            raise Refused("Malformed request", f"{gateway!r} is no gateway's name")
        answer = self._ask("GET", f"{self._base}/gateways/{gateway}/{question}", CBOR, MAX_PAGE)
        if answer.status in (404, 405, 501):
            raise Unsupported(f"{self._base} is not an embedded ledger: it cannot tell what it holds of one gateway")
        if answer.status != 200:
            raise _refusal(answer)
        return answer

    def _receipt(self, answer: Answer, statement_id: bytes) -> bytes:
        if answer.media_type != COSE or not answer.body:
            raise LedgerUnavailable(f"no receipt: {answer}")
        self._forget(statement_id)
        return answer.body

    def _pending(self, answer: Answer, statement_id: bytes) -> Pending:
        location = _resolved(answer.url, answer.headers.get("Location", ""))
        if not location or _origin(location) != _origin(self._base):
            raise LedgerUnavailable(f"a redirect away from the ledger is not followed, to {location}: {answer}")
        with self._lock:
            self._locations[statement_id] = location
            while len(self._locations) > _LOCATIONS:
                self._locations.popitem(last=False)
        return Pending(answer.retry_after_s() or _RETRY_AFTER_S, location)

    def _forget(self, statement_id: bytes) -> None:
        with self._lock:
            self._locations.pop(statement_id, None)

    def _ask(self, method: str, url: str, accept: str, cap: int, body: bytes | None = None) -> Answer:
        headers = {"Accept": accept} | ({"Content-Type": COSE} if body is not None else {})
        return self._client.ask(method, url, headers, cap, body)


def _refusal(answer: Answer) -> Refused | LedgerUnavailable:
    """What a status other than the expected ones means: the ledger's no, or nothing that can be built on."""
    problem = parse_problem(answer.body)
    if 400 <= answer.status < 500 and answer.status not in _PASSING:
        return Refused(*problem) if problem else Refused(f"HTTP {answer.status}", f"no reason given: {answer}")
    said = f"{problem[0]}: {problem[1]} ({answer.url}, status {answer.status})" if problem else str(answer)
    return LedgerUnavailable(said, answer.retry_after_s())


def _value(answer: Answer) -> object:
    """The CBOR value of an answer; raises ``LedgerUnavailable`` with the evidence when it is none."""
    try:
        return cbor.decode(answer.body, foreign=True)
    except LedgerClientError as error:
        raise LedgerUnavailable(f"not CBOR ({error}): {answer}") from error


def _resolved(base: str, location: str) -> str:
    """A Location as an absolute URL; empty for none, or nonsense."""
    try:
        return urljoin(base, location) if location else ""
    except ValueError:
        return ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None
