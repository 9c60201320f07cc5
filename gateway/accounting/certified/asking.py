"""Certificates of this gateway's devices as the HTTP ledgers of its configuration show them: asked by a thread, kept.

Whoever looks gets what is known and never waits for a ledger. What a ledger shows is not verified here: the gateway
reports what stands there, and `meterseal-ledger certificate` proves it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, NamedTuple

from gateway.config.ledger import LedgerEntry, access_of
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.claims.answers import Shown
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence

FRESH_S: Final = 60.0
"""Seconds after which a ledger's answer is old: it is asked again when somebody looks."""
MOST_SHOWN: Final = 4000
"""Certificates of one device in one stretch that are read at most: more than a month has quarters of an hour."""
MOST_KEPT: Final = 512
"""Answers that are kept."""


class Question(NamedTuple):
    """Certificates of a ``device`` (SHA-256 of its id) from a moment to another, in ms; or the one with this id, with
    all claims about it."""

    device: bytes
    from_ms: int
    to_ms: int
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a ledger shows. ``shown`` is None where it was not asked yet, or where ``problem`` has the reason;
    ``asking``: an answer is pending."""

    ledger: str
    shown: tuple[Shown, ...] | None = None
    problem: Sentence | None = None
    asking: bool = True


class Registries:
    """The HTTP ledgers of one gateway. ``look`` may be called by any thread; one thread asks, and ends when nothing is
    left to ask."""

    def __init__(self, in_force: Callable[[], Config], fresh_s: float = FRESH_S) -> None:
        self._in_force, self._fresh_s = in_force, fresh_s
        self._changed = threading.Condition()
        self._answers: OrderedDict[tuple[str, Question], tuple[float, Answer]] = OrderedDict()
        self._open: OrderedDict[tuple[str, Question], None] = OrderedDict()
        self._working, self._over = False, False

    @property
    def names(self) -> list[str]:
        """The ledgers that can be asked."""
        return [entry.name for entry in self._in_force().document.ledger if entry.type == "http"]

    def look(self, question: Question) -> tuple[Answer, ...]:
        """What each HTTP ledger shows, in the order of the configuration; begins to ask where that is old. Does not
        wait."""
        names = self.names
        with self._changed:
            return tuple(self._look((name, question)) for name in names)

    def wait(self, seconds: float) -> None:
        """Wait until every question is answered, at most for this time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working, seconds)

    def close(self) -> None:
        """End the thread, with the answer that it waits for; nobody looks any more."""
        with self._changed:
            self._over = True
            self._open.clear()

    def _look(self, key: tuple[str, Question]) -> Answer:
        at_s, answer = self._answers.get(key, (0.0, Answer(key[0])))
        if (key not in self._answers or time.monotonic() - at_s > self._fresh_s) and not self._over:
            self._open[key] = None
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, name="registries", daemon=True).start()
        return replace(answer, asking=key in self._open)

    def _work(self) -> None:
        try:
            self._ask_all()
        except BaseException:  # a defect: whoever looks next begins anew
            with self._changed:
                self._open.clear()
                self._ended()
            raise

    def _ended(self) -> None:
        self._working = False
        self._changed.notify_all()

    def _ask_all(self) -> None:
        away: dict[str, Sentence] = {}
        while True:
            with self._changed:
                if not self._open:
                    self._ended()
                    return
                key = next(iter(self._open))
            answer = Answer(key[0], None, away[key[0]], False) if key[0] in away else self._ask(*key)
            if answer.problem is not None:
                away[key[0]] = answer.problem  # the rest is not tried, so that one time-out is enough
            with self._changed:
                self._keep(key, answer)

    def _keep(self, key: tuple[str, Question], answer: Answer) -> None:
        """A ledger's earlier answer is kept while it does not respond."""
        before = self._answers.get(key)
        if answer.shown is None and before is not None:
            answer = replace(answer, shown=before[1].shown)
        self._answers[key] = time.monotonic(), answer
        self._answers.move_to_end(key)
        self._open.pop(key, None)
        while len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)

    def _ask(self, name: str, question: Question) -> Answer:
        config = self._in_force()
        entry = next((one for one in config.document.ledger if one.name == name), None)
        if entry is None:
            return Answer(name, None, Message("registry-gone", ledger=name), False)
        try:
            return Answer(name, _asked(config, entry, question), None, False)
        except (GatewayError, LedgerClientError) as error:
            return Answer(name, None, error.sentence, False)


def _asked(config: Config, entry: LedgerEntry, question: Question) -> tuple[Shown, ...]:
    from ledger_client.ledgers.http_registry import HttpRegistry  # requests, which a gateway may not have loaded

    registry = HttpRegistry(entry.name, entry.url, access_of(config.path, entry), timeout_s=entry.timeout / 1000)
    with closing(registry):
        if question.certificate is not None:
            one = registry.certificate(question.certificate)
            return (one,) if one is not None and one.certificate.id == question.certificate else ()
        every = registry.of_device(question.device, question.from_ms, question.to_ms)
        found = tuple(islice(every, MOST_SHOWN + 1))
    if len(found) > MOST_SHOWN:
        raise GatewayError(Message("registry-too-many", ledger=entry.name, most=MOST_SHOWN))
    return tuple(
        one
        for one in found
        if one.certificate.device == question.device and question.from_ms <= one.certificate.from_ms < question.to_ms
    )
