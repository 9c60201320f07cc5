"""Witnessed logs: which notes let a ledger count at step 8, and what a trust file may say of witnesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger_client.errors import PolicyNotMet, TrustFileError
from ledger_client.formats.bundle import Locator, Witnessed
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.notes import MAX_NOTE, Line, Note, Vkey, parse_note, signed_line
from ledger_client.formats.statement import statement_id
from ledger_client.messages import Message
from ledger_client.verification.as_json import verified_json
from ledger_client.verification.explain import facts_in_words
from ledger_client.verification.online_facts import ChainFact, OnlineFacts
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.verify import Verified, verify
from ledger_client.verification.witnesses import LogKey, Witness, entries_of
from tests.support.evidence import LEDGER, NOW, T0, Site, key, trust, trust_text
from tests.support.witnesses.heads import (
    cosigned_head,
    demanded,
    head_of,
    log_key,
    origin,
    witness,
    witness_entries,
)

ENTRY = Site().entry()
LOCATOR = Locator("consortium", 31337, bytes(20), bytes(32), 7, bytes(32))
HEAD = cosigned_head(ENTRY)
TWO = demanded(2, "w1", "w2", "w3")


def judged(*notes: Witnessed, site: Site | None = None, facts: OnlineFacts | None = None, **demand: str) -> Verified:
    bundle = (site or Site()).build(witnessed=notes)
    return verify(bundle, trust(**{**TWO, **demand}), NOW, facts=facts or OnlineFacts())


def test_a_ledger_counts_where_enough_witnesses_have_cosigned_a_log_with_the_statement() -> None:
    proven = judged(HEAD)
    (head,) = proven.witnessed
    assert (head.ledger, head.size, head.witnesses) == (LEDGER, 4, (("w1", T0 + 60), ("w2", T0 + 60)))
    assert (proven.receipts, proven.unconfirmed) == (((LEDGER, T0 + 5),), ())
    assert verified_json(proven)["witnessed"] == [
        {"ledger": LEDGER, "entries": 4, "witnesses": [
            {"name": "w1", "time": "2026-11-18T11:07:40Z"}, {"name": "w2", "time": "2026-11-18T11:07:40Z"},
        ]},
    ]  # fmt: skip
    assert any("w1" in line and "w2" in line and LEDGER in line for line in facts_in_words(proven))


def test_a_log_that_has_grown_since_and_an_old_head_sent_again_are_as_good() -> None:
    assert judged(cosigned_head(ENTRY, later=(b"a", b"b", b"c"))).witnessed[0].size == 7
    assert judged(cosigned_head(ENTRY, later=(b"a",)), HEAD).witnessed[0].size == 5  # the first of equals


def test_notes_that_fail_spoil_nothing_beside_one_that_counts() -> None:
    junk = Witnessed(b"junk", HEAD.place)
    proven = judged(junk, cosigned_head(ENTRY, witnesses=("w3",)), HEAD)
    assert (proven.witnessed[0].witnesses[0][0], len(proven.unconfirmed)) == ("w1", 1)


def _note(change: Callable[[Note], Note]) -> Witnessed:
    return Witnessed(change(parse_note(HEAD.note)).encode(), HEAD.place)


def _other_log() -> Witnessed:
    """The second of two logs, in which the statement stands at the same place beside other entries."""
    tree = Tree([leaf_hash(data) for data in (b"policy", b"forked", ENTRY, b"later")])
    return Witnessed(head_of(tree).encode(), HEAD.place)


FAILING: dict[str, Callable[[], tuple[Witnessed, ...]]] = {
    "no note": lambda: (),
    "one witness": lambda: (cosigned_head(ENTRY, witnesses=("w1",)),),
    "one and one": lambda: (
        cosigned_head(ENTRY, witnesses=("w1",)), cosigned_head(ENTRY, witnesses=("w2",), later=(b"a",)),
    ),
    "one witness twice": lambda: (cosigned_head(ENTRY, witnesses=("w1", "w1")),),
    "one that nobody trusts": lambda: (cosigned_head(ENTRY, witnesses=("w1", "w4")),),
    "no signature of the log": lambda: (_note(lambda note: replace(note, lines=note.lines[1:])),),
    "the log's signature of another head": lambda: (
        _note(lambda note: replace(note, lines=(
            signed_line(note.text.replace("4", "5", 1), origin(), key(f"checkpoint {LEDGER}")), *note.lines[1:],
        ))),
    ),
    "the log's signature and a broken one": lambda: (
        _note(lambda note: replace(note, lines=(*note.lines, replace(note.lines[0], signature=bytes(64))))),
    ),
    "a broken cosignature besides": lambda: (
        _note(lambda note: replace(note, lines=(*note.lines, Line(
            witness("w3").vkey.name, witness("w3").vkey.id, bytes(72),
        )))),
    ),
    "another ledger's head": lambda: (cosigned_head(ENTRY, "other"),),
    "another entry's place": lambda: (cosigned_head(b"another statement"),),
    "the place of another size": lambda: (replace(HEAD, place=cosigned_head(ENTRY, later=(b"a",)).place),),
    "the second of two logs": lambda: (Witnessed(_other_log().note, HEAD.place),),
    "CRLF": lambda: (replace(HEAD, note=HEAD.note.replace(b"\n", b"\r\n")),),
    "10,000 signatures": lambda: (
        replace(HEAD, note=(HEAD.note + b"\xe2\x80\x94 x MTIzNDU=\n" * 10_000)[:MAX_NOTE - 14].rpartition(b"\n")[0]
                + b"\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILING)
def test_a_ledger_does_not_count(what: str) -> None:
    notes = FAILING[what]()
    with pytest.raises(PolicyNotMet) as caught:
        judged(*notes)
    assert (caught.value.step, code_of(caught.value)) == (8, "verify-policy-because")
    unasked = verify(Site().build(witnessed=notes), trust(), NOW)  # a trust file without witnesses judges none
    assert (unasked.receipts[0][0], unasked.witnessed) == (LEDGER, ())


def code_of(error: PolicyNotMet) -> str:
    assert isinstance(error.what, Message)
    return error.what.code


def test_a_ledger_whose_log_is_not_in_the_trust_file_does_not_count() -> None:
    with pytest.raises(PolicyNotMet):
        judged(HEAD, extra="".join(entries_of([], [witness("w1"), witness("w2")])))


def test_ledgers_that_are_not_witnessed_count_neither_at_step_8_nor_for_the_time() -> None:
    ledgers = ("early", LEDGER)
    site = Site(ledgers=ledgers)
    demand = demanded(1, "w1", "w2", ledgers=ledgers)
    proven = verify(site.build(witnessed=(HEAD,)), trust(ledgers=ledgers, **demand), NOW)
    assert ([ledger for ledger, _ in proven.receipts], len(proven.unconfirmed)) == ([LEDGER], 1)
    both = (HEAD, cosigned_head(ENTRY, "early", ("w2",)))
    with pytest.raises(PolicyNotMet):
        verify(site.build(witnessed=(HEAD,)), trust(receipts=2, ledgers=ledgers, **demand), NOW)
    counted = verify(site.build(witnessed=both), trust(receipts=2, ledgers=ledgers, **demand), NOW)
    assert {head.ledger for head in counted.witnessed} == set(ledgers)


def test_too_few_receipts_are_too_few_whatever_witnesses_say() -> None:
    with pytest.raises(PolicyNotMet) as caught:
        judged(HEAD, site=Site(receipts=()))
    assert code_of(caught.value) == "verify-policy"


def test_a_chain_counts_as_before() -> None:
    chain = (
        f'[[chain]]\nledger = "{LOCATOR.ledger}"\nchain_id = {LOCATOR.chain}\n'
        f'contract = "0x{LOCATOR.contract.hex()}"\nsender = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"\n'
    )
    site = Site(receipts=(), anchors=(LOCATOR,))
    facts = OnlineFacts(places={LOCATOR: ChainFact(statement_id(ENTRY), T0 + 9, shared=False)})
    demand = {**demanded(1, "w1"), "extra": witness_entries("w1") + chain}
    proven = verify(site.build(), trust(ledgers=(LEDGER, LOCATOR.ledger), **demand), NOW, facts=facts)
    assert (proven.receipts, proven.witnessed) == (((LOCATOR.ledger, T0 + 9),), ())


LOG, W1, W2 = log_key(), witness("w1"), witness("w2")
AS_WITNESS = replace(W1.vkey, public=LOG.vkey.public)
WRONG: dict[str, tuple[str, list[LogKey], list[Witness], str, str]] = {
    "more than there are": ("3", [LOG], [W1, W2], "policy.witnesses", "trust-witnesses"),
    "below zero": ("-1", [LOG], [W1, W2], "policy.witnesses", "trust-witnesses"),
    "true": ("true", [LOG], [W1, W2], "policy.witnesses", "trust-witnesses"),
    "one name": ("1", [LOG], [W1, replace(W2, name="w1")], "witness 2.name", "trust-witness-twice"),
    "one name in the key": (
        "1", [LOG], [W1, replace(W2, vkey=replace(W2.vkey, name=W1.vkey.name))], "witness 2.name",
        "trust-witness-twice",
    ),
    "one key under two names": (
        "1", [LOG], [W1, replace(W2, vkey=replace(W1.vkey, name="b"))], "witness 2.vkey", "trust-key-two-roles",
    ),
    "a log's key as a witness": ("1", [LOG], [replace(W1, vkey=AS_WITNESS)], "log 1.vkey", "trust-key-two-roles"),
    "a ledger's key as a witness": (
        "1", [LOG], [replace(W1, vkey=replace(W1.vkey, public=key(LEDGER).public))], "witness 1.vkey",
        "trust-key-two-roles",
    ),
    "a meter's key as a log": (
        "0", [LogKey(LEDGER, replace(LOG.vkey, public=key("meter").public))], [], "log 1.vkey", "trust-key-two-roles",
    ),
    "one origin of two ledgers": (
        "0", [LOG, LogKey("other", replace(LOG.vkey, public=key("x").public))], [], "log 2.vkey", "trust-origin-twice",
    ),
    "two origins of one ledger": (
        "0", [LOG, LogKey(LEDGER, replace(log_key("other").vkey))], [], "log 2.vkey", "trust-two-origins",
    ),
    "one log twice": ("0", [LOG, LOG], [], "log 2.vkey", "trust-key-two-roles"),
    "a log as a witness by its type": ("0", [], [replace(W1, vkey=LOG.vkey)], "witness 1.vkey", "trust-vkey-kind"),
    "a witness as a log by its type": ("0", [LogKey(LEDGER, W1.vkey)], [], "log 1.vkey", "trust-vkey-kind"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong(what: str) -> None:
    n, logs, witnesses, place, code = WRONG[what]
    with pytest.raises(TrustFileError) as caught:
        trust(policy=f"witnesses = {n}\n", extra="".join(entries_of(logs, witnesses)))
    assert isinstance(caught.value.what, Message)
    assert (caught.value.key, caught.value.what.code) == (place, code)


@pytest.mark.parametrize(
    ("line", "place", "code"),
    [
        ('[[witness]]\nname = "w 1"\n', "witness 1.name", "trust-witness-name"),
        ('[[witness]]\nname = "w1"\n', "witness 1.vkey", "trust-vkey-missing"),
        ('[[witness]]\nname = "w1"\nvkey = "w1+00000000+AAAA"\n', "witness 1.vkey", "trust-vkey-invalid"),
        ('[[witness]]\nname = "w1"\nurl = "x"\n', "witness 1.url", "trust-unknown-key"),
        ('[[log]]\nledger = "a b"\n', "log 1.ledger", "trust-name-invalid"),
        ("log = 1\n", "log", "trust-no-tables"),
    ],
)
def test_malformed(line: str, place: str, code: str) -> None:
    with pytest.raises(TrustFileError) as caught:
        parse_trust(line + trust_text() if "= 1" in line else trust_text(extra=line), "trust.toml")
    assert isinstance(caught.value.what, Message)
    assert (caught.value.key, caught.value.what.code) == (place, code)


def test_a_log_may_have_had_several_keys_and_a_ledger_without_one_is_warned_of() -> None:
    older = LogKey(LEDGER, Vkey(origin(), LOG.vkey.kind, key("older").public))
    text = "".join(entries_of([older, LOG], [W1]))
    read = trust(policy="witnesses = 1\n", extra=text)
    assert ("".join(entries_of(read.logs, read.witnesses)), read.warnings) == (text, ())
    (warning,) = trust(policy="witnesses = 1\n", extra="".join(entries_of([], [W1]))).warnings
    assert warning.code == "trust-ledger-no-log"
