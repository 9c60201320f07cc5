"""Histories of backups put back, drawn from a seed: whatever the ledger can tell, the gateway goes on by itself.

But for a copy that holds a sealed batch which no ledger was given yet, under a number that is taken by now: where the
ledger can be asked that is what a clone looks like, and the gateway stops (docs/storage.md).
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from gateway.config.model import Config
from ledger_client.formats.statement import parse_statement
from tests.support.books import check_books, check_each_record_is_sealed_once
from tests.support.taken import check_taken
from tests.system.older.lives import Ledger, Life, anchored, saved

LIVES = 7


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tells", ["all", "last", "nothing"])
def test_what_was_put_back_goes_on_and_nothing_is_sealed_twice(
    loaded: Config, ledger: Ledger, tmp_path: Path, tells: str, seed: int
) -> None:
    ledger.tells_last, ledger.tells_statements = tells != "nothing", tells == "all"
    chance, backups = random.Random(seed), list[Path]()
    for _ in range(LIVES):
        if backups and chance.random() < 0.5:
            shutil.copy(chance.choice(backups), loaded.database)
        life = Life(loaded, ledger)
        for _ in range(chance.randrange(3)):  # before the ledger was asked
            life.record(chance.randrange(1, 4), cut=chance.random() < 0.7)
        if chance.random() < 0.8:
            for _ in range(chance.randrange(1, 4)):
                life.record(chance.randrange(1, 4))
                life.until(anchored)
        life.record(chance.randrange(3), cut=chance.random() < 0.3)
        life.stop()
        if chance.random() < 0.5:
            backups.append(saved(loaded, tmp_path))
    life = Life(loaded, ledger)
    life.record(2)
    life.until(anchored)
    life.stop()
    check_books(loaded)
    taken = ledger.signed_statements()
    check_each_record_is_sealed_once(loaded, [signed.entry for signed in taken])
    assert [signed.statement.batch for signed in taken] == sorted({signed.statement.batch for signed in taken})
    check_taken([parse_statement(signed.entry) for signed in taken])
