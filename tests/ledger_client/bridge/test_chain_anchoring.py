"""Killed at each station between taking statements and telling their places: one root, one transaction, every place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger_client.bridge.backlog import Backlog, BookError, Root, Taken
from ledger_client.bridge.chain_anchoring import IN_FLIGHT, Anchorage
from ledger_client.bridge.claim import Part, parse_part
from ledger_client.errors import LedgerClientError
from ledger_client.formats.statement import parse_statement, statement_id
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.driver import EvmLedger
from ledger_client.ledgers.evm.node import Node
from tests.ledger_client.evm.chain import chain
from tests.ledger_client.evm.evm_site import Crash, EvmSite, evm_site
from tests.support.brokers.bridge_site import check_shared
from tests.support.enrolled import Gateway
from tests.support.processes import Anvil

DUTY = "to nowhere"


class Doomed(Backlog):
    """A book whose process is killed at ``station``."""

    def __init__(self, path: Path, station: str) -> None:
        super().__init__(path, DUTY)
        self.station = station

    def bind(self, ids: Sequence[bytes], root: bytes) -> None:
        super().bind(ids, root)
        self._kill("bound")

    def keep(self, statement_id: bytes, note: bytes) -> None:
        super().keep(statement_id, note)
        self._kill("noted")

    def settle(self, root: Root, place: bytes) -> None:
        self._kill("mined")
        super().settle(root, place)
        self._kill("settled")

    def _kill(self, station: str) -> None:
        if station == self.station:
            raise Crash


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain")) as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node], tmp_path: Path) -> EvmSite:
    site = evm_site(*running, tmp_path)
    site.registry.send(site.registry.owner, "setBridge", site.account.address, 1)
    return site


def work(site: EvmSite, book: Backlog, answers: dict[bytes, bytes]) -> None:
    """What the process does until nothing is open."""

    def tell(taken: Taken, answer: bytes, _content_type: str) -> None:
        answers[taken.id] = answer

    with site.driver(memory=book) as driver:
        assert isinstance(driver, EvmLedger)
        anchorage = Anchorage(driver, book, tell, gather_s=0.01)
        anchorage.cut()
        while book.open_roots():
            anchorage.step()


@pytest.mark.parametrize("station", ["bound", "noted", "mined", "settled"])
def test_killed_at_a_station(station: str, site: EvmSite, tmp_path: Path) -> None:
    path, answers = tmp_path / "bridge.db", dict[bytes, bytes]()
    entries = [Gateway(f"gw-{n}").statement(0) for n in range(5)]
    doomed = Doomed(path, station)
    for entry in entries:
        assert doomed.keep_next(parse_statement(entry))
    with pytest.raises(Crash):
        work(site, doomed, answers)
    doomed.close()
    assert not answers
    book = Backlog(path, DUTY)
    late = Gateway("gw-late").statement(0)
    book.keep_next(parse_statement(late))
    work(site, book, answers)
    with site.driver(memory=book) as driver:
        anchorage = Anchorage(driver, book, lambda *_: None, gather_s=1)
        given = {entry: anchorage.answer(statement_id(entry)) for entry in [*entries, late]}
        assert anchorage.answer(bytes(32)) is None
    book.close()
    assert check_shared(site.registry, {entry: answer for entry, answer in given.items() if answer}) == [5, 1]
    assert None not in given.values()
    assert {statement_id(entry): answer for entry, answer in given.items()}.items() >= answers.items()


def test_behind_a_chain_that_stands_still_roots_grow(site: EvmSite, tmp_path: Path) -> None:
    book = Backlog(tmp_path / "bridge.db", DUTY)
    gateway = Gateway("gw-a")
    with site.driver(url="http://127.0.0.1:1", memory=book) as driver:
        anchorage = Anchorage(driver, book, lambda *_: None, gather_s=1)
        for batch in range(2 * IN_FLIGHT):
            book.keep_next(parse_statement(gateway.statement(batch)))
            anchorage.cut()
            assert anchorage.step() > 0
    assert (len(book.open_roots()), len(book.waiting())) == (IN_FLIGHT, IN_FLIGHT)
    work(site, book, {})
    work(site, book, {})
    assert [len(book.under(root)) for n in range(2 * IN_FLIGHT) if (root := book.root_of(_id(gateway, n)))] == [
        *[1] * IN_FLIGHT, *[IN_FLIGHT] * IN_FLIGHT
    ]  # fmt: skip
    book.close()


def test_an_account_without_the_role_is_told_and_its_statements_wait(
    site: EvmSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.registry.send(site.registry.owner, "setBridge", site.account.address, 0)
    book, entry = Backlog(tmp_path / "bridge.db", DUTY), Gateway("gw-a").statement(0)
    book.keep_next(parse_statement(entry))
    with site.driver(memory=book) as driver:
        anchorage = Anchorage(driver, book, lambda *_: None, gather_s=1)
        anchorage.cut()
        anchorage.step()
        anchorage.step()
    (message,) = caplog.messages
    assert "may not write roots" in message
    site.registry.send(site.registry.owner, "setBridge", site.account.address, 1)
    answers: dict[bytes, bytes] = {}
    work(site, book, answers)
    assert list(answers) == [statement_id(entry)]
    book.close()


def test_a_bridge_looks_at_its_chain_before_there_is_anything_to_anchor(
    site: EvmSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Backlog(tmp_path / "bridge.db", DUTY)
    nowhere: list[tuple[dict[str, Any], str]] = [
        ({"chain_id": 1}, "is on chain 31337, the configuration says 1"),
        ({"contract": bytes(20)}, "has no contract"),
        ({"url": "http://127.0.0.1:1"}, "Connection refused"),
        ({"account": Account(bytes(31) + b"\x01")}, "may not write roots"),
        ({}, ""),
    ]
    for wrong, words in nowhere:
        caplog.clear()
        with site.driver(memory=book, **wrong) as driver:
            anchorage = Anchorage(driver, book, lambda *_: None, gather_s=1)
            assert anchorage.step() > 0
            assert anchorage.step() > 0
        assert len(caplog.messages) == bool(words)
        assert words in "".join(caplog.messages)
    book.close()


def _id(gateway: Gateway, batch: int) -> bytes:
    return statement_id(gateway.statement(batch))


def test_what_is_written_is_on_the_disk(tmp_path: Path) -> None:
    for _ in range(2):  # made, then opened again
        book = Backlog(tmp_path / "bridge.db", DUTY)
        assert book._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert book._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        book.close()


def test_a_folder_has_one_duty(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    Backlog(path, DUTY).close()
    Backlog(path, DUTY).close()
    with pytest.raises(BookError, match="a bridge to nowhere, not to somewhere"):
        Backlog(path, "to somewhere")
    path.with_name("other.db").write_text("no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(BookError, match=r"other\.db"):
        Backlog(path.with_name("other.db"), DUTY)


def test_parts_tile_the_gateways() -> None:
    parts = [parse_part(f"{n}/3") for n in (1, 2, 3)]
    for name in range(50):
        hashed = bytes([name]) * 32
        assert sum(part.has(hashed) for part in parts) == 1
    assert not parts[0].meets(parts[1])
    assert parts[0].meets(Part(2, 2))
    for text in ("0/3", "4/3", "1", "1/x", "-1/3", "1/2/3", ""):
        with pytest.raises(LedgerClientError, match="write it as K/N"):
            parse_part(text)
