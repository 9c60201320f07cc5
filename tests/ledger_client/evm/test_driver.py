"""The driver on a chain that behaves: what it writes, in which states, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger_client.contracts import anchor_registry
from ledger_client.errors import LedgerUnavailable, Refused, Unsupported
from ledger_client.formats.bundle import Locator, decode_locator, encode_locator, is_locator
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.interface import Notebook, Pending
from tests.ledger_client.evm.chain import accounts, chain
from tests.ledger_client.evm.evm_site import CHAIN, EvmSite, evm_site, fresh_key, settle
from tests.support.processes import Anvil


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain"), "--slots-in-an-epoch", "1") as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node], tmp_path: Path) -> EvmSite:
    return evm_site(*running, tmp_path)


def test_a_statement_is_written_once_and_its_locator_stays(site: EvmSite) -> None:
    entry = site.gateway.statement(0)
    with site.driver() as driver:
        locator = settle(driver, entry)
        again = driver.submit(entry)
        assert isinstance(again, bytes)
        assert is_locator(again)
        assert decode_locator(again) == locator
        assert driver.lookup(statement_id(entry)) == again
    receipt = site.node.receipt(locator.tx)
    assert receipt is not None
    assert locator == Locator("consortium", CHAIN, site.registry.address, receipt.tx, receipt.block, receipt.block_hash)
    assert encode_locator(locator) == again
    site.demand(0)
    assert site.nonce() == 1


def test_submitted_then_included_then_settled(site: EvmSite) -> None:
    entry = site.gateway.statement(0)
    site.rpc("evm_setAutomine", False)
    try:
        with site.driver(confirmations=3) as driver:
            assert driver.submit(entry) == Pending(0.001, state="submitted")
            assert driver.lookup(statement_id(entry)) == Pending(0.001, state="submitted")
            for missing in (2, 1):
                site.rpc("evm_mine")
                assert driver.lookup(statement_id(entry)) == Pending(0.001 * missing, state="included")
                assert driver.submit(entry) == Pending(0.001 * missing, state="included")
            site.rpc("evm_mine")
            assert isinstance(driver.lookup(statement_id(entry)), bytes)
    finally:
        site.rpc("evm_setAutomine", True)
    site.demand(0)


def test_the_chain_says_itself_what_is_final(site: EvmSite) -> None:
    """This node calls final what lies two blocks back."""
    entry = site.gateway.statement(0)
    with site.driver(confirmations=None) as driver:
        driver.submit(entry)
        while (answer := driver.lookup(statement_id(entry))) == Pending(0.001):
            pass
        assert answer == Pending(0.002, state="included")
        site.rpc("anvil_mine", "0x2")
        settled = driver.lookup(statement_id(entry))
        assert isinstance(settled, bytes)
        finalized = site.node.block("finalized")
        assert finalized is not None
        assert decode_locator(settled).block <= finalized.number


def test_many_may_be_in_flight_and_arrive_in_order(site: EvmSite) -> None:
    entries = [site.gateway.statement(n) for n in range(1, 30)]
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
    site.rpc("evm_setAutomine", False)
    try:
        with site.driver() as driver:
            assert {driver.submit(entry) for entry in entries} == {Pending(0.001)}
            site.rpc("evm_mine")
            assert all(isinstance(driver.lookup(statement_id(entry)), bytes) for entry in entries)
    finally:
        site.rpc("evm_setAutomine", True)
    site.demand(*range(30))
    assert site.nonce() == 30


def test_none_overtakes_the_first_one(site: EvmSite) -> None:
    """An empty contract takes any number: whatever becomes of batch 0 on its way, batch 1 must not be taken for it."""
    site.rpc("evm_setAutomine", False)
    try:
        with site.driver() as driver:
            for n in range(3):
                assert driver.submit(site.gateway.statement(n)) == Pending(0.001)
            assert len(site.book.notes()) == 1
            site.rpc("evm_mine")
            for n in range(3):
                driver.submit(site.gateway.statement(n))
            assert len(site.book.notes()) == 3
            site.rpc("evm_mine")
    finally:
        site.rpc("evm_setAutomine", True)
    site.demand(0, 1, 2)


def test_none_with_resume_overtakes_those_before_it(site: EvmSite) -> None:
    resumed = site.gateway.sign(9, bytes(32), resume="disk lost")
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
        site.rpc("evm_setAutomine", False)
        try:
            driver.submit(site.gateway.statement(1))
            after = site.gateway.sign(10, statement_id(resumed))
            for _ in range(2):
                assert driver.submit(resumed) == Pending(0.001)
                assert driver.submit(after) == Pending(0.001)
            assert len(site.book.notes()) == 2
            site.rpc("evm_mine")
            for _ in range(2):
                assert driver.lookup(statement_id(resumed)) == Pending(0.001)
                assert driver.lookup(statement_id(after)) == Pending(0.001)
            site.rpc("evm_mine")
        finally:
            site.rpc("evm_setAutomine", True)
            site.rpc("evm_mine")
    assert [batch for batch, _ in site.anchors()] == [0, 1, 9, 10]


def test_threads_may_share_a_driver(site: EvmSite) -> None:
    entries = [site.gateway.statement(n) for n in range(12)]
    with site.driver() as driver:
        settle(driver, entries[0])
        for entry in entries:  # in order once, so that each may be taken; then looked at from everywhere
            driver.submit(entry)
        with ThreadPoolExecutor(4) as pool:
            assert len({locator.tx for locator in pool.map(lambda entry: settle(driver, entry), entries)}) == 12
    site.demand(*range(12))
    assert site.nonce() == 12


def test_two_workers_of_one_account_write_each_statement_once(site: EvmSite) -> None:
    """Each with a memory of its own: they take each other's nonces, and the contract keeps the order."""
    entries = [site.gateway.statement(n) for n in range(10)]
    with site.driver(memory=Notebook()) as one, site.driver(memory=Notebook()) as two, ThreadPoolExecutor(2) as pool:
        settled = list(pool.map(lambda driver: [settle(driver, entry) for entry in entries], (one, two)))
    assert settled[0] == settled[1]
    site.demand(*range(10))


def test_an_id_that_nobody_submitted_is_unknown(site: EvmSite) -> None:
    with site.driver() as driver:
        assert driver.lookup(bytes(32)) is None


def test_the_last_is_told_and_the_statements_are_not(site: EvmSite) -> None:
    with site.driver() as driver:
        assert driver.last(site.gateway.name) is None
        for n in range(3):
            settle(driver, site.gateway.statement(n))
        assert driver.last(site.gateway.name) == (2, statement_id(site.gateway.statement(2)))
        assert driver.last("nobody") is None
        with pytest.raises(Unsupported, match="not the statements"):
            driver.statements(site.gateway.name, -1)


def refusal(site: EvmSite, entry: bytes, **changes: object) -> Refused:
    """Refused now and again, by the same driver and by a fresh one, and nothing is sent."""
    before, nonce = site.anchors(), site.nonce()
    with site.driver(**changes) as driver, pytest.raises(Refused):
        driver.submit(entry)
    with site.driver(**changes) as driver:
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                driver.submit(entry)
    assert (site.anchors(), site.nonce()) == (before, nonce)
    assert ";" in caught.value.detail  # what it is; what to do
    return caught.value


def test_the_contract_keeps_numbers_and_order(site: EvmSite) -> None:
    with site.driver() as driver:
        settle(driver, site.gateway.statement(7))
        settle(driver, site.gateway.statement(8))
    assert refusal(site, site.gateway.sign(8, statement_id(site.gateway.statement(7)), mark=1)).title == (
        "Batch number taken"
    )
    assert refusal(site, site.gateway.statement(10)).title == "Out of order"
    assert refusal(site, site.gateway.sign(9, bytes(32))).title == "Out of order"
    assert refusal(site, site.gateway.statement(3)).title == "Out of order"
    resumed = site.gateway.sign(20, bytes(32), resume="disk lost")
    with site.driver() as driver:
        settle(driver, resumed)
        settle(driver, site.gateway.sign(21, statement_id(resumed)))
    assert [batch for batch, _ in site.anchors()] == [7, 8, 20, 21]


def test_what_is_no_statement_is_refused(site: EvmSite) -> None:
    with site.driver() as driver, pytest.raises(Refused, match="Malformed statement"):
        driver.submit(b"\xa0")


def test_an_account_of_no_gateway_or_of_another_one_is_refused(site: EvmSite) -> None:
    stranger = Account(fresh_key())
    assert "not registered for any gateway" in str(refusal(site, site.gateway.statement(0), account=stranger))
    site.registry.send(site.registry.owner, "register", stranger.address, "another")
    assert "another gateway than" in str(refusal(site, site.gateway.statement(0), account=stranger))


def test_a_revoked_account_is_refused_and_its_successor_goes_on(site: EvmSite) -> None:
    heir = Account(fresh_key())
    site.fund(heir.address)
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
        site.registry.send(site.registry.owner, "revoke", site.account.address)
        with pytest.raises(Refused, match=r"Unknown account.*register"):
            driver.submit(site.gateway.statement(1))
    assert refusal(site, site.gateway.statement(1)).title == "Unknown account"
    site.registry.send(site.registry.owner, "register", heir.address, site.gateway.name)
    with site.driver(account=heir) as driver:
        settle(driver, site.gateway.statement(1))
        assert isinstance(driver.submit(site.gateway.statement(0)), bytes)  # found though another account wrote it
    site.demand(0, 1)


def test_what_a_revoked_account_has_written_is_found_without_a_note(site: EvmSite) -> None:
    with site.driver() as driver:
        first = settle(driver, site.gateway.statement(0))
    site.registry.send(site.registry.owner, "revoke", site.account.address)
    site.book.forget()
    with site.driver() as driver:
        assert settle(driver, site.gateway.statement(0)) == first


def test_an_account_that_is_revoked_in_mid_flight_is_refused(site: EvmSite) -> None:
    entries = [site.gateway.statement(n) for n in range(1, 3)]
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
        site.rpc("evm_setAutomine", False)
        try:
            for entry in entries:
                driver.submit(entry)
            heir = Account(fresh_key())
            site.fund(heir.address)
            call = anchor_registry.CONTRACT.call("rotate", site.account.address, heir.address)
            asked = {"from": "0x" + site.registry.owner.hex(), "to": "0x" + site.registry.address.hex()}
            fee = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11)}  # so that it comes first
            site.rpc("eth_sendTransaction", asked | fee | {"data": "0x" + call.hex(), "gas": hex(300_000)})
            site.rpc("evm_mine")
        finally:
            site.rpc("evm_setAutomine", True)
        for entry in entries:
            with pytest.raises(Refused, match="Unknown account"):
                driver.lookup(statement_id(entry))
    with site.driver(account=heir) as driver:
        for entry in entries:
            settle(driver, entry)
    site.demand(0, 1, 2)


def test_an_account_without_money_says_so_and_goes_on_when_it_has_some(site: EvmSite) -> None:
    site.rpc("anvil_setBalance", "0x" + site.account.address.hex(), "0x0")
    with site.driver() as driver:
        with pytest.raises(Refused, match=r"No funds.*fund it"):
            driver.submit(site.gateway.statement(0))
        site.fund(site.account.address)
        settle(driver, site.gateway.statement(0))
    site.demand(0)
    assert site.nonce() == 1


def test_a_gas_limit_that_is_too_low_is_told(site: EvmSite) -> None:
    with site.driver(gas_limit=50_000) as driver:
        driver.submit(site.gateway.statement(0))
        with pytest.raises(Refused, match=r"Out of gas.*raise gas_limit"):
            settle(driver, site.gateway.statement(0))
    assert site.anchors() == []


def test_the_wrong_chain_and_the_wrong_contract_are_told(site: EvmSite) -> None:
    entry = site.gateway.statement(0)
    assert "is on chain 31337, the configuration says 1;" in str(refusal(site, entry, chain_id=1))
    assert "has no contract" in str(refusal(site, entry, contract=bytes(19) + b"\1"))
    site.rpc("anvil_setCode", "0x" + "22" * 20, "0x6001")
    assert "2 bytes of code that is not AnchorRegistry" in str(refusal(site, entry, contract=b"\x22" * 20))


def test_one_price_of_gas_where_it_is_wanted(site: EvmSite) -> None:
    with site.driver(legacy=True) as driver:
        locator = settle(driver, site.gateway.statement(0))
    assert site.rpc("eth_getTransactionByHash", "0x" + locator.tx.hex())["type"] == "0x0"
    with site.driver() as driver:
        locator = settle(driver, site.gateway.statement(1))
    assert site.rpc("eth_getTransactionByHash", "0x" + locator.tx.hex())["type"] == "0x2"
    site.demand(0, 1)


def test_a_chain_from_before_eip_1559(tmp_path: Path) -> None:
    with chain(tmp_path, "--hardfork", "istanbul", "--gas-price", "0") as (process, node):
        site = evm_site(process, node, tmp_path)
        with site.driver() as driver:
            for n in range(3):
                settle(driver, site.gateway.statement(n))
        site.demand(0, 1, 2)


def test_a_bridge_writes_a_shared_root(site: EvmSite) -> None:
    bridge = Account(fresh_key())
    site.fund(bridge.address)
    root = b"\x07" * 32
    with site.driver(account=bridge, memory=Notebook()) as driver:
        with pytest.raises(Refused, match="Unknown account"):
            driver.submit_root(root, 100)
        site.registry.send(site.registry.owner, "setBridge", bridge.address, 1)
        while isinstance(answer := driver.lookup(root) or driver.submit_root(root, 100), Pending):
            pass
        with pytest.raises(Refused, match="Root taken"):
            driver.submit_root(root, 99)
    with site.driver(account=bridge, memory=Notebook()) as driver:  # which knows nothing of it
        assert driver.submit_root(root, 100) == answer
    assert len(site.registry.anchors()) == 1


def test_a_node_that_is_away_is_no_refusal(site: EvmSite) -> None:
    with site.driver(url="http://127.0.0.1:1") as driver, pytest.raises(LedgerUnavailable):
        driver.submit(site.gateway.statement(0))
    assert accounts(site.node)
