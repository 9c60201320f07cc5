"""HTTP relay of a bridge: each gateway's statements in sequence, many gateways at once. Network.

The ledger judges everything; what it says goes back as it is. Its receipts are not looked into: whoever submitted does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ledger_client.backoff import growing_s
from ledger_client.bridge.backlog import Backlog, Taken
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers.interface import Ledger, Pending
from ledger_client.transparency.ledger.admission import OUT_OF_ORDER
from ledger_client.transport.wire import COSE, PROBLEM, encode_problem

_LOG = logging.getLogger("meterseal.bridge")

AT_ONCE = 8
PENDING_S = 5.0
"""Seconds after which a gateway is answered that its statement is pending, while it waits here."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 15.0
_PATIENCE_S = 30.0  # how long the batch before one may be on its way through another bridge

Tell = Callable[[Taken, bytes, str], None]
"""Hand an answer over to the gateway: statement, bytes, content type."""


@dataclass(slots=True)
class _Going:
    """A statement on its way: when it came, when it is tried next, how often it failed, whether it was submitted."""

    taken: Taken
    since: float
    due: float = 0.0
    failures: int = 0
    submitted: bool = False


class Relay:
    """Works off a book until ``close``; ``wake`` tells it of a new statement."""

    def __init__(
        self, ledger: Ledger, book: Backlog, tell: Tell, pend: Callable[[Taken, float], None], *,
        patience_s: float = _PATIENCE_S,
    ) -> None:  # fmt: skip
        self._ledger, self._book, self._tell, self._pend = ledger, book, tell, pend
        self._patience_s = patience_s
        self._going: dict[str, list[_Going]] = {}
        self._busy: set[str] = set()
        self._news = threading.Condition()
        self._closing = self._unreachable = False
        self._pool = ThreadPoolExecutor(AT_ONCE, "relay")
        for taken in book.waiting():
            self.wake(taken)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def wake(self, taken: Taken) -> None:
        """A statement is in the book."""
        with self._news:
            self._going.setdefault(taken.gateway, []).append(_Going(taken, time.monotonic()))
            self._news.notify_all()

    def close(self) -> None:
        """Stop after what is being asked now."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join()
        self._pool.shutdown()

    def _run(self) -> None:
        with self._news:
            while not self._closing:
                now = time.monotonic()
                dues = []
                for gateway, queue in self._going.items():
                    if gateway in self._busy:
                        continue
                    going = min(queue, key=lambda going: going.taken.batch)
                    if going.due <= now:
                        self._busy.add(gateway)
                        self._pool.submit(self._attempt, going)
                    else:
                        dues.append(going.due)
                self._news.wait(min(dues) - now if dues else None)

    def _attempt(self, going: _Going) -> None:
        finished = False
        try:
            finished = self._ask(going)
        except Exception:
            _LOG.exception("a fault in this program; statement of batch %d stays here", going.taken.batch)
            self._put_off(going, None)
        finally:
            with self._news:
                gateway = going.taken.gateway
                self._busy.discard(gateway)
                if finished:
                    self._going[gateway].remove(going)
                    if not self._going[gateway]:
                        del self._going[gateway]
                self._news.notify_all()

    def _ask(self, going: _Going) -> bool:
        """One question to the ledger; True when the statement is answered for good."""
        taken = going.taken
        assert taken.entry is not None
        try:
            answer = self._ledger.lookup(taken.id) if going.submitted else None
            if answer is None:
                going.submitted = False
                answer = self._ledger.submit(taken.entry)
        except Refused as error:
            if error.title == OUT_OF_ORDER and time.monotonic() - going.since < self._patience_s:
                self._put_off(going, None)
                return False
            _LOG.warning("refused: %s", error)
            return self._finish(taken, encode_problem(error.title, error.detail, error.more), PROBLEM)
        except LedgerUnavailable as error:
            if not self._unreachable:
                _LOG.warning("ledger %s cannot be reached, statements wait: %s", self._ledger.name, error)
            self._unreachable = True
            self._put_off(going, error.retry_after_s)
            return False
        if self._unreachable:
            _LOG.info("ledger %s answers again", self._ledger.name)
        self._unreachable = False
        if isinstance(answer, Pending):
            self._say_pending(going)
            going.submitted, going.failures = True, 0
            going.due = time.monotonic() + answer.retry_after_s
            return False
        return self._finish(taken, answer, COSE)

    def _finish(self, taken: Taken, answer: bytes, content_type: str) -> bool:
        self._book.drop(taken.id)
        self._tell(taken, answer, content_type)
        return True

    def _put_off(self, going: _Going, at_least_s: float | None) -> None:
        self._say_pending(going)
        going.failures += 1
        pause = growing_s(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, going.failures)
        going.due = time.monotonic() + max(pause, at_least_s or 0.0)

    def _say_pending(self, going: _Going) -> None:
        if not going.failures and not going.submitted:
            self._pend(going.taken, PENDING_S)
