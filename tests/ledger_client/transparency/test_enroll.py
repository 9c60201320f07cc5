"""`meterseal-ledger enroll`: shows what a request asks for, asks, and lets nobody in by another's name."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger_client.enrolment.proofs import to_text
from ledger_client.formats.cose_key import PrivateKey, base64url
from ledger_client.transparency.ledger.enroll import EnrollError, enroll, let_in, propose
from ledger_client.transparency.policy.policy_file import load_policy
from ledger_client.verification.trust_text import key_entry
from tests.ledger_client.transparency.test_cli import request, run
from tests.support.commands import ledger_command
from tests.support.enrolled import Gateway

PATIENCE_S = 60.0


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    run("init", folder)
    return folder


def complaint(*arguments: object) -> str:
    """What a command says that cannot run (exit 2)."""
    return ledger_command(*arguments).ended(2).err


def policy(ledger: Path) -> str:
    return (ledger / "policy.toml").read_text()


def test_it_shows_names_thumbprints_and_what_is_new(ledger: Path, tmp_path: Path) -> None:
    gateway, meter = Gateway("hydro-07"), PrivateKey.generate()
    asked = request(gateway, tmp_path, {"export-main": (meter, None)}, time_s=1_795_000_000)
    shown = run("enroll", ledger, asked, "--yes").out
    assert "gateway hydro-07, by its request of 2026-11-18T" in shown
    assert f"statement key of gateway hydro-07 {base64url(gateway.key.public.kid)}: new" in shown
    assert f"key of meter export-main of gateway hydro-07 {base64url(meter.public.kid)}: new" in shown
    enrolled = policy(ledger)
    assert [key.role for key in load_policy(ledger / "policy.toml").keys] == ["statement", "meter"]
    assert run("enroll", ledger, asked).out.count("enrolled already, left as it is") == 2  # and nobody is asked
    assert policy(ledger) == enrolled
    assert "meter export-main" in run("show", ledger).out


def test_an_identity_that_became_known_is_added_to_the_key(ledger: Path, tmp_path: Path) -> None:
    gateway, meter, other = Gateway("a"), PrivateKey.generate(), PrivateKey.generate()
    enroll(ledger, request(gateway, tmp_path, {"m": (meter, None), "n": (other, "serial=1")}))
    known = request(gateway, tmp_path, {"m": (meter, "serial=7"), "n": (other, "serial=2")})
    shown = run("enroll", ledger, known, "--yes").out
    assert "enrolled already, its device is serial=7" in shown
    assert "warning: meter n is enrolled as serial=1, which stays; the request says serial=2" in shown
    keys = {key.meter: key.identity for key in load_policy(ledger / "policy.toml").keys}
    assert keys == {None: None, "m": "serial=7", "n": "serial=1"}


def test_without_a_terminal_nobody_is_let_in_unless_told(ledger: Path, tmp_path: Path) -> None:
    before = policy(ledger)
    message = complaint("enroll", ledger, Gateway("a").request(tmp_path))
    assert "there is no terminal to ask at" in message
    assert "--yes" in message
    assert policy(ledger) == before


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_at_a_terminal_it_asks(ledger: Path, tmp_path: Path, answer: bytes, code: int) -> None:
    master, slave = pty.openpty()
    asked = Gateway("a").request(tmp_path)
    command = [sys.executable, "-m", "ledger_client.cli", "enroll", str(ledger), str(asked)]
    os.write(master, answer)
    try:
        done = subprocess.run(command, stdin=slave, capture_output=True, text=True, timeout=PATIENCE_S)
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == code, done
    assert "by another way than the file came" in done.stdout
    assert ('gateway = "a"' in policy(ledger)) is (code == 0)


def test_a_request_as_text_is_taken(ledger: Path, tmp_path: Path) -> None:
    asked = Gateway("a").request(tmp_path)
    asked.write_text(to_text(asked.read_bytes()) + "\n")
    run("enroll", ledger, asked, "--yes")
    assert 'gateway = "a"' in policy(ledger)


def test_an_unsigned_file_is_refused_with_the_way_out(ledger: Path, tmp_path: Path) -> None:
    before, file = policy(ledger), tmp_path / "gateway.pub.toml"
    file.write_text(key_entry("statement", Gateway("a").key.public, 0, gateway="a"))
    signed = Gateway("a").request(tmp_path).read_bytes()
    for data in (file.read_bytes(), b"", signed[:-1], signed.replace(b"gatewayaa", b"gatewayab"), bytes(3_000_000)):
        file.write_bytes(data)
        message = complaint("enroll", ledger, file, "--yes")
        assert "is no signed enrolment request" in message
        assert "meterseal keys enrol-request CONFIG -o gateway.enrol" in message
    assert "cannot be read" in complaint("enroll", ledger, tmp_path / "no.enrol", "--yes")
    assert "no ledger here" in complaint("enroll", tmp_path, file, "--yes")
    assert policy(ledger) == before


def test_a_known_gateways_name_is_not_enough(ledger: Path, tmp_path: Path) -> None:
    honest, thief = Gateway("hydro-07"), Gateway("hydro-07")
    enroll(ledger, honest.request(tmp_path))
    before = policy(ledger)
    for asked in (request(thief, tmp_path), request(thief, tmp_path, before=PrivateKey.generate())):
        message = complaint("enroll", ledger, asked, "--yes")
        assert "gateway hydro-07 is known here by another statement key" in message
        assert "--old-key" in message
        assert "--add-key" in message
    assert policy(ledger) == before


def test_the_old_key_vouches_for_the_new_one(ledger: Path, tmp_path: Path) -> None:
    old, new, third = (Gateway("hydro-07") for _ in range(3))
    enroll(ledger, old.request(tmp_path))
    enroll(ledger, request(new, tmp_path, before=old.key))
    keys = load_policy(ledger / "policy.toml").statement_keys("hydro-07")
    assert [key.kid for key in keys] == [old.key.public.kid, new.key.public.kid]
    run("revoke", ledger, "hydro-07", "--kid", base64url(old.key.public.kid))
    with pytest.raises(EnrollError, match="known here by another statement key"):
        enroll(ledger, request(third, tmp_path, before=old.key))
    enroll(ledger, request(third, tmp_path, before=new.key))


def test_a_lost_key_is_replaced_only_if_that_is_meant(ledger: Path, tmp_path: Path) -> None:
    old, new = Gateway("hydro-07"), Gateway("hydro-07")
    enroll(ledger, old.request(tmp_path))
    run("enroll", ledger, new.request(tmp_path), "--add-key", "--yes")
    assert len(load_policy(ledger / "policy.toml").statement_keys("hydro-07")) == 2


def test_a_revoked_key_brings_no_meters_in(ledger: Path, tmp_path: Path) -> None:
    gateway = Gateway("a")
    enroll(ledger, gateway.request(tmp_path))
    run("revoke", ledger, "a", "--at", "2026-01-01T00:00:00Z")
    before = policy(ledger)
    message = complaint("enroll", ledger, request(gateway, tmp_path, {"m": (PrivateKey.generate(), None)}), "--yes")
    assert "was revoked at 2026-01-01T00:00:00Z" in message
    assert policy(ledger) == before


def test_one_device_under_two_gateways_is_named(ledger: Path, tmp_path: Path) -> None:
    shared, another = PrivateKey.generate(), PrivateKey.generate()
    enroll(ledger, request(Gateway("a"), tmp_path, {"main": (shared, "serial=4711")}))
    twice = request(Gateway("b"), tmp_path, {"copy": (another, "serial=4711"), "same": (shared, None)})
    shown = run("enroll", ledger, twice, "--yes").out
    assert "warning: meter copy is serial=4711, and so is meter main of gateway a" in shown
    assert "warning: the key of meter same is also that of meter main of gateway a" in shown


def test_another_key_of_a_meter_is_named(ledger: Path, tmp_path: Path) -> None:
    gateway, old, new = Gateway("a"), PrivateKey.generate(), PrivateKey.generate()
    enroll(ledger, request(gateway, tmp_path, {"main": (old, None)}))
    shown = run("enroll", ledger, request(gateway, tmp_path, {"main": (new, None)}), "--yes").out
    assert f"warning: meter main has the key {base64url(old.public.kid)} already" in shown
    assert f"key of meter main of gateway a {base64url(new.public.kid)}: new" in shown


def test_a_key_of_another_role_is_refused(ledger: Path, tmp_path: Path) -> None:
    a = Gateway("a")
    enroll(ledger, a.request(tmp_path))
    before = policy(ledger)
    assert "one public key is used as" in complaint(
        "enroll", ledger, request(Gateway("b"), tmp_path, {"m": (a.key, None)}), "--yes"
    )
    assert policy(ledger) == before


def test_what_was_shown_is_what_is_enrolled(ledger: Path, tmp_path: Path) -> None:
    proposal = propose(ledger, Gateway("a").request(tmp_path))
    enroll(ledger, Gateway("a").request(tmp_path))  # somebody else was faster
    before = policy(ledger)
    with pytest.raises(EnrollError):
        let_in(ledger, proposal)
    assert policy(ledger) == before


def test_a_gateway_whose_clock_is_ahead_is_let_in_from_now_on(ledger: Path, tmp_path: Path) -> None:
    now = int(time.time())
    proposal = propose(ledger, Gateway("a").request(tmp_path, now + 10_000))
    while int(time.time()) <= proposal.at:  # somebody thinks before he says yes
        pass
    let_in(ledger, proposal)
    (key,) = load_policy(ledger / "policy.toml").keys
    assert now <= key.valid_from == proposal.at


def test_nothing_is_changed_without_the_ledgers_key(ledger: Path, tmp_path: Path) -> None:
    before = policy(ledger)
    (ledger / "key.pem").rename(tmp_path / "away.pem")
    assert "key.pem" in complaint("enroll", ledger, Gateway("a").request(tmp_path), "--yes")
    assert policy(ledger) == before


def test_enrolling_keeps_the_operators_words(ledger: Path, tmp_path: Path) -> None:
    file = ledger / "policy.toml"
    entry = key_entry("statement", PrivateKey.generate().public, 0, gateway="b")
    file.write_text("# mine\n" + entry + "revoked = 2026-01-01T00:00:00Z # !\n")
    before = file.read_text()
    enroll(ledger, Gateway("a").request(tmp_path))
    assert file.read_text().startswith(before)
