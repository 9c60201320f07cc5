"""Registry of an embedded ledger, asked over HTTP (docs/ledger.md). Answers are untrusted. Network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from ledger_client.claims.answers import Shown, parse_list, parse_party, parse_shown
from ledger_client.errors import LedgerClientError, LedgerUnavailable
from ledger_client.ledgers.http import of_embedded, receipt_of, refusal
from ledger_client.messages import Message
from ledger_client.transport.access import Access
from ledger_client.transport.bounded_http import Answer, Client
from ledger_client.transport.wire import CBOR, COSE, MAX_RECEIPT, id_to_text

MAX_CERTIFICATE: Final = 16 << 20  # bytes: all claims about one, with their receipts
MAX_LIST: Final = 4 << 20
_Read = TypeVar("_Read")


class HttpRegistry:
    """The registry of the ledger ``name`` at ``url``; see ``RegistryClient``."""

    def __init__(self, name: str, url: str, access: Access | None = None, *, timeout_s: float = 10.0) -> None:
        self.name = name
        self._base = url.rstrip("/")
        self._client = Client(self._base, Access() if access is None else access, timeout_s)

    def submit(self, entry: bytes) -> bytes:
        """POST /entries."""
        headers = {"Accept": COSE, "Content-Type": COSE}
        answer = self._client.ask("POST", f"{self._base}/entries", headers, MAX_RECEIPT, entry)
        if answer.status not in (200, 201):
            raise refusal(answer)
        return receipt_of(answer)

    def submit_many(self, entries: Sequence[bytes]) -> list[bytes]:
        """One behind the other."""
        return [self.submit(entry) for entry in entries]

    def party(self, name: str) -> tuple[int, str | None]:
        """GET /parties/{party}/next."""
        return _read(self._ask(f"parties/{name}/next"), parse_party)

    def certificate(self, cert: bytes) -> Shown | None:
        """GET /certificates/{id}."""
        answer = self._get(f"certificates/{id_to_text(cert)}", MAX_CERTIFICATE)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refusal(answer)
        return _read(answer, parse_shown)

    def of_device(self, device: bytes, from_ms: int, to_ms: int) -> Iterator[Shown]:
        """GET /devices/{device}/certificates, page after page."""
        begin_ms, seen = from_ms, set[bytes]()
        while True:
            page = _read(self._ask(f"devices/{id_to_text(device)}/certificates?from={begin_ms}&to={to_ms}"), parse_list)
            fresh = [shown for shown in page if shown.certificate.id not in seen]
            if not fresh:
                return
            yield from fresh
            seen |= {shown.certificate.id for shown in fresh}
            begin_ms = fresh[-1].certificate.from_ms

    def of_holder(self, party: str) -> Iterator[Shown]:
        """GET /parties/{party}/certificates, page after page."""
        after = bytes(32)
        while page := _read(self._ask(f"parties/{party}/certificates?after={id_to_text(after)}"), parse_list):
            for shown in page:
                if shown.certificate.id <= after:
                    raise LedgerUnavailable(f"{self._base}: its list of certificates is not in order")
                after = shown.certificate.id
                yield shown

    def close(self) -> None:
        """See RegistryClient."""
        self._client.close()

    def _get(self, question: str, cap: int) -> Answer:
        return self._client.ask("GET", f"{self._base}/{question}", {"Accept": CBOR}, cap)

    def _ask(self, question: str) -> Answer:
        return of_embedded(self._get(question, MAX_LIST), self._base)


def _read(answer: Answer, parse: Callable[[bytes], _Read]) -> _Read:
    try:
        return parse(answer.body)
    except LedgerClientError as error:
        raise LedgerUnavailable(Message("http-not-cbor", error=error.sentence, answer=answer.sentence)) from error
