"""One data folder, one gateway: the lock holds whoever looks at it, and a writer yields to a newer epoch."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.config.model import Config
from gateway.doctor import run
from gateway.errors import GatewayError, Superseded
from gateway.messages.message import Message
from gateway.process import instance_lock
from gateway.storage.database import Database
from tests.support.samples import Hands, Machine, recorder, site

TAKES = (
    "import sys; from pathlib import Path; from gateway.process import instance_lock as instance\n"
    "try:\n instance.take(Path(sys.argv[1])).close()\nexcept Exception as error:\n print(error)"
)
HOLDS_AS_BEFORE = (
    "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})


def take_elsewhere(data: Path) -> str:
    """The refusal to another process that wants the folder; nothing when it gets it."""
    done = subprocess.run([sys.executable, "-c", TAKES, str(data)], capture_output=True, text=True, check=True)
    return done.stdout


@contextmanager
def held_as_before(data: Path) -> Iterator[int]:
    """A gateway of an older version holds the folder: its pid."""
    data.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDS_AS_BEFORE, str(data / "meterseal.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder.pid
        holder.communicate()


def test_no_look_at_the_lock_from_inside_its_process_drops_it(loaded: Config) -> None:
    with instance_lock.take(loaded.data):
        assert instance_lock.running(loaded.data) == os.getpid()
        list(run.run_checks(loaded, 0, pid=os.getpid()))
        (loaded.data / "meterseal.lock").open().close()
        held = Message("instance-running-pid", data=str(loaded.data), pid=os.getpid())
        assert held.problem in take_elsewhere(loaded.data)
    assert take_elsewhere(loaded.data) == ""


def test_the_doctor_inside_a_gateway_is_told_who_runs_and_does_not_open_the_lock(
    loaded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_: Path) -> None:
        raise AssertionError("the lock was looked at")

    monkeypatch.setattr(instance_lock, "running", opened)
    assert [finding.check for finding in run.run_checks(loaded, 0, pid=os.getpid())]


def test_a_gateway_of_the_older_lock_excludes_the_newer_and_is_named(loaded: Config) -> None:
    with held_as_before(loaded.data) as pid:
        assert instance_lock.running(loaded.data) == pid
        with pytest.raises(GatewayError, match=rf"pid {pid}\) uses this folder"):
            instance_lock.take(loaded.data)


def test_a_gateway_of_the_newer_lock_excludes_the_older(loaded: Config) -> None:
    with instance_lock.take(loaded.data):
        command = [sys.executable, "-c", HOLDS_AS_BEFORE, str(loaded.data / "meterseal.lock")]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert "BlockingIOError" in done.stderr


def test_a_holder_whose_pid_was_wiped_is_still_a_holder(loaded: Config) -> None:
    with instance_lock.take(loaded.data):
        (loaded.data / "meterseal.lock").open("w").close()  # as an older version's refused start does
        assert instance_lock.running(loaded.data) == instance_lock.UNKNOWN
        assert Message("instance-running", data=str(loaded.data)).problem in take_elsewhere(loaded.data)


def test_asking_takes_nothing(loaded: Config) -> None:
    loaded.data.mkdir(exist_ok=True)
    with (loaded.data / "meterseal.lock").open("w") as asked:
        assert instance_lock.running(loaded.data) is None
        assert take_elsewhere(loaded.data) == ""
        fcntl.lockf(asked, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_writer_that_finds_a_newer_epoch_writes_nothing_more_and_says_the_way_out(loaded: Config) -> None:
    older = Hands(loaded, epoch=b"o" * 8)
    older.poll(2)
    newer = Hands(loaded, Machine(), epoch=b"n" * 8)
    before = older.store.totals()
    with pytest.raises(Superseded, match="fix: ") as stopped:
        older.poll(1)
    assert stopped.value.message is not None
    assert stopped.value.message.code == "database-superseded"
    assert older.store.totals() == before
    newer.poll(2)
    newer.end()


def test_whatever_the_writer_was_called_for_it_yields_to_a_newer_epoch(loaded: Config) -> None:
    machine = Machine()
    older, _ = recorder(loaded, machine.clock(), b"o" * 8)
    older.start()
    newer = Hands(loaded, machine, epoch=b"n" * 8)

    def note(store: Database) -> None:
        with store.transaction():
            store.anchors.keep_note("ledger", b"id", b"note")

    with pytest.raises(Superseded):
        older.call(note).result(10)
    assert isinstance(older.ended.exception(10), Superseded)
    newer.end()
