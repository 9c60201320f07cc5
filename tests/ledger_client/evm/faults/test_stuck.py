"""Transactions that do not move, are forgotten, or stand in another's way."""

from __future__ import annotations

from contextlib import suppress

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.interface import Pending
from tests.ledger_client.evm.chain import mined
from tests.ledger_client.evm.evm_site import Crash, EvmSite, settle
from tests.ledger_client.evm.faults.looks import SUBMITTED, looks, sent, settled


def test_a_stuck_transaction_is_replaced_by_a_dearer_one(still: EvmSite) -> None:
    with still.driver() as driver:
        for n in range(1, 4):
            driver.submit(still.gateway.statement(n))
        first = [sent(still, n) for n in range(1, 4)]
        base = raise_base_fee(still)
        assert looks(driver, still, 1, 2, 3) == {SUBMITTED}
        assert [sent(still, n) for n in range(1, 4)] == first  # not in haste
        still.clock.now += 61
        seen: list[int] = []
        still.book.on_keep = lambda note: seen.append(still.node.nonce(still.account.address))
        raise_base_fee(still, base)
        assert looks(driver, still, 1) == {SUBMITTED}
        assert [sent(still, n)[:-1] for n in range(1, 4)] == first  # those that waited behind it, too
        assert seen == [1, 1, 1]  # noted, with the form before, while none was in a block
        still.rpc("evm_mine")
        assert settled(driver, still, 1, 2, 3)
    still.demand(0, 1, 2, 3)
    assert still.nonce() == 4


def raise_base_fee(site: EvmSite, base: int | None = None) -> int:
    """An empty block, after which the base fee is above all that waits."""
    if base is None:
        latest = site.node.block("latest")
        assert latest is not None
        assert latest.base_fee is not None
        base = 20 * latest.base_fee + 20 * 10**9
    site.rpc("anvil_setNextBlockBaseFeePerGas", hex(base))
    site.rpc("evm_mine")
    return base


def test_a_transaction_that_pays_enough_is_not_replaced_with_the_others(still: EvmSite) -> None:
    with still.driver() as driver:
        driver.submit(still.gateway.statement(1))
        raise_base_fee(still)
        driver.submit(still.gateway.statement(2))  # at the price of now
        looks(driver, still, 1)
        still.clock.now += 61
        still.rpc("evm_mine")
        looks(driver, still, 1)
        assert [len(sent(still, n)) for n in (1, 2)] == [2, 1]
        for _ in range(3):
            looks(driver, still, 2)
            still.rpc("evm_mine")
        assert settled(driver, still, 1, 2)
    still.demand(0, 1, 2)


def test_a_replacement_that_a_crash_cut_off_goes_out_later(still: EvmSite) -> None:
    def die(_: bytes) -> None:
        raise Crash

    with still.driver() as driver:
        driver.submit(still.gateway.statement(1))
        looks(driver, still, 1)
        raise_base_fee(still)
        still.clock.now += 61
        still.book.on_keep = die
        with pytest.raises(Crash):
            looks(driver, still, 1)
    still.book.on_keep = lambda note: None
    with still.driver() as driver:
        assert looks(driver, still, 1) == {SUBMITTED}
        still.rpc("evm_mine")
        assert settled(driver, still, 1)
    still.demand(0, 1)
    assert still.nonce() == 2


def test_the_highest_fee_allowed_is_told(still: EvmSite) -> None:
    latest = still.node.block("latest")
    assert latest is not None
    assert latest.base_fee is not None
    with still.driver(max_fee=3 * latest.base_fee + 2 * 10**9) as driver:
        driver.submit(still.gateway.statement(1))
        looks(driver, still, 1)
        raise_base_fee(still)
        still.clock.now += 61
        with pytest.raises(LedgerUnavailable, match=r"stuck at .* raise max_fee"):
            looks(driver, still, 1)


def test_a_lost_transaction_is_broadcast_again(still: EvmSite) -> None:
    with still.driver() as driver:
        for n in range(1, 4):
            driver.submit(still.gateway.statement(n))
        (tx,) = sent(still, 1)
        still.rpc("anvil_dropTransaction", "0x" + tx.hex())
        still.rpc("evm_mine")
        assert still.nonce() == 1  # nothing passes the hole
        for _ in range(3):
            looks(driver, still, 3)  # whoever is asked about: the next in line is helped
            still.rpc("evm_mine")
        assert settled(driver, still, 1, 2, 3)
        assert sent(still, 1) == [tx]
    still.demand(0, 1, 2, 3)
    assert still.nonce() == 4


def test_a_node_that_forgets_its_waiting_transactions(still: EvmSite) -> None:
    with still.driver() as driver:
        for n in range(1, 6):
            driver.submit(still.gateway.statement(n))
        still.rpc("anvil_dropAllTransactions")
        looks(driver, still, *range(1, 6))
        still.rpc("evm_mine")
        assert settled(driver, still, *range(1, 6))
    still.demand(*range(6))
    assert still.nonce() == 6


def test_a_hole_that_nobody_remembers_is_closed(still: EvmSite) -> None:
    """The transaction of batch 0 and all memory of it are lost while 1 and 2 wait behind: 1 moves into its place, is
    refused by the contract for the order, and comes again when 0 is there."""
    with still.driver() as driver:
        for n in range(1, 4):
            driver.submit(still.gateway.statement(n))
    (tx,) = sent(still, 1)
    still.rpc("anvil_dropTransaction", "0x" + tx.hex())
    still.book.forget(statement_id(still.gateway.statement(1)))
    with still.driver() as driver:
        for _ in range(12):
            for n in range(1, 4):
                with suppress(Refused):
                    driver.submit(still.gateway.statement(n))
            still.rpc("evm_mine")
        assert settled(driver, still, 1, 2, 3)
    still.demand(0, 1, 2, 3)


@pytest.mark.parametrize("noted", [True, False], ids=["after the note", "before the note"])
def test_somebody_else_uses_the_account(site: EvmSite, noted: bool) -> None:
    def stray(_: bytes = b"") -> None:
        site.book.on_keep = lambda note: None
        stranger(site)

    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
        if noted:
            site.book.on_keep = stray
        else:
            stray()
        for n in range(1, 4):
            settle(driver, site.gateway.statement(n))
    site.demand(0, 1, 2, 3)
    assert site.nonce() == 5


def stranger(site: EvmSite) -> None:
    """A transaction of the account that the driver knows nothing of."""
    address = "0x" + site.account.address.hex()
    site.rpc("anvil_impersonateAccount", address)
    tx = site.rpc("eth_sendTransaction", {"from": address, "to": address, "value": "0x0"})
    mined(site.node, bytes.fromhex(tx[2:]))
    site.rpc("anvil_stopImpersonatingAccount", address)


def test_a_strangers_transaction_waits_under_the_nonce(still: EvmSite) -> None:
    """It is not outbid while it may still be mined."""
    address = "0x" + still.account.address.hex()
    still.rpc("anvil_impersonateAccount", address)
    fees = {"maxFeePerGas": hex(10**11), "maxPriorityFeePerGas": hex(5 * 10**10)}
    still.rpc("eth_sendTransaction", {"from": address, "to": address, "value": "0x0"} | fees)
    with still.driver() as driver:
        assert driver.submit(still.gateway.statement(1)) == SUBMITTED
        still.rpc("evm_mine")
        assert looks(driver, still, 1) == {Pending(0.002)}  # under another nonce now, and in less of a hurry
        still.rpc("evm_mine")
        assert settled(driver, still, 1)
    still.demand(0, 1)
    assert still.nonce() == 3
