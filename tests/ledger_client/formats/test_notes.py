"""Signed notes, checkpoints and cosignatures: C2SP's own examples, both ways, and what is no note."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import BadSignature, Malformed, VerificationError
from ledger_client.formats.ed25519_points import L
from ledger_client.formats.notes import (
    LOG_KEY,
    MAX_NOTE,
    MAX_SIGNATURES,
    Checkpoint,
    Line,
    Note,
    Vkey,
    cosigned,
    demand_signed,
    line_text,
    parse_checkpoint,
    parse_note,
    signed_line,
)
from tests.support.evidence import T0, key
from tests.support.witnesses.heads import cosignature, log_key, origin, witness

FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjO"
    "BH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
SOFA = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeO\
oRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeol\
MI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""
HEAD = Checkpoint(origin(), 42, bytes(range(32)))


def test_the_example_of_signed_note() -> None:
    """https://c2sp.org/signed-note, Example."""
    vkey, note = Vkey.parse(FOO), parse_note(FOO_NOTE.encode())
    assert (vkey.text, vkey.name, vkey.id.hex()) == (FOO, "example.com/foo", "530d903a")
    demand_signed(note, vkey)
    assert note.encode() == FOO_NOTE.encode()
    with pytest.raises(BadSignature):
        demand_signed(Note(note.text.replace("an", "no"), note.lines), vkey)


def test_the_example_of_tlog_cosignature() -> None:
    """https://c2sp.org/tlog-cosignature: its keys are not published, its form is."""
    note = parse_note(SOFA.encode())
    assert note.encode() == SOFA.encode()
    checkpoint = parse_checkpoint(note.text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.text) == (
        "example.com/behind-the-sofa", 20852163, note.text,
    )  # fmt: skip
    assert [(line.name, line.id.hex(), len(line.signature)) for line in note.lines] == [
        ("example.com/behind-the-sofa", "033de0ae", 64), ("witness.example.com/w1", "8d66cf3f", 72),
    ]  # fmt: skip
    assert int.from_bytes(note.lines[1].signature[:8], "big") == 1679315147


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.integers(1, 2**37))
def test_a_head_is_read_as_it_was_signed_and_cosigned(size: int, root: bytes, time_s: int) -> None:
    checkpoint = Checkpoint(origin(), size, root)
    lines = (signed_line(checkpoint.text, origin(), key("checkpoint demo-ledger")),
             cosignature(checkpoint.text, "w1", time_s))  # fmt: skip
    note = parse_note(Note(checkpoint.text, lines).encode())
    assert parse_checkpoint(note.text) == checkpoint
    demand_signed(note, log_key().vkey)
    assert (cosigned(note, witness("w1").vkey), cosigned(note, witness("w2").vkey)) == (time_s, None)
    assert Vkey.parse(witness("w1").vkey.text) == witness("w1").vkey


def _line(name: str, data: bytes) -> str:
    return f"— {name} {base64.b64encode(data).decode()}\n"


NO_NOTES = {
    "nothing": "",
    "no signature": HEAD.text,
    "an empty line and no signature": HEAD.text + "\n",
    "CRLF": SOFA.replace("\n", "\r\n"),
    "a tab": SOFA.replace("sofa\n2", "sofa\t\n2"),
    "no newline at its end": SOFA[:-1],
    "a hyphen for the dash": SOFA.replace("— w", "- w"),
    "two spaces": SOFA.replace("sofa Az", "sofa  Az"),
    "a name with plus": SOFA.replace("/w1 ", "/w+1 "),
    "a name with a space of Unicode": SOFA.replace("/w1 ", "/w\u20031 "),
    "no name": SOFA.replace("witness.example.com/w1 ", " "),
    "no base64": SOFA.replace("Az3g", "Az3-"),
    "bits behind the end": SOFA.replace("YQ8=", "YQ9="),
    "no padding": SOFA.replace("YQ8=", "YQ8"),
    "a key ID alone": HEAD.text + "\n" + _line("x", b"1234"),
    "10,000 signatures": HEAD.text + "\n" + _line("x", b"12345") * 10_000,
    "a signature too many": HEAD.text + "\n" + _line("x", b"12345") * (MAX_SIGNATURES + 1),
    "too large": HEAD.text + "x" * MAX_NOTE + "\n\n" + _line("x", b"12345"),
}  # fmt: skip


@pytest.mark.parametrize("what", NO_NOTES)
def test_no_note(what: str) -> None:
    with pytest.raises(Malformed):
        parse_note(NO_NOTES[what].encode())
    assert len(parse_note((HEAD.text + "\n" + _line("x", b"12345") * MAX_SIGNATURES).encode()).lines) == MAX_SIGNATURES


def test_no_utf_8() -> None:
    with pytest.raises(Malformed):
        parse_note(SOFA.encode().replace(b"sofa\n", b"sof\xff\n"))


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
NO_CHECKPOINTS = {
    "two lines": "a\n1\n", "no origin": f"\n1\n{ROOT}\n", "two heads": f"a\n1\n{ROOT}\n\nb\n2\n{ROOT}\n",
    "a size with a zero": f"a\n01\n{ROOT}\n", "a negative size": f"a\n-1\n{ROOT}\n", "no size": f"a\nx\n{ROOT}\n",
    "a size of Arabic digits": f"a\n١\n{ROOT}\n", "a size too large": f"a\n{2**63}\n{ROOT}\n",
    "a short root": f"a\n1\n{ROOT[:40]}\n", "a root in base64url": f"a\n1\n{ROOT.replace('/', '_')}\n",
}  # fmt: skip


@pytest.mark.parametrize("what", NO_CHECKPOINTS)
def test_no_checkpoint(what: str) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(NO_CHECKPOINTS[what])
    assert parse_checkpoint(f"a\n1\n{ROOT}\nb\n2\n{ROOT}\n").origin == "a"  # lines of the log's own


NO_VKEYS = {
    "two parts": FOO.rpartition("+")[0], "another id": FOO.replace("530d903a", "530d903b"), "upper case": FOO.replace(
        "530d903a", "530D903A"
    ), "another name": FOO.replace("foo", "bar"), "no name": FOO.replace("example.com/foo", ""),
    "a space": FOO.replace("/foo", "/f oo"), "beyond ASCII": FOO.replace("foo", "föö"),
    "another type": f"x+00000000+{base64.b64encode(bytes([2]) + bytes(32)).decode()}",
    "a short key": f"x+00000000+{base64.b64encode(bytes([1]) + bytes(31)).decode()}",
    "a weak key": f"x+00000000+{base64.b64encode(bytes([1]) + bytes(32)).decode()}",
}  # fmt: skip


@pytest.mark.parametrize("what", NO_VKEYS)
def test_no_vkey(what: str) -> None:
    with pytest.raises(Malformed):
        Vkey.parse(NO_VKEYS[what])


def test_each_line_of_a_known_key_must_hold_and_lines_of_others_are_ignored() -> None:
    good = cosignature(HEAD.text, "w1")
    stranger = Line("stranger", good.id, bytes(72))
    other_id = Line(good.name, bytes(4), good.signature)
    assert cosigned(Note(HEAD.text, (stranger, other_id)), witness("w1").vkey) is None
    assert cosigned(Note(HEAD.text, (stranger, other_id, good, good)), witness("w1").vkey) == T0 + 60
    later = cosignature(HEAD.text, "w1", T0 + 61)
    assert cosigned(Note(HEAD.text, (later, good)), witness("w1").vkey) == T0 + 60
    s = int.from_bytes(good.signature[40:], "little") + L
    for spoilt in (
        good.signature[:-1], good.signature[:7] + b"\0" + good.signature[8:], bytes(8) + good.signature[8:],
        b"\xff" * 8 + good.signature[8:], good.signature[:40] + s.to_bytes(32, "little"),
    ):  # fmt: skip
        with pytest.raises(BadSignature):
            cosigned(Note(HEAD.text, (good, Line(good.name, good.id, spoilt))), witness("w1").vkey)


def test_a_log_s_signature_is_no_cosignature_nor_the_other_way_round() -> None:
    """The same key under the same name: the type is in the key ID, and the first line of what is signed."""
    log = Vkey(witness("w1").vkey.name, LOG_KEY, witness("w1").vkey.public)
    line = signed_line(HEAD.text, log.name, key("witness w1"))
    assert cosigned(Note(HEAD.text, (line,)), witness("w1").vkey) is None
    cosignature_line = cosignature(HEAD.text, "w1")
    with pytest.raises(VerificationError):
        demand_signed(Note(HEAD.text, (Line(log.name, log.id, cosignature_line.signature[8:]),)), log)
    assert line_text(line) != line_text(cosignature_line)
