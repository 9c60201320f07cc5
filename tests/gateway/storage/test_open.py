"""A database that is hard to reach: names, permissions, disks. The user gets words and an exit code, no traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.errors import GatewayError, StoreError
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from gateway.process import control_socket, instance_lock
from gateway.status.collect import collect
from gateway.storage.capacity.backup import backup
from gateway.storage.database import Database
from gateway.storage.recovery.repair import open_store
from ledger_client.verification.trust_file import load_trust
from tests.support.samples import Hands, site
from tests.system.disk.small import small_disk, writable

AS_ANY_USER = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
"""Permissions hold for root, too."""


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """A site with a database, at rest."""
    loaded = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    hands = Hands(loaded)
    hands.poll(10)
    hands.end()
    return loaded


def meterseal(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a user for whom permissions hold."""
    command = [*(AS_ANY_USER if os.geteuid() == 0 else []), sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_folder_that_may_not_be_entered_is_named(loaded: Config, tmp_path: Path) -> None:
    loaded.data.chmod(0)
    try:
        for command, *options in (
            ("status", "--json"),
            ("readings",),
            ("export", "-o", tmp_path / "out"),
            ("backup", "-o", tmp_path / "b.db"),
            ("prove", "export-main", "-o", tmp_path / "p.mseal"),
        ):
            done = meterseal(command, loaded.path, *options)
            assert done.returncode == 2, done.stderr
            assert done.stderr.startswith(f"meterseal: {loaded.database}: Permission denied\n  fix: ")
        done = meterseal("doctor", loaded.path, "--json")
        assert done.returncode == 1, done.stderr
        bad = {check["check"]: check for check in json.loads(done.stdout)["checks"] if check["result"] == "bad"}
        assert {"database", "permissions"} <= set(bad)
        assert all(check["way_out"] for check in bad.values())
    finally:
        loaded.data.chmod(0o700)


def test_the_database_of_a_card_that_became_read_only_can_be_read_and_copied(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "32m") as disk:
        loaded = site(disk / "site", {'every = "60s"': 'every = "10s"'})
        hands = Hands(loaded)
        hands.poll(10)
        hands.journal.finish()
        records = hands.store.totals()["records"]
        hands.store.close()
        writable(disk, yes=False)
        assert meterseal("status", loaded.path).returncode == 1  # no gateway runs
        readings = meterseal("readings", loaded.path, "--json")
        assert len(json.loads(readings.stdout)["readings"]) == 9, readings.stderr
        assert backup(loaded, tmp_path / "b.db").records == records


def test_a_database_of_which_nothing_is_left_is_damaged_and_not_a_new_one(loaded: Config) -> None:
    loaded.database.write_bytes(b"")
    for command in ("status", "readings"):
        done = meterseal(command, loaded.path)
        assert done.returncode == 1
        assert f"{loaded.database}: the file is empty" in done.stderr
        assert "restart the gateway with `meterseal run CONFIG`" in done.stderr
    open_store(loaded, load_keys(loaded), load_trust(loaded.trust)).close()
    assert len(list(loaded.data.glob("meterseal.db.damaged-*"))) == 1


def test_a_database_that_cannot_be_read_is_named_at_a_start(loaded: Config) -> None:
    loaded.database.unlink()
    loaded.database.mkdir()
    loaded.database.with_name("meterseal.db-wal").touch()
    with pytest.raises(StoreError, match=r"meterseal\.db: Is a directory"):
        open_store(loaded, load_keys(loaded), load_trust(loaded.trust))


def test_a_name_with_the_signs_of_an_address_is_a_name(loaded: Config, tmp_path: Path) -> None:
    odd = tmp_path / "50% of plant #1?mode=rwc&"
    loaded.path.parent.rename(odd)
    database = odd / "data" / "meterseal.db"
    store = Database(database)
    store.run("DROP TRIGGER records_stay")
    store.reopen()
    store.close()
    [flaw] = Database.look(database, check="quick")
    assert in_language(flaw, "en") == "records_stay is missing"
    assert [path.name for path in tmp_path.iterdir()] == [odd.name]


def test_a_gateway_that_hangs_does_not_hold_the_status_up(loaded: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "ASK_WITHIN_S", 0.05)
    with socket.socket(socket.AF_UNIX) as hanging, control_socket.address(loaded.data) as path:
        hanging.bind(path)
        hanging.listen()
        assert control_socket.ask(loaded.data, "health") is None


def test_an_age_is_told_by_record_times_where_the_clock_is_behind_them(loaded: Config) -> None:
    store = Database(loaded.database, read_only=True)
    ages_s = [meter.age_s for meter in collect(loaded, store, 1_700_000_000_000).meters]
    assert [age_s is not None and 0 <= age_s <= 10 for age_s in ages_s] == [True] * 3
    store.close()


def test_a_second_gateway_in_one_folder_is_refused_and_told_who_works_there(loaded: Config) -> None:
    holds = "import sys; from pathlib import Path; from gateway.process import instance_lock\n"
    holds += "with instance_lock.take(Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()"
    command = [sys.executable, "-c", holds, str(loaded.data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(GatewayError) as refused:
            instance_lock.take(loaded.data)
        assert refused.value.message == Message("instance-running-pid", data=str(loaded.data), pid=first.pid)
        assert instance_lock.running(loaded.data) == first.pid
        first.communicate()
    instance_lock.take(loaded.data).close()
