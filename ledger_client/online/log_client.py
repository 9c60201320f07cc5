"""HTTP client for an embedded ledger's log (docs/ledger.md): bounded, unverified bytes. Network."""

from __future__ import annotations

from typing import Final

from ledger_client.errors import LedgerUnavailable, VerificationError
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Proof
from ledger_client.formats.checks import proof
from ledger_client.formats.log_head import MAX_HEAD
from ledger_client.formats.notes import MAX_NOTE
from ledger_client.messages import Message
from ledger_client.transport.access import Access
from ledger_client.transport.bounded_http import Answer, Client
from ledger_client.transport.wire import CBOR, COSE, MAX_PAGE, MAX_RECEIPT, id_to_text

_NONE: Final = 404
_PLURAL: Final = {"gateway": "gateways", "party": "parties"}
_MAX_SHOWN: Final = 2 * MAX_PAGE  # one entry may have as much as a page by itself


class LogClient:
    """The log of the ledger at ``url``. Every question raises ``LedgerUnavailable``; see ``bounded.Client`` for
    ``timeout_s``."""

    def __init__(self, url: str, access: Access | None = None, *, timeout_s: float = 10.0) -> None:
        self._base = url.rstrip("/")
        self._client = Client(self._base, Access() if access is None else access, timeout_s)

    def head(self) -> bytes:
        """GET /log/head: the signed head."""
        return self._expect(self._ask("head", COSE, MAX_HEAD))

    def consistency(self, first: int, second: int) -> bytes | None:
        """GET /log/consistency: the proof from ``first`` to ``second`` entries; ``None`` beyond the log."""
        answer = self._ask(f"consistency?from={first}&to={second}", COSE, MAX_RECEIPT)
        return None if answer.status == _NONE else self._expect(answer)

    def entries(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        """GET /log/entries: entries with their numbers from ``first`` on; none beyond the log."""
        answer = self._ask(f"entries?from={first}&limit={limit}", CBOR, MAX_PAGE)
        try:
            page = cbor.decode(self._expect(answer), foreign=True)
        except VerificationError:
            page = None
        if not isinstance(page, list) or len(page) > limit or not all(map(_is_entry, page)):
            raise LedgerUnavailable(Message("http-no-page", answer=answer.sentence))
        return [(number, entry) for number, entry in page]

    def checkpoint(self, witnesses: int) -> bytes:
        """GET /checkpoint: the newest note of its head with so many cosignatures."""
        asked = f"{self._base}/checkpoint" + (f"?witnesses={witnesses}" if witnesses else "")
        return self._expect(self._client.ask("GET", asked, {"Accept": "text/plain"}, MAX_NOTE))

    def place(self, statement_id: bytes, size: int) -> Proof | None:
        """GET /log/inclusion: the place of an entry in the log of that size; ``None`` where it has none."""
        answer = self._ask(f"inclusion?id={id_to_text(statement_id)}&size={size}", CBOR, MAX_RECEIPT)
        if answer.status == _NONE:
            return None
        try:
            return proof(cbor.decode(self._expect(answer)), "place", 0)
        except VerificationError:
            raise LedgerUnavailable(Message("http-no-page", answer=answer.sentence)) from None

    def keys(self, whom: str, after: int) -> bytes:
        """GET /gateways/{gateway}/keys, /parties/{party}/keys, /log/gateways or /log/parties: a page of what its log
        tells of ``whom``, ``gateway/NAME``, ``party/NAME``, ``gateways`` or ``parties``."""
        kind, _, name = whom.partition("/")
        path = f"{_PLURAL[kind]}/{name}/keys" if name else f"log/{whom}"
        asked = f"{self._base}/{path}?after={after}"
        return self._expect(self._client.ask("GET", asked, {"Accept": CBOR}, _MAX_SHOWN))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, question: str, accept: str, cap: int) -> Answer:
        return self._client.ask("GET", f"{self._base}/log/{question}", {"Accept": accept}, max(cap, MAX_RECEIPT))

    def _expect(self, answer: Answer) -> bytes:
        if answer.status == 200:
            return answer.body
        if answer.status == _NONE:
            raise LedgerUnavailable(f"{answer.url}: it has no such page; not every ledger shows its log")
        raise LedgerUnavailable(answer.sentence, answer.retry_after_s())


def _is_entry(value: object) -> bool:
    match value:
        case [int(), bytes()]:
            return True
    return False
