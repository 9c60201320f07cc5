"""The head of a ledger's folder: what lost entries that the ledger has signed for signs nothing, nor what has grown
again since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client.errors import LedgerUnavailable
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import open_dir, open_log
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.ledger.show import facts, log_state
from ledger_client.transparency.log.head_file import Head, HeadFile
from ledger_client.transparency.log.log import LogBehind
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import CheckedLog
from tests.support.stored_log import STORES, Stored, queries

if TYPE_CHECKING:
    from tests.support.brokers.postgres import Database


def head(size: int) -> Head:
    return Head(size, bytes([size % 256]) * 32)


@pytest.fixture
def file(tmp_path: Path) -> HeadFile:
    made = HeadFile(tmp_path / "head")
    assert made.read() is None
    made.begin(head(1))
    return made


def test_a_head_goes_forward_only_whoever_writes_it(file: HeadFile) -> None:
    other = HeadFile(file.path)
    for size, newest in ((2, 2), (5, 5), (4, 5), (9, 9), (9, 9), (10, 10)):
        file.advance(head(size))
        assert other.read() == head(newest)
    other.advance(head(11))
    file.advance(head(10))
    assert file.read() == HeadFile(file.path).read() == head(11)


def test_a_slot_that_a_power_cut_spoiled_leaves_the_head_before(file: HeadFile) -> None:
    for size in range(2, 6):
        file.advance(head(size))
        whole = file.path.read_bytes()
        newest = 0 if head(size).root.hex().encode() in whole[:128] else 4096
        for cut in (newest, newest + 20, newest + 100):
            file.path.write_bytes(whole[:cut] + b"\0" * 28 + whole[cut + 28 :])
            assert file.read() == head(size - 1)
            file.advance(head(size))
            assert file.read() == head(size)
            file.path.write_bytes(whole)


def test_a_head_of_which_no_line_is_whole_is_named(file: HeadFile) -> None:
    for data in (b"", b"x" * 5000):
        file.path.write_bytes(data)
        for use in (file.read, lambda: file.advance(head(7))):
            with pytest.raises(LedgerUnavailable, match=r"head: damaged"):
                use()


def test_what_the_disk_did_not_confirm_is_written_once_more(file: HeadFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the page cache shows what is not on the disk."""
    synced: list[int] = []

    def refuses(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuses)
    with pytest.raises(LedgerUnavailable, match="Input/output error"):
        file.advance(head(2))
    monkeypatch.setattr(os, "fdatasync", synced.append)
    file.advance(head(2))
    assert len(synced) == 1
    file.advance(head(2))
    assert len(synced) == 1


# — a log and its head —


def grow(folder: Path, gateway: Gateway, batches: range) -> list[bytes]:
    """Statements of a gateway; their receipts."""
    with closing(open_dir(folder, None)) as opened:
        ledger = Service(opened, CommittedPolicy.begun(opened))
        return [ledger.submit(gateway.statement(batch))[1] for batch in batches]


@pytest.fixture(scope="module")
def gateways() -> list[Gateway]:
    return [Gateway("one"), Gateway("two")]


@pytest.fixture(params=STORES)
def stored(request: pytest.FixtureRequest, tmp_path: Path, gateways: list[Gateway]) -> Iterator[Stored]:
    """A ledger whose gateways are enrolled."""
    database: Database | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with closing(Stored(tmp_path / "ledger", database)) as made:
        with closing(open_dir(made.make("demo"), None)) as opened:
            policy_with(opened, gateways)
        yield made


def grow_without_its_head(folder: Path, gateway: Gateway, batches: range) -> None:
    """As a ledger would that looked at its log alone."""
    kept = (folder / "head").read_bytes()
    (folder / "head").unlink()
    grow(folder, gateway, batches)
    (folder / "head").write_bytes(kept)


def test_a_log_that_lost_entries_is_not_served_whatever_its_size(stored: Stored, gateways: list[Gateway]) -> None:
    folder = stored.folder
    grow(folder, gateways[0], range(3))
    older = stored.keep()
    grow(folder, gateways[0], range(3, 6))
    newest = stored.keep()
    for grown in (0, 2, 3, 5):
        stored.put_back(older)
        grow_without_its_head(folder, gateways[1], range(grown))
        for use in (open_log, facts, log_state, lambda folder: open_dir(folder, None)):
            with pytest.raises(LogBehind) as caught:
                use(folder)
            assert caught.value.problem.startswith("log-behind: ")
            assert "docs/ledger.md" in caught.value.way_out
    stored.put_back(newest)
    grow(folder, gateways[0], range(6, 8))
    assert CheckedLog(folder).check() == {"one": list(range(8))}


def test_an_operator_may_take_the_log_as_it_is(stored: Stored, gateways: list[Gateway]) -> None:
    older = stored.keep()
    grow(stored.folder, gateways[0], range(3))
    stored.put_back(older)
    (stored.folder / "head").unlink()
    grow(stored.folder, gateways[0], range(6))
    assert CheckedLog(stored.folder).check() == {"one": list(range(6))}


def _refuses(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_receipt_leaves_only_when_the_head_says_so(
    stored: Stored, gateways: list[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, folder = gateways[0].statement(0), stored.folder
    asked = statement_id(entry)
    with closing(open_dir(folder, None)) as opened:
        service = Service(opened, CommittedPolicy.begun(opened))
        before = HeadFile(folder / "head").read()
        monkeypatch.setattr(os, "pwrite", _refuses)
        with pytest.raises(LedgerUnavailable, match="No space"):
            service.submit(entry)
        with queries(folder) as found:
            (newest,) = found("SELECT gateway FROM entries ORDER BY number DESC LIMIT 1")
        assert newest == ("one",)  # it is in the log
        for ask in (lambda: service.submit(entry), lambda: service.receipt(asked), lambda: service.keys):
            with pytest.raises(LedgerUnavailable):
                ask()
        assert HeadFile(folder / "head").read() == before
        monkeypatch.undo()
        assert service.submit(entry)[1] == service.receipt(asked)
        with opened.log.read() as log:
            assert HeadFile(folder / "head").read() == Head(log.size(), log.root())
