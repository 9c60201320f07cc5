"""A chain that goes back: blocks that are replaced, nodes that come back with less than they had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.driver import EvmLedger
from tests.ledger_client.evm.chain import chain
from tests.ledger_client.evm.evm_site import EvmSite, evm_site, settle
from tests.ledger_client.evm.faults.looks import SUBMITTED, included, looks, sent, settled


def test_a_reorganisation_takes_blocks_back_and_the_same_bytes_go_out_again(site: EvmSite) -> None:
    """Three blocks with twenty anchors are gone; what was included is submitted again, and arrives once."""
    with site.driver(confirmations=6) as driver:
        settle_included(driver, site, 0)
        site.rpc("evm_setAutomine", False)
        for n in range(1, 21):
            driver.submit(site.gateway.statement(n))
            if n % 7 == 6 or n == 20:
                site.rpc("evm_mine")
        assert included(driver, site, *range(1, 21))
        hashes = [sent(site, n) for n in range(1, 21)]
        site.rpc("anvil_reorg", 3, [])
        site.demand(0)
        assert looks(driver, site, *range(1, 21)) == {SUBMITTED}
        site.rpc("evm_mine")
        assert included(driver, site, *range(1, 21))
        site.rpc("anvil_mine", "0x6")
        assert settled(driver, site, *range(1, 21))
        assert [sent(site, n) for n in range(1, 21)] == hashes
    site.demand(*range(21))
    assert site.nonce() == 21


def test_a_reorganisation_while_the_process_is_away(site: EvmSite) -> None:
    with site.driver(confirmations=6) as driver:
        for n in range(3):
            settle_included(driver, site, n)
    site.rpc("anvil_reorg", 3, [])
    with site.driver() as driver:
        for n in range(3):
            settle(driver, site.gateway.statement(n))
    site.demand(0, 1, 2)


def settle_included(driver: EvmLedger, site: EvmSite, batch: int) -> None:
    entry = site.gateway.statement(batch)
    while not included(driver, site, batch):
        driver.submit(entry)


@pytest.mark.parametrize("remembered", [True, False])
def test_a_node_that_comes_back_with_an_older_state(tmp_path: Path, remembered: bool) -> None:
    """It has lost what it called final. The gateway sees by ``last`` what is missing, and gives it again."""
    with chain(tmp_path / "chain") as (process, node):
        site = evm_site(process, node, tmp_path)
        with site.driver() as driver:
            settle(driver, site.gateway.statement(0))
            settle(driver, site.gateway.statement(1))
        process.stop()
        older = shutil.copy(process.state, tmp_path / "older.json")
        process.start()
        with site.driver() as driver:
            for n in range(2, 6):
                settle(driver, site.gateway.statement(n))
            site.demand(*range(6))
            process.kill()
            with pytest.raises(LedgerUnavailable):
                driver.submit(site.gateway.statement(6))
            shutil.copy(older, process.state)
            process.start()
            site.demand(0, 1)
            if not remembered:
                site.book.forget()
            with pytest.raises(Refused, match="Out of order"):
                driver.submit(site.gateway.statement(6))
            assert driver.last(site.gateway.name) == (1, statement_id(site.gateway.statement(1)))
            for n in range(2, 7):
                settle(driver, site.gateway.statement(n))
        site.demand(*range(7))


def test_a_node_that_comes_back_without_the_contract(tmp_path: Path) -> None:
    with chain(tmp_path / "chain") as (process, node):
        site = evm_site(process, node, tmp_path)
        with site.driver() as driver:
            settle(driver, site.gateway.statement(0))
            process.kill()
            with pytest.raises(LedgerUnavailable):
                driver.last(site.gateway.name)
            process.start()
            with pytest.raises(Refused, match="has no contract"):
                driver.submit(site.gateway.statement(1))
