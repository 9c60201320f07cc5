"""Crashes, a chain that goes back, transactions that do not move, a node that lies: nothing twice, nothing missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ledger_client import cbor
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers import Notebook, Pending
from ledger_client.ledgers.evm import EvmLedger
from ledger_client.ledgers.evm_finality import Finality
from ledger_client.ledgers.evm_node import MAX_ANSWER, Node
from ledger_client.statement import statement_id
from tests.evm.chain import chain, mined
from tests.evm.proxy import proxy
from tests.evm.site import Book, Crash, EvmSite, evm_site, settle
from tests.processes import Anvil

SUBMITTED = Pending(0.001)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain")) as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node], tmp_path: Path) -> Iterator[EvmSite]:
    site = evm_site(*running, tmp_path)
    yield site
    site.rpc("anvil_dropAllTransactions")
    site.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    site.rpc("evm_mine")
    site.rpc("evm_setAutomine", True)


@pytest.fixture
def still(site: EvmSite) -> EvmSite:
    """The same with batch 0 on the chain, which makes a block only when it is told to."""
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
    site.book.forget()
    site.rpc("evm_setAutomine", False)
    return site


def sent(site: EvmSite, batch: int) -> list[bytes]:
    """The hashes of what was signed for a statement, as the memory has them."""
    note = site.book.recall(statement_id(site.gateway.statement(batch)))
    assert note is not None
    return [version[1] for version in cbor.decode(note)["sent"]]


def included(driver: EvmLedger, site: EvmSite, *batches: int) -> bool:
    answers = looks(driver, site, *batches)
    return all(isinstance(answer, Pending) and answer.state == "included" for answer in answers)


def looks(driver: EvmLedger, site: EvmSite, *batches: int) -> set[bytes | Pending | None]:
    return {driver.lookup(statement_id(site.gateway.statement(batch))) for batch in batches}


def settled(driver: EvmLedger, site: EvmSite, *batches: int) -> bool:
    return all(isinstance(answer, bytes) for answer in looks(driver, site, *batches))


# Crashes


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


# A chain that goes back


def test_a_reorganisation_takes_blocks_back_and_the_same_bytes_go_out_again(site: EvmSite) -> None:
    """Three blocks with twenty anchors are gone; what was included is submitted again, and arrives once."""
    deep = Finality(6)
    with site.driver(finality=deep) as driver:
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
    with site.driver(finality=Finality(6)) as driver:
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
            with pytest.raises(Refused, match="holds no contract"):
                driver.submit(site.gateway.statement(1))


# Transactions that do not move


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


# A node that lies


def answer(result: object = None, **more: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result} | more).encode()


GARBAGE = {
    "silence": b"",
    "text": b"<html>busy</html>",
    "no object": b"[]",
    "nothing in it": b"{}",
    "another id": answer("0x1", id=2),
    "null": answer(None),
    "a number": answer(17),
    "no number": answer("0xzz"),
    "odd digits": answer("0x123"),
    "negative": answer("-0x1"),
    "a huge number": answer("0x1" + "0" * 70),
    "a long number": b'{"jsonrpc":"2.0","id":1,"result":' + b"9" * 5000 + b"}",
    "wrong shape": answer({"number": "0x1"}),
    "list": answer([1, {}]),
    "deep": b"[" * 100_000,
    "not utf-8": b'{"result":"\xff"}',
    "busy": b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}',
    "odd error": b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":7,"data":{"data":"0xqq"}}}',
    "error text": b'{"jsonrpc":"2.0","id":1,"error":"no"}',
    "huge": b'{"jsonrpc":"2.0","id":1,"result":"' + b"0" * MAX_ANSWER + b'"}',
}


@pytest.mark.parametrize("junk", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_in_any_place_settles_nothing_and_loses_nothing(site: EvmSite, junk: bytes) -> None:
    """Every call of a statement's way is answered so once, before the node sees it and after."""
    with proxy(site.process.url) as between, site.driver(url=between.url) as driver:
        settle(driver, site.gateway.statement(0))
        ways = sorted(set(between.calls))
        assert "eth_sendRawTransaction" in ways
        for number, (method, kept) in enumerate([(m, kept) for m in ways for kept in (False, True)], 1):
            spoilt = [method]

            def fault(asked: str, spoilt: list[str] = spoilt) -> bytes | None:
                return junk if asked in spoilt and (spoilt.remove(asked) or True) else None  # type: ignore[func-returns-value]

            between.before, between.after = (lambda asked: None, fault) if kept else (fault, lambda asked: None)
            settle_in_spite(driver, site.gateway.statement(number))
        between.before = between.after = lambda asked: None
    site.demand(*range(number + 1))


def settle_in_spite(driver: EvmLedger, entry: bytes) -> None:
    """As a gateway does: what is unavailable, or seems to refuse for no reason of its own, is tried again."""
    for _ in range(100):
        with suppress(LedgerUnavailable, Refused):
            settle(driver, entry)
            return
    raise AssertionError("not settled")


def test_a_block_that_was_replaced_between_two_questions_settles_nothing(site: EvmSite) -> None:
    """The event is in a block that the chain has no more when it is asked about it."""
    entry, another = site.gateway.statement(0), answer({"number": "0x1", "hash": "0x" + 64 * "1", "timestamp": "0x1"})
    with site.driver() as driver:
        settle(driver, entry)
    with proxy(site.process.url) as between, site.driver(url=between.url, memory=Notebook()) as driver:
        asked = "eth_getBlockByNumber"
        between.before = lambda method: another if method == asked and between.calls.count(asked) == 1 else None
        assert isinstance(driver.submit(entry), Pending)
        assert isinstance(driver.submit(entry), bytes)
    site.demand(0)


def test_a_chain_that_calls_nothing_final_is_told(site: EvmSite) -> None:
    """Besu's consortium protocols know no finalized block and say so by an error."""
    unknown = b'{"jsonrpc":"2.0","id":1,"error":{"code":-39001,"message":"Unknown block"}}'
    with proxy(site.process.url) as between, site.driver(url=between.url, finality=Finality()) as driver:
        driver.submit(site.gateway.statement(0))
        while looks(driver, site, 0) == {SUBMITTED}:
            pass
        for answered in (unknown, answer(None)):
            count = len(between.calls)

            def nothing_final(method: str, answered: bytes = answered, count: int = count) -> bytes | None:
                asked = between.calls[count:].count("eth_getBlockByNumber")
                return answered if method == "eth_getBlockByNumber" and asked == 2 else None

            between.before = nothing_final
            with pytest.raises(LedgerUnavailable, match=r"calls no block final; say after how many blocks one is"):
                looks(driver, site, 0)


def test_a_node_that_never_answers_is_left(site: EvmSite) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with site.driver(url=url, timeout_s=0.05) as driver:
            for ask in (lambda: driver.submit(site.gateway.statement(0)), lambda: driver.last(site.gateway.name)):
                with pytest.raises(LedgerUnavailable):
                    ask()
