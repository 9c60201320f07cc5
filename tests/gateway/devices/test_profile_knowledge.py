"""Provenance, fingerprint and open questions of a profile: parsed, checked, and no part of decoding."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from gateway.devices.knowledge.fingerprint import Constant, Fingerprint, Refusal, Sum
from gateway.devices.knowledge.provenance import Provenance
from gateway.devices.points import Profile, ProfileError
from gateway.devices.profile import parse_profile
from gateway.devices.profile_text import decoding_hash, format_profile
from gateway.messages.message import Message

HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\nmax_registers = 10\nstep = 2\n'
POINTS = """
[points]
p1 = { fc = 4, address = 0, type = "float32", unit = "W" }
p2 = { fc = 4, address = 2, type = "float32", unit = "W" }
p = { fc = 4, address = 4, type = "float32", unit = "W", word_order = "big" }
volts = { fc = 4, address = 6, type = "uint16", unit = "V", scale = -1 }
e_high = { fc = 4, address = 8, type = "uint32", kind = "part", scale = 3 }
e_low = { fc = 4, address = 10, type = "uint16", kind = "part" }
energy = { sum = ["e_high", "e_low"], unit = "kWh", kind = "counter", wraps_at = 100000000 }
number = { fc = 4, address = 12, type = "string", registers = 4 }
"""
SOURCES = '\n[provenance.sources]\none = "manual, page 3"\n"the other" = "repository a/b, commit 1, file c"\n'
PROVENANCE = '\n[provenance]\ndefault = "seen"\nsingle = ["p1"]\nopen = ["volts", "energy"]\n' + SOURCES
FINGERPRINT = """
[fingerprint]
family = "v-family"
constants = [{ fc = 3, address = 0xFC02, words = [0x0079, 0] }, { fc = 3, address = 7, words = [1, 330], to = 337 }]
refuses = [{ fc = 4, address = 9000, registers = 2 }]
ranges = { volts = [80, 300.5], p1 = [-1, 1] }
sums = [{ total = "p", parts = ["p1", "p2"] }]
"""
RATIO = 'ratio = { fc = 4, address = 16, type = "uint16", kind = "scale" }\n'
ASK = 'ask = ["word_order"]\n'


def parse(text: str) -> Profile:
    return parse_profile(text, "mine", "mine.toml")


def test_provenance_grades_each_point() -> None:
    found = parse(HEAD + POINTS + PROVENANCE).provenance
    assert isinstance(found, Provenance)
    assert [found.grade(name) for name in ("p1", "p2", "volts", "energy")] == ["single", "seen", "open", "open"]
    assert found.counts(["p1", "p2", "volts", "energy", "p"]) == {"seen": 2, "single": 1, "open": 2}
    assert found.sources == {"one": "manual, page 3", "the other": "repository a/b, commit 1, file c"}


def test_a_fingerprint_is_read_as_written() -> None:
    assert parse(HEAD + POINTS + FINGERPRINT).fingerprint == Fingerprint(
        family="v-family",
        constants=(Constant(3, 0xFC02, (0x79, 0)), Constant(3, 7, (1, 330), 337)),
        refuses=(Refusal(4, 9000, 2),),
        ranges={"volts": (Decimal(80), Decimal("300.5")), "p1": (Decimal(-1), Decimal(1))},
        sums=(Sum("p", ("p1", "p2")),),
    )


def test_a_profile_that_asks_is_decided_by_the_configuration() -> None:
    profile = parse(HEAD + ASK + POINTS)
    assert profile.ask == ("word_order",)
    assert profile.word_order_unsaid == ("p1", "p2", "e_high")  # not one register, not a text, not what says its own
    little = profile.decided("little")
    assert {p.name: p.word_order for p in little.points if p.word_order == "little"} == dict.fromkeys(
        ("p1", "p2", "e_high"), "little"
    )
    assert [part.word_order for part, _ in little.point("energy").parts] == ["little", "big"]
    assert little.ask == ()
    assert profile.decided("big").points == profile.points
    assert decoding_hash(little) != decoding_hash(profile.decided("big"))
    written = POINTS.replace('type = "float32", unit = "W" }', 'type = "float32", unit = "W", word_order = "little" }')
    written = written.replace('type = "uint32", kind', 'type = "uint32", word_order = "little", kind')
    assert little == parse(HEAD + written)
    assert decoding_hash(little) == decoding_hash(parse(HEAD + written))


def test_what_is_known_of_a_device_is_no_part_of_its_decoding() -> None:
    bare, known = parse(HEAD + POINTS), parse(HEAD + POINTS + PROVENANCE + FINGERPRINT)
    assert decoding_hash(known) == decoding_hash(bare)
    assert known == bare


POWERS = POINTS.replace("p = {", "active_power = {")
POSITIVE = 'positive = "export"\n'


def test_which_way_power_is_changes_no_hash_and_reads_back() -> None:
    bare, known = parse(HEAD + POWERS), parse(HEAD + POSITIVE + POWERS)
    assert (bare.positive, known.positive) == (None, "export")
    assert decoding_hash(known) == decoding_hash(bare)
    assert known == bare, "a change opens no line again"
    assert parse(format_profile(known)).positive == "export"
    for text in ('positive = "out"\n' + POWERS, POSITIVE + POINTS):
        with pytest.raises(ProfileError) as refused:
            parse(HEAD + text)
        assert refused.value.key == "positive"


def test_ratios_set_in_the_device_are_always_read() -> None:
    profile = parse(HEAD + 'ratios = { pt = "ratio" }\n' + POINTS + RATIO)
    assert profile.ratios == (("pt", "ratio"),)
    assert [point.name for point in profile.select(("p1",))] == ["p1", "ratio"]
    assert parse(format_profile(profile)) == profile
    assert decoding_hash(profile) != decoding_hash(parse(HEAD + POINTS + RATIO))
    with pytest.raises(ProfileError) as refused:
        parse(HEAD.replace("format = 2", "") + 'ratios = { pt = "ratio" }\n' + POINTS + RATIO)
    assert (refused.value.key, refused.value.what) == ("ratios", Message("profile-format-2"))


@pytest.mark.parametrize("head", ["", ASK])
def test_a_profile_with_all_of_it_reads_back_the_same(head: str) -> None:
    profile = parse(HEAD + head + POINTS + PROVENANCE + FINGERPRINT)
    again = parse(format_profile(profile))
    assert again == profile
    assert (again.provenance, again.fingerprint) == (profile.provenance, profile.fingerprint)
    assert again.word_order_unsaid == profile.word_order_unsaid


REFUSED = [
    (
        "ratios = { ct = 'ration' }" + POINTS + RATIO,
        "ratios.ct: 'ration' is not a number of kind = \"scale\".*mean 'ratio'",
    ),
    ("ratios = { ct = 'volts' }" + POINTS + RATIO, "ratios.ct: 'volts' is not a number of kind"),
    ("ratios = { cd = 'ratio' }" + POINTS + RATIO, "ratios: .* use a table of scale points"),
    ("ratios = 'ratio'" + POINTS + RATIO, "ratios: 'ratio' is not allowed; use a table of scale points"),
    ('ask = ["byte_order"]\n' + POINTS, "ask: .* is not allowed; use one of word_order"),
    (ASK + "\n[defaults]\nword_order = 'big'\n" + POINTS, "ask: every value .* nothing to ask; remove ask"),
    (POINTS + "[provenance]\ndefault = 'sure'" + SOURCES, "provenance.default: 'sure' is not allowed; use one of seen"),
    (POINTS + "[provenance]" + SOURCES, "provenance.default: missing; name the grade"),
    (
        POINTS + "[provenance]\ndefault = 'seen'",
        "provenance.sources: missing; name the grade .* and at least one source",
    ),
    (POINTS + "[provenance]\ndefault = 'single'\nsources = ['a']", "provenance.sources: .* use a table of texts"),
    (POINTS + "[provenance]\ndefault = 'open'\nsingel = []" + SOURCES, "provenance.singel: .* did you mean 'single'"),
    (
        POINTS + "[provenance]\ndefault = 'seen'\nopen = ['vlots']" + SOURCES,
        "provenance.open: 'vlots' is not a point of this profile; did you mean 'volts'",
    ),
    (
        POINTS + "[provenance]\ndefault = 'seen'\nopen = ['volts']\nsingle = ['volts']" + SOURCES,
        "provenance.open: 'volts' is in the list single too; keep it in one list",
    ),
    (
        POINTS + "[provenance]\ndefault = 'single'\nseen = ['p']\nsources = { one = 'manual' }",
        "provenance.sources: 'p' is graded seen, but there is only one source; name the second",
    ),
    (POINTS + "[fingerprint]\nconstants = 5", "fingerprint.constants: not a list of tables; write it as"),
    (POINTS + "[fingerprint]\nconstants = [{ fc = 3, address = 0 }]", r"fingerprint.constants\[0\].words: missing"),
    (
        POINTS + "[fingerprint]\nconstants = [{ fc = 1, address = 0, words = [1] }]",
        r"constants\[0\].fc: 1 is not allowed; use a whole number from 3 to 4",
    ),
    (
        POINTS + "[fingerprint]\nconstants = [{ fc = 3, address = 0, words = [0,0,0,0,0,0,0,0,0,0,0,0] }]",
        r"constants\[0\].words: the value needs a read of 12 registers, but a read holds max_registers = 10",
    ),
    (
        POINTS + "[fingerprint]\nconstants = [{ fc = 3, address = 0, words = [330], to = 330 }]",
        r"constants\[0\].to: 330 is not above the last word, 330; name the greatest number",
    ),
    (
        POINTS + "[fingerprint]\nconstants = [{ fc = 3, address = 0, words = [330], to = 70000 }]",
        r"constants\[0\].to: 70000 is not allowed; use a whole number from 0 to 65535",
    ),
    (
        POINTS + "[fingerprint]\nrefuses = [{ fc = 4, address = 65535, registers = 2 }]",
        r"refuses\[0\].registers: .*65536",
    ),
    (
        POINTS + "[fingerprint]\nrefuses = [{ fc = 16, address = 0, registers = 2 }]",
        r"refuses\[0\].fc: 16 is not allowed; use a whole number from 1 to 4",
    ),
    (POINTS + "[fingerprint]\nranges = { volts = 3 }", "fingerprint.ranges: .* a table of points with two numbers"),
    (
        POINTS + "[fingerprint]\nranges = { vlots = [1, 2] }",
        "ranges.vlots: 'vlots' is not a gauge .*did you mean 'volts'",
    ),
    (POINTS + "[fingerprint]\nranges = { volts = [2, 2] }", "ranges.volts: .*two different numbers"),
    (POINTS + "[fingerprint]\nsums = [{ total = 'p', parts = ['p1'] }]", "sums.0..parts: a sum has at least two"),
    (
        POINTS + "[fingerprint]\nsums = [{ total = 'p', parts = ['p1', 'volts'] }]",
        "'volts' is not in W, the unit of 'p'",
    ),
    (
        POINTS + "[fingerprint]\nconstant = []",
        "fingerprint.constant: unknown key; did you mean 'constants'",
    ),
    (
        POINTS + "[fingerprint]\nrefuses = [{ fc = 4, address = 9000 }]",
        r"refuses\[0\].registers: missing; this table has the keys fc, address, registers",
    ),
    (POINTS + "[fingerprint]\nfamily = ''", "fingerprint.family: '' is not allowed"),
    (
        POINTS + "[provenance]\ndefault = 'single'\nsources = { one = '' }",
        "provenance.sources: .* is not allowed; use a table of texts",
    ),
    (
        POINTS + "[provenance]\ndefault = 'seen'\nsources = { one = 'manual', two = 'manual' }",
        "graded seen, but there is only one source",
    ),
    (POINTS + "[fingerprint]\nfamilly = 'x'", "fingerprint.familly: unknown key; did you mean 'family'"),
    (POINTS + "[[fingerprint]]\nfamily = 'x'", "fingerprint: not a table"),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_a_mistake_is_refused_with_its_key_and_the_fix(text: str, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(HEAD + text)
    assert re.search(problem, str(caught.value).replace("\n  fix: ", "; ")), str(caught.value)


def test_a_fingerprint_of_a_device_without_registers_reads_none() -> None:
    head = HEAD.replace("max_registers = 10\nstep = 2\n", 'protocol = "dlt645"\n')
    points = '[points]\nv = { di = "02010100", format = "XXX.X", unit = "V" }\n'
    assert parse(head + points + "[fingerprint]\nranges = { v = [80, 300] }").fingerprint is not None
    with pytest.raises(ProfileError, match=r"fingerprint.constants"):
        parse(head + points + "[fingerprint]\nconstants = [{ fc = 3, address = 0, words = [1] }]")
