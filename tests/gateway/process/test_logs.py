"""One line an event: as text, as JSON, as journald's fields; repeated faults are counted, no secret is logged."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from gateway.fieldbus.active_alarms import log as fieldbus
from gateway.process import log_setup
from gateway.process.log_dedup import WINDOW_S, Repeats
from tests.support.processes import Server
from tests.support.samples import site
from tests.system.demo_site import until

FORGED = "all\nis well\x1b[2J\u202e\r<3>forged\u200f\u061c\ufeff\U000e0041"
SECRETS = {"token": "T0ken-of-the-ledger", "password": "Passw0rd-of-the-broker", "figures": "T0ken-of-the-figures"}


class Kept(logging.Handler):
    """What a handler was given."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(log_setup.message_of(record))


def record(text: str, level: int = logging.WARNING, **about: str) -> logging.LogRecord:
    made = logging.LogRecord("meterseal.fieldbus", level, __file__, 1, text, None, None)
    made.__dict__.update(about)
    return made


def failed() -> logging.LogRecord:
    made = record("it has failed", logging.ERROR)
    try:
        raise ValueError(FORGED)
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


@pytest.mark.parametrize("form", [log_setup.Text(), log_setup.Prefixed(), log_setup.Json()])
@pytest.mark.parametrize("event", [record(FORGED), record("x", meter=FORGED), failed()])
def test_foreign_text_neither_ends_a_line_nor_steers_a_terminal(
    form: logging.Formatter, event: logging.LogRecord
) -> None:
    line = form.format(event)
    assert line.isprintable()
    if isinstance(form, log_setup.Json):
        assert json.loads(line)["level"] in ("warning", "error")


def test_a_login_in_an_address_is_left_out() -> None:
    logged = log_setup.message_of(record("mqtt://operator:hunter2@broker:1883 cannot be reached\n  fix: look"))
    assert logged == "mqtt://broker:1883 cannot be reached; fix: look"


def fields(datagram: bytes) -> dict[str, str]:
    """A datagram of systemd.io/JOURNAL_NATIVE_PROTOCOL, taken apart as journald does it."""
    found = {}
    while datagram:
        head, _, rest = datagram.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", rest)
            value, datagram = rest[8 : 8 + size], rest[9 + size :]
        else:
            datagram = rest
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name)
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[tuple[socket.socket, Path]]:
    """A socket that takes what journald would."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        yield listening, path


def test_the_journal_gets_fields(journal: tuple[socket.socket, Path], capsys: pytest.CaptureFixture[str]) -> None:
    listening, path = journal
    handler = log_setup.Journal(path, sys.stderr)
    handler.handle(record("m1 is silent\nforged", line="rs485-1", meter="m1", code="comms-lost"))
    assert fields(listening.recv(65536)) == {
        "MESSAGE": r"m1 is silent\nforged",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "meterseal",
        "METERSEAL_PART": "meterseal.fieldbus",
        "METERSEAL_CODE": "comms-lost",
        "METERSEAL_LINE": "rs485-1",
        "METERSEAL_METER": "m1",
    }
    handler.handle(failed())
    entry = fields(listening.recv(65536))
    assert entry["PRIORITY"] == "3"
    assert entry["METERSEAL_TRACEBACK"].startswith("Traceback")
    assert "\n" in entry["METERSEAL_TRACEBACK"]
    path.unlink()  # the journal is away
    handler.handle(record("and on"))
    assert capsys.readouterr().err == "<4>and on\n"
    handler.close()


def test_only_the_managers_own_stream_leads_to_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "stream").open("w") as stream:
        there = os.fstat(stream.fileno())
        assert not log_setup.leads_to_journal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        assert log_setup.leads_to_journal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino + 1}")
        assert not log_setup.leads_to_journal(stream)


def test_a_repeated_fault_is_counted() -> None:
    now = [0.0]
    kept = Kept()
    repeats = Repeats(kept, lambda: now[0])
    kept.addFilter(repeats)
    for second in range(1200):
        now[0] = float(second)
        if second % 5 == 0:
            kept.handle(record(f"records wait since {second} s"))
    assert kept.lines[:2] == ["records wait since 0 s", "records wait since 595 s (119 more times in 10 min)"]
    assert len(kept.lines) == 2
    kept.handle(record("something else"))
    repeats.flush()
    assert kept.lines[2] == "something else"
    assert len(kept.lines) == 4


def test_changes_of_an_alarm_are_always_told() -> None:
    kept = Kept()
    kept.addFilter(Repeats(kept))
    for _ in range(3):
        kept.handle(record("m1 is silent", code="comms-lost"))
        kept.handle(record("m1 answers again", code="comms-lost"))
    assert len(kept.lines) == 6


def test_what_was_told_long_ago_is_forgotten() -> None:
    now = [0.0]
    kept = Kept()
    repeats = Repeats(kept, lambda: now[0])
    kept.addFilter(repeats)
    for hour in range(3):
        now[0] = hour * 3600.0
        kept.handle(record("the clock is corrected"))
        assert len(repeats._runs) == 1
    assert len(kept.lines) == 3
    assert WINDOW_S < 3600


def test_no_secret_is_told_whatever_happens(tmp_path: Path) -> None:
    """Every way in that has a secret is configured, and fails; the log says all that it can."""
    loaded = site(tmp_path / "site")
    for name, secret in SECRETS.items():
        file = loaded.path.with_name(f"{name}.txt")
        file.write_text(secret)
        file.chmod(0o600)
    http = 'url = "http://127.0.0.1:1"\ntoken_file = "token.txt"'
    mqtt = 'url = "mqtt://127.0.0.1:1"\nuser = "gateway"\npassword_file = "password.txt"'
    head, _, tail = loaded.path.read_text().partition('[[bus]]\nname = "rs485-1"')
    text = head + tail[tail.index("[[bus]]") :].replace('url = "http://127.0.0.1:8700"', http)
    web = '[web]\nlisten = "127.0.0.1:0"\nmetrics_token_file = "figures.txt"\n'
    loaded.path.write_text(f'{text}\n[[ledger]]\nname = "other"\ntype = "mqtt"\n{mqtt}\n{web}')
    with loaded.trust.open("a") as trust:
        trust.write(_ledger_key(tmp_path, "demo-ledger") + _ledger_key(tmp_path, "other"))
    command = [sys.executable, "-u", "-m", "gateway.cli", "-v", "--log", "json", "run", str(loaded.path)]
    log = tmp_path / "log"
    gateway = Server("gateway", command, '"ledger": "demo-ledger"', log)
    gateway.start()
    try:
        until("a word about the broker", lambda: "mqtt://127.0.0.1:1" in log.read_text())
        address = until("the pages", lambda: re.search(r"pages at (http://127.0.0.1:\d+)", log.read_text()))[1]
        for given in (SECRETS["figures"], "wrong"):
            with requests.Session() as session:
                session.trust_env = False
                headers = {"Authorization": f"Bearer {given}"}
                answer = session.get(f"{address}/metrics?token={given}", headers=headers, timeout=10)
            assert answer.status_code == (200 if given == SECRETS["figures"] else 401)
    finally:
        assert gateway.stop() == 0
    lines = log.read_text()
    assert {"meterseal.mqtt", "meterseal.uplink"} <= {json.loads(line)["part"] for line in lines.splitlines()}
    secrets = [*SECRETS.values(), *(_private(path) for path in loaded.keys.glob("*.pem"))]
    assert len(secrets) > 4
    assert [secret for secret in secrets if secret in lines] == []


def _private(path: Path) -> str:
    return path.read_text().splitlines()[1]


def _ledger_key(folder: Path, name: str) -> str:
    from ledger_client.transparency.ledger.directory import open_dir
    from ledger_client.transparency.ledger.show import trust_entry

    open_dir(folder / name, name).close()
    return "\n" + trust_entry(folder / name)


def test_the_choice_of_a_form_is_an_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "--log", "xml", "profiles"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "'auto', 'text', 'json'" in done.stderr
    assert fieldbus.name == "meterseal.fieldbus"


def test_a_line_that_cannot_be_made_costs_whoever_logs_nothing(
    journal: tuple[socket.socket, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = journal
    handler = log_setup.Journal(path, sys.stderr)
    handler.addFilter(Repeats(handler))
    wrong = record("%d meters")
    wrong.args = ("some",)
    handler.handle(wrong)
    handler.close()
    assert "TypeError" in capsys.readouterr().err
