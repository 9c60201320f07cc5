"""The policy that a ledger applies is the one that its log tells, and the log tells what policy.toml asks for."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import LedgerUnavailable, Malformed, Refused, TrustFileError
from ledger_client.formats.cose_key import PrivateKey, base64url
from ledger_client.transparency.ledger.admission import KEY_NOT_VALID, UNKNOWN_KEY
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import RULES, LedgerDir, open_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.revoke import revoke
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.policy.key_entries import (
    Change,
    about,
    applied,
    difference,
    owner,
    parse_change,
    sign_change,
)
from ledger_client.transparency.policy.ledger_keys import rules_of, sign_rules
from ledger_client.transparency.policy.policy_file import Policy, load_policy
from ledger_client.verification.trust import Held, Place, TrustKey
from ledger_client.verification.trust_text import key_entry
from tests.ledger_client.transparency.test_cli import request, run
from tests.support.brokers.mqtt_client import COSE, ask
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import CheckedLog, Site, persist, site

_numbers = count(1)
SIGNER = PrivateKey.generate()
T = 1_795_000_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("committed")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LedgerDir]:
    with closing(open_dir(tmp_path / "ledger", "demo")) as opened:
        yield opened


def changes(ledger: Path) -> list[Change]:
    """What the log of a ledger tells of its gateways."""
    with closing(Log.open(ledger / "log.db", read_only=True)) as log, log.read() as entries:
        return [parse_change(entry) for entry in entries.own_entry_bytes() if about(entry) is not None]


def listed(ledger: Path) -> list[TrustKey]:
    """The policy that the log of a ledger tells."""
    return list(applied({}, changes(ledger)).values())


def in_step(ledger: Path) -> None:
    """The log tells what the file asks for, and every entry of it is in order."""
    asked = load_policy(ledger / "policy.toml").keys
    assert {key.place: key for key in listed(ledger)} == {key.place: key for key in asked}
    CheckedLog(ledger).check()


# — the entries —


def key(gateway: str, meter: str | None = None, **more: object) -> TrustKey:
    public = PrivateKey.generate().public
    made = TrustKey("meter" if meter else "statement", public, gateway, meter, None, public.kid, 5, None, None, None)
    return replace(made, **more)  # type: ignore[arg-type]


def party(role: str, name: str, **more: object) -> TrustKey:
    return replace(key(""), role=role, gateway=None, party=name, **more)  # type: ignore[arg-type]


KEYS = [
    key("a"), key("a", valid_to=9), key("a", "m", identity="serial=1"), key("b", "m"), key("b"),
    key("b", revoked=T, revoked_reason="stolen"), key("c", "n", revoked=T - 5), party("issuer", "a"),
    party("party", "b"), party("verifier", "c", revoked=T),
]  # fmt: skip


def test_what_is_written_is_read() -> None:
    for revoked, keys in ((False, KEYS[:3]), (True, [replace(k, revoked=T, revoked_reason="x") for k in KEYS[:3]])):
        removed = frozenset(key.place for key in keys[1:]) if revoked else frozenset()
        change = Change("gateway/a", T, revoked, tuple(keys), removed, 7)
        assert parse_change(sign_change("demo", change, SIGNER)) == change


@given(st.lists(st.sets(st.sampled_from(range(len(KEYS)))), min_size=1, max_size=5))
def test_the_differences_lead_to_what_was_wanted(wishes: list[set[int]]) -> None:
    held: dict[Place, TrustKey] = {}
    for wish in wishes:
        wanted = [KEYS[number] for number in sorted(wish)]
        made = [parse_change(sign_change("demo", one, SIGNER)) for one in difference(held, wanted, T)]
        assert all(len({owner(k) for k in one.keys} | {one.about}) == 1 for one in made)
        held = applied(held, made)
        assert {k.place: k for k in wanted} == held
        assert list(difference(held, wanted, T)) == []


def test_an_attestation_is_the_ledgers_from_the_entry_on_that_first_says_it() -> None:
    plain = key("a")
    seen = replace(plain, held=Held(None, None, "seen"))
    registered: dict[Place, TrustKey] = {}
    for at, wanted, held in (
        (T, seen, Held("demo", T, "seen")),
        (T + 1, replace(seen, valid_to=T + 99), Held("demo", T, "seen")),  # something else of the same key
        (T + 2, replace(seen, held=Held(None, None, "seen again")), Held("demo", T + 2, "seen again")),
        (T + 3, plain, None),  # taken back
        (T + 4, seen, Held("demo", T + 4, "seen")),
        (T + 5, replace(seen, revoked=T + 5), Held("demo", T + 4, "seen")),
    ):
        made = [parse_change(sign_change("demo", one, SIGNER)) for one in difference(registered, [wanted], at)]
        registered = applied(registered, made)
        assert registered == {wanted.place: replace(wanted, held=held)}
        assert list(difference(registered, [wanted], at + 1)) == []
    out = [parse_change(sign_change("demo", one, SIGNER)) for one in difference(registered, [], T + 6)]
    assert applied(registered, out) == {}


def test_an_entry_about_a_party_says_so_in_its_sub() -> None:
    change = Change("party/a", T, False, (party("issuer", "a"), party("issuer", "a", valid_to=9)), number=7)
    entry = sign_change("demo", change, SIGNER)
    assert about(entry) == "party/a"
    assert parse_change(entry) == change


def test_many_keys_are_several_entries() -> None:
    keys = [replace(KEYS[2], meter=f"m-{number}") for number in range(1201)]
    made = list(difference({}, keys, T))
    assert [len(one.keys) for one in made] == [500, 500, 201]
    assert list(applied({}, made).values()) == keys


def test_contents_that_cannot_be() -> None:
    good = Change("gateway/a", T, False, (KEYS[0],))
    for bad in (
        replace(good, keys=()),
        replace(good, keys=(KEYS[0], KEYS[0])),
        replace(good, about="gateway/no name"),
        replace(good, keys=(KEYS[5],)),  # revoked, in an entry that lets in
        replace(good, revoked=True),
        replace(good, removed=frozenset([KEYS[0].place])),
        replace(good, keys=(replace(KEYS[0], valid_from=-1),)),
        replace(good, keys=(replace(KEYS[2], identity=""),)),
        replace(good, keys=(replace(KEYS[0], held=Held(None, None)),)),
        replace(good, keys=(replace(KEYS[0], held=Held(None, None, "x" * 1025)),)),
        Change("party/a", T, False, (party("issuer", "a", held=Held(None, None, "seen")),)),
        replace(good, about="a"),
        replace(good, about="ledger/a"),
        replace(good, about="party/a"),  # a gateway's key
        replace(good, keys=(party("issuer", "a"),)),
        Change("party/a", T, False, (replace(party("issuer", "a"), role="ledger"),)),
        Change("party/a", T, False, (replace(party("issuer", "a"), identity="serial=1"),)),
        Change("party/no name", T, False, (party("issuer", "no name"),)),
    ):
        with pytest.raises(Malformed):
            parse_change(sign_change("demo", bad, SIGNER))


# — commands, and a ledger that serves —


def test_enroll_and_revoke_are_entries_of_the_log(demo: Site, tmp_path: Path) -> None:
    ledger, gateway, meter = demo.folder, Gateway("hydro-07"), PrivateKey.generate()
    before = len(changes(ledger))
    enroll(ledger, request(gateway, tmp_path, {"main": (meter, "serial=1")}))
    revoke(ledger, "hydro-07", base64url(meter.public.kid), T, "stolen")
    let_in, shut_out = changes(ledger)[before:]
    assert (let_in.about, let_in.revoked, len(let_in.keys)) == ("gateway/hydro-07", False, 2)
    assert [(k.meter, k.revoked, k.revoked_reason) for k in shut_out.keys] == [("main", T, "stolen")]
    in_step(ledger)
    run("enroll", ledger, request(gateway, tmp_path, {"main": (meter, "serial=1")}))
    assert len(changes(ledger)) == before + 2  # nothing is said twice


def test_a_change_by_hand_is_registered_before_it_is_applied(demo: Site) -> None:
    ledger, gateway = demo.folder, Gateway(f"gw-{next(_numbers)}")
    policy = ledger / "policy.toml"
    policy.write_text(policy.read_text() + "\n" + key_entry("statement", gateway.key.public, 0, gateway=gateway.name))
    with demo.driver("http") as driver:
        persist(driver, gateway.statement(0))
        in_step(ledger)
        with demo.revoked(gateway):
            assert ask(demo, "POST", "/entries", gateway.statement(1), COSE).title == KEY_NOT_VALID
            in_step(ledger)
        persist(driver, gateway.statement(1))
    in_step(ledger)
    kinds = [change.revoked for change in changes(ledger) if change.about == f"gateway/{gateway.name}"]
    assert kinds == [False, True, False]
    assert demo.held(gateway) == [0, 1]


def test_a_key_that_is_taken_out_is_shut_out_by_an_entry(demo: Site) -> None:
    ledger, gateway = demo.folder, Gateway(f"gw-{next(_numbers)}")
    policy = ledger / "policy.toml"
    before = policy.read_text()
    demo.enroll(gateway)
    policy.write_text(before)
    assert ask(demo, "POST", "/entries", gateway.statement(0), COSE).title == UNKNOWN_KEY
    last = changes(ledger)[-1]
    assert (last.about, last.revoked, last.keys[0].revoked) == (f"gateway/{gateway.name}", True, last.iat)
    assert last.removed == {last.keys[0].place}
    in_step(ledger)


def test_a_file_that_is_broken_registers_nothing(demo: Site) -> None:
    ledger, gateway = demo.folder, demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    policy = ledger / "policy.toml"
    before, entries = policy.read_text(), len(changes(ledger))
    policy.write_text(before + "[[key]]\n")
    assert ask(demo, "GET", "/healthz").body == b"ok, by an older policy.toml\n"
    with demo.driver("http") as driver:
        persist(driver, gateway.statement(0))
    assert len(changes(ledger)) == entries
    policy.write_text(before)
    assert ask(demo, "GET", "/healthz").body == b"ok\n"
    in_step(ledger)


def test_an_existing_logs_policy_is_entered_at_the_first_start(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        gateway = Gateway("gw")
        running.ledger.stop()
        entry = key_entry("statement", gateway.key.public, 0, gateway="gw")
        (running.folder / "policy.toml").write_text(f"# by hand\n{entry}")
        assert changes(running.folder) == []
        assert "policy.toml changes 1 keys, which the log does not tell yet" in run("show", running.folder).out
        running.ledger.start()
        in_step(running.folder)
        assert json.loads(run("show", running.folder, "--json").out)["unregistered"] == 0
        assert [change.about for change in changes(running.folder)] == ["gateway/gw"]
        running.ledger.stop()
        running.ledger.start()
        assert len(changes(running.folder)) == 1


# — crashes, and a log that is behind or ahead —


@pytest.mark.parametrize("act", ["enroll", "revoke"])
@pytest.mark.parametrize("who", ["the ledger", "the next command"])
def test_what_was_cut_short_between_file_and_log_is_finished_by_whoever_comes(
    tmp_path: Path, act: str, who: str
) -> None:
    ledger, gateway, other = tmp_path / "ledger", Gateway("gw"), Gateway("other")
    open_dir(ledger, "demo").close()
    enroll(ledger, gateway.request(tmp_path))
    log, head = (ledger / "log.db").read_bytes(), (ledger / "head").read_bytes()
    if act == "enroll":
        enroll(ledger, other.request(tmp_path))
    else:
        revoke(ledger, "gw", None, T, None)
    for path in ledger.glob("log.db*"):
        path.unlink()
    (ledger / "log.db").write_bytes(log)  # the file was written, the log not
    (ledger / "head").write_bytes(head)
    assert {k.gateway for k in listed(ledger)} == {"gw"}
    if who == "the ledger":
        with closing(open_dir(ledger, None)) as opened:
            CommittedPolicy.begun(opened)
    else:
        enroll(ledger, Gateway("third").request(tmp_path))
    in_step(ledger)


def test_a_ledger_that_serves_finishes_it_too(demo: Site, tmp_path: Path) -> None:
    """The command was killed behind its rename: the ledger sees the file only."""
    gateway, ledger = Gateway(f"gw-{next(_numbers)}"), demo.folder
    copy = tmp_path / "copy"
    shutil.copytree(ledger, copy)
    enroll(copy, gateway.request(tmp_path))
    (copy / "policy.toml").rename(ledger / "policy.toml")
    with demo.driver("http") as driver:
        persist(driver, gateway.statement(0))
    in_step(ledger)


def test_the_last_committed_policy_decides_inside_the_transaction(folder: LedgerDir) -> None:
    """A revocation by another process gets in between the first look at the key and the transaction that appends."""
    gateway = Gateway("gw")
    policy = policy_with(folder, [gateway])
    late = _Late(policy, lambda: revoke(folder.path, "gw", None, T, "late"))
    ledger = Service(folder, late)
    with pytest.raises(Refused) as refused:
        ledger.submit(gateway.statement(0))
    assert refused.value.title == KEY_NOT_VALID
    assert CheckedLog(folder.path).check() == {}
    assert [change.revoked for change in changes(folder.path)] == [False, True]


class _Late(CommittedPolicy):
    """Somebody acts behind the first look."""

    def __init__(self, policy: CommittedPolicy, act: Callable[[], object]) -> None:
        self.__dict__ = policy.__dict__
        self._act = act

    def current(self) -> Policy:
        found = super().current()
        self._act()
        return found


def test_a_log_that_takes_nothing_leaves_the_policy_as_it_is(folder: LedgerDir) -> None:
    one, two = Gateway("one"), Gateway("two")
    policy = policy_with(folder, [one])
    before = folder.policy.read_text()
    with folder.log.write() as entries:
        entries._db.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    folder.policy.write_text(before + "\n" + key_entry("statement", two.key.public, 0, gateway="two"))
    assert [k.gateway for k in policy.current().keys] == ["one"]
    assert policy.flaw is not None
    assert "disk full" in policy.flaw
    with pytest.raises(LedgerUnavailable):
        policy.register()
    with folder.log.write() as entries:
        entries._db.execute("DROP TRIGGER full")
    assert [k.gateway for k in policy.current().keys] == ["one", "two"]
    assert policy.flaw is None


def test_a_command_says_what_the_log_did_not_take(folder: LedgerDir, tmp_path: Path) -> None:
    policy = policy_with(folder, [Gateway("one")])
    with folder.log.write() as entries:
        entries._db.execute("CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(LedgerUnavailable, match=r"is changed, but the log does not take it .*disk full"):
        enroll(folder.path, Gateway("two").request(tmp_path))
    before = folder.policy.read_text()
    with pytest.raises(LedgerUnavailable):  # nothing more is changed on top of that
        revoke(folder.path, "one", None, T, None)
    assert folder.policy.read_text() == before
    assert [k.gateway for k in policy.current().keys] == ["one"]
    with folder.log.write() as entries:
        entries._db.execute("DROP TRIGGER full")
    revoke(folder.path, "one", None, T, None)
    assert [(k.gateway, k.revoked) for k in policy.current().keys] == [("one", T), ("two", None)]
    in_step(folder.path)


def test_there_is_no_start_without_a_policy_in_order(folder: LedgerDir) -> None:
    folder.policy.write_text("[[key]]\n")
    with pytest.raises(TrustFileError):
        CommittedPolicy.begun(folder)


def test_changed_rules_are_an_entry(tmp_path: Path, folder: LedgerDir) -> None:
    def rules() -> Sequence[str]:
        with folder.log.read() as entries:
            return rules_of(entries.own_entry_bytes())

    assert rules() == list(RULES)
    CommittedPolicy.begun(folder)
    with folder.log.read() as entries:
        signer, before = folder.keys(entries)[0], entries.size()
    with folder.log.write() as log:
        log.append(sign_rules("demo", T, ["another rule"], signer), None)
    CommittedPolicy.begun(folder, lambda: time.time() + 5)
    assert rules() == list(RULES)
    with folder.log.read() as entries:
        assert entries.size() == before + 2
