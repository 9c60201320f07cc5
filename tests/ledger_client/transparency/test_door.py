"""A ledger with its log in PostgreSQL: one folder, one process that appends, and whatever happens to the server."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from psycopg import sql

from ledger_client.errors import LedgerClientError, LedgerUnavailable
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import make_dir, open_dir, open_log
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.held_key import LedgerDirError
from ledger_client.transparency.ledger.log_address import ADDRESS
from ledger_client.transparency.ledger.rotate import rotate
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.log import postgresql, postgresql_connection
from ledger_client.transparency.log.log import LogBehind
from ledger_client.transparency.log.store import LogError
from tests.contract.faults import Faults
from tests.contract.wire import Wire
from tests.support.brokers.full_disk import limited_cluster
from tests.support.brokers.postgres import Database, database
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import CheckedLog, again_while_unavailable, until
from tests.support.stored_log import Stored

GATEWAY = Gateway("gw")


@pytest.fixture
def stored(postgres: Database, tmp_path: Path) -> Iterator[Stored]:
    with closing(Stored(tmp_path / "ledger", postgres)) as made:
        with closing(open_dir(made.make("demo"), None)) as opened:
            policy_with(opened, [GATEWAY])
        yield made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_PAUSE_S", 0.0)


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    with closing(open_dir(folder, None)) as opened:
        yield Service(opened, CommittedPolicy.begun(opened))


def of(stored: Stored) -> Database:
    assert stored.database is not None
    return stored.database


def cut(database: Database) -> None:
    """End every session of the database."""
    database.cluster.admin(
        sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(database.name)
    )


# — one door —


def test_another_ledgers_folder_is_refused(stored: Stored, tmp_path: Path) -> None:
    with pytest.raises(LogError, match="another ledger's folder"):
        Stored(tmp_path / "other", stored.database).make("demo")
    address = stored.folder / ADDRESS
    address.write_text(address.read_text().replace('folder = "', 'folder = "00')[:-4] + '"\n')
    for use in (lambda: open_dir(stored.folder, None), lambda: open_log(stored.folder)):
        with pytest.raises(LogError, match="another ledger's folder"):
            use()


def test_a_first_start_that_failed_goes_on_with_what_it_is_given_next(postgres: Database, tmp_path: Path) -> None:
    folder, wrong = tmp_path / "ledger", tmp_path / "wrong"
    wrong.write_text("guess")
    wrong.chmod(0o600)
    right = str(postgres.password_file)
    for url, password in (
        (postgres.url, None),
        (postgres.url, str(wrong)),
        (postgres.url.replace("meterseal_", "none_"), right),
        (postgres.url.replace("meterseal@", "meterseal:guess@"), right),
        ("mysql://localhost/x", right),
    ):
        with pytest.raises(LogError):
            make_dir(folder, "demo", url, password)
    assert make_dir(folder, "demo", postgres.url, right) == "demo"
    with pytest.raises(LedgerDirError):
        make_dir(folder, "demo", postgres.url, right)
    with closing(open_dir(folder, "demo")) as opened:
        Service(opened, policy_with(opened, [GATEWAY])).submit(GATEWAY.statement(0))
    (folder / ADDRESS).unlink()
    with pytest.raises(LedgerDirError):  # a key without its log
        make_dir(folder, "demo", postgres.url, right)


def test_a_copy_of_the_folder_neither_serves_nor_writes_beside_it(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_connection, "DOOR_S", 1)
    copy = tmp_path / "copy"
    with serving(stored.folder) as ledger:
        shutil.copytree(stored.folder, copy)
        for use in (
            lambda: open_dir(copy, None),
            lambda: enroll(copy, Gateway("x").request(tmp_path)),
            lambda: rotate(copy),
        ):
            with pytest.raises(LedgerClientError, match="copy of this folder"):
                use()
        ledger.submit(GATEWAY.statement(0))
        enroll(stored.folder, Gateway("other").request(tmp_path))  # its own commands write beside it
        rotate(stored.folder)
        ledger.submit(GATEWAY.statement(1))
    assert CheckedLog(stored.folder).check() == {"gw": [0, 1]}


def test_a_copy_that_serves_since_the_connection_was_lost_keeps_the_door(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_connection, "DOOR_S", 1)
    with serving(stored.folder) as ledger:
        ledger.submit(GATEWAY.statement(0))
        shutil.copytree(stored.folder, tmp_path / "copy")
        cut(of(stored))
        with serving(tmp_path / "copy") as other:
            other.submit(GATEWAY.statement(1))
            with pytest.raises(LedgerUnavailable, match="copy of this folder"):
                ledger.submit(GATEWAY.statement(2))
            with pytest.raises(LedgerClientError, match="copy of this folder"):
                rotate(stored.folder)  # beside a process that has lost the door
        ledger.submit(GATEWAY.statement(2))
        rotate(stored.folder)
    assert CheckedLog(stored.folder).check() == {"gw": [0, 1, 2]}


# — a server that would take back what it has committed —


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync", "full_page_writes"])
def test_a_server_that_may_lose_what_it_committed_is_refused(stored: Stored, setting: str) -> None:
    owner = of(stored).cluster
    with serving(stored.folder) as ledger:
        ledger.submit(GATEWAY.statement(0))
        try:
            owner.admin(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            owner.admin(sql.SQL("SELECT pg_reload_conf()"))
            assert until(lambda: of(stored).query(f"SHOW {setting}") == [("off",)])
            with pytest.raises(LedgerUnavailable, match=f"{setting} is off"):
                ledger.submit(GATEWAY.statement(1))
            with pytest.raises(LedgerClientError, match=f"{setting} is off") as caught:
                rotate(stored.folder)
            assert f"{setting} = on" in caught.value.way_out
        finally:
            owner.admin(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(setting)))
            owner.admin(sql.SQL("SELECT pg_reload_conf()"))
        again_while_unavailable(lambda: ledger.submit(GATEWAY.statement(1)))
    assert CheckedLog(stored.folder).check() == {"gw": [0, 1]}


# — connections that are lost —


class CuttingWire(Wire):
    """In front of a PostgreSQL: the next COMMIT ends its connection, ``before`` or ``after`` the server has it."""

    when = ""

    def _serve(self, client: socket.socket) -> None:
        with self._connect() as server:
            threading.Thread(target=_pass_on, args=(server, client), name="wire", daemon=True).start()
            while data := client.recv(65536):
                cut, self.when = (self.when, "") if b"COMMIT\0" in data and self.when else ("", self.when)
                if cut == "before":
                    break
                if cut == "after":
                    client.shutdown(socket.SHUT_RDWR)  # its answer finds nobody
                server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(stored: Stored) -> Iterator[CuttingWire]:
    """On the way from a ledger to its database."""
    port = of(stored).cluster.port
    with closing(CuttingWire(port, Faults())) as made:
        address = stored.folder / ADDRESS
        address.write_text(address.read_text().replace(f":{port}/", f":{made.port}/"))
        yield made


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_is_lost_in_a_commit_leaves_no_doubt(stored: Stored, wire: CuttingWire, when: str) -> None:
    entries = [GATEWAY.statement(batch) for batch in range(3)]
    with serving(stored.folder) as ledger:
        first = ledger.submit(entries[0])[1]
        wire.when = when
        if when == "after":
            second = ledger.submit(entries[1])[1]  # it was written, and that is found out
        else:
            with pytest.raises(LedgerUnavailable, match="nothing was written"):
                ledger.submit(entries[1])
            second = ledger.submit(entries[1])[1]
        assert wire.when == ""
        third = ledger.submit(entries[2])[1]
        assert [ledger.submit(entry)[1] for entry in entries] == [first, second, third]
    assert CheckedLog(stored.folder).check() == {"gw": [0, 1, 2]}


def test_sessions_that_the_server_ends_are_made_again(stored: Stored) -> None:
    with serving(stored.folder) as ledger:
        receipts = []
        for batch in range(3):
            cut(of(stored))
            receipts.append(ledger.submit(GATEWAY.statement(batch))[1])
            cut(of(stored))
            assert ledger.receipt(statement_id(GATEWAY.statement(batch))) == receipts[-1]
        assert ledger.unwritable() is None


def test_a_database_of_yesterday_is_seen_by_a_ledger_that_runs_and_so_is_its_return(stored: Stored) -> None:
    with serving(stored.folder) as ledger:
        ledger.submit(GATEWAY.statement(0))
    older = stored.keep()
    with serving(stored.folder) as ledger:
        receipt = ledger.submit(GATEWAY.statement(1))[1]
    newest = stored.keep()
    with serving(stored.folder) as ledger:
        stored.put_back(older)
        for use in (lambda: ledger.submit(GATEWAY.statement(1)), lambda: ledger.last("gw"), lambda: ledger.keys):
            with pytest.raises(LogBehind):
                use()
        assert isinstance(ledger.unwritable(), LogBehind)
        of(stored).drop()
        with pytest.raises(LedgerUnavailable, match="does not exist"):
            ledger.submit(GATEWAY.statement(2))
        of(stored).cluster.database(of(stored).name)
        with pytest.raises(LedgerUnavailable, match="no log"):
            ledger.submit(GATEWAY.statement(2))
        stored.put_back(newest)
        assert ledger.submit(GATEWAY.statement(1))[1] == receipt
        ledger.submit(GATEWAY.statement(2))
        assert ledger.unwritable() is None
    assert CheckedLog(stored.folder).check() == {"gw": [0, 1, 2]}


def test_a_server_that_is_full_or_killed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with limited_cluster() as disk, database(disk.cluster, 1) as empty:
        stored = Stored(tmp_path / "ledger", empty)
        with closing(open_dir(stored.make("demo"), None)) as opened:
            service = Service(opened, policy_with(opened, [GATEWAY]))
            first = service.submit(GATEWAY.statement(0))[1]
            disk.set(True)
            many = [GATEWAY.statement(batch) for batch in range(1, 400)]
            with pytest.raises(LedgerUnavailable, match="nothing was written"):
                [service.submit(entry) for entry in many]
            assert service.receipt(statement_id(GATEWAY.statement(0))) == first
            disk.set(False)
            held = CheckedLog(stored.folder).check()["gw"]
            service.submit(GATEWAY.statement(len(held)))
            disk.cluster.kill()
            with pytest.raises(LedgerUnavailable):
                service.submit(GATEWAY.statement(len(held) + 1))
            assert service.unwritable() is not None
            disk.cluster.start()
            service.submit(GATEWAY.statement(len(held) + 1))
            assert service.submit(GATEWAY.statement(0))[1] == first
            assert CheckedLog(stored.folder).check() == {"gw": list(range(len(held) + 2))}
            disk.cluster.kill()
            monkeypatch.setattr(postgresql, "_PAUSE_S", 3600.0)
            with pytest.raises(LedgerUnavailable):
                service.submit(GATEWAY.statement(0))
            disk.cluster.start()
            assert service.unwritable() is None
            assert service.submit(GATEWAY.statement(0))[1] == first, "whoever writes has found the server back"
