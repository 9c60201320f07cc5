"""The committer alone: an epoch begins behind what the database holds then, not what it held when opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.errors import StartAgain
from gateway.recording.committer import Committer
from gateway.recording.rules import Rules
from gateway.storage.database import Database
from tests.support.books import check_books
from tests.support.samples import site


def test_an_epoch_does_not_begin_behind_records_of_a_moment_ago(tmp_path: Path) -> None:
    """Two gateways in one folder, whose lock somebody has deleted: each chain goes on from its true end."""
    loaded = site(tmp_path / "site")
    older, newer = (
        Committer(Database(loaded.database), load_keys(loaded), Rules.of(loaded), Clock(), bytes([n] * 8))
        for n in (1, 2)
    )
    older.open()
    with pytest.raises(StartAgain, match="another process has written"):
        newer.open()
    older.store.close()
    newer.store.close()
    check_books(loaded)
