"""A ledger's keys change: served or not, interrupted or not; old receipts stand, and old keys stay published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path

import pytest

from ledger_client.errors import BadSignature, KeyNotValid, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.cose_key import PrivateKey, PublicKey, load_private_key
from ledger_client.formats.log_head import LogHead, check_head, sign_head
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.receipt import parse_receipt, sign_receipt
from ledger_client.transparency.ledger import rotate as rotation
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.held_key import LedgerDirError
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.transparency.policy.key_entries import Change, sign_change
from ledger_client.transparency.policy.ledger_keys import key_history, sign_key
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import TrustKey
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.vouching import check_receipt
from tests.ledger_client.transparency.test_cli import complaint, run
from tests.support.brokers.mqtt_client import COSE, ask
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import Site, persist, site

_numbers = count(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("rotate")) as running:
        yield running


@pytest.fixture
def gateway(demo: Site) -> Gateway:
    return demo.enroll(Gateway(f"gw-{next(_numbers)}"))


def signer(demo: Site) -> PublicKey:
    return load_private_key(demo.ledger.folder / "key.pem").public


def test_a_ledger_that_serves_signs_with_the_new_key_at_once(demo: Site, gateway: Gateway) -> None:
    folder = demo.ledger.folder
    with demo.driver("http") as driver:
        old = signer(demo)
        first = persist(driver, gateway.statement(0))
        assert id_to_text(old.kid) in run("rotate", folder).out
        new = signer(demo)
        second = persist(driver, gateway.statement(1))
        assert persist(driver, gateway.statement(0)) == first
    assert [parse_receipt(receipt).kid for receipt in (first, second)] == [old.kid, new.kid]
    for batch, receipt in enumerate((first, second)):
        assert check_receipt(gateway.statement(batch), receipt, demo.trust(), int(time.time()))[0] == demo.ledger.name
    check_head(ask(demo, "GET", "/log/head").body, demo.ledger.name, new)
    assert demo.held(gateway) == [0, 1]


def test_every_key_stays_published_with_its_time(demo: Site) -> None:
    before = [key["kid"] for key in cbor.decode(ask(demo, "GET", "/log/keys").body)]
    run("rotate", demo.ledger.folder)
    times = cbor.decode(ask(demo, "GET", "/log/keys").body)
    assert [key["kid"] for key in times] == [*before, signer(demo).kid]
    published = [cbor.encode(key) for key in cbor.decode(ask(demo, "GET", "/.well-known/scitt-keys").body)]
    assert [PublicKey.from_cose_key(key).kid for key in published] == [key["kid"] for key in times]
    for key in published:
        kid = id_to_text(PublicKey.from_cose_key(key).kid)
        assert ask(demo, "GET", f"/.well-known/scitt-keys/{kid}").body == key
    assert "until" not in times[-1]
    assert all(key["until"] == later["since"] + 1 for key, later in pairwise(times))
    shown = run("show", demo.ledger.folder).out
    assert all(id_to_text(key["kid"]) in shown for key in times)
    assert "signed with" in shown


def test_the_next_key_can_be_in_every_trust_file_before_it_signs(demo: Site, gateway: Gateway) -> None:
    folder = demo.ledger.folder
    entry = run("rotate", folder, "--prepare").out
    assert run("rotate", folder, "--prepare").out.splitlines()[:4] == entry.splitlines()[:4]
    trust = parse_trust(
        f'[policy]\nreceipts = 1\nledgers = ["{demo.ledger.name}"]\n' + trust_entry(folder) + "\n" + entry, "trust.toml"
    )
    with demo.driver("http") as driver:
        first = persist(driver, gateway.statement(0))
        run("rotate", folder)
        second = persist(driver, gateway.statement(1))
    for batch, receipt in enumerate((first, second)):
        check_receipt(gateway.statement(batch), receipt, trust, int(time.time()))
    assert not (folder / "key.next.pem").exists()


def test_a_key_counts_only_for_its_time(demo: Site, gateway: Gateway) -> None:
    with demo.driver("http") as driver:
        receipt = persist(driver, gateway.statement(0))
    old = load_private_key(demo.ledger.folder / "key.pem")
    run("rotate", demo.ledger.folder)
    trust = demo.trust()
    (entry,) = [key for key in trust.keys if key.kid == old.public.kid]
    assert entry.valid_to is not None
    facts = parse_receipt(receipt)
    root = root_from_path(leaf_hash(gateway.statement(0)), facts.size, facts.index, facts.path)
    late = sign_receipt(facts.ledger, str(facts.sub), entry.valid_to, facts.size, facts.index, facts.path, root, old)
    with pytest.raises(KeyNotValid, match="was valid until"):
        check_receipt(gateway.statement(0), late, trust, int(time.time()) + 1000)


def interrupted(folder: Path) -> PublicKey:
    """A change of key, cut between the log and the files; returns the new key."""
    before = (folder / "key.pem").read_bytes()
    rotation.rotate(folder)
    (folder / "key.pem").rename(folder / "key.next.pem")
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_bytes(before)
    return load_private_key(folder / "key.next.pem").public


def test_a_change_that_was_cut_short_is_finished_by_whoever_comes(demo: Site, gateway: Gateway) -> None:
    folder = demo.ledger.folder
    with demo.driver("http") as driver:
        persist(driver, gateway.statement(0))
        new = interrupted(folder)
        assert parse_receipt(persist(driver, gateway.statement(1))).kid == new.kid  # the ledger that serves
    assert signer(demo).kid == new.kid
    assert not (folder / "key.next.pem").exists()
    new = interrupted(folder)
    assert id_to_text(new.kid) in run("show", folder).out
    new = interrupted(folder)
    demo.ledger.stop()
    demo.ledger.start()
    assert signer(demo).kid == new.kid
    assert demo.held(gateway) == [0, 1]


def test_a_key_that_is_gone_stops_the_ledger_and_opens_nothing(demo: Site, gateway: Gateway, tmp_path: Path) -> None:
    folder = demo.ledger.folder
    with demo.driver("http") as driver:
        persist(driver, gateway.statement(0))
        before = (folder / "key.pem").read_bytes()
        rotation.rotate(folder)
        new = (folder / "key.pem").read_bytes()
        (folder / "key.pem").write_bytes(before)
        assert ask(demo, "POST", "/entries", gateway.statement(1), COSE).status == 503
        assert "not the key of log.db" in complaint("show", folder, "--trust")
        assert "not the key of log.db" in complaint("rotate", folder)
        (folder / "key.pem").write_bytes(new)
        persist(driver, gateway.statement(1))
    assert demo.held(gateway) == [0, 1]


def test_the_new_key_never_signs_before_the_old_one_did(tmp_path: Path) -> None:
    """The clock was ahead and has been set back."""
    ahead = int(time.time()) + 200
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        gateway = Gateway("gw")
        policy = policy_with(folder, [gateway])
        Service(folder, policy, now=lambda: ahead).submit(gateway.statement(0))
        before, now = rotation.rotate(folder.path)
        assert (now.since, before.until) == (ahead, ahead + 1)
        ledger = Service(folder, policy)
        receipt = parse_receipt(ledger.submit(gateway.statement(1))[1])
        assert (receipt.iat, receipt.kid) == (ahead, now.key.kid)


def test_no_key_begins_in_the_far_future(tmp_path: Path) -> None:
    """All that it signs would have to lie there, too, and would not count before."""
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        gateway = Gateway("gw")
        policy = policy_with(folder, [gateway])
        Service(folder, policy, now=lambda: time.time() + 5000).submit(gateway.statement(0))
        with pytest.raises(LedgerDirError, match="set it right"):
            rotation.rotate(folder.path)
        present = load_private_key(folder.path / "key.pem").public
        receipt = parse_receipt(Service(folder, policy).submit(gateway.statement(1))[1])
        assert receipt.kid == present.kid
        assert rotation.rotate(folder.path)[0].key.kid == present.kid  # the last signature is of now again


def enrolled_by(signer: PrivateKey) -> bytes:
    """An entry about a gateway, signed by this key."""
    gateway = Gateway("gw")
    key = TrustKey("statement", gateway.key.public, "gw", None, None, gateway.key.public.kid, 0, None, None, None)
    return sign_change("demo", Change("gateway/gw", 5, False, (key,)), signer)


def test_a_history_that_does_not_lead_to_the_key_is_none(tmp_path: Path) -> None:
    first, second, third = (PrivateKey.generate() for _ in range(3))
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder, folder.log.read() as log:
        (policy,) = log.own_entry_bytes()
        first = load_private_key(tmp_path / "ledger" / "key.pem")
    change, other = sign_key("demo", 5, second.public, first), sign_key("demo", 6, third.public, second)
    keys = key_history("demo", third.public, [policy, change, other])
    assert [(key.key.kid, key.since, key.until) for key in keys[1:]] == [
        (second.public.kid, 5, 7),
        (third.public.kid, 6, None),
    ]
    between = key_history("demo", second.public, [policy, enrolled_by(first), change, enrolled_by(second)])
    assert [key.key.kid for key in between] == [first.public.kid, second.public.kid]
    bad: list[tuple[PublicKey, list[bytes]]] = [
        (second.public, [policy]),
        (third.public, [policy, change]),
        (third.public, [policy, other]),
        (third.public, [policy, other, change]),
        (third.public, [policy, change, change, other]),
        (second.public, [change]),
        (second.public, [policy, sign_head(LogHead("demo", 1, bytes(32), 5), first), change]),
        (second.public, [policy, change, enrolled_by(first)]),
        (second.public, [policy, enrolled_by(second), change]),
        (second.public, [policy, sign_key("other", 5, second.public, first)]),
        (second.public, [policy, change[:-1] + bytes([change[-1] ^ 1])]),
    ]
    for present, entries in bad:
        with pytest.raises((Malformed, BadSignature)):
            key_history("demo", present, entries)
