"""Parties at a ledger: `party`, `enroll`, `revoke`, `show` and `trust` on keys of issuers, holders and verifiers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_client.enrolment.party_folder import load
from ledger_client.enrolment.party_request import PartyEnrolment, sign_party
from ledger_client.formats.cose_key import PrivateKey, base64url
from ledger_client.transparency.ledger.enroll import EnrollError, enroll
from ledger_client.transparency.policy.policy_file import load_policy
from ledger_client.verification.trust_file import load_trust
from tests.ledger_client.transparency.test_cli import request, run
from tests.ledger_client.transparency.test_enroll import complaint, policy
from tests.support.enrolled import Gateway
from tests.support.ledger_site import CheckedLog, Site, site


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    run("init", folder)
    return folder


def asked(folder: Path, name: str, role: str, key: PrivateKey, before: PrivateKey | None = None) -> Path:
    """A party's request, as a file in ``folder``."""
    signers = [key, *([] if before is None else [before])]
    wanted = PartyEnrolment(name, role, 0, key.public, None if before is None else before.public)
    path = folder / f"{name}-{key.public.kid.hex()[:8]}.enrol"
    path.write_bytes(sign_party(wanted, {one.public.kid: one for one in signers}))
    return path


def test_from_a_new_party_to_one_that_is_enrolled(ledger: Path, tmp_path: Path) -> None:
    made = run("party", "new", "reg", "--role", "issuer", "-o", tmp_path / "reg").out
    kid = base64url(load(tmp_path / "reg").key.public.kid)
    entry = made[made.index("[[key]]") :]
    assert 'role = "issuer"\nparty = "reg"\n' in entry
    shown = run("party", "show", tmp_path / "reg").out
    assert shown == f"# issuer reg, key {kid}\n{entry}"
    printed = run("enroll", ledger, tmp_path / "reg" / "reg.enrol", "--yes").out
    assert "party reg, by its request of" in printed
    assert f"issuer key of party reg {kid}: new" in printed
    assert "party reg enrolled: 1 new keys" in printed
    enrolled = policy(ledger)
    assert "enrolled already, left as it is" in run("enroll", ledger, tmp_path / "reg" / "reg.enrol").out
    assert policy(ledger) == enrolled
    assert f"issuer reg: keys: {kid}" in run("show", ledger).out
    facts = json.loads(run("show", ledger, "--json").out)
    (party,) = facts["parties"]
    assert (party["party"], party["role"], [key["kid"] for key in party["keys"]]) == ("reg", "issuer", [kid])
    assert (facts["gateways"], facts["unregistered"]) == ([], 0)
    CheckedLog(ledger).check()


def test_a_trust_file_takes_the_request_and_what_show_prints(tmp_path: Path) -> None:
    run("party", "new", "works", "-o", tmp_path / "works")
    (tmp_path / "shown.toml").write_text(run("party", "show", tmp_path / "works").out)
    kids = []
    for source in (tmp_path / "works" / "works.enrol", tmp_path / "shown.toml"):
        trust = tmp_path / f"{source.stem}-trust.toml"
        assert "party key of party works" in run("trust", "add", trust, source, "--yes").out
        (key,) = load_trust(trust, anchored=False).keys
        assert (key.role, key.party) == ("party", "works")
        kids.append(key.kid)
        assert "has all of them already" in run("trust", "add", trust, source).out
    assert kids == [load(tmp_path / "works").key.public.kid] * 2


def test_rotation_is_believed_by_the_key_before_and_by_no_other(ledger: Path, tmp_path: Path) -> None:
    folder = tmp_path / "works"
    run("party", "new", "works", "-o", folder)
    enroll(ledger, folder / "works.enrol")
    first = load(folder).key
    printed = run("party", "rotate", folder).out
    assert "have it enrolled before it signs" in printed
    second = load(folder).key
    before = policy(ledger)
    for thief in (
        asked(tmp_path, "works", "party", PrivateKey.generate()),
        asked(tmp_path, "works", "party", PrivateKey.generate(), PrivateKey.generate()),
    ):
        message = complaint("enroll", ledger, thief, "--yes")
        assert "party works is known here by another key, and that key has not signed this request" in message
        assert "party rotate DIR" in message
        assert "--add-key" in message
    assert policy(ledger) == before
    run("enroll", ledger, folder / "works.enrol", "--yes")
    kids = [key.kid for key in load_policy(ledger / "policy.toml").keys]
    assert kids == [first.public.kid, second.public.kid]
    done = run("revoke", ledger, "party/works", "--kid", base64url(first.public.kid), "--reason", "rotated").out
    assert f"party works: party key {base64url(first.public.kid)} revoked from" in done
    with pytest.raises(EnrollError, match="known here by another key"):
        enroll(ledger, asked(tmp_path, "works", "party", PrivateKey.generate(), first))
    lost = asked(tmp_path, "works", "party", PrivateKey.generate())
    run("enroll", ledger, lost, "--add-key", "--yes")
    assert len(load_policy(ledger / "policy.toml").keys) == 3


def test_one_name_has_one_role_and_one_key_one_owner(ledger: Path, tmp_path: Path) -> None:
    gateway, issuer = Gateway("hydro-07"), PrivateKey.generate()
    enroll(ledger, gateway.request(tmp_path))
    enroll(ledger, asked(tmp_path, "reg", "issuer", issuer))
    before = policy(ledger)
    for file, says in (
        (asked(tmp_path, "reg", "party", PrivateKey.generate()), "party reg is known here as issuer"),
        (asked(tmp_path, "reg", "verifier", issuer), "party reg is known here as issuer"),
        (asked(tmp_path, "works", "issuer", issuer), "is also the issuer key of party reg"),
        (asked(tmp_path, "works", "party", gateway.key), "is also the statement key of gateway hydro-07"),
    ):
        for more in ([], ["--add-key"]):
            message = complaint("enroll", ledger, file, "--yes", *more)
            assert says in message
            assert "party new NAME" in message
    assert "one public key is used as" in complaint(
        "enroll", ledger, request(Gateway("b"), tmp_path, {"m": (issuer, None)}), "--yes"
    )
    assert policy(ledger) == before


def test_a_party_and_a_gateway_of_one_name_are_two(ledger: Path, tmp_path: Path) -> None:
    gateway, party = Gateway("works"), PrivateKey.generate()
    enroll(ledger, gateway.request(tmp_path))
    enroll(ledger, asked(tmp_path, "works", "party", party))
    facts = json.loads(run("show", ledger, "--json").out)
    assert [one["gateway"] for one in facts["gateways"]] == [one["party"] for one in facts["parties"]] == ["works"]
    run("revoke", ledger, "works")
    keys = {key.role: key.revoked for key in load_policy(ledger / "policy.toml").keys}
    assert keys["party"] is None
    assert keys["statement"] is not None
    run("revoke", ledger, "party/works")
    assert all(key.revoked is not None for key in load_policy(ledger / "policy.toml").keys)
    CheckedLog(ledger).check()


def test_a_name_whose_keys_were_taken_out_is_known_by_the_log(ledger: Path, tmp_path: Path) -> None:
    empty, old = policy(ledger), PrivateKey.generate()
    enroll(ledger, asked(tmp_path, "works", "party", old))
    (ledger / "policy.toml").write_text(empty)
    message = complaint("enroll", ledger, asked(tmp_path, "works", "party", PrivateKey.generate()), "--yes")
    assert "party works is known here by another key" in message
    message = complaint("enroll", ledger, asked(tmp_path, "works", "issuer", PrivateKey.generate()), "--yes")
    assert "party works is known here as party" in message


def test_a_revoked_key_is_not_enrolled_again(ledger: Path, tmp_path: Path) -> None:
    file = asked(tmp_path, "works", "party", PrivateKey.generate())
    enroll(ledger, file)
    run("revoke", ledger, "party/works", "--at", "2026-01-01T00:00:00Z")
    assert "was revoked at 2026-01-01T00:00:00Z" in complaint("enroll", ledger, file, "--yes")


def test_words_that_cannot_be_used(ledger: Path, tmp_path: Path) -> None:
    assert "no key of party works is enrolled here" in complaint("revoke", ledger, "party/works")
    assert "no key of gateway works is enrolled here" in complaint("revoke", ledger, "works")
    assert "a party's name is" in complaint("party", "new", "no name", "-o", tmp_path / "new")
    assert "'meter'" in complaint("party", "new", "works", "--role", "meter", "-o", tmp_path / "new")
    assert "no party here" in complaint("party", "show", tmp_path / "new")
    assert "no party here" in complaint("party", "rotate", tmp_path / "new")
    run("party", "new", "works", "-o", tmp_path / "new")
    assert "there is a key already" in complaint("party", "new", "works", "-o", tmp_path / "new")
    damaged = tmp_path / "damaged.enrol"
    whole = (tmp_path / "new" / "works.enrol").read_bytes()
    for data in (whole[:-1], whole.replace(b"works", b"mills")):
        damaged.write_bytes(data)
        message = complaint("enroll", ledger, damaged, "--yes")
        assert "is no signed enrolment request" in message
        assert "party new NAME" in message


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("parties")) as running:
        yield running


def test_a_trust_file_from_the_log_has_the_parties_and_is_compared_with_it(demo: Site, tmp_path: Path) -> None:
    gateway, key = demo.enroll(Gateway("works")), PrivateKey.generate()
    enroll(demo.folder, asked(tmp_path, "works", "issuer", key))
    pinned, out = tmp_path / "ledger.toml", tmp_path / "trust.toml"
    pinned.write_text(run("show", demo.folder, "--trust").out)
    wanted = ("trust", "from", demo.ledger.url, "--ledger-key", pinned, "-o", out)
    printed = run(*wanted, "--gateway", "works", "--party", "works").out
    assert "1 keys of gateway works, by" in printed
    assert "1 keys of party works, by" in printed
    trust = load_trust(out)
    assert trust.find("issuer", party="works", kid=key.public.kid) is not None
    assert trust.find("statement", gateway="works", kid=gateway.key.public.kid) is not None
    compared = ("trust", "check", out, "--ledger", f"{demo.name}={demo.ledger.url}")
    assert "keys in order, as the log of" in run(*compared).out
    run("revoke", demo.folder, "party/works")
    assert f"issuer key of party works {base64url(key.public.kid)} was revoked at" in run(*compared, code=1).out
    assert "tells of no party unheard-of" in complaint(*wanted, "--party", "unheard-of", "--force")
    assert "neither --gateway nor --party is given" in complaint(*wanted, "--force")
