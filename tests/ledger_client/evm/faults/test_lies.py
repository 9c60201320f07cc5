"""A node that lies, or says nothing."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers.evm.driver import EvmLedger
from ledger_client.ledgers.evm.node import MAX_ANSWER
from ledger_client.ledgers.interface import Notebook, Pending
from tests.ledger_client.evm.evm_site import EvmSite, settle
from tests.ledger_client.evm.faults.looks import SUBMITTED, looks
from tests.ledger_client.evm.proxy import proxy


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
    with proxy(site.process.url) as between, site.driver(url=between.url, confirmations=None) as driver:
        driver.submit(site.gateway.statement(0))
        while looks(driver, site, 0) == {SUBMITTED}:
            pass
        for answered in (unknown, answer(None)):
            count = len(between.calls)

            def nothing_final(method: str, answered: bytes = answered, count: int = count) -> bytes | None:
                asked = between.calls[count:].count("eth_getBlockByNumber")
                return answered if method == "eth_getBlockByNumber" and asked == 2 else None

            between.before = nothing_final
            with pytest.raises(LedgerUnavailable, match=r"marks no block as final; set confirmations"):
                looks(driver, site, 0)


def test_a_node_that_never_answers_is_left(site: EvmSite) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with site.driver(url=url, timeout_s=0.05) as driver:
            for ask in (lambda: driver.submit(site.gateway.statement(0)), lambda: driver.last(site.gateway.name)):
                with pytest.raises(LedgerUnavailable):
                    ask()
