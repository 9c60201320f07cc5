"""Command meterseal-ledger: what it prints, its exit codes, and one plain message for whatever is wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_client.enrolment.request import Enrolment, MeterKey, sign_request
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.record import Claims, Coverage, Event, sign_record
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.formats.statement import Range, Statement, sign_statement
from ledger_client.ledgers.http import HttpLedger
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from tests.support.commands import Answer, ledger_command
from tests.support.enrolled import EPOCH, Gateway
from tests.support.gateways.apart import apart
from tests.support.processes import EmbeddedLedger, embedded_ledger

FIELDS = [
    "verified", "step", "error", "detail", "kind", "gateway", "meter", "seq", "epoch", "time", "no_later_than", "delay",
    "clock", "values", "batch", "resume", "root", "statement_id", "receipts", "unconfirmed",
    "asked", "witnessed", "keys",
]  # fmt: skip


def run(*arguments: object, code: int = 0) -> Answer:
    """Run the command, `serve` as a process; it ends with ``code`` and never with a traceback."""
    serves = arguments[0] == "serve"
    done = (apart("ledger_client.cli", *arguments) if serves else ledger_command(*arguments)).ended(code)
    assert code != 2 or done.out == ""
    return done


def complaint(*arguments: object) -> str:
    """The one message of a command that cannot run (exit 2)."""
    stderr = run(*arguments, code=2).err
    assert stderr.count("\n") == 1 + stderr.count("\n  fix: "), stderr
    assert stderr.startswith("error: ")
    return stderr


def request(
    gateway: Gateway,
    folder: Path,
    meters: Mapping[str, tuple[PrivateKey, str | None]] | None = None,
    *,
    before: PrivateKey | None = None,
    time_s: int = 0,
) -> Path:
    """A gateway's enrolment request with meters, as a file in ``folder``; ``before``: its statement key until now."""
    signers = [gateway.key, *(key for key, _ in (meters or {}).values()), *([before] if before else [])]
    asked = Enrolment(
        gateway.name, time_s, gateway.key.public,
        {meter: MeterKey(key.public, identity) for meter, (key, identity) in (meters or {}).items()},
        before.public if before else None,
    )  # fmt: skip
    path = folder / f"{gateway.name}-{gateway.key.public.kid.hex()[:8]}.enrol"
    path.write_bytes(sign_request(asked, {key.public.kid: key for key in signers}))
    return path


class Proofs:
    """A ledger that serves, and one proof of each kind of record with what is needed to believe it."""

    def __init__(self, ledger: EmbeddedLedger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.gateway = Gateway("hydro-07")
        self.meter = PrivateKey.generate()
        self.now = int(time.time())
        statement = key_entry("statement", self.gateway.key.public, 0, gateway="hydro-07")
        meter = key_entry("meter", self.meter.public, 0, gateway="hydro-07", meter="export-main")
        self.entries = meter + "\n" + statement
        self.request = request(self.gateway, folder, {"export-main": (self.meter, "serial_number=4711")})

    def trust(self) -> Path:
        path = self.folder / "trust.toml"
        policy = f'[policy]\nreceipts = 1\nledgers = ["{self.ledger.name}"]\n'
        path.write_text(policy + self.entries + run("show", self.ledger.folder, "--trust").out)
        return path

    def records(self) -> list[bytes]:
        claims = Claims("hydro-07", "export-main", self.now, 5000, 0, EPOCH, None, "S", 12)
        values = (
            Value("energy", Decimal("12345.670"), "kWh"),
            Value("humidity", Decimal("4.10"), "/100", Quality.STALE | Quality.CAL_OVERDUE),
            Value("power", None, "W", Quality.COMM_FAIL),
            Value("voltage", 230.10000610351562, "V", 0, 40),
            Value("serial", "A\x1b[31mB"),
        )
        ms = self.now * 1000
        coverage = Coverage(ms - 60_000, ms, 60, 58, {"timeout": 1, "skipped": 1})
        event = Event("configuration", {"reason": "new period", "every_ms": 1000})
        return [
            sign_record(claims, Reading(ms, values), self.meter),
            sign_record(claims._replace(seq=1), coverage, self.meter),
            sign_record(claims._replace(seq=2), event, self.meter),
        ]

    def bundles(self) -> dict[str, Path]:
        records = self.records()
        tree = Tree(map(leaf_hash, records))
        statement = Statement(
            "hydro-07", 0, self.now, None, tree.root, 3, self.now * 1000 - 60_000, self.now * 1000 + 999,
            {"export-main": (Range(EPOCH, 0, 2),)}, bytes(32), "meterseal/0.1.0",
        )  # fmt: skip
        entry = sign_statement(statement, self.gateway.key)
        driver = HttpLedger(self.ledger.name, self.ledger.url)
        receipt = driver.submit(entry)
        driver.close()
        assert isinstance(receipt, bytes)
        paths = {}
        for index, kind in enumerate(("reading", "coverage", "event")):
            path = paths[kind] = self.folder / f"{kind}.mseal"
            path.write_bytes(Bundle(records[index], (), 3, index, tuple(tree.path(index)), entry, (receipt,)).encode())
        return paths


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proofs]:
    folder = tmp_path_factory.mktemp("cli")
    with embedded_ledger(folder / "ledger", "demo-ledger") as ledger:
        proofs = Proofs(ledger, folder)
        run("enroll", ledger.folder, proofs.request, "--yes")  # while it serves
        yield proofs


@pytest.fixture(scope="module")
def bundles(proofs: Proofs) -> dict[str, Path]:
    return proofs.bundles()


@pytest.fixture(scope="module")
def trust(proofs: Proofs, bundles: dict[str, Path]) -> Path:
    return proofs.trust()


def test_verify_says_the_steps_and_the_facts(bundles: dict[str, Path], trust: Path) -> None:
    out = run("verify", bundles["reading"], "--trust", trust).out
    assert re.findall(r"^(\d) (\w+) +✓ ", out, re.MULTILINE) == [
        ("1", "parse"), ("2", "record"), ("3", "inclusion"), ("4", "statement"),
        ("5", "sequence"), ("6", "receipts"), ("7", "validity"), ("8", "policy"),
    ]  # fmt: skip
    assert "VERIFIED: a reading of meter export-main of gateway hydro-07" in out
    assert "by the gateway's clock (synchronised)" in out
    assert "no later than" in out
    assert re.search(r"energy +12345\.670 kWh +good", out)
    assert re.search(r"humidity +4\.10 percent +older than it may be, calibration is overdue", out)
    assert re.search(r"power +no value W +the meter did not answer", out)
    assert re.search(r"voltage +230\.10000610351562 V +good \(read 40 ms later\)", out)
    assert r"A\x1b[31mB" in out
    assert "\x1b" not in out
    assert re.search(r"ledger +demo-ledger, receipt of 20", out)
    assert re.search(r"batch +0, statement ", out)


def test_verify_of_the_other_kinds(bundles: dict[str, Path], trust: Path) -> None:
    coverage = run("verify", bundles["coverage"], "--trust", trust).out
    assert "VERIFIED: a coverage record of meter export-main" in coverage
    assert "due 60, recorded 58, missed: skipped 1, timeout 1" in coverage
    event = run("verify", bundles["event"], "--trust", trust, "--kind", "event").out
    assert "  event          configuration\n    every_ms = 1000\n    reason = new period\n" in event


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "cp1252"])
def test_a_verdict_reaches_a_terminal_that_lacks_its_letters(
    bundles: dict[str, Path], trust: Path, encoding: str
) -> None:
    command = [sys.executable, "-m", "ledger_client.cli", "verify", str(bundles["reading"]), "--trust", str(trust)]
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"VERIFIED: a reading of meter export-main" in done.stdout


def test_verify_as_json(proofs: Proofs, bundles: dict[str, Path], trust: Path) -> None:
    out = run("verify", bundles["reading"], "--trust", trust, "--json").out
    facts = json.loads(out, parse_float=Decimal)
    assert list(facts) == FIELDS
    assert facts["verified"] is True
    assert (facts["step"], facts["error"], facts["detail"]) == (None, None, None)
    assert (facts["gateway"], facts["meter"], facts["kind"]) == ("hydro-07", "export-main", "reading")
    assert facts["values"][0] == {"name": "energy", "value": Decimal("12345.67"), "unit": "kWh", "quality": []}
    assert facts["values"][1]["quality"] == ["STALE", "CAL_OVERDUE"]
    assert [receipt["ledger"] for receipt in facts["receipts"]] == [proofs.ledger.name]


@pytest.mark.parametrize(
    ("change", "kind", "step", "error"),
    [
        (lambda data: data[:-1], None, 1, "Malformed"),
        (lambda data: b"", None, 1, "Malformed"),
        (lambda data: data + bytes(3_000_000), None, 1, "Malformed"),
        (lambda data: data.replace(b"energy", b"enerGy"), None, 2, "BadSignature"),
        (lambda data: data, "coverage", 2, "Malformed"),
    ],
)
def test_what_does_not_hold_is_named_with_its_step(
    bundles: dict[str, Path], trust: Path, tmp_path: Path, change: object, kind: str | None, step: int, error: str
) -> None:
    assert callable(change)
    file = tmp_path / "changed.mseal"
    file.write_bytes(change(bundles["reading"].read_bytes()))
    asked = ["verify", file, "--trust", trust, *(["--kind", kind] if kind else [])]
    facts = run(*asked, "--json", code=1).facts
    assert list(facts) == FIELDS
    assert (facts["verified"], facts["step"], facts["error"]) == (False, step, error)
    assert facts["detail"]
    assert run(*asked, code=1).out.startswith(f"NOT VERIFIED, step {step} (")


def test_another_ledgers_receipt_is_not_enough(bundles: dict[str, Path], trust: Path, tmp_path: Path) -> None:
    other = tmp_path / "trust.toml"
    other.write_text(trust.read_text().replace('ledger = "demo-ledger"', 'ledger = "unheard-of"'))
    facts = run("verify", bundles["reading"], "--trust", other, "--json", code=1).facts
    assert facts["step"] in (6, 8)


def test_verify_of_what_is_not_there(bundles: dict[str, Path], trust: Path, tmp_path: Path) -> None:
    assert "missing.mseal" in complaint("verify", tmp_path / "missing.mseal", "--trust", trust)
    assert str(tmp_path) in complaint("verify", tmp_path, "--trust", trust)
    assert "no.toml" in complaint("verify", bundles["reading"], "--trust", tmp_path / "no.toml")
    assert "is larger than 64 MiB" in complaint("verify", bundles["reading"], "--trust", "/dev/zero")
    bad = tmp_path / "bad.toml"
    bad.write_text(trust.read_text() + "[[key]]\n")
    assert "bad.toml: key 4.role" in complaint("verify", bundles["reading"], "--trust", bad)


def test_show(proofs: Proofs, bundles: dict[str, Path], trust: Path) -> None:
    folder = proofs.ledger.folder
    assert "gateway hydro-07: 1 statements, last batch 0; keys: " in run("show", folder).out
    facts = run("show", folder, "--json").facts
    assert facts["ledger"] == "demo-ledger"
    assert facts["entries"] == 3  # its rules, the gateway that was let in, and the statement
    (gateway,) = facts["gateways"]
    assert (gateway["gateway"], gateway["statements"], gateway["last_batch"]) == ("hydro-07", 1, 0)
    (entry,) = [key for key in load_trust(trust).keys if key.role == "ledger"]
    assert entry.ledger == "demo-ledger"
    assert "no ledger here" in complaint("show", folder.parent)


def test_init_makes_a_ledger_once(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    assert f"no ledger here\n  fix: make one: meterseal-ledger init {folder}" in complaint("show", folder)
    assert "a ledger's name is" in complaint("init", folder, "--name", "a b")
    assert "ledger mine; serve it" in run("init", folder, "--name", "mine").out
    assert "there is a ledger already\n  fix: serve it" in complaint("init", folder)
    assert "mine" in run("show", folder).out


def test_serving_a_ledger_that_is_served_already(proofs: Proofs) -> None:
    assert proofs.ledger.process is not None
    message = complaint("serve", proofs.ledger.folder, "--listen", "127.0.0.1:0")
    assert f"process {proofs.ledger.process.pid} serves this folder" in message


def test_a_listen_address_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        message = complaint("serve", tmp_path / "new", "--listen", address)
    assert address in message
    assert "--listen" in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen", "8700"], "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["--listen", "203.0.113.7:8700"], "203.0.113.7:8700"),
        (["--listen", "no.such.host.invalid:8700"], "no.such.host.invalid"),
        (["--listen", "127.0.0.1:0", "--mqtt", "http://x"], "--mqtt: 'http://x' is not a broker address"),
        (["--listen", "127.0.0.1:0", "--name", "a b"], "--name"),
        (["--listen", "127.0.0.1:0", "--proxy", "proxy.example"], "--proxy 'proxy.example': not an IP address"),
        (["--listen", "127.0.0.1:0", "--proxy", "*"], "--proxy '*': not an IP address"),
        (["--listen", "127.0.0.1:0", "--cert", "/no/such.pem"], "--key: is missing; cert and key are used together"),
        (["--listen", "127.0.0.1:0", "--cert", "/no/such.pem", "--key", "/no/key"], "--cert: /no/such.pem does not"),
        (["--listen", "127.0.0.1:0", "--client-ca", "/no/such.pem"], "--client-ca: has no effect"),
        (["--listen", "127.0.0.1:0", "--mqtt-user", "me"], "--mqtt: missing"),
        (["--listen", "127.0.0.1:0", "--mqtt", "mqtt://h", "--mqtt-ca", "x"], "--mqtt-ca: has no effect"),
        (["--listen", "127.0.0.1:0", "--mqtt", "mqtts://h", "--mqtt-ca", "/no/ca"], "--mqtt-ca: /no/ca does not exist"),
        (["--listen", "127.0.0.1:0", "--mqtt", "mqtts://h", "--mqtt-password-file", "x"], "--mqtt-user: is missing"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: list[str], message: str) -> None:
    assert message in complaint("serve", tmp_path / "new", *options)
    assert not (tmp_path / "new" / "log.db").exists()


def test_a_folder_that_is_not_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    with embedded_ledger(folder, "first") as ledger:
        ledger.stop()
    serve = ["serve", folder, "--listen", "127.0.0.1:0"]
    assert oct((folder / "key.pem").stat().st_mode)[-3:] == "600"
    assert "'first'" in complaint(*serve, "--name", "second")

    (folder / "key.pem").chmod(0o644)
    assert "key.pem" in complaint(*serve)
    (folder / "key.pem").chmod(0o600)

    (folder / "log.db").rename(folder / "gone")
    assert "restore log.db" in complaint(*serve)
    (folder / "log.db").write_bytes(b"something else " * 400)
    assert "log.db" in complaint(*serve)
    (folder / "gone").rename(folder / "log.db")

    key = (folder / "key.pem").read_bytes()
    (folder / "key.pem").unlink()
    assert "key.pem" in complaint(*serve)
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_bytes(PrivateKey.generate().to_pem())
    assert "not the key of log.db" in complaint(*serve)
    (folder / "key.pem").write_bytes(key)

    policy = (folder / "policy.toml").read_text()
    (folder / "policy.toml").write_text("[[key]]\nrole = 'ledger'\n")
    assert "policy.toml" in complaint(*serve)
    (folder / "policy.toml").unlink()
    assert "policy.toml" in complaint(*serve)
    (folder / "policy.toml").write_text(policy)
    with embedded_ledger(folder, "first") as ledger:
        assert ledger.stop() == 0


def test_a_first_start_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    with embedded_ledger(folder, "first") as ledger:
        ledger.stop()
    (folder / "key.pem").rename(folder / "key.pem.new")  # cut between the two names
    with embedded_ledger(folder, "first") as ledger:
        ledger.stop()
    assert sorted(os.listdir(folder)) == ["checkpoint.pem", "head", "key.pem", "lock", "log.db", "policy.toml"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "key.pem.new").write_text("half a k")  # cut before
    (other / "log.db.new").write_text("half a l")
    with embedded_ledger(other, "second") as ledger:
        ledger.stop()
    assert sorted(os.listdir(other)) == ["checkpoint.pem", "head", "key.pem", "lock", "log.db", "policy.toml"]
