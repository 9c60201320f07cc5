"""A process that is killed at any point, and notes that are lost: nothing twice, nothing missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger_client.formats import cbor
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.interface import Pending
from tests.ledger_client.evm.evm_site import Book, Crash, EvmSite, settle
from tests.ledger_client.evm.faults.looks import SUBMITTED, looks, sent


def test_killed_between_noting_and_broadcasting(site: EvmSite) -> None:
    def die(_: bytes) -> None:
        raise Crash

    site.book.on_keep = die
    with site.driver() as driver, pytest.raises(Crash):
        driver.submit(site.gateway.statement(0))
    site.book.on_keep = lambda note: None
    assert site.nonce() == 0
    (tx,) = sent(site, 0)
    with site.driver() as driver:
        assert looks(driver, site, 0) == {SUBMITTED}
        assert settle(driver, site.gateway.statement(0)).tx == tx  # the very bytes that were noted
    site.demand(0)
    assert site.nonce() == 1


@pytest.mark.parametrize("again", ["lookup", "submit"])
def test_killed_between_broadcast_and_block(still: EvmSite, again: str) -> None:
    with still.driver() as driver:
        assert driver.submit(still.gateway.statement(1)) == SUBMITTED
    (tx,) = sent(still, 1)
    with still.driver() as driver:
        entry = still.gateway.statement(1)
        answer = driver.lookup(statement_id(entry)) if again == "lookup" else driver.submit(entry)
        assert answer == SUBMITTED
        still.rpc("evm_mine")
        assert settle(driver, entry).tx == tx
    still.demand(0, 1)
    assert still.nonce() == 2


def test_killed_before_it_heard_that_it_is_done(site: EvmSite) -> None:
    with site.driver() as driver:
        first = settle(driver, site.gateway.statement(0))
    with site.driver() as driver:
        assert settle(driver, site.gateway.statement(0)) == first
    site.demand(0)
    assert site.nonce() == 1


def test_the_notes_are_lost_after_all_was_mined(site: EvmSite) -> None:
    with site.driver() as driver:
        first = [settle(driver, site.gateway.statement(n)) for n in range(6)]
    site.book.forget()
    with site.driver() as driver:
        assert looks(driver, site, *range(6)) == {None}
        assert [settle(driver, site.gateway.statement(n)) for n in reversed(range(6))] == first[::-1]
    site.demand(*range(6))
    assert site.nonce() == 6


def test_the_notes_are_lost_while_transactions_wait(still: EvmSite) -> None:
    with still.driver() as driver:
        for n in range(1, 4):
            driver.submit(still.gateway.statement(n))
    still.book.forget()
    with still.driver() as driver:
        driver.submit(still.gateway.statement(1))
        driver.submit(still.gateway.statement(2))
        still.rpc("evm_mine")
        for n in range(1, 4):
            while isinstance(driver.submit(still.gateway.statement(n)), Pending):
                still.rpc("evm_mine")
    still.demand(0, 1, 2, 3)


def test_what_cannot_be_noted_is_not_broadcast(site: EvmSite) -> None:
    class Full(Book):
        def keep(self, statement_id: bytes, note: bytes) -> None:
            raise OSError("no space left")

    book = Full(Path(site.process.state).with_name("full.db"))
    with site.driver(memory=book) as driver, pytest.raises(OSError, match="no space"):
        driver.submit(site.gateway.statement(0))
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
    site.demand(0)
    assert site.nonce() == 1


def test_a_note_that_cannot_be_read_is_as_good_as_none(site: EvmSite) -> None:
    with site.driver() as driver:
        first = settle(driver, site.gateway.statement(0))
    for junk in (b"", b"\xff", cbor.encode({"v": 2}), cbor.encode([1]), cbor.encode({"v": 1})):
        site.book.keep(statement_id(site.gateway.statement(0)), junk)
        with site.driver() as driver:
            assert settle(driver, site.gateway.statement(0)) == first
    site.demand(0)
