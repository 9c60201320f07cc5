"""Backups: of one moment whatever is written meanwhile, checked, never half, never over the database itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gateway.config.model import Config
from gateway.errors import DiskFull, GatewayError
from gateway.storage.capacity import disk_space
from gateway.storage.capacity.backup import backup
from gateway.storage.capacity.disk_space import Space
from gateway.storage.database import Database
from tests.support.books import check_books
from tests.support.samples import Hands, site


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_ends_though_the_gateway_commits_after_every_page(loaded: Config, tmp_path: Path) -> None:
    hands = Hands(loaded)
    hands.poll(20)
    was = hands.store.totals()
    reader = Database(loaded.database, read_only=True)
    steps: list[int] = []

    def commit(left: int, of: int) -> None:
        assert len(steps) < 2 * of, "the copy begins anew with every commit"
        steps.append(left)
        hands.poll(1)
        hands.journal.flush()

    target = tmp_path / "copy.db"
    reader.backup(target, progress=commit, step=1)
    assert steps == list(range(steps[0], -1, -1))
    assert hands.store.totals()["records"] >= was["records"] + len(steps)
    copy = Database(target, read_only=True)
    assert copy.totals() == was
    assert copy.flaws(whole=True) == []
    copy.close()
    reader.close()
    hands.end()
    check_books(loaded)


def test_a_backup_replaces_the_one_before_and_leaves_nothing_else(loaded: Config, tmp_path: Path) -> None:
    hands = Hands(loaded)
    folder = tmp_path / "backups"
    folder.mkdir()
    first = backup(loaded, folder / "b.db")
    hands.poll(10)
    hands.journal.flush()
    second = backup(loaded, folder / "b.db")
    assert first.records < second.records == hands.store.totals()["records"]
    assert (second.size, second.newest_ms) == ((folder / "b.db").stat().st_size, hands.store.records.latest_ms())
    assert names(folder) == ["b.db"]
    assert (folder / "b.db").stat().st_mode & 0o777 == 0o600
    hands.end()


def test_what_a_killed_backup_has_left_goes_a_day_later(loaded: Config, tmp_path: Path) -> None:
    Hands(loaded).end()
    ended = subprocess.run(["/bin/sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    old = [f".b.db.{ended}.new", f".b.db.{ended}.new-journal"]
    others = [f".b.db.{os.getppid()}.new", f".a.db.{ended}.new", f".b.db.x.{ended}.new", ".b.db.0.new"]
    for name in (*old, *others):
        (tmp_path / name).touch()
        if name != ".b.db.0.new":  # somebody is at work on that one, on another machine
            os.utime(tmp_path / name, (1, 1))
    backup(loaded, tmp_path / "b.db")
    assert [name for name in names(tmp_path) if name.endswith((".new", ".db", "-journal"))] == sorted([*others, "b.db"])


def test_what_cannot_be_copied_is_said_and_the_earlier_backup_stays(
    loaded: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GatewayError, match="no database yet"):
        backup(loaded, tmp_path / "b.db")
    hands = Hands(loaded)
    hands.poll(30)
    hands.journal.flush()
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "b.db").write_bytes(b"earlier")
    link = folder / "link"
    link.symlink_to(loaded.database)
    for target in (loaded.database, loaded.database.with_name("meterseal.db-wal"), link):
        with pytest.raises(GatewayError, match="own database"):
            backup(loaded, target)
    with pytest.raises(GatewayError, match="No such file"):
        backup(loaded, tmp_path / "none" / "b.db")
    with pytest.raises(GatewayError, match="is not a file"):
        backup(loaded, folder)
    with monkeypatch.context() as context:
        context.setattr(disk_space, "measure", lambda *_: Space(10**6, 10**5, 10**6))
        with pytest.raises(DiskFull, match="on another disk"):
            backup(loaded, folder / "b.db")
    page = os.sysconf("SC_PAGESIZE")
    with loaded.database.open("r+b") as file:  # page 3 and what follows is no tree any more
        hands.store.run("PRAGMA wal_checkpoint(TRUNCATE)")
        file.seek(3 * page)
        file.write(os.urandom(3 * page))
    with pytest.raises(GatewayError, match=r"not sound|malformed"):
        backup(loaded, folder / "b.db")
    assert (folder / "b.db").read_bytes() == b"earlier"
    assert names(folder) == ["b.db", "link"]
    hands.store.close()
