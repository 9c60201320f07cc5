"""What mirrors and auditors see of a log: its signed head, proofs that it only grew, its entries page by page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ledger_client.consistency import sign_consistency
from ledger_client.ledgers.wire import MAX_PAGE
from ledger_client.log_head import LogHead, sign_head
from ledger_client.transparency import tree
from ledger_client.transparency.directory import LedgerDir

MAX_ENTRIES = 1000  # on one page
_ENTRY_OVERHEAD = 24  # CBOR heads of one entry, of its number, and its share of the page's
_HEAD_AGE_S = 60  # so long a head of an unchanged log is given out again, so that everybody sees the same one


class LogView:
    """Questions to one ledger's log; safe to call from any thread. All raise ``LedgerUnavailable``."""

    def __init__(self, folder: LedgerDir, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._head: tuple[LogHead, bytes, bytes] | None = None

    def size(self) -> int:
        """How many entries the log has."""
        with self._folder.log.read() as log:
            return log.size()

    def head(self) -> bytes:
        """The signed head (``ledger_client.log_head``); the same one for a while, as long as nothing is added."""
        with self._folder.log.read() as log:
            size = log.size()
            signer, keys = self._folder.keys(log)
            root = tree.root(size, log.node)
        iat = max(int(self._now()), keys[-1].since)
        with self._lock:
            if self._head is not None:
                known, kid, signed = self._head
                if (known.size, kid) == (size, signer.public.kid) and abs(iat - known.iat) < _HEAD_AGE_S:
                    return signed
            head = LogHead(self._folder.log.name, size, root, iat)
            signed = sign_head(head, signer)
            self._head = head, signer.public.kid, signed
            return signed

    def consistency(self, first: int, second: int) -> bytes | None:
        """The consistency receipt from ``first`` to ``second`` entries, 0 < first < second; ``None`` beyond the log."""
        with self._folder.log.read() as log:
            if second > log.size():
                return None
            signer, keys = self._folder.keys(log)
            path, root = tree.consistency(first, second, log.node), tree.root(second, log.node)
        iat = max(int(self._now()), keys[-1].since)
        return sign_consistency(self._folder.log.name, iat, first, second, path, root, signer)

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
