"""What a ledger shows of its gateways: whole, signed, and proven against any one key of the ledger that is believed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import EncodeError, VerificationError
from ledger_client.formats import cbor
from ledger_client.formats.cose_key import PrivateKey, PublicKey, load_private_key
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import check, parse_receipt
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.revoke import revoke
from ledger_client.transparency.ledger.rotate import rotate
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.policy.key_entries import Change, about, sign_change
from ledger_client.transparency.policy.key_list import (
    Count,
    Proven,
    Shown,
    encode_page,
    parse_page,
    prove,
    sign_count,
)
from ledger_client.transparency.policy.ledger_keys import LEDGER_CONTENTS, sign_key, sign_rules
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import TrustKey
from ledger_client.verification.trust_text import key_entry
from tests.ledger_client.transparency.test_cli import request
from tests.support.brokers.mqtt_client import ask
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import Site, persist, site

_numbers = count(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("list")) as running:
        yield running


def signer(ledger: Path) -> PublicKey:
    return load_private_key(ledger / "key.pem").public


def proven(demo: Site, path: str, whom: str, *pinned: PublicKey) -> Proven:
    page = ask(demo, "GET", path).body
    return prove([page], demo.name, whom, pinned or [signer(demo.folder)], int(time.time()))


def test_a_gateways_keys_are_shown_with_their_entries(demo: Site, tmp_path: Path) -> None:
    gateway, meter = Gateway(f"gw-{next(_numbers)}"), PrivateKey.generate()
    enroll(demo.folder, request(gateway, tmp_path, {"main": (meter, "serial=1")}))
    demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    with demo.driver("http") as driver:
        persist(driver, gateway.statement(0))
    revoke(demo.folder, gateway.name, id_to_text(meter.public.kid), 5, "stolen")
    found = proven(demo, f"/gateways/{gateway.name}/keys", f"gateway/{gateway.name}")
    assert {(key.role, key.meter, key.kid, key.revoked, key.identity) for key in found.keys} == {
        ("statement", None, gateway.key.public.kid, None, None),
        ("meter", "main", meter.public.kid, 5, "serial=1"),
    }
    everyone = proven(demo, "/log/gateways", "gateways")
    assert {key.gateway for key in everyone.keys} > {gateway.name}
    assert set(found.keys) <= set(everyone.keys)


def test_parties_are_shown_by_themselves_and_a_gateway_of_that_name_likewise(demo: Site) -> None:
    gateway, works, other = demo.enroll(Gateway("works")), PrivateKey.generate().public, PrivateKey.generate().public
    policy = demo.folder / "policy.toml"
    entries = key_entry("issuer", works, 5, party="works"), key_entry("party", other, 5, party="mill")
    policy.write_text("\n".join((policy.read_text(), *entries)))
    (found,) = proven(demo, "/parties/works/keys", "party/works").keys
    assert (found.role, found.party, found.gateway, found.kid) == ("issuer", "works", None, works.kid)
    everyone = proven(demo, "/log/parties", "parties").keys
    assert {(key.role, key.party, key.gateway) for key in everyone} == {
        ("issuer", "works", None),
        ("party", "mill", None),
    }
    (key,) = proven(demo, "/gateways/works/keys", "gateway/works").keys
    assert (key.role, key.party, key.kid) == ("statement", None, gateway.key.public.kid)
    # the list of all gateways is what it was before there were parties, so that a program from then reads it
    assert {key.party for key in proven(demo, "/log/gateways", "gateways").keys} == {None}
    with pytest.raises(VerificationError, match="not of party/works"):
        proven(demo, "/gateways/works/keys", "party/works")


def test_each_entry_has_its_receipt(demo: Site) -> None:
    gateway = demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    _, entries = parse_page(ask(demo, "GET", f"/gateways/{gateway.name}/keys").body)
    (key_entry,) = [one for one in entries if about(one.entry) is not None]
    assert key_entry.receipt is not None
    receipt = parse_receipt(key_entry.receipt)
    check(receipt, key_entry.entry, signer(demo.folder))
    assert (receipt.index, receipt.ledger) == (key_entry.number, demo.name)
    assert ask(demo, "GET", f"/entries/{receipt.sub}").body == key_entry.receipt


def test_any_key_that_the_ledger_ever_had_may_be_the_one_that_is_believed(demo: Site) -> None:
    gateway = demo.enroll(Gateway(f"gw-{next(_numbers)}"))
    keys = [signer(demo.folder)]
    for _ in range(2):
        rotate(demo.folder)
        keys.append(signer(demo.folder))
    for key in keys:
        found = proven(demo, f"/gateways/{gateway.name}/keys", f"gateway/{gateway.name}", key)
        assert [one.key.kid for one in found.ledger_keys][-3:] == [one.kid for one in keys]
    with pytest.raises(VerificationError, match="lead to the key"):
        proven(demo, f"/gateways/{gateway.name}/keys", f"gateway/{gateway.name}", PrivateKey.generate().public)


def test_questions_that_make_no_sense(demo: Site) -> None:
    assert ask(demo, "GET", "/log/gateways?after=x").status == 400
    assert ask(demo, "GET", "/gateways/no%20name/keys").status == 400
    assert ask(demo, "GET", "/parties/no%20name/keys").status == 400
    assert ask(demo, "GET", "/log/parties?after=x").status == 400
    last = ask(demo, "GET", "/gateways/unheard-of/keys")
    assert [about(one.entry) for one in parse_page(last.body)[1]].count(None) == len(parse_page(last.body)[1])
    assert parse_page(ask(demo, "GET", "/log/gateways?after=1000000").body)[1] == []


def test_published_keys_bear_their_kid(demo: Site) -> None:
    for key in cbor.decode(ask(demo, "GET", "/.well-known/scitt-keys").body):
        public = PublicKey.from_cose_key(cbor.encode(key))
        assert key[2] == public.kid
        one = cbor.decode(ask(demo, "GET", f"/.well-known/scitt-keys/{id_to_text(public.kid)}").body)
        assert one == key


def test_what_no_page_holds_comes_on_several(tmp_path: Path) -> None:
    gateways = [Gateway(f"gw-{number}") for number in range(400)]
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        policy_with(folder, gateways)
        view, pages, last = LogView(folder), [], -1
        while entries := parse_page(page := view.keys("gateways", last))[1]:
            pages.append(page)
            last = entries[-1].number
        assert len(pages) > 1
        whole = prove([*pages, page], "demo", "gateways", [signer(folder.path)], int(time.time()))
        assert len(whole.keys) == 400
        with pytest.raises(VerificationError, match="has signed that there are 401 entries"):
            prove(pages[:-1], "demo", "gateways", [signer(folder.path)], int(time.time()))


# — what is not believed —

NOW = 1_795_000_000
LEDGER, OTHER = PrivateKey.generate(), PrivateKey.generate()


def key(gateway: str = "g", **more: object) -> TrustKey:
    public = PrivateKey.generate().public
    made = TrustKey("statement", public, gateway, None, None, public.kid, 5, None, None, None)
    return replace(made, **more)  # type: ignore[arg-type]


MINE = key()
RULES = sign_rules("demo", NOW - 1000, ["a rule"], LEDGER)
LET_IN = sign_change("demo", Change("gateway/g", NOW - 90, False, (MINE,), number=1), LEDGER)
SHUT_OUT = sign_change(
    "demo", Change("gateway/g", NOW - 50, True, (replace(MINE, revoked=NOW - 50),), number=3), LEDGER
)
STATEMENT = b"of some gateway"


def page(
    entries: list[bytes], shown: list[int], *, claimed: int | None = None, by: PrivateKey = LEDGER, iat: int = NOW,
    whom: str = "gateway/g", ledger: str = "demo",
) -> bytes:  # fmt: skip
    tree = Tree(map(leaf_hash, entries))
    counted = len(shown) if claimed is None else claimed
    signed = sign_count(Count(ledger, whom, counted, len(entries), tree.root, iat), by)
    return encode_page(signed, [Shown(n, entries[n], tuple(tree.path(n)), None) for n in shown])


def let_in(gateway: str, by: PrivateKey) -> bytes:
    return sign_change("demo", Change(f"gateway/{gateway}", NOW - 90, False, (key(gateway),), number=1), by)


LOG = [RULES, LET_IN, STATEMENT, SHUT_OUT]


def test_a_list_in_order_is_believed() -> None:
    found = prove([page(LOG, [0, 1, 3])], "demo", "gateway/g", [LEDGER.public], NOW)
    assert [(k.kid, k.revoked) for k in found.keys] == [(MINE.kid, NOW - 50)]


def test_a_revocation_that_is_left_out_shows() -> None:
    with pytest.raises(VerificationError, match="signed that there are 3 entries, and shows 2"):
        prove([page(LOG, [0, 1], claimed=3)], "demo", "gateway/g", [LEDGER.public], NOW)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda: page(LOG, [0, 1, 3], iat=NOW - 301), "not of now"),
        (lambda: page(LOG, [0, 1, 3], by=OTHER), "not the ledger's"),
        (lambda: page(LOG, [0, 1, 3], whom="gateway/h"), "not of gateway/g"),
        (lambda: page(LOG, [0, 1, 3], ledger="demo-2"), "not of demo"),
        (lambda: page(LOG, [0, 3, 1]), "not in the order"),
        (lambda: page(LOG, [1, 3]), "not its rules"),
        (lambda: page([RULES, LET_IN, LET_IN], [0, 1, 2]), "says that it is entry 1"),
        (lambda: page([RULES, let_in("h", LEDGER)], [0, 1]), "an entry about gateway/h among those of gateway/g"),
        (lambda: page([RULES, let_in("g", OTHER)], [0, 1]), "by another key than the one"),
        (lambda: page(LOG, [0, 1, 3]).replace(b"a rule", b"A rule"), "does not match key"),
        (lambda: b"", "step 1"),
    ],
)  # fmt: skip
def test_what_is_not_believed(what: object, says: str) -> None:
    assert callable(what)
    with pytest.raises(VerificationError, match=says):
        prove([what()], "demo", "gateway/g", [LEDGER.public], NOW)


def test_a_stranger_who_hands_over_to_the_pinned_key_is_not_believed() -> None:
    """He makes a log of his own whose last entry names the ledger's key as the next one, and signs the list himself."""
    rules = sign_rules("demo", NOW - 100, ["a rule"], OTHER)
    for at in (NOW - 5, NOW + 5):
        handed = sign_key("demo", at, LEDGER.public, OTHER)
        with pytest.raises(VerificationError, match="not the ledger's"):
            prove(
                [page([rules, let_in("g", OTHER), handed], [0, 1, 2], by=OTHER)],
                "demo",
                "gateway/g",
                [LEDGER.public],
                NOW,
            )


def test_an_entry_that_is_not_in_the_log_is_not_believed() -> None:
    signed, entries = parse_page(page(LOG, [0, 1, 3]))
    back = sign_change("demo", Change("gateway/g", NOW - 40, False, (MINE,), number=3), LEDGER)
    with pytest.raises(VerificationError, match="not in the log under the root"):
        prove(
            [encode_page(signed, [*entries[:2], replace(entries[2], entry=back)])],
            "demo",
            "gateway/g",
            [LEDGER.public],
            NOW,
        )


@given(st.integers(0, 2**20), st.integers(1, 255))
def test_no_byte_of_a_page_may_change(at: int, by: int) -> None:
    changed = bytearray(page(LOG, [0, 1, 3]))
    changed[at % len(changed)] ^= by
    with pytest.raises(VerificationError):
        prove([bytes(changed)], "demo", "gateway/g", [LEDGER.public], NOW)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=33),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-3, 16), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_HEADER = st.fixed_dictionaries(
    {},
    optional={
        1: st.just(-8) | _ANY,
        3: st.sampled_from(sorted(LEDGER_CONTENTS)) | _ANY,
        4: st.just(LEDGER.public.kid) | _ANY,
        15: st.just({1: "demo", 2: "gateway/g", 6: NOW}) | _ANY,
    },
)


@given(st.lists(st.tuples(_HEADER, _ANY, st.none() | _ANY), max_size=3), st.booleans())
def test_whatever_stands_in_the_place_of_an_entry_is_refused(made: list[tuple[Any, Any, Any]], begin: bool) -> None:
    """A program that asks gets the one kind of error, whatever answers."""
    entries = [RULES] if begin else []
    for header, payload, unprotected in made:
        with contextlib.suppress(EncodeError):
            parts = [
                cbor.encode(header),
                unprotected if isinstance(unprotected, dict) else {},
                cbor.encode(payload),
                bytes(64),
            ]
            entries.append(cbor.encode(cbor2.CBORTag(18, parts)))
    signed = sign_count(Count("demo", "gateway/g", len(entries), 9, bytes(32), NOW), LEDGER)
    data = encode_page(signed, [Shown(number, entry, (), None) for number, entry in enumerate(entries)])
    with pytest.raises(VerificationError):
        prove([data], "demo", "gateway/g", [LEDGER.public], NOW)


def test_a_key_that_was_taken_out_is_shown_as_revoked() -> None:
    gone = Change("gateway/g", NOW - 50, True, (replace(MINE, revoked=NOW - 50),), frozenset([MINE.place]), 2)
    log = [RULES, LET_IN, sign_change("demo", gone, LEDGER)]
    found = prove([page(log, [0, 1, 2])], "demo", "gateway/g", [LEDGER.public], NOW)
    assert [(k.kid, k.revoked) for k in found.keys] == [(MINE.kid, NOW - 50)]
