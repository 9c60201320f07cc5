"""What holds of a log in SQLite, held against one in PostgreSQL: order, claims and their replay, backups."""

# ruff: noqa: F811  the fixtures of others, and their tests on those of this file

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client.claims.claim import Transfer
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.ledger.backup import backup
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import LedgerDir, open_dir
from ledger_client.transparency.ledger.rotate import rotate
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.ledger.view import LogView
from tests.ledger_client.certificates.test_replay import (  # noqa: F401
    begun,
    replayed,
    test_a_ledger_that_admits_a_double_is_named,
    test_a_sound_log_gives_the_ledgers_state,
    test_a_year_takes_the_place_of_its_months,
    test_balances_that_overlap_are_named_and_refused_by_the_log_itself,
)
from tests.ledger_client.transparency.test_cosigning import check_places
from tests.ledger_client.transparency.test_order import (  # noqa: F401
    NOW,
    Take,
    gateway,
    test_a_first_statement_begins_anywhere_and_is_whole,
    test_a_number_is_left_out_only_under_resume,
    test_a_number_is_registered_once,
    test_a_refusal_says_what_is_held,
    test_an_epoch_begins_with_number_0_for_each_meter,
    test_numbers_beyond_the_table_are_malformed,
    test_time_goes_on_from_batch_to_batch,
)
from tests.support.certificates.claimed import Party, issue
from tests.support.enrolled import Gateway, policy_with
from tests.support.stored_log import Stored

if TYPE_CHECKING:
    from tests.support.brokers.postgres import Database


@pytest.fixture
def folder(postgres: Database, tmp_path: Path) -> Iterator[LedgerDir]:
    with closing(open_dir(Stored(tmp_path / "ledger", postgres).make("reg"), None)) as made:
        yield made


@pytest.fixture
def take(folder: LedgerDir, gateway: Gateway) -> Take:
    return Service(folder, policy_with(folder, [gateway]), now=lambda: NOW).submit


def test_its_checkpoint_is_signed_and_has_the_place_of_each_entry(
    folder: LedgerDir, take: Take, gateway: Gateway
) -> None:
    for number in range(3):
        take(gateway.statement(number))
    entry = gateway.statement(1)
    check_places(LogView(folder), statement_id(entry), entry)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET entry = '' WHERE number = 1",
        "DELETE FROM entries WHERE number = 1",
        "TRUNCATE entries",
        "UPDATE nodes SET hash = '' WHERE level = 0",
        "DELETE FROM nodes",
        "DELETE FROM ranges",
    ],
)
def test_the_database_itself_refuses_to_change_what_it_holds(
    folder: LedgerDir,
    take: Take,
    gateway: Gateway,
    postgres: Database,
    statement: str,
) -> None:
    import psycopg

    take(gateway.statement(0))
    with pytest.raises(psycopg.errors.RaiseException):
        postgres.run(f"SET search_path = meterseal_ledger; {statement}")


def test_a_backup_is_a_log_that_a_ledger_serves_from_its_folder(folder: LedgerDir, tmp_path: Path) -> None:
    """All of the way: other keys, claims and statements, the copy beside key and head, the next entries in SQLite."""
    gateway, issuer, a = Gateway("gw"), Party("issuer-1", "issuer", "reg"), Party("a", "party", "reg")
    policy_with(folder, [gateway])
    service = begun(folder, issuer, a)
    rotate(folder.path)
    made = issue("a")
    entries = [gateway.statement(0), issuer.sign(made), gateway.statement(1)]
    receipts = [service.submit(entry)[1] for entry in entries]
    copied = backup(folder.path, tmp_path / "copy.db")
    assert backup(folder.path, tmp_path / "copy.db") == copied
    with folder.log.read() as log:
        assert (copied.size, copied.root) == (log.size(), log.root())
    folder.close()

    (folder.path / "log.toml").unlink()
    shutil.copy(tmp_path / "copy.db", folder.path / "log.db")
    with closing(open_dir(folder.path, None)) as served:
        service = Service(served, CommittedPolicy.begun(served))
        assert [service.submit(entry)[1] for entry in entries] == receipts
        service.submit(gateway.statement(2))
        service.submit(a.sign(Transfer(issuer.cert(made), (0, 5), "a")))
        assert replayed(served).faults == []
