"""policy.toml: read again when it changes, never half believed; enroll and revoke lose no word of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger_client.errors import Refused, TrustFileError
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.transparency.ledger.admission import admitted
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.revoke import RevokeError, revoke
from ledger_client.transparency.policy.policy_file import EMPTY_POLICY, PolicyFile, load_policy
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import PARTY_ROLES
from ledger_client.verification.trust_text import key_entry
from tests.ledger_client.transparency.test_cli import complaint, run
from tests.support.enrolled import Gateway

A, B, C = (PrivateKey.generate().public for _ in range(3))
T = 1_795_000_000


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    (tmp_path / "bridge.db").touch()  # where the file is the policy, and no log
    a, b, c = (key_entry("statement", k, 0, gateway=g) for k, g in ((A, "one"), (B, "two"), (C, "two")))
    b = b.replace("[[key]]", "  [[ key ]]  # moved in")
    path.write_text(f"{EMPTY_POLICY}\n# the first\n{a}\n{b}\n{c}# end\n")
    return path


def test_the_policy_in_force_outlives_a_broken_file(policy: Path) -> None:
    file = PolicyFile(policy)
    in_order = policy.read_text()
    assert file.flaw is None
    for broken in ("[[key]]\n", "x", "[policy]\n", in_order + "role = 'ledger'\n"):
        policy.write_text(broken)
        assert file.current().find("one", A.kid) is not None
        assert file.flaw is not None
        assert str(policy) in file.flaw
    policy.unlink()
    assert file.current().find("two", C.kid) is not None
    assert file.flaw is not None
    policy.write_text("")
    assert file.current().keys == ()
    assert file.flaw is None
    policy.write_text(in_order)
    assert len(file.current().keys) == 3


def test_a_statement_is_never_taken_by_a_partys_key(policy: Path) -> None:
    """Not even where the party has the name of the gateway that the statement is of."""
    gateway, now = Gateway("works"), T
    for role in PARTY_ROLES:
        policy.write_text(key_entry(role, gateway.key.public, 0, party="works"))
        enrolled = load_policy(policy)
        assert enrolled.party("works", gateway.key.public.kid) is not None
        with pytest.raises(Refused, match="no statement key"):
            admitted(gateway.statement(0), enrolled, now)
        assert enrolled.statement_keys("works") == []
    policy.write_text(key_entry("statement", gateway.key.public, 0, gateway="works"))
    assert admitted(gateway.statement(0), load_policy(policy), now).statement.gateway == "works"
    assert load_policy(policy).party("works", gateway.key.public.kid) is None


def test_a_file_with_other_bytes_than_text_is_a_flaw(policy: Path) -> None:
    file = PolicyFile(policy)
    policy.write_bytes(b"\xff\xfe")
    assert len(file.current().keys) == 3
    assert file.flaw is not None


def test_there_is_no_policy_before_the_first(policy: Path) -> None:
    policy.write_text("[[key]]\n")
    with pytest.raises(TrustFileError):
        PolicyFile(policy)


def test_a_file_put_in_its_place_is_seen_whatever_its_time(policy: Path) -> None:
    file = PolicyFile(policy)
    state = policy.stat()
    other = policy.with_name("other")
    other.write_text(policy.read_text().replace('"one"', '"ten"'))
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.rename(policy)
    assert file.current().find("ten", A.kid) is not None


@pytest.mark.parametrize(("gateway", "key"), [("one", A), ("two", B), ("two", C)])
def test_revoking_adds_two_lines_to_one_entry(policy: Path, gateway: str, key: object) -> None:
    assert isinstance(key, type(A))
    before = policy.read_text().splitlines()
    marked, changed = revoke(policy.parent, gateway, id_to_text(key.kid), T, 'a "lost" \u007f key')
    assert (changed, marked.kid, marked.revoked, marked.revoked_reason) == (True, key.kid, T, 'a "lost" \u007f key')
    after = policy.read_text().splitlines()
    added = [line for line in after if line.startswith("revoked")]
    assert len(added) == 2
    assert [line for line in after if line not in added] == before
    assert [k.kid for k in load_policy(policy).keys if k.revoked is not None] == [key.kid]
    again, changed = revoke(policy.parent, gateway, id_to_text(key.kid), T + 5, None)
    assert (changed, again.revoked) == (False, T)
    assert policy.read_text().splitlines() == after


def test_the_only_key_of_a_gateway_needs_no_name(policy: Path) -> None:
    assert revoke(policy.parent, "one", None, T, None)[0].kid == A.kid
    with pytest.raises(RevokeError, match="say with --kid which one"):
        revoke(policy.parent, "two", None, T, None)
    revoke(policy.parent, "two", id_to_text(B.kid), T, None)
    assert revoke(policy.parent, "two", None, T, None)[0].kid == C.kid


@pytest.mark.parametrize(
    ("gateway", "kid", "problem"),
    [("three", None, "no key of gateway three"), ("one", "AAAA", "none of them is AAAA")],
)
def test_what_cannot_be_revoked(policy: Path, gateway: str, kid: str | None, problem: str) -> None:
    before = policy.read_text()
    with pytest.raises(RevokeError, match=problem):
        revoke(policy.parent, gateway, kid, T, None)
    assert policy.read_text() == before


def test_a_policy_that_cannot_be_written_stays_and_is_named(policy: Path) -> None:
    offered = Gateway("three").request(policy.parent)
    before = policy.read_text()
    policy.with_name("policy.toml.new").mkdir()  # as a disk that is full, or may only be read
    for act in (lambda: enroll(policy.parent, offered), lambda: revoke(policy.parent, "one", None, T, None)):
        with pytest.raises(TrustFileError, match="nothing has changed"):
            act()
    assert policy.read_text() == before


@pytest.mark.parametrize("hidden", ["'''\n[[key]]\n'''", None])
def test_an_entry_in_an_odd_place_is_left_to_its_owner(policy: Path, hidden: str | None) -> None:
    fields = key_entry("statement", A, 0, gateway="one").splitlines()[1:]
    if hidden is None:
        policy.write_text("key = [{" + ", ".join(fields) + "}]\n")
    else:
        fields = key_entry("statement", A, 0, gateway="one").splitlines()
        before = key_entry("statement", B, 0, gateway="two")
        before += f"revoked = 2026-01-01T00:00:00Z\nrevoked_reason = {hidden}\n"
        policy.write_text(before + "\n".join(fields) + "\n")
    text = policy.read_text()
    load_policy(policy)
    with pytest.raises((RevokeError, TrustFileError)):
        revoke(policy.parent, "one", None, T, None)
    assert policy.read_text() == text


def test_the_command(tmp_path: Path, policy: Path) -> None:
    assert "not a time" in complaint("revoke", tmp_path, "one", "--at", "yesterday")
    assert "not a time" in complaint("revoke", tmp_path, "one", "--at", "2026-11-24T12:00:00")
    printed = run("revoke", tmp_path, "one", "--at", "2026-11-24T12:00:00Z", "--reason", "stolen").out
    assert printed == f"gateway one: statement key {id_to_text(A.kid)} revoked from 2026-11-24T12:00:00Z on\n"
    assert "revoked already" in run("revoke", tmp_path, "one").out
    assert "no key of gateway three" in complaint("revoke", tmp_path, "three")
    assert "no ledger here" in complaint("revoke", tmp_path / "nowhere", "one")
