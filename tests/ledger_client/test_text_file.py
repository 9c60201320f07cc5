"""Files that people edit: whatever their TOML holds, there is a document within bounds or one sentence."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.text_file import MAX_DEPTH, NotToml, toml_of
from tests.support.commands import Answer, ledger_command
from tests.support.evidence import Site
from tests.support.evidence_values import THOROUGH

HOSTILE = {
    "brackets": ("a = " + "[" * 20_000, "are nested"),
    "closed brackets": ("a = " + "[" * 20_000 + "]" * 20_000, "are nested"),
    "inline tables": ("a = " + "{a = " * 20_000, "are nested"),
    "a dotted key": ("a." * 2_000 + "a = 1", "a: tables or arrays are nested"),
    "a very long dotted key": ("a . " * 200_000 + "a = 1", "a: tables or arrays are nested"),
    "a very long key of quotes": ('b."c"' + ".'d'" * 100_000 + " = 1", "b: tables or arrays are nested"),
    "a table of dots": ("[" + "a." * 2_000 + "a]", "a: tables or arrays are nested"),
    "digits": ("a = " + "9" * 6_000, "thousands of digits"),
    "negative digits": ("a = -" + "9" * 6_000, "thousands of digits"),
    "hexadecimal digits": ("a = 0x" + "f" * 6_000, "a: the whole number exceeds 64 bits"),
    "65 bits": (f"a = [{2**64}]", "a: the whole number exceeds 64 bits"),
    "an exponent": ("a = 1e999999999999999999999", "exceeds the range of a double"),
    "a small exponent": ("a = 1e-99999999", "exceeds the range of a double"),
    "beyond a double": ("a = -1e309", "exceeds the range of a double"),
    "a long fraction": ("a = 0." + "1" * 6_000, "of 6002 characters is too long"),
    "a day that is none": ("a = 2026-02-30T00:00:00Z", "Invalid date"),
    "the year 0": ("a = 0000-01-01", "Invalid date"),
    "half a character": ('a = "\\ud800"', "not a Unicode scalar value"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("number", [float, Decimal])
def test_what_breaks_a_parser_is_one_sentence(what: str, number: Any) -> None:
    text, problem = HOSTILE[what]
    with pytest.raises(NotToml) as caught:
        toml_of(text, number)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_what_is_within_bounds_is_read() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    text = f"a = {deep}\nb = {2**64 - 1}\nc = -{2**63}\nd = 1_000.5e-3\ne = inf\nf = nan"
    document = toml_of(text)
    assert (document["b"], document["c"], document["d"], document["e"]) == (2**64 - 1, -(2**63), 1.0005, float("inf"))
    assert toml_of("a = 0.10", Decimal) == {"a": Decimal("0.10")}
    assert str(toml_of(text)["a"]) == deep


@THOROUGH
@given(st.text(alphabet="[]{}=.,\"'\n ab019-+_exof:TZ#", max_size=80))
def test_any_text_is_a_document_or_no_toml(text: str) -> None:
    with contextlib.suppress(NotToml):
        repr(toml_of(text))


@pytest.mark.parametrize("what", ["brackets", "digits"])
def test_a_trust_file_of_that_kind_is_one_sentence_and_exit_2(what: str, tmp_path: Path) -> None:
    trust, proof, batch = tmp_path / "trust.toml", tmp_path / "r.mseal", tmp_path / "b.mbatch"
    trust.write_text(HOSTILE[what][0])
    proof.write_bytes(Site().build())
    batch.write_bytes(b"")
    ledger = tmp_path / "ledger"
    command(0, "init", ledger)
    for arguments in (
        ("verify", proof, "--trust", trust),
        ("audit", batch, "--trust", trust),
        ("trust", "add", tmp_path / "mine.toml", trust, "--yes"),
    ):
        printed = command(2, *arguments).err
        assert printed.startswith(f"error: {trust}: is not TOML: ")
        assert printed.count("\n") == 2
    assert command(2, "enroll", ledger, trust).err.count("\n") == 2
    (ledger / "policy.toml").write_text(HOSTILE[what][0])
    printed = command(2, "revoke", ledger, "any").err
    assert printed.startswith(f"error: {ledger / 'policy.toml'}: is not TOML: ")


def command(code: int, *arguments: object) -> Answer:
    return ledger_command(*arguments).ended(code)
