"""HTTP ledger driver: SCITT reference APIs (draft-ietf-scitt-scrapi), answers untrusted. Network.

Redirects are never followed (303 and 302 mean "not yet" here), a Location counts only on the ledger's own origin, every
answer has a size cap and a time limit. Refused is what the ledger itself says with a 4xx; everything else that is not
an answer is LedgerUnavailable with the start of what came instead. The Location of a statement on its way is kept in a
``DriverNotes``, so that it is asked about after a restart; where it is lost, the statement is submitted again.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from ledger_client.errors import LedgerClientError, LedgerUnavailable, Refused, Unsupported
from ledger_client.formats import cbor
from ledger_client.formats.checks import is_name
from ledger_client.formats.statement import parse_statement, statement_id
from ledger_client.ledgers.interface import DriverNotes, Notebook, Pending
from ledger_client.messages import Message, Sentence
from ledger_client.transport.access import Access
from ledger_client.transport.bounded_http import Answer, Client
from ledger_client.transport.wire import CBOR, COSE, MAX_PAGE, MAX_RECEIPT, id_to_text, parse_problem

_RETRY_AFTER_S = 5.0  # when a ledger says "not yet" and not for how long
_LEAST_PAUSE_S = 0.2  # between two questions about one statement, also for a service that says "now"
_ENOUGH = 1000  # statements at once: a gateway on a small machine walks through years of them
_MAX_LOCATION = 2048
_MAX_HOPS = 32  # so often a statement's Location may change before whoever changes it is thought to go in circles
_PASSING = frozenset({401, 407, 408, 421, 425, 429})  # of 4xx: about this moment or us, not about this statement
_UNKNOWN = frozenset({400, 404, 405, 410})  # a service has no such entry, or knows no entries by our kind of id


class HttpLedger:
    """A SCITT transparency service at ``url``; see ``ledgers.Ledger``.

    ``last`` and ``statements`` are extensions of the embedded ledger and ``Unsupported`` elsewhere.
    ``timeout_s`` bounds connecting and each wait for bytes, and an answer as a whole may take twice as long.
    A note in ``memory`` is the text of a URL, behind the number of times that the service has changed it.
    """

    def __init__(
        self,
        name: str,
        url: str,
        access: Access | None = None,
        *,
        timeout_s: float = 10.0,
        memory: DriverNotes | None = None,
    ) -> None:
        self.name = name
        self._base = url.rstrip("/")
        self._client = Client(self._base, Access() if access is None else access, timeout_s)
        self._memory: DriverNotes = Notebook() if memory is None else memory

    def submit(self, entry: bytes) -> bytes | Pending:
        """POST /entries: 201 with the receipt, or 303: Pending."""
        answer = self._ask("POST", self._base + "/entries", COSE, MAX_RECEIPT, entry)
        if answer.status in (200, 201):
            return receipt_of(answer)
        if answer.status in (302, 303):
            return self._pending(answer, statement_id(entry))
        raise refusal(answer)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """GET the Location that the submission got, else /entries/{base64url(statement id)}.

        ``None`` also where a service does not know its entries by that id: then submitting again is what is left.
        """
        location, _ = self._noted(statement_id)
        entry_url = f"{self._base}/entries/{id_to_text(statement_id)}"
        for url in dict.fromkeys([location, entry_url] if location else [entry_url]):
            answer = self._ask("GET", url, COSE, MAX_RECEIPT)
            if answer.status == 200:
                return receipt_of(answer)
            if answer.status in (302, 303):
                return self._pending(answer, statement_id)
            if answer.status not in _UNKNOWN:
                raise refusal(answer)
        self._forget(statement_id)
        return None

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """GET /gateways/{gateway}/last."""
        answer = self._extension(gateway, "last")
        match value_of(answer):
            case None:
                return None
            case {"batch": int(batch), "id": bytes(id_)} if len(id_) == 32 and batch >= 0:
                return batch, id_
        raise LedgerUnavailable(Message("http-no-last", answer=answer.sentence))

    def demand_key(self, gateway: str, kid: bytes) -> None:
        """GET /gateways/{gateway}/keys/{kid}: raise ``Refused`` unless a statement signed by this key would be taken
        now; raises ``Unsupported``."""
        self._extension(gateway, f"keys/{id_to_text(kid)}", expected=204)

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """GET /gateways/{gateway}/statements?after=N, page after page, up to about ``_ENOUGH`` statements."""
        entries: list[bytes] = []
        while len(entries) < _ENOUGH and (page := self._page(gateway, after)):
            for number, entry in page:
                if number <= after:
                    raise LedgerUnavailable(
                        Message("http-statements-odd", url=self._base, gateway=gateway, after=after, batch=number)
                    )
                after = number
                entries.append(entry)
        return entries

    def statement(self, gateway: str, batch: int) -> bytes | None:
        """GET /gateways/{gateway}/statements?after=N for the one of this number; None: there is none."""
        return next((entry for number, entry in self._page(gateway, batch - 1) if number == batch), None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _page(self, gateway: str, after: int) -> list[tuple[int, bytes]]:
        answer = self._extension(gateway, f"statements?after={after}")
        entries = value_of(answer)
        if not isinstance(entries, list) or not all(isinstance(entry, bytes) for entry in entries):
            raise LedgerUnavailable(Message("http-no-list", answer=answer.sentence))
        try:
            return [(parse_statement(entry).statement.batch, entry) for entry in entries]
        except LedgerClientError as error:
            raise LedgerUnavailable(
                Message("http-no-statement", error=error.sentence, answer=answer.sentence)
            ) from error

    def _extension(self, gateway: str, question: str, *, expected: int = 200) -> Answer:
        if not is_name(gateway):
            raise Refused("Malformed request", Message("http-malformed-request", gateway=gateway))
        answer = self._ask("GET", f"{self._base}/gateways/{gateway}/{question}", CBOR, MAX_PAGE)
        return of_embedded(answer, self._base, expected)

    def _pending(self, answer: Answer, statement_id: bytes) -> Pending:
        location = _resolved(answer.url, answer.headers.get("Location", ""))
        if not location or _origin(location) != _origin(self._base):
            raise LedgerUnavailable(Message("http-redirect", location=location, answer=answer.sentence))
        before, hops = self._noted(statement_id)
        if answer.status == 303 or before is None:
            hops = 0
        elif before != location:
            hops += 1
        if hops > _MAX_HOPS:
            self._forget(statement_id)
            raise LedgerUnavailable(Message("http-redirects", n=_MAX_HOPS, answer=answer.sentence))
        if (before, answer.status) != (location, 302):
            self._memory.keep(statement_id, f"{hops} {location}".encode())
        after_s = answer.retry_after_s()
        return Pending(_RETRY_AFTER_S if after_s is None else max(after_s, _LEAST_PAUSE_S), location)

    def _noted(self, statement_id: bytes) -> tuple[str | None, int]:
        """The Location of a statement on its way, if it is one of this ledger's, and how often it has changed."""
        note = self._memory.recall(statement_id) or b""
        hops, _, location = note.decode("ascii", "replace").partition(" ")
        if not hops.isdigit() or _origin(location) != _origin(self._base):
            return None, 0
        return location, int(hops)

    def _forget(self, statement_id: bytes) -> None:
        if self._memory.recall(statement_id):
            self._memory.keep(statement_id, b"")

    def _ask(self, method: str, url: str, accept: str, cap: int, body: bytes | None = None) -> Answer:
        headers = {"Accept": accept} | ({"Content-Type": COSE} if body is not None else {})
        return self._client.ask(method, url, headers, cap, body)


def refusal(answer: Answer) -> Refused | LedgerUnavailable:
    """What a status other than the expected ones means: the ledger's no, or nothing that can be built on."""
    problem = parse_problem(answer.body)
    if 400 <= answer.status < 500 and answer.status not in _PASSING:
        unexplained = Refused(f"HTTP {answer.status}", Message("http-no-reason", answer=answer.sentence))
        return Refused(*problem) if problem else unexplained
    sentence: Sentence = answer.sentence
    if problem:
        sentence = Message(
            "http-problem", title=problem.title, detail=problem.detail, url=answer.url, status=answer.status
        )
    if answer.status == 401:
        sentence = Message("http-login-refused", detail=sentence)
    return LedgerUnavailable(sentence, answer.retry_after_s())


def receipt_of(answer: Answer) -> bytes:
    """The receipt that an answer bears, not looked into; raises ``LedgerUnavailable``."""
    if answer.media_type != COSE or not answer.body:
        raise LedgerUnavailable(Message("http-no-receipt", answer=answer.sentence))
    return answer.body


def of_embedded(answer: Answer, url: str, expected: int = 200) -> Answer:
    """An answer of the expected status to a question that the embedded ledger knows, at ``url``; raises
    ``Unsupported`` where that is none, ``Refused`` or ``LedgerUnavailable``."""
    if answer.status in (404, 405, 501):
        raise Unsupported(Message("http-not-embedded", url=url))
    if answer.status != expected:
        raise refusal(answer)
    return answer


def value_of(answer: Answer) -> object:
    """The CBOR value of an answer; raises ``LedgerUnavailable`` with the evidence when it is none."""
    try:
        return cbor.decode(answer.body, foreign=True)
    except LedgerClientError as error:
        raise LedgerUnavailable(Message("http-not-cbor", error=error.sentence, answer=answer.sentence)) from error


def _resolved(base: str, location: str) -> str:
    """A Location as an absolute URL; empty for none, or nonsense."""
    try:
        url = urljoin(base, location) if location else ""
    except ValueError:
        return ""
    return url if url.isascii() and url.isprintable() and len(url) <= _MAX_LOCATION else ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; none for an address that brings a login along, which would take the place of ours."""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            return "", None, None
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None
