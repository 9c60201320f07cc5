"""A statement whose predecessor is on its way through another bridge is waited with, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.bridge.backlog import Backlog, Taken
from ledger_client.bridge.http_relay import Relay
from ledger_client.formats.statement import parse_statement
from ledger_client.transparency.ledger.admission import OUT_OF_ORDER
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transport.wire import COSE, PROBLEM, parse_problem
from tests.contract.memory import NearLedger
from tests.support.enrolled import Gateway

PATIENCE_S = 60.0


class Refusing(NearLedger):
    """Says when it has first refused something."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.has_refused = threading.Event()

    def submit(self, entry: bytes) -> bytes:
        try:
            answer = super().submit(entry)
        except Exception:
            self.has_refused.set()
            raise
        assert isinstance(answer, bytes)
        return answer


@pytest.fixture
def gateway() -> Gateway:
    return Gateway("gw-a")


@pytest.fixture
def ledger(gateway: Gateway, tmp_path: Path) -> Iterator[Refusing]:
    """It has the gateway's batch 0, which came another way."""
    with closing(Refusing(tmp_path / "ledger")) as made:
        enroll(tmp_path / "ledger", gateway.request(tmp_path))
        made.submit(gateway.statement(0))
        yield made


class Answers:
    """What a gateway hears."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, str]] = []
        self.heard = threading.Event()

    def __call__(self, taken: Taken, answer: bytes, content_type: str) -> None:
        self.answers.append((taken.batch, answer, content_type))
        self.heard.set()


def book_with(entry: bytes, folder: Path) -> Backlog:
    book = Backlog(folder / "bridge.db", "to a ledger in this process")
    assert book.keep_entry(parse_statement(entry))
    return book


def test_one_whose_predecessor_comes_is_taken(ledger: Refusing, gateway: Gateway, tmp_path: Path) -> None:
    answers = Answers()
    with (
        closing(book_with(gateway.statement(2), tmp_path)) as book,
        closing(Relay(ledger, book, answers, lambda *_: None, patience_s=PATIENCE_S)),
    ):
        assert ledger.has_refused.wait(PATIENCE_S)
        ledger.submit(gateway.statement(1))
        assert answers.heard.wait(PATIENCE_S)
        assert book.waiting() == []
    assert [(batch, kind) for batch, _, kind in answers.answers] == [(2, COSE)]


def test_one_whose_predecessor_does_not_come_is_refused(ledger: Refusing, gateway: Gateway, tmp_path: Path) -> None:
    answers = Answers()
    with (
        closing(book_with(gateway.statement(2), tmp_path)) as book,
        closing(Relay(ledger, book, answers, lambda *_: None, patience_s=0.3)),
    ):
        assert answers.heard.wait(PATIENCE_S)
    ((batch, problem, kind),) = answers.answers
    assert (batch, kind) == (2, PROBLEM)
    assert (parse_problem(problem) or ("", ""))[0] == OUT_OF_ORDER
