"""`meterseal-ledger trust`: trust files from requests, from ledgers' keys and from the log."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.startup.preflight import prepare
from ledger_client.formats.cose_key import PrivateKey, base64url
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.revoke import revoke
from ledger_client.verification.trust import Held
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.vouching import check_receipt
from tests.ledger_client.transparency.test_cli import complaint, request, run
from tests.support import samples
from tests.support.commands import ledger_command
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, persist, site

GATEWAY, METER = Gateway("hydro-07"), PrivateKey.generate()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("trust")) as running:
        enroll(running.folder, request(GATEWAY, running.folder.parent, {"main": (METER, "serial=1")}))
        yield running


@pytest.fixture
def pinned(demo: Site, tmp_path: Path) -> Path:
    path = tmp_path / "ledger-key.toml"
    path.write_text(run("show", demo.folder, "--trust").out)
    return path


def test_a_trust_file_comes_from_the_log(demo: Site, pinned: Path, tmp_path: Path) -> None:
    out = tmp_path / "trust.toml"
    words = ("trust", "from", demo.ledger.url, "--gateway", "hydro-07", "--ledger-key", pinned, "-o", out)
    assert "2 keys of gateway hydro-07, by 2 of the" in run(*words).out
    trust = load_trust(out)
    assert (trust.receipts, trust.ledgers) == (1, (demo.name,))
    assert trust.find("statement", gateway="hydro-07", kid=GATEWAY.key.public.kid) is not None
    meter = trust.find("meter", gateway="hydro-07", meter="main", kid=METER.public.kid)
    assert meter is not None
    assert meter.identity == "serial=1"
    with demo.driver("http") as driver:
        receipt = persist(driver, GATEWAY.statement(0))
    assert check_receipt(GATEWAY.statement(0), receipt, trust, int(time.time()))[0] == demo.name
    run(*words)  # its own kind is replaced
    shown = run("trust", "show", out).out
    assert f"key of ledger {demo.name}" in shown
    assert f"key of meter main of gateway hydro-07 {base64url(METER.public.kid)} (serial=1)" in shown
    assert (
        "keys in order, as the log of" in run("trust", "check", out, "--ledger", f"{demo.name}={demo.ledger.url}").out
    )


def test_a_trust_file_says_how_late_records_may_reach_the_ledgers(demo: Site, pinned: Path, tmp_path: Path) -> None:
    out = tmp_path / "trust.toml"
    words = ("trust", "from", demo.ledger.url, "--gateway", "hydro-07", "--ledger-key", pinned, "-o", out)
    assert "max_delay is 8d, and a record that reaches the ledgers later does not count" in run(*words).out
    assert load_trust(out).max_delay_s == 8 * 86_400
    shown = run("trust", "show", out)
    assert "records count that the ledgers had within 8 d 0 h" in shown.out
    assert "max_delay" not in shown.err + run("trust", "check", out).err
    run(*words, "--max-delay", "90d")
    assert load_trust(out).max_delay_s == 90 * 86_400
    for wrong in ("1w", "0s", "1500ms"):
        assert f"--max-delay is {wrong}: " in complaint(*words, "--max-delay", wrong)
    out.write_text(out.read_text().replace('max_delay = "90d"\n', ""))
    for command in ("show", "check"):
        warning = run("trust", command, out).err
        assert "policy.max_delay is missing" in warning
        assert 'fix: max_delay = "8d" in [policy], or longer' in warning


def test_a_trust_file_says_until_when_it_counts(demo: Site, pinned: Path, tmp_path: Path) -> None:
    """A key that is revoked meanwhile counts offline until the file expires; then each command says what to do."""
    out = tmp_path / "trust.toml"
    words = ("trust", "from", demo.ledger.url, "--gateway", "hydro-07", "--ledger-key", pinned, "-o", out)
    run(*words)
    found = load_trust(out)
    assert found.made is not None
    assert found.expires == found.made + 90 * 86_400
    assert abs(found.made - time.time()) < 300
    run(*words, "--days", "1")
    assert load_trust(out).expires == (load_trust(out).made or 0) + 86_400
    assert "--days" in run(*words, "--days", "0", code=2).err
    run("trust", "add", out, Gateway("hydro-10").request(tmp_path), "--yes")
    assert load_trust(out).expires == (load_trust(out).made or 0) + 86_400
    text = re.sub("made = .*", "made = 2020-01-01T00:00:00Z", out.read_text())
    out.write_text(re.sub("expires = .*", "expires = 2020-03-31T00:00:00Z", text))
    assert "has expired" in run("trust", "show", out).err
    for command in (
        ("verify", tmp_path / "no.mseal"), ("audit", tmp_path), ("recompute", tmp_path),
        ("balance", tmp_path / "no.toml"), ("neutrality", tmp_path / "no.toml"),
        ("table", "hours", tmp_path, "--rows", tmp_path, "-o", "-"), ("irec", tmp_path, "--rows", tmp_path, "-o", "x"),
        ("energytag", tmp_path, tmp_path, "-o", tmp_path / "x"),
        ("certificate", "verify", tmp_path / "no.mcert"), ("certificate", "audit", tmp_path),
        ("certificate", "list", "--holder", "works", "--registry", f"reg={demo.ledger.url}"),
        ("evm", "check-log", "0x" + "5f" * 20, "00" * 32, "--ledger", "a=http://127.0.0.1:1",
         "--rpc", "http://127.0.0.1:1"),
    ):  # fmt: skip
        refused = complaint(*command, "--trust", out)
        assert ("has expired at 2020-03-31" in refused, "meterseal-ledger trust from" in refused) == (True, True)
        assert "is accepted by --expired-ok" in ledger_command(*command, "--trust", out, "--expired-ok").err
    assert "has expired" in complaint("trust", "check", out)
    assert "in order" in run("trust", "check", out, "--expired-ok").out


def test_an_older_key_of_the_ledger_will_do(demo: Site, pinned: Path, tmp_path: Path) -> None:
    run("rotate", demo.folder)
    out = tmp_path / "trust.toml"
    run("trust", "from", demo.ledger.url, "--gateway", "hydro-07", "--ledger-key", pinned, "-o", out)
    kids = [key.kid for key in load_trust(out).keys if key.role == "ledger"]
    assert [key.kid for key in load_trust(out).keys if key.role == "ledger"] == kids
    pinned.write_text(run("show", demo.folder, "--trust").out)
    assert kids == [key.kid for key in load_trust(out).keys if key.ledger == demo.name]
    assert len(kids) >= 2


def test_another_ledgers_key_proves_nothing(demo: Site, tmp_path: Path) -> None:
    pinned, out = tmp_path / "other.toml", tmp_path / "trust.toml"
    words = ("trust", "from", demo.ledger.url, "--gateway", "hydro-07", "--ledger-key", pinned, "-o", out)
    pinned.write_text(key_entry("ledger", PrivateKey.generate().public, 0, ledger=demo.name))
    assert "NOT PROVEN" in run(*words, code=1).out
    pinned.write_text(key_entry("ledger", PrivateKey.generate().public, 0, ledger="another"))
    assert "NOT PROVEN" in run(*words, code=1).out
    pinned.write_text(key_entry("statement", PrivateKey.generate().public, 0, gateway="g"))
    assert "of a ledger that counts" in complaint(*words)
    assert not out.exists()


def test_mistakes_are_one_sentence(demo: Site, pinned: Path, tmp_path: Path) -> None:
    out = tmp_path / "trust.toml"
    words = ("--gateway", "unheard-of", "--ledger-key", pinned, "-o", out)
    assert "no gateway unheard-of" in complaint("trust", "from", demo.ledger.url, *words)
    assert "URL" in complaint("trust", "from", "demo-ledger", *words)
    out.write_text("a letter\n")
    assert "not a trust file" in complaint("trust", "from", demo.ledger.url, *words)
    assert "cannot be read" in complaint("trust", "check", tmp_path / "no.toml")


def test_check_names_what_the_log_says_otherwise(demo: Site, pinned: Path, tmp_path: Path) -> None:
    out, gateway = tmp_path / "trust.toml", Gateway("hydro-08")
    enroll(demo.folder, gateway.request(tmp_path))
    run("trust", "from", demo.ledger.url, "--gateway", "hydro-08", "--ledger-key", pinned, "-o", out)
    check = ("trust", "check", out, "--ledger", f"{demo.name}={demo.ledger.url}")
    run(*check)
    revoke(demo.folder, "hydro-08", None, int(time.time()), "stolen")
    thumbprint = base64url(gateway.key.public.kid)
    assert f"statement key of gateway hydro-08 {thumbprint} was revoked at" in run(*check, code=1).out
    stranger = PrivateKey.generate().public
    out.write_text(out.read_text() + "\n" + key_entry("meter", stranger, 0, gateway="hydro-08", meter="m"))
    assert (
        f"key of meter m of gateway hydro-08 {base64url(stranger.kid)} is here and not in the log"
        in run(*check, code=1).out
    )
    assert "in order" in run("trust", "check", out).out


def test_check_names_ends_and_devices_that_differ(demo: Site, pinned: Path, tmp_path: Path) -> None:
    out, gateway, meter = tmp_path / "trust.toml", Gateway("hydro-09"), PrivateKey.generate()
    enroll(demo.folder, request(gateway, tmp_path, {"main": (meter, "serial=9")}))
    policy = demo.folder / "policy.toml"
    public = f'public = "{gateway.key.public.to_text()}"\n'
    policy.write_text(policy.read_text().replace(public, public + "valid_to = 2099-01-01T00:00:00Z\n"))
    run("trust", "from", demo.ledger.url, "--gateway", "hydro-09", "--ledger-key", pinned, "-o", out)
    text = out.read_text()
    check = ("trust", "check", out, "--ledger", f"{demo.name}={demo.ledger.url}")
    for before, after, says in (
        ("2099-", "2199-", "counts until 2099-01-01T00:00:00Z, and here for longer"),
        ("serial=9", "serial=8", "is for the device serial=9, and here for serial=8"),
    ):
        assert before in text
        out.write_text(text.replace(before, after))
        assert says in run(*check, code=1).out


def test_add_takes_requests_and_ledgers_keys(pinned: Path, tmp_path: Path) -> None:
    out = tmp_path / "trust.toml"
    asked = request(GATEWAY, tmp_path, {"main": (METER, "serial=1")})
    command = [sys.executable, "-m", "ledger_client.cli", "trust", "add", str(out), str(asked)]
    refused = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert (refused.returncode, out.exists()) == (2, False)
    assert "there is no terminal to ask at" in refused.stderr
    assert (
        f"new: statement key of gateway hydro-07 {base64url(GATEWAY.key.public.kid)}"
        in run("trust", "add", out, asked, "--yes").out
    )
    assert "keys added" in run("trust", "add", out, pinned, "--yes").out
    assert load_trust(out).ledgers == ("demo-ledger",)
    before = out.read_text()
    assert "has all of them already" in run("trust", "add", out, asked).out
    assert out.read_text() == before
    asked.write_bytes(asked.read_bytes()[:-1])
    assert "is no signed enrolment request" in complaint("trust", "add", out, asked, "--yes")
    assert "cannot be read" in complaint("trust", "add", out, tmp_path / "no.enrol", "--yes")


def test_what_a_file_says_of_hardware_is_its_own_word(tmp_path: Path) -> None:
    """An owner may write another's attestation, and an identity that steers a terminal, into the file he hands out."""
    handed, out, key = tmp_path / "handed.toml", tmp_path / "trust.toml", GATEWAY.key.public
    held = Held("demo-ledger", 1_700_000_000, "seen\x1b[2K")
    forged = key_entry("meter", key, 0, gateway="hydro-07", meter="main", identity="a\x1b[2K\u202e", held=held)
    handed.write_text(forged)
    done = run("trust", "add", out, handed, "--yes")
    assert "demo-ledger attests keys" in done.err
    assert load_trust(out, anchored=False).keys[0].held == held
    out.write_text(out.read_text() + '\n[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n')
    for printed in (done.out, run("trust", "show", out).out, run("trust", "check", out).out):
        assert not {"\x1b", "\u202e"} & set(printed)


def test_a_gateway_runs_with_the_trust_file_from_the_log(demo: Site, pinned: Path, tmp_path: Path) -> None:
    loaded = samples.site(tmp_path / "site")
    enroll(demo.folder, loaded.keys / "gateway.enrol")
    words = ("--gateway", loaded.gateway_id, "--ledger-key", pinned, "-o", loaded.trust)
    run("trust", "from", demo.ledger.url, *words)
    assert prepare(load_config(loaded.path), may_be_missing=True).trust.ledgers == (demo.name,)


def test_the_gateways_trust_file_gets_the_ledgers_key(demo: Site, pinned: Path, tmp_path: Path) -> None:
    loaded = samples.site(tmp_path / "site")
    run("trust", "add", loaded.trust, pinned, "--yes")
    assert prepare(load_config(loaded.path), may_be_missing=True).trust.ledgers == (demo.name,)
