"""Mirrors and auditors: the whole log page by page, heads that it must give, proofs that it only grew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from ledger_client.formats import cbor
from ledger_client.formats.consistency import check_consistency, parse_consistency
from ledger_client.formats.cose_key import PublicKey, load_private_key
from ledger_client.formats.log_head import LogHead, check_head, parse_head
from ledger_client.formats.merkle import Tree, leaf_hash, root_from_path
from ledger_client.formats.receipt import parse_receipt
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.view import MAX_ENTRIES, LogView
from ledger_client.transport.wire import MAX_ENTRY, MAX_PAGE
from tests.support.brokers.mqtt_client import ask
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import Site, persist, site

_numbers = count(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("mirror")) as running:
        yield running


def add(demo: Site, statements: int) -> list[tuple[bytes, bytes]]:
    """(entry, receipt) of so many statements of a new gateway."""
    gateway = demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    with demo.driver("http") as driver:
        entries = [gateway.statement(batch) for batch in range(statements)]
        return [(entry, persist(driver, entry)) for entry in entries]


class Mirror:
    """Somebody who keeps a copy of a ledger's log and knows nothing but its key."""

    def __init__(self, demo: Site) -> None:
        self.demo = demo
        self.key: PublicKey = load_private_key(demo.ledger.folder / "key.pem").public
        self.entries: list[bytes] = []

    def fetch(self, limit: int) -> int:
        """Take the next page; returns how many entries it had."""
        answer = ask(self.demo, "GET", f"/log/entries?from={len(self.entries)}&limit={limit}")
        assert (answer.status, answer.kind) == (200, "application/cbor")
        assert len(answer.body) <= MAX_PAGE
        page = cbor.decode(answer.body)
        assert [number for number, _ in page] == list(range(len(self.entries), len(self.entries) + len(page)))
        assert len(page) <= limit
        self.entries += [entry for _, entry in page]
        return len(page)

    def head(self) -> LogHead:
        answer = ask(self.demo, "GET", "/log/head")
        assert (answer.status, answer.kind) == (200, "application/cose")
        return check_head(answer.body, "demo-ledger", self.key)

    def root(self, size: int) -> bytes:
        return Tree([leaf_hash(entry) for entry in self.entries[:size]]).root


def test_a_mirror_rebuilds_the_tree_that_the_head_signs(demo: Site) -> None:
    given = add(demo, 20)
    mirror = Mirror(demo)
    while mirror.fetch(7):
        pass
    head = mirror.head()
    assert (head.size, head.root) == (len(mirror.entries), mirror.root(head.size))
    assert {entry for entry, _ in given} <= set(mirror.entries)


def test_every_older_head_is_continued(demo: Site) -> None:
    mirror = Mirror(demo)
    add(demo, 2)
    older = mirror.head()
    add(demo, 9)
    while mirror.fetch(MAX_ENTRIES):
        pass
    newer = mirror.head()
    for query in (f"from={older.size}", f"from={older.size}&to={newer.size}"):
        answer = ask(demo, "GET", f"/log/consistency?{query}")
        assert (answer.status, answer.kind) == (200, "application/cose")
        receipt = parse_consistency(answer.body)
        assert (receipt.envelope.ledger, receipt.first, receipt.second) == ("demo-ledger", older.size, newer.size)
        assert check_consistency(receipt, older.root, mirror.key) == newer.root
    for first in range(1, newer.size):
        receipt = parse_consistency(ask(demo, "GET", f"/log/consistency?from={first}").body)
        assert check_consistency(receipt, mirror.root(first), mirror.key) == newer.root
    nothing_new = ask(demo, "GET", f"/log/consistency?from={newer.size}")
    assert (nothing_new.status, nothing_new.title) == (400, "Malformed request")


def test_a_receipt_is_continued_by_the_head(demo: Site) -> None:
    ((entry, data),) = add(demo, 1)
    add(demo, 3)
    mirror = Mirror(demo)
    receipt = parse_receipt(data)
    root = root_from_path(leaf_hash(entry), receipt.size, receipt.index, receipt.path)
    consistency = parse_consistency(ask(demo, "GET", f"/log/consistency?from={receipt.size}").body)
    assert check_consistency(consistency, root, mirror.key) == mirror.head().root


def test_a_head_stays_the_same_while_nothing_is_added(demo: Site) -> None:
    add(demo, 1)
    first = ask(demo, "GET", "/log/head").body
    assert ask(demo, "GET", "/log/head").body == first
    add(demo, 1)
    assert ask(demo, "GET", "/log/head").body != first
    assert parse_head(first).id == sha256(first).digest()  # what can be anchored elsewhere


def test_a_page_has_a_bound(demo: Site) -> None:
    add(demo, 3)
    mirror = Mirror(demo)
    assert mirror.fetch(1) == 1
    assert mirror.fetch(2) == 2
    size = mirror.head().size
    assert cbor.decode(ask(demo, "GET", f"/log/entries?from={size}").body) == []
    assert ask(demo, "GET", f"/log/entries?limit={10 * MAX_ENTRIES}").status == 200


def test_large_entries_make_more_pages(tmp_path: Path) -> None:
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        with folder.log.write() as log:
            for number in range(10):
                log.append(bytes([number]) * MAX_ENTRY, None)
        view, numbers = LogView(folder), [0]
        while page := view.entries(numbers[-1], MAX_ENTRIES):
            assert len(cbor.encode([list(entry) for entry in page])) <= MAX_PAGE
            numbers += [number for number, _ in page] + [page[-1][0] + 1]
        assert sorted(set(numbers)) == list(range(12))


def test_what_is_asked_twice_of_one_state_of_the_log_is_signed_once(tmp_path: Path) -> None:
    now = 2_000_000_000.0
    with closing(open_dir(tmp_path / "ledger", "demo-ledger")) as folder:
        policy_with(folder, [Gateway("gw")])
        view = LogView(folder, lambda: now)

        def answers() -> list[bytes | None]:
            return [view.head(), view.consistency(1, 2), view.keys("gateway/gw", -1)]

        first = answers()
        assert None not in first
        now += 59
        assert answers() == first
        now += 2  # heads and counts are to be of now
        again = answers()
        assert again[1] == first[1]
        assert again[0] != first[0]
        assert again[2] != first[2]
