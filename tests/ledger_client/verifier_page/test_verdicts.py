"""Verdicts of the page in chromium, offline, from its file: those of the corpus, and Python's on what chance makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest

from tests.corpus.cases import cases
from tests.gateway.dashboard.window import Window, chromium
from tests.ledger_client.formats.test_record import AT_STEP_2, CHANGES, resign
from tests.ledger_client.verification.test_witnesses import FAILING
from tests.ledger_client.verifier_page.judging import (
    NOT_JUDGED,
    Case,
    of_page,
    of_python,
    opened,
    witnessed_trust,
    written,
)
from tests.oracle.mutants import mutant
from tests.support.evidence import LEDGER, NOW, T0, Site, bodies, trust_text
from tests.support.witnesses.heads import cosigned_head

ODD_TOML = {"trust-text-json", "trust-text-deep"}
"""Trust files of the corpus that this page does not judge: brackets within brackets."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with chromium() as browser, opened(browser, written(tmp_path_factory.mktemp("page"))) as window:
        yield window


def test_the_corpus_comes_to_its_verdicts(seen: Window) -> None:
    everything = cases()
    verdicts = of_page(seen, [(case.file.read_bytes(), case.trust.read_bytes(), case.now) for case in everything])
    found = {case.name: verdict for case, verdict in zip(everything, verdicts, strict=True)}

    assert {name for name, verdict in found.items() if verdict == NOT_JUDGED} == ODD_TOML
    assert {case.name: case.answer for case in everything if case.name not in ODD_TOML} == {
        name: verdict for name, verdict in found.items() if name not in ODD_TOML
    }


def test_records_that_only_a_hostile_gateway_signs(seen: Window) -> None:
    """Well signed, and no records: each is refused at the step of ``parse_record``."""
    trust = trust_text().encode()
    made = [(change, 1, body) for change, body in CHANGES.values()]
    made += [(change, 2, body) for change, body in AT_STEP_2.values()]
    bundles = [Site().build(0, record=resign(change, bodies()[body])) for change, _, body in made]
    steps = {1: "parse", 2: "record"}

    verdicts = of_page(seen, [(bundle, trust, NOW) for bundle in bundles])
    assert verdicts == [("bad", steps[step]) for _, step, _ in made]


def test_notes_that_let_no_ledger_count(seen: Window) -> None:
    trust = witnessed_trust(2, "w1", "w2", "w3").encode()
    notes = [(_HEADS[0],), *(make() for make in FAILING.values())]
    verdicts = of_page(seen, [(Site().build(0, witnessed=one), trust, NOW) for one in notes])

    assert verdicts == [("good", None), *[("bad", "policy")] * len(FAILING)]


def test_what_chance_makes_of_a_proof_and_a_trust_file(seen: Window) -> None:
    chance = Random(31)
    made = [_made(chance) for _ in range(200)]
    for one in map(mutant, range(200)):  # most of them signed anew
        made.append((one.proof, _BARE.sub(rb"\1 =", one.trust), one.now))
    verdicts = of_page(seen, made)
    expected = [of_python(case) for case in made]
    judged = [pair for pair in zip(expected, verdicts, strict=True) if pair[1] != NOT_JUDGED]

    assert [pair for pair in judged if pair[0] != pair[1]] == []
    assert len(judged) > 360
    assert {"good", "bad", "trust"} == {verdict for (verdict, _), _ in judged}


_BARE = re.compile(rb'^"([A-Za-z0-9_-]+)" =', re.MULTILINE)
_HEADS = (cosigned_head(Site().entry()), cosigned_head(Site().entry(), witnesses=("w1",), later=(b"more",)))
_BUNDLES = (
    *(Site().build(number) for number in range(3)),
    Site(ledgers=(LEDGER, "second")).build(0),
    Site().build(0, witnessed=_HEADS),
    Site().build(1, witnessed=_HEADS[:1]),
)
_TRUSTS = (
    trust_text(),
    trust_text(ledgers=(LEDGER, "second"), receipts=2),
    trust_text(policy='max_delay = "8d"\n'),
    witnessed_trust(2, "w1", "w2", "w3"),
    witnessed_trust(1, "w1"),
)
_LINES = (
    "receipts = 2", "receipts = 0", "receipts = 1.0", "receipts = +1", "receipts = 1_0", "receipts = true",
    "receipts = 99999999999999999999999", 'ledgers = ["demo-ledger", ]', "ledgers = []", 'ledgers = [\n"a", # x\n"b"]',
    'max_delay = "1.5d"', 'max_delay = "0s"', 'max_delay = "8 d"', "attested = -1", "valid_to = 2027-02-30T00:00:00Z",
    "valid_to = 2027-01-01T00:00:00Z", "valid_to = 2027-01-01 00:00:00+08:00", "valid_to = 2027-01-01T00:00:00",
    "valid_from = 2026-11-01T00:00:00.5Z", "valid_from = 0000-01-01T00:00:00Z", "revoked = 2026-11-18T11:06:45Z",
    'revoked_reason = "\\u00e9\\n"', 'identity = "a"', "identity = ''", 'kid = "AAAA"', 'party = "x"', "[[chain]]",
    "witnesses = 0", "witnesses = 4", "made = 2026-01-01T00:00:00Z", "expires = 2026-11-18T11:06:45Z", "[[log]]",
    'held = "hardware"', 'held_by = "x"', "held_at = 2026-01-01T00:00:00Z", 'name = "w1"', 'name = "w 1"',
    "[[witness]]",
    "[policy]", "[key]", "[[key]]", "[ policy ]", "key = []", "x = 1", "# \x01", "\t# tab", 'role = "issuer"',
    'role = "ledger"', 'meter = "gateway"', 'gateway = "ü"', 'ledger = "https://a.example/c"', "receipts = 1 # one",
)  # fmt: skip


def _made(chance: Random) -> Case:
    """A proof or a trust file with some bytes or lines changed; judged at times that matter to its receipt."""
    bundle, trust = chance.choice(_BUNDLES), chance.choice(_TRUSTS)
    now = chance.choice((NOW, NOW, T0 + 5 - 300, T0 + 4 - 300))
    if chance.random() < 0.6:
        return _changed(chance, bundle), trust.encode(), now
    lines = trust.split("\n")
    at = chance.randrange(len(lines))
    if chance.random() < 0.3:
        return bundle, _changed(chance, trust.encode()), now
    lines[at : at + chance.randrange(2)] = [chance.choice((*_LINES, lines[at]))]
    return bundle, "\n".join(lines).encode(), now


def _changed(chance: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    at = chance.randrange(len(changed))
    match chance.randrange(4):
        case 0:
            changed[at] = chance.randrange(256)
        case 1:
            changed[at] ^= 1 << chance.randrange(8)
        case 2:
            del changed[at : at + chance.randrange(1, 4)]
        case _:
            changed[at:at] = chance.randbytes(chance.randrange(1, 4))
    return bytes(changed)
