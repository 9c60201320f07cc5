"""The doctor: what is well is called well, what is not is found with a way out, and nothing is changed by looking."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import KernelClock
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.doctor import database, disk, keys, machine, meters, permissions, ports, run
from gateway.doctor.check import CheckContext, Finding, merged
from gateway.errors import Unfinished
from gateway.fieldbus.polling import line
from gateway.messages.message import Message
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from tests.support.gateways.apart import apart
from tests.support.gateways.stacks import stacks
from tests.support.processes import free_port
from tests.support.samples import START_S, Hands
from tests.support.samples import site as make_site

NOW_MS = START_S * 1000


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return make_site(tmp_path / "site")


def case(loaded: Config, now_ms: int = NOW_MS, **changes: Any) -> CheckContext:
    return replace(CheckContext.of(loaded, now_ms, pid=None), **changes)


def results(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    """(check, result); whatever is not well has a way out."""
    found = list(findings)
    assert all(finding.way_out for finding in found if finding.result != "ok")
    return [(finding.check, finding.result) for finding in found]


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its mode and contents."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def recorded(loaded: Config, polls: int = 20) -> None:
    hands = Hands(loaded)
    hands.poll(polls)
    hands.end()


def test_it_changes_nothing_before_the_first_start_and_at_rest(loaded: Config) -> None:
    before = tree(loaded.path.parent)
    found = {finding.check: finding for finding in run.run_checks(loaded, NOW_MS, pid=None)}
    assert tree(loaded.path.parent) == before
    assert not loaded.data.exists()
    assert found["database"].message == Message("database-not-created", path=str(loaded.database))
    assert found["disk speed"].facts["syncs"] > 0
    recorded(loaded)
    before = tree(loaded.path.parent)
    found = {finding.check: finding for finding in run.run_checks(loaded, NOW_MS, pid=None, full=True)}
    assert tree(loaded.path.parent) == before
    assert found["database"].result == "ok"
    assert "fully checked" in found["database"].text
    assert found["horizon"].facts["bytes_per_s"] > 0


def test_it_sees_what_a_killed_gateway_left_in_the_log(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(20)
    hands.journal.flush()
    was = hands.store.totals()["records"]
    (finding,) = database.database(case(loaded))
    assert finding.facts["records"] == was
    hands.store.close()


def test_the_answer_for_programs_and_its_exit_code(loaded: Config) -> None:
    done = apart("gateway.cli", "doctor", loaded.path, "--json")
    answer = done.facts
    assert (done.code, answer["healthy"]) == (1, False)  # no port, no ledger
    assert {entry["result"] for entry in answer["checks"]} <= {"ok", "warn", "bad"}
    names = [entry["check"] for entry in answer["checks"]]
    for name in ("disk space", "disk speed", "disk wear", "database", "permissions", "keys", "clock", "versions"):
        assert name in names
    ended = apart("gateway.cli", "doctor", loaded.path)
    assert ended.code == 1
    assert "fix: " in ended.out
    assert ended.err == ""
    assert apart("gateway.cli", "doctor", loaded.path.parent / "none.toml").code == 2


# — the disk —


def test_room_is_told_before_and_after_the_first_start(loaded: Config) -> None:
    assert results(disk.room(case(loaded))) == [("disk space", "ok")]
    recorded(loaded)
    (finding,) = disk.room(case(loaded))
    assert finding.facts["used"] > 0
    tiny = load_with(loaded, "[store]", '[store]\nmax_size = "100kB"')
    assert results(disk.room(case(tiny))) == [("disk space", "bad")]


def load_with(loaded: Config, old: str, new: str) -> Config:
    text = loaded.path.read_text()
    assert old in text
    loaded.path.write_text(text.replace(old, new, 1))
    return load_config(loaded.path)


@pytest.mark.parametrize(
    ("kind", "options", "result"),
    [
        ("ext4", "rw", "ok"),
        ("tmpfs", "rw", "bad"),
        ("nfs4", "rw", "bad"),
        ("fuse.sshfs", "rw", "bad"),
        ("ext4", "ro", "bad"),
    ],
)
def test_the_kind_of_file_system(loaded: Config, tmp_path: Path, kind: str, options: str, result: str) -> None:
    device = os.stat(tmp_path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mountinfo"
    lines = [
        "1 0 250:250 / / rw - ext3 /dev/sda1 rw",
        f"2 1 {number} / / {options},sync shared:1 - {kind} /dev/x rw",
    ]
    table.write_text("\n".join(lines) + "\n")
    assert results(disk.kind(case(loaded), table)) == [("file system", result)]
    table.write_text(lines[0] + "\n")
    assert results(disk.kind(case(loaded), table)) == []


@pytest.mark.parametrize(("seconds", "result"), [(0.00002, "warn"), (0.004, "ok"), (0.5, "warn"), (3.0, "bad")])
def test_what_the_time_of_a_sync_means(
    loaded: Config, monkeypatch: pytest.MonkeyPatch, seconds: float, result: str
) -> None:
    monkeypatch.setattr(disk, "_syncs", lambda _: iter([seconds] * 100))
    (finding,) = disk.speed(case(loaded))
    assert finding.result == result
    assert finding.facts["fsync_p99_ms"] == pytest.approx(seconds * 1000)


def test_a_folder_that_takes_no_file_is_bad(loaded: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "NEEDED_FREE", 0)
    inside_proc = load_with(loaded, 'data = "data"', 'data = "/proc/self/task"')
    assert results(disk.speed(case(inside_proc))) == [("disk speed", "bad")]


def test_the_life_of_a_card(loaded: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = disk.wear(case(loaded))
    assert (finding.result == "warn") == (finding.facts["years"] < 5)
    assert "estimated from the configuration" in finding.text
    monkeypatch.setattr(disk, "written_by", lambda _: (400 * 10**9, 86_400.0))
    size = finding.facts["disk"]
    (finding,) = disk.wear(case(loaded, pid=1))
    assert finding.facts["years"] == pytest.approx(size * 3000 / (400e9 * 4 * 365), abs=0.06)
    assert (finding.result == "warn") == (finding.facts["years"] < 5)
    assert isinstance(wear := finding.message.facts["wear"], Message)
    assert (wear.facts["day_bytes"], wear.facts["how"]) == (400 * 10**9, Message("wear-measured", span_s=86_400))


def test_what_a_process_writes_is_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.written_by(1 << 30) is None
    monkeypatch.setattr(disk, "MEASURED_AFTER_S", 0)
    with (tmp_path / "x").open("wb") as file:
        file.write(os.urandom(10**6))
        os.fsync(file.fileno())
    measured = disk.written_by(os.getpid())
    assert measured is None or (measured[0] >= 10**6 and measured[1] > 0)


def test_the_estimate_follows_the_configuration(loaded: Config) -> None:
    often = disk.estimated_a_day(case(loaded))
    seldom = disk.estimated_a_day(case(load_with(loaded, 'commit_every = "1s"', 'commit_every = "60s"')))
    assert seldom < often / 3


# — the machine —


@pytest.mark.parametrize(
    ("kernel", "now_ms", "result"),
    [
        (KernelClock(True, 20), NOW_MS, "ok"),
        (KernelClock(True, None), NOW_MS, "ok"),
        (KernelClock(True, 5000), NOW_MS, "warn"),
        (KernelClock(False, None), NOW_MS, "warn"),
        (KernelClock(True, 20), 86_400_000, "bad"),
    ],
)
def test_the_clock(loaded: Config, kernel: KernelClock, now_ms: int, result: str) -> None:
    assert results(machine.clock(case(loaded, now_ms), lambda: kernel)) == [("clock", result)]


def test_a_clock_behind_the_records(loaded: Config) -> None:
    recorded(loaded)
    (finding,) = machine.clock(case(loaded, NOW_MS), lambda: KernelClock(True, 20))
    assert finding.result == "warn"
    assert "the newest record is" in finding.text


# — the database —


def test_a_damaged_database_is_bad_and_a_broken_one_too(loaded: Config) -> None:
    recorded(loaded, 200)
    page = 4096
    with loaded.database.open("r+b") as file:
        file.seek(20 * page)
        file.write(os.urandom(8 * page))
    (finding,) = [f for f in database.database(case(loaded)) if f.result != "ok"]
    assert (finding.check, finding.result) == ("database", "bad")
    loaded.database.write_bytes(os.urandom(10 * page))
    assert results(database.database(case(loaded))) == [("database", "bad")]
    assert results(run.run_checks(loaded, NOW_MS, pid=None)).count(("database", "bad")) == 1


def test_a_log_without_its_database_is_no_first_start(loaded: Config) -> None:
    loaded.data.mkdir()
    loaded.database.with_name("meterseal.db-wal").write_bytes(b"what is left")
    (found,) = database.database(case(loaded))
    damaged = Message("database-damaged-at", path=str(loaded.database), error=Message("database-only-log"))
    assert (found.result, found.message) == ("bad", damaged)


def test_a_look_that_takes_too_long_is_ended(loaded: Config) -> None:
    recorded(loaded, 200)
    store = Database(loaded.database, read_only=True)
    with pytest.raises(Unfinished):
        store.flaws(within_s=-1)
    assert store.flaws(within_s=60) == store.flaws() == []
    store.close()


# — the site —


def test_keys_that_are_not_as_they_should_be(loaded: Config) -> None:
    assert results(keys.keys(case(loaded))) == [("keys", "ok")]
    meter = loaded.keys / "export-main.pem"
    meter.chmod(0o644)
    assert results(keys.keys(case(loaded))) == [("keys", "bad")]
    meter.unlink()
    (finding,) = keys.keys(case(loaded))
    assert "--make-missing" in finding.way_out
    save_private_key(meter, PrivateKey.generate())
    (finding,) = keys.keys(case(loaded))
    assert finding.message.code == "key-not-trusted"
    assert finding.message.facts["whose"] == Message("key-of-meter", meter="export-main")


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        ("valid_to = {soon}", "warn"),
        ("valid_to = {past}", "bad"),
        ("revoked = {past}", "bad"),
        ("revoked = {soon}", "ok"),
    ],
)
def test_keys_whose_time_is_over(loaded: Config, lines: str, result: str) -> None:
    times = {"soon": "2027-01-25T00:00:00Z", "past": "2027-01-01T00:00:00Z"}  # START_S is 2027-01-15
    head, entry, rest = loaded.trust.read_text().partition('meter = "stack-co2"\n')
    loaded.trust.write_text(head + entry + lines.format(**times) + "\n" + rest)
    found = keys.keys(case(loaded))
    assert ("keys", result) in results(found)


def test_a_trust_file_that_cannot_be_used(loaded: Config) -> None:
    loaded.trust.write_text("[policy]\nreceipts = 0\n")
    assert results(keys.keys(case(loaded))) == [("trust file", "bad"), ("keys", "ok")]
    assert ("trust file", "bad") in results(run.run_checks(loaded, NOW_MS, pid=None))


def test_folders_that_others_may_write(loaded: Config) -> None:
    assert results(permissions.permissions(case(loaded))) == [("permissions", "ok")]
    loaded.keys.chmod(0o777)
    assert results(permissions.permissions(case(loaded))) == [("permissions", "bad")]


def test_a_line_on_which_devices_connect(loaded: Config) -> None:
    port = free_port()
    wire = f'type = "modbus-rtu-over-tcp"\nlisten = "127.0.0.1:{port}"'
    listening = load_with(loaded, 'type = "modbus-tcp"\nhost = "127.0.0.1"\nport = 1', wire)
    (_, free) = ports.ports(case(listening))
    assert (free.result, free.message) == ("ok", Message("listener-free", where=f"127.0.0.1:{port}"))
    (_, closed) = ports.ports(case(listening, pid=os.getpid()))
    not_open = Message("listener-not-open", where=f"127.0.0.1:{port}", pid=os.getpid())
    assert (closed.result, closed.message) == ("bad", not_open)
    with socket.create_server(("127.0.0.1", port)):
        (_, held) = ports.ports(case(listening))
        assert (held.result, "another process listens there" in held.text) == ("bad", True)
        (_, alone) = ports.ports(case(listening, pid=os.getpid()))
        assert (alone.result, "nobody is connected" in alone.text) == ("warn", True)
        assert f"port 127.0.0.1:{port} in the DTU" in alone.way_out
        with socket.create_connection(("127.0.0.1", port)):
            (_, connected) = ports.ports(case(listening, pid=os.getpid()))
            assert (connected.result, connected.facts) == ("ok", {"connected": ["127.0.0.1"]})
    elsewhere = load_with(listening, f'"127.0.0.1:{port}"', f'"192.0.2.1:{port}"\nfrom = ["192.0.2.0/24"]')
    (_, lost) = ports.ports(case(elsewhere))
    assert (lost.result, lost.message) == (
        "bad", Message("port-at", where=f"192.0.2.1:{port}", what=Message("listen-no-address")),
    )  # fmt: skip


def test_a_meter_behind_a_dtu_that_does_not_connect(loaded: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "DIAL_S", 0.1)
    wire = f'type = "modbus-rtu-over-tcp"\nlisten = "127.0.0.1:{free_port()}"\ntimeout = "200ms"\nanswer_life = "200ms"'
    listening = load_with(loaded, 'type = "modbus-tcp"\nhost = "127.0.0.1"\nport = 1', wire)
    (inverter,) = meters.meters(case(listening))  # of the serial port that is missing the line's finding tells
    assert (inverter.check, inverter.result) == ("meter pv-inverter", "warn")
    assert "no device has connected" in inverter.text


def test_lines_that_are_there_and_not(loaded: Config, pty_path: Callable[[], Path]) -> None:
    closed = f"port = {free_port()}"
    loaded = load_with(loaded, "port = 1\n", closed + "\n")
    assert results(ports.ports(case(loaded))) == [("line rs485-1", "bad"), ("line inverters", "bad")]
    here = load_with(loaded, 'port = "rs485-1"', f'port = "{pty_path()}"')
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        here = load_with(here, closed, f"port = {port}")
        assert results(ports.ports(case(here))) == [("line rs485-1", "ok"), ("line inverters", "ok")]
    (_, left) = ports.ports(case(here, pid=os.getppid()))
    assert left.result == "ok"
    assert left.message == Message("host-left-to-gateway", host="127.0.0.1", port=port)
    moving = loaded.path.parent / "ttyUSB0"
    moving.symlink_to(pty_path())
    moved = load_with(here, 'port = "/dev/', f'port = "{moving}" # /dev/')
    (serial, _) = ports.ports(case(moved))
    assert serial.result == "warn"


def test_what_is_alike_of_six_meters_is_said_once() -> None:
    answers, other = Message("meter-answers-no-identity"), Message("meter-is-asleep", for_ms=1000)
    findings = [Finding(f"meter m{n}", "ok", other if n == 3 else answers) for n in range(6)]
    once = merged([*findings, Finding("line m1", "ok", answers), Finding("disk space", "ok", answers)])
    together, *others = [one.check for one in once]
    assert together.split(", ") == ["meter m0", "m1", "m2", "m4", "m5"]
    assert others == ["meter m3", "line m1", "disk space"]


def test_meters_that_send_by_themselves_are_not_asked(tmp_path: Path) -> None:
    site, _ = stacks(tmp_path / "site")
    found = dict(results(run.run_checks(site, NOW_MS, pid=None)))
    assert found["line stacks"] == "ok"
    assert [check for check in found if check.startswith("meter ")] == []
