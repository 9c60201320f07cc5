"""Log view for mirrors and auditors: signed head, consistency proofs, pages of entries, of gateways and of parties.

What strangers ask for costs a signature, of which a TPM makes 50 a second: who asks the same of the same state of the
log gets the same answer again, one is made at a time, and it waits behind receipts (``LedgerSigner.patient``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ledger_client.formats.bundle import Proof
from ledger_client.formats.checks import MAX_PATH
from ledger_client.formats.consistency import sign_consistency
from ledger_client.formats.log_head import MAX_HEAD, LogHead, sign_head
from ledger_client.formats.notes import Checkpoint, Note, signed_line
from ledger_client.transparency.ledger.directory import LedgerDir
from ledger_client.transparency.log import tree
from ledger_client.transparency.log.entries import Reader
from ledger_client.transparency.policy.key_entries import about
from ledger_client.transparency.policy.key_list import Count, Shown, encode_page, sign_count, tells
from ledger_client.transport.wire import MAX_PAGE

MAX_ENTRIES = 1000  # on one page
_SHOWN_OVERHEAD = 64 + 34 * MAX_PATH  # of an entry with its path
_ENTRY_OVERHEAD = 24  # CBOR heads of one entry, of its number, and its share of the page's
_MOST_ANSWERS = 1024  # that are given again, of a few kB each
_HEAD_AGE_S = 60  # so long a head of an unchanged log is given out again, so that everybody sees the same one


class LogView:
    """Questions to one ledger's log; safe to call from any thread. All raise ``LedgerUnavailable``."""

    def __init__(self, folder: LedgerDir, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._known: list[tuple[int, str | None]] = []
        self._answers: dict[tuple[object, ...], tuple[int, bytes]] = {}
        """Question → when it was signed, and the answer; the oldest go first."""

    def size(self) -> int:
        """How many entries the log has."""
        with self._folder.log.read() as log:
            return log.size()

    def head(self) -> bytes:
        """The signed head (``ledger_client.formats.log_head``); the same one for a while, as long as nothing is
        added."""
        with self._folder.log.read() as log:
            size = log.size()
            signer, keys = self._folder.keys(log)
            root = log.root()
        iat = max(int(self._now()), keys[-1].since)

        def sign() -> bytes:
            return sign_head(LogHead(self._folder.log.name, size, root, iat), signer.patient)

        return self._answer(("head", size, signer.public.kid), iat, sign)

    def consistency(self, first: int, second: int) -> bytes | None:
        """The consistency receipt from ``first`` to ``second`` entries, 0 < first < second; ``None`` beyond the log."""
        with self._folder.log.read() as log:
            if second > log.size():
                return None
            signer, keys = self._folder.keys(log)
            path, root = tree.consistency(first, second, log.node), tree.root(second, log.node)
        iat = max(int(self._now()), keys[-1].since)

        def sign() -> bytes:
            return sign_consistency(self._folder.log.name, iat, first, second, path, root, signer.patient)

        return self._answer(("consistency", first, second, signer.public.kid), None, sign)

    def checkpoint(self) -> tuple[Checkpoint, Note]:
        """The head as a note (``ledger_client.formats.notes``), signed with the key of the log's checkpoints."""
        with self._folder.log.read() as log:
            head = Checkpoint(self._folder.vkey.name, log.size(), log.root())
        line = signed_line(head.text, head.origin, self._folder.checkpoint_key)
        return head, Note(head.text, (line,))

    def extension(self, first: int, second: int) -> tuple[bytes, ...]:
        """The path that shows the log of ``second`` entries to begin with that of ``first``, 0 < first < second ≤ size;
        unsigned."""
        with self._folder.log.read() as log:
            return tree.consistency(first, second, log.node)

    def place(self, statement_id: bytes, size: int) -> Proof | None:
        """The place of an entry in the log of its first ``size`` entries: (size, index, path); ``None`` where it has
        none."""
        with self._folder.log.read() as log:
            number = log.number(statement_id)
            if number is None or not number < size <= log.size():
                return None
            return size, number, tree.path(number, size, log.node)

    def keys(self, whom: str, after: int) -> bytes:
        """A page of the ledger's own entries about ``whom`` (``key_list``), behind entry ``after``."""
        shown: list[Shown] = []
        count, room = 0, MAX_PAGE - MAX_HEAD
        with self._folder.log.read() as log:
            size = log.size()
            signer, keys = self._folder.keys(log)
            root = log.root()
            for number, entry_about in self._own_entries(log):
                if not tells(whom, entry_about):
                    continue
                count += 1
                if number <= after or room < 0:
                    continue
                entry, receipt = log.entry_with_receipt(number)
                room -= len(entry) + len(receipt or b"") + _SHOWN_OVERHEAD
                if room >= 0 or not shown:
                    shown.append(Shown(number, entry, tree.path(number, size, log.node), receipt))
        iat = max(int(self._now()), keys[-1].since)

        def sign() -> bytes:
            return sign_count(Count(self._folder.log.name, whom, count, size, root, iat), signer.patient)

        return encode_page(self._answer(("count", whom, size, signer.public.kid), iat, sign), shown)

    def _answer(self, what: tuple[object, ...], iat: int | None, sign: Callable[[], bytes]) -> bytes:
        """What was signed for this question before, if that is not too old, or is good for ever (``iat`` None)."""
        if (known := self._known_answer(what, iat)) is not None:
            return known
        with self._lock:
            if (known := self._known_answer(what, iat)) is not None:
                return known
            signed = sign()
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.pop(next(iter(self._answers)))
            self._answers[what] = (iat or 0, signed)
            return signed

    def _known_answer(self, what: tuple[object, ...], iat: int | None) -> bytes | None:
        known = self._answers.get(what)
        return None if known is None or (iat is not None and abs(iat - known[0]) >= _HEAD_AGE_S) else known[1]

    def _own_entries(self, log: Reader) -> list[tuple[int, str | None]]:
        """(number, whom it is about or None) of each of the ledger's own entries at this state of the log."""
        known = self._known
        last = known[-1][0] if known else -1
        known = known + [(number, about(entry)) for number, entry, _ in log.own_entries(last)]
        self._known = known
        size = log.size()  # another thread may have seen more
        return [one for one in known if one[0] < size]

    def entries(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        """Entries with their numbers from ``first`` on: at most ``limit``, and what one answer may hold."""
        page: list[tuple[int, bytes]] = []
        room = MAX_PAGE
        with self._folder.log.read() as log:
            for number, entry in log.entries(first, min(limit, MAX_ENTRIES)):
                room -= len(entry) + _ENTRY_OVERHEAD
                if room < 0:
                    break
                page.append((number, entry))
        return page
