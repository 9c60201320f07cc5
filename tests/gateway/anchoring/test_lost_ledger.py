"""A comparison with a ledger that has lost data returns how many batches the ledger was given again."""

from __future__ import annotations

import asyncio

import pytest

from gateway.anchoring.reconciliation import Comparison, Reconciliation
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.recording.recorder import Recorder
from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.interface import Pending
from ledger_client.verification.trust_file import load_trust
from tests.gateway.anchoring.small_chain import SmallChain
from tests.gateway.anchoring.test_flights import BATCHES, NAME, Look, chain, loaded, look, sealed, work

__all__ = ["chain", "loaded", "look", "sealed"]


class Failing(SmallChain):
    """Does not answer any more after so many submissions."""

    def __init__(self, answers: int) -> None:
        super().__init__(NAME)
        self.answers = answers

    def submit(self, entry: bytes) -> bytes | Pending:
        if len(self.submitted) == self.answers:
            raise LedgerUnavailable("gone")
        return super().submit(entry)


@pytest.fixture
def reconciliation(chain: SmallChain, sealed: Recorder, loaded: Config, look: Look) -> Reconciliation:
    """After every batch has been settled."""

    def finalise() -> bool:
        chain.mine()
        chain.finalise()
        return look.states() == ["settled"] * BATCHES

    work(chain, sealed, loaded, finalise)
    return Reconciliation(loaded, sealed, load_trust(loaded.trust), Clock(), [])


def test_what_a_ledger_has_lost_is_given_to_it_again_and_counted(reconciliation: Reconciliation) -> None:
    empty = SmallChain(NAME)
    found = asyncio.run(reconciliation.compare(empty))
    assert found == Comparison(len(empty.submitted))
    assert empty.submitted[:BATCHES] == list(range(BATCHES))


def test_a_ledger_that_fails_on_the_way_is_compared_again(reconciliation: Reconciliation) -> None:
    failing = Failing(answers=2)
    found = asyncio.run(reconciliation.compare(failing))
    assert (found.given_again, str(found.broken_off)) == (2, "gone")
    failing.answers = -1
    failing.mine()
    rest = asyncio.run(reconciliation.compare(failing))
    assert rest.broken_off is None
    assert failing.submitted == list(range(2 + rest.given_again))
    assert rest.given_again >= BATCHES - 2


def test_a_ledger_that_has_lost_nothing_is_given_nothing(reconciliation: Reconciliation, chain: SmallChain) -> None:
    before = len(chain.submitted)
    assert asyncio.run(reconciliation.compare(chain)) == Comparison()
    assert len(chain.submitted) == before
