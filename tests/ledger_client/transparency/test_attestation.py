"""Keys that a ledger's operator has seen in hardware: said at enrolment, kept in the log, read from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_client.formats.cose_key import PrivateKey, base64url
from ledger_client.transparency.ledger.directory import make_dir
from ledger_client.transparency.ledger.revoke import revoke
from ledger_client.transparency.policy.policy_file import load_policy
from ledger_client.verification.trust import Held, TrustKey
from ledger_client.verification.trust_file import load_trust
from tests.ledger_client.transparency.test_cli import complaint, request, run
from tests.support.commands import ledger_command
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, site

EVIDENCE = "YubiHSM 2 no. 7550123, attestation certificate seen"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("attested")) as running:
        yield running


class Plant:
    """A gateway with a meter, its request, and the trust file that somebody makes from the log."""

    def __init__(self, demo: Site, folder: Path, name: str) -> None:
        self.demo, self.gateway, self.meter = demo, Gateway(name), PrivateKey.generate()
        self.kid = base64url(self.gateway.key.public.kid)
        self.request = request(self.gateway, folder, {"main": (self.meter, "serial=1")})
        self.pinned, self.trust = folder / "ledger-key.toml", folder / "trust.toml"

    def enroll(self, *options: str) -> str:
        return run("enroll", self.demo.folder, self.request, "--yes", *options).out

    def made(self) -> dict[str, TrustKey]:
        """The keys of a trust file from the log, by role."""
        self.pinned.write_text(self.pinned.read_text() if self.pinned.exists() else self.shown())
        words = ("--gateway", self.gateway.name, "--ledger-key", self.pinned, "-o", self.trust)
        run("trust", "from", self.demo.ledger.url, *words)
        return {key.role: key for key in load_trust(self.trust).keys}

    def shown(self) -> str:
        return run("show", self.demo.folder, "--trust").out

    def check(self, code: int = 0) -> str:
        ledger = f"{self.demo.name}={self.demo.ledger.url}"
        return run("trust", "check", self.trust, "--ledger", ledger, code=code).out


def test_what_the_operator_has_seen_comes_into_trust_files(demo: Site, tmp_path: Path) -> None:
    plant = Plant(demo, tmp_path, "hydro-1")
    before = int(time.time())
    assert EVIDENCE in plant.enroll("--hardware", plant.kid, "--evidence", EVIDENCE)
    keys = plant.made()
    held = keys["statement"].held
    assert held is not None
    assert held.at is not None
    assert (held.by, held.evidence, before <= held.at <= time.time()) == (demo.name, EVIDENCE, True)
    assert keys["meter"].held is keys["ledger"].held is None
    shown = run("trust", "show", plant.trust).out
    assert f"in hardware (attested by {demo.name}, " in shown
    assert f"  evidence: {EVIDENCE}" in shown
    plant.check()
    revoke(demo.folder, "hydro-1", plant.kid, int(time.time()), "decommissioned")
    revoked = plant.made()["statement"]  # what was attested of it stays, with its time
    assert (revoked.held, revoked.revoked is not None) == (held, True)


def test_enrolled_again_without_it_an_attestation_ends(demo: Site, tmp_path: Path) -> None:
    plant = Plant(demo, tmp_path, "hydro-2")
    plant.enroll()
    assert plant.made()["statement"].held is None
    plant.enroll("--hardware", plant.kid, "--evidence", EVIDENCE, "--hardware", base64url(plant.meter.public.kid),
                 "--evidence", "sealed meter")  # fmt: skip
    first, meter = plant.made()["statement"].held, plant.made()["meter"].held
    assert (first is not None, meter is not None and meter.evidence) == (True, "sealed meter")
    plant.enroll("--hardware", plant.kid, "--evidence", EVIDENCE)  # the same again is as old as it was
    assert (plant.made()["statement"].held, plant.made()["meter"].held) == (first, None)
    assert "NO LONGER" in plant.enroll()
    assert "= hardware" not in (demo.folder / "policy.toml").read_text()
    plant.check(1)  # the trust file from before says more than the log does now
    assert plant.made()["statement"].held is None
    assert "left as it is" in plant.enroll()


def test_a_trust_file_that_says_more_than_the_log_is_found(demo: Site, tmp_path: Path) -> None:
    """The owner of the gateway writes `held` into the trust file that he hands over."""
    plant = Plant(demo, tmp_path, "hydro-3")
    plant.enroll()
    plant.made()
    public = f'public = "{plant.gateway.key.public.to_text()}"\n'
    lines = f'held = "hardware"\nheld_by = "{demo.name}"\nheld_at = 2020-01-01T00:00:00Z\n'
    plant.trust.write_text(plant.trust.read_text().replace(public, public + lines))
    found = plant.check(1)
    assert (plant.kid in found, "here in hardware" in found) == (True, True)
    assert plant.made()["statement"].held is None  # what is made anew has it from the log alone


def test_what_is_known_of_a_ledgers_key_is_taken_over(demo: Site, tmp_path: Path) -> None:
    plant = Plant(demo, tmp_path, "hydro-4")
    plant.enroll()
    lines = 'held = "hardware"\nheld_by = "auditor"\nheld_at = 2026-12-01T00:00:00Z\n'
    plant.pinned.write_text(plant.shown().replace("valid_from", lines + "valid_from"))
    assert plant.made()["ledger"].held == Held("auditor", 1_796_083_200)
    plant.check()


def test_what_cannot_be_attested_is_refused(demo: Site, tmp_path: Path) -> None:
    plant = Plant(demo, tmp_path, "hydro-5")
    enroll = ("enroll", demo.folder, plant.request, "--yes")
    assert "--evidence 0 times" in complaint(*enroll, "--hardware", plant.kid)
    assert "--hardware is given 0 times" in complaint(*enroll, "--evidence", "x")
    twice = ("--hardware", plant.kid, "--evidence", "x")
    assert "once" in complaint(*enroll, *twice, *twice)
    assert plant.kid in complaint(*enroll, "--hardware", "AAAA", "--evidence", "x")
    for evidence in ("", "x" * 1025, "two\nlines", "\x1b[2J"):
        assert "--evidence for" in complaint(*enroll, "--hardware", plant.kid, "--evidence", evidence)
    assert all(key.gateway != "hydro-5" for key in load_policy(demo.folder / "policy.toml").keys)
    run("party", "new", "works", "-o", tmp_path / "works")
    refused = complaint("enroll", demo.folder, tmp_path / "works" / "works.enrol", "--yes", *twice)
    assert "party" in refused


def test_an_entry_that_is_written_otherwise_is_left_alone(tmp_path: Path) -> None:
    ledger, gateway = tmp_path / "ledger", Gateway("hydro-6")
    make_dir(ledger, "demo", None, None)
    asked, kid = gateway.request(tmp_path), base64url(gateway.key.public.kid)
    run("enroll", ledger, asked, "--yes", "--hardware", kid, "--evidence", EVIDENCE)
    policy = ledger / "policy.toml"
    policy.write_text(policy.read_text().replace(f'"{EVIDENCE}"', f'''"""\n{EVIDENCE}"""'''))
    before = policy.read_bytes()
    assert "by hand" in ledger_command("enroll", ledger, asked, "--yes").ended(2).err
    assert policy.read_bytes() == before
