"""Backups of a ledger that serves, and what putting one back brings."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ledger_client.formats import cbor
from ledger_client.formats.consistency import check_consistency, parse_consistency
from ledger_client.formats.cose_key import load_private_key
from ledger_client.formats.log_head import LogHead, check_head
from ledger_client.transparency.ledger.backup import BackupError, backup
from ledger_client.transparency.log.log import Log
from tests.ledger_client.transparency.test_cli import complaint, run
from tests.support.brokers.mqtt_client import COSE, ask
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, persist, site

_numbers = count(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("backup")) as running:
        yield running


@pytest.fixture
def gateway(demo: Site) -> Gateway:
    return demo.enroll(Gateway(f"gw-{next(_numbers)}"))


def submit(demo: Site, gateway: Gateway, batches: range) -> list[bytes]:
    with demo.driver("http") as driver:
        return [persist(driver, gateway.statement(batch)) for batch in batches]


def head(demo: Site) -> LogHead:
    key = load_private_key(demo.ledger.folder / "key.pem").public
    return check_head(ask(demo, "GET", "/log/head").body, demo.ledger.name, key)


def put_back(demo: Site, copy: Path, *, lost: bool = False) -> None:
    """As docs/ledger.md says; ``lost``: it is an older one, and its operator means it."""
    demo.ledger.stop()
    folder = demo.ledger.folder
    shutil.copy(copy, folder / "log.db")
    for name in ("log.db-wal", "log.db-shm", *(["head"] if lost else [])):
        (folder / name).unlink(missing_ok=True)
    demo.ledger.start()


def test_a_backup_of_a_ledger_under_load_is_of_one_moment(demo: Site, tmp_path: Path) -> None:
    gateways = [demo.enroll(Gateway(f"gw-{next(_numbers)}")) for _ in range(4)]
    stop = threading.Event()

    def load(gateway: Gateway) -> int:
        with demo.driver("http") as driver:
            for batch in count():
                persist(driver, gateway.statement(batch))
                if stop.is_set():
                    return batch
        raise AssertionError

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(load, gateway) for gateway in gateways]
        try:
            copies = [backup(demo.ledger.folder, tmp_path / f"{number}.db") for number in range(5)]
        finally:
            stop.set()
        last = [done.result() for done in runs]
    sizes = [copied.size for copied in copies]
    assert sizes == sorted(sizes)
    assert sizes[0] < head(demo).size
    for gateway, batch in zip(gateways, last, strict=True):
        assert demo.held(gateway) == list(range(batch + 1))
    key = load_private_key(demo.ledger.folder / "key.pem").public
    for copied in copies:
        receipt = parse_consistency(ask(demo, "GET", f"/log/consistency?from={copied.size}").body)
        assert check_consistency(receipt, copied.root, key) == head(demo).root
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number}.db" for number in range(5)]


def test_a_backup_that_is_as_new_as_the_log_loses_nothing(demo: Site, gateway: Gateway, tmp_path: Path) -> None:
    receipts = submit(demo, gateway, range(3))
    printed = run("backup", demo.ledger.folder, "-o", tmp_path / "copy.db").out
    assert f"{head(demo).size} entries of ledger demo-ledger, root {head(demo).root.hex()}" in printed
    assert "key.pem" in printed
    put_back(demo, tmp_path / "copy.db")
    assert submit(demo, gateway, range(5))[:3] == receipts
    assert demo.held(gateway) == list(range(5))


def test_gateways_give_again_what_an_older_backup_lost(demo: Site, gateway: Gateway, tmp_path: Path) -> None:
    receipts = submit(demo, gateway, range(2))
    backup(demo.ledger.folder, tmp_path / "copy.db")
    submit(demo, gateway, range(2, 5))
    put_back(demo, tmp_path / "copy.db", lost=True)
    assert cbor.decode(ask(demo, "GET", f"/gateways/{gateway.name}/last").body)["batch"] == 1
    assert submit(demo, gateway, range(5))[:2] == receipts
    assert demo.held(gateway) == list(range(5))


def test_with_a_mirror_an_older_backup_becomes_the_same_log_again(demo: Site, gateway: Gateway, tmp_path: Path) -> None:
    other = demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    submit(demo, gateway, range(2))
    copied = backup(demo.ledger.folder, tmp_path / "copy.db")
    for batch in range(3):
        submit(demo, other, range(batch + 1))
        submit(demo, gateway, range(batch + 3))
    lost = head(demo)
    mirrored = cbor.decode(ask(demo, "GET", f"/log/entries?from={copied.size}").body)
    put_back(demo, tmp_path / "copy.db", lost=True)
    for number, entry in mirrored:
        assert head(demo).size == number
        assert ask(demo, "POST", "/entries", entry, COSE).status == 201
    assert (head(demo).size, head(demo).root) == (lost.size, lost.root)


def test_an_older_backup_is_replaced_and_nothing_else(demo: Site, gateway: Gateway, tmp_path: Path) -> None:
    folder, copy = demo.ledger.folder, tmp_path / "copy.db"
    older = backup(folder, copy)
    submit(demo, gateway, range(2))
    assert backup(folder, copy).size == older.size + 2
    assert backup(folder, copy).size == older.size + 2
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]
    for what in (b"", b"a diary" * 1000):
        (tmp_path / "other").write_bytes(what)
        with pytest.raises(BackupError, match="there is another file"):
            backup(folder, tmp_path / "other")
        assert (tmp_path / "other").read_bytes() == what
    newer = tmp_path / "newer.db"
    shutil.copy(copy, newer)
    with closing(Log.open(newer)) as log, log.write() as writing:
        for number in range(5):
            writing.append(b"entry %d" % number, None)
    assert "no older state" in complaint("backup", folder, "-o", newer)
    assert "check that its folder exists" in complaint("backup", folder, "-o", tmp_path / "missing" / "copy.db")
    assert "no ledger here" in complaint("backup", tmp_path, "-o", tmp_path / "x.db")


def test_a_damaged_log_makes_no_backup(demo: Site, gateway: Gateway, tmp_path: Path) -> None:
    submit(demo, gateway, range(2))
    backup(demo.ledger.folder, tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as db:
        db.execute("DROP TRIGGER entries_never_change")
        db.execute("UPDATE entries SET entry = zeroblob(9) WHERE number = 1")
        db.commit()
    with pytest.raises(BackupError, match="damaged"):
        backup(tmp_path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
