"""`meterseal keys`: the enrolment request that goes to a ledger, and who has signed it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.keys import _drawn
from gateway.config.device_keys import REQUEST_FILE, enrol_request, load_keys, make_missing
from gateway.config.model import Config
from ledger_client.enrolment.request import parse_request
from ledger_client.formats.cose_key import PrivateKey, base64url, save_private_key
from ledger_client.formats.record import Event
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.enroll import EnrollError, enroll
from ledger_client.transparency.policy.policy_file import load_policy
from tests.support.commands import Answer, gateway_command
from tests.support.samples import Machine, recorder, site

PATIENCE_S = 60.0


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


def meterseal(*words: object, code: int = 0) -> Answer:
    return gateway_command(*words).ended(code)


def test_init_writes_a_signed_request(loaded: Config) -> None:
    asked = parse_request((loaded.keys / REQUEST_FILE).read_bytes())
    keys = load_keys(loaded)
    assert (asked.gateway, asked.time, asked.before) == (loaded.gateway_id, 1_700_000_000, None)
    assert asked.statement.kid == keys.statement.public.kid
    assert {name: meter.key.kid for name, meter in asked.meters.items()} == {
        name: key.public.kid for name, key in keys.meters.items()
    }
    assert not list(loaded.keys.glob("*.toml"))


def test_a_new_meter_is_in_the_next_request(loaded: Config) -> None:
    loaded.path.write_text(loaded.path.read_text().replace('name = "stack-co2"', 'name = "new-meter"'))
    meterseal("keys", loaded.path, "--make-missing")
    assert "new-meter" in parse_request((loaded.keys / REQUEST_FILE).read_bytes()).meters


def test_the_command_writes_what_it_says(loaded: Config, tmp_path: Path) -> None:
    file = tmp_path / "out.enrol"
    printed = meterseal("keys", "enrol-request", loaded.path, "-o", file).out
    asked = parse_request(file.read_bytes())
    assert f"statement key {base64url(asked.statement.kid)}" in printed
    assert all(f"meter {name} {base64url(meter.key.kid)}" in printed for name, meter in asked.meters.items())
    listed = meterseal("keys", loaded.path).out
    assert base64url(asked.statement.kid) in listed
    assert meterseal("keys", "list", loaded.path).out == listed
    meterseal("keys", "enrol-request", loaded.path, "-o", file)  # its own kind is replaced
    other = meterseal("keys", "enrol-request", loaded.path, "-o", loaded.path, code=2)
    assert "exists and is not of the kind: enrolment request" in other.err


def test_it_tells_the_identities_that_the_database_knows(loaded: Config, tmp_path: Path) -> None:
    made, _ = recorder(loaded, Machine().clock())
    made.start()
    made.happened("export-main", Event("commissioned", {"identity": "serial_number=4711"}))
    made.stop()
    file = tmp_path / "out.enrol"
    assert "(serial_number=4711)" in meterseal("keys", "enrol-request", loaded.path, "-o", file).out
    meters = parse_request(file.read_bytes()).meters
    assert {name: meter.identity for name, meter in meters.items() if meter.identity} == {
        "export-main": "serial_number=4711"
    }


def test_an_identity_that_is_no_plain_text_is_left_out(loaded: Config) -> None:
    known = {"export-main": "4711\n", "stack-co2": "x" * 257}
    asked = parse_request(enrol_request(loaded, load_keys(loaded), 5, known))
    assert {meter.identity for meter in asked.meters.values()} == {None}


def test_a_statement_key_that_was_replaced_is_vouched_for_by_the_old_one(loaded: Config, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    open_dir(ledger, "demo-ledger").close()
    enroll(ledger, loaded.keys / REQUEST_FILE)
    old = loaded.keys / "statement-old.pem"
    (loaded.keys / "statement.pem").rename(old)
    make_missing(loaded, 1_700_000_100)
    with pytest.raises(EnrollError, match="--old-key"):
        enroll(ledger, loaded.keys / REQUEST_FILE)
    meterseal("keys", "enrol-request", loaded.path, "-o", loaded.keys / REQUEST_FILE, "--old-key", old)
    enroll(ledger, loaded.keys / REQUEST_FILE)
    kids = [key.kid for key in load_policy(ledger / "policy.toml").statement_keys(loaded.gateway_id)]
    assert kids[1:] == [load_keys(loaded).statement.public.kid]
    other = tmp_path / "other.pem"
    save_private_key(other, PrivateKey.generate())
    other.chmod(0o644)
    printed = meterseal("keys", "enrol-request", loaded.path, "-o", tmp_path / "x", "--old-key", other, code=2).err
    assert "chmod 600" in printed


def test_in_a_terminal_it_is_text_and_a_qr_code(loaded: Config, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "keys",
        "enrol-request",
        str(loaded.path),
        "-o",
        str(tmp_path / "x"),
    ]
    process = subprocess.Popen(command, stdout=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # the terminal is gone with the process
        pass
    finally:
        os.close(master)
        assert process.wait(PATIENCE_S) == 0
    text = re.search(r"meterseal-enrol:[A-Za-z0-9_-]+", shown.decode())
    assert text is not None
    assert parse_request(text[0].encode()) == parse_request((tmp_path / "x").read_bytes())
    assert "\u2580" in shown.decode()


def test_what_no_code_of_a_terminal_holds_is_text_alone() -> None:
    assert "\u2580" in _drawn("x" * 1273)
    drawn = _drawn("x" * 1274)
    assert "\u2580" not in drawn
    assert "too long for a QR code" in drawn
