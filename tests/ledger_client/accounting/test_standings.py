"""Entries beside each other: what each is, where it counts, and how many findings there are (P9)."""

from __future__ import annotations

from typing import Any

import pytest

from ledger_client.accounting.formats.entries import Entry, read_entry
from ledger_client.accounting.formats.standings import (
    CONTRADICTS,
    COUNTS,
    ELSEWHERE,
    REFUSED,
    REPLACED,
    Judged,
    in_the_way,
    judged,
)

R, C, X = REPLACED, COUNTS, CONTRADICTS


def hashed(name: str) -> bytes:
    return name.encode() * 32


def made(name: str, begins: int, ends: int, replaces: str = "", **also: Any) -> Entry:
    """An entry by the letter of its record; ``replaces``: the letters of others; a laboratory's carbon unless said
    otherwise."""
    fields = {"kind": "lab", "of": "boiler", "values": {"C_ar": 0.6}, "reason": "r", "user": "u", "unit": "kg"}
    named = [hashed(letter) for letter in replaces]
    given = {} if not named else {"replaces": named[0] if len(named) == 1 else named}
    return read_entry({**fields, "from": begins, "to": ends, **given, **also}, hashed(name))


def words(found: Judged) -> dict[str, str]:
    return {one.entry.record[:1].decode(): one.word for one in found.standings}


def parts(found: Judged, kind: str = "lab", name: str = "C_ar", of: str = "boiler") -> list[tuple[str, int, int]]:
    return [(entry.record[:1].decode(), a, b) for a, b, entry in found.parts_of(kind, of, name)]


MONTH = made("a", 0, 30)
TWO = made("a", 0, 20), made("b", 20, 40)


@pytest.mark.parametrize(
    ("entries", "expected", "where", "findings"),
    [
        ([MONTH], {"a": C}, [("a", 0, 30)], 0),
        ([MONTH, made("b", 0, 30, "a")], {"a": R, "b": C}, [("b", 0, 30)], 0),
        ([MONTH, made("b", 0, 30)], {"a": X, "b": X}, [], 1),
        # there alone: the rest of the month goes on
        ([MONTH, made("b", 10, 20, "a")], {"a": C, "b": C}, [("a", 0, 10), ("b", 10, 20), ("a", 20, 30)], 0),
        ([MONTH, made("b", 10, 20)], {"a": X, "b": X}, [("a", 0, 10), ("a", 20, 30)], 1),
        ([MONTH, made("b", 20, 40)], {"a": X, "b": X}, [("a", 0, 20), ("b", 30, 40)], 1),
        ([MONTH, made("b", 30, 40)], {"a": C, "b": C}, [("a", 0, 30), ("b", 30, 40)], 0),
        # of two it names both, or neither counts where it missed one
        ([*TWO, made("c", 0, 40, "ab")], {"a": R, "b": R, "c": C}, [("c", 0, 40)], 0),
        ([*TWO, made("c", 0, 40, "a")], {"a": R, "b": X, "c": X}, [("c", 0, 20)], 1),
        ([*TWO, made("c", 10, 30, "ab")], {"a": C, "b": C, "c": C}, [("a", 0, 10), ("c", 10, 30), ("b", 30, 40)], 0),
        # what was missed can be named later
        ([MONTH, made("b", 0, 30), made("c", 0, 30, "ab")], {"a": R, "b": R, "c": C}, [("c", 0, 30)], 0),
        ([MONTH, made("b", 0, 30), made("c", 0, 30, "b")], {"a": X, "b": R, "c": X}, [], 1),
        ([MONTH, made("b", 0, 30), made("c", 0, 30)], {"a": X, "b": X, "c": X}, [], 2),
        ([MONTH, made("b", 0, 30, "a"), made("c", 0, 30, "b")], {"a": R, "b": R, "c": C}, [("c", 0, 30)], 0),
        ([MONTH, made("b", 0, 30, "a"), made("c", 0, 30, "a")], {"a": R, "b": X, "c": X}, [], 1),
        ([made("b", 0, 30, "z")], {"b": C}, [("b", 0, 30)], 0),
    ],
)  # fmt: skip
def test_what_stands_alone_counts(
    entries: list[Entry], expected: dict[str, str], where: list[tuple[str, int, int]], findings: int
) -> None:
    found = judged(entries)
    assert (words(found), parts(found), found.findings) == (expected, where, findings)


def test_letters_meet_each_by_itself() -> None:
    """Daily moisture and monthly carbon do not overlap; a new moisture takes the place of a moisture alone."""
    carbon = made("c", 0, 30, values={"C_ad": 0.6, "M_ad": 2})
    days = [made(str(day), day, day + 1, values={"M_ar": 10}) for day in range(9)]
    found = judged(
        [carbon, *days, made("m", 5, 6, "5", values={"M_ar": 11}), made("d", 0, 30, "c", values={"M_ad": 3})]
    )
    assert found.findings == 0
    assert parts(found, name="C_ad") == [("c", 0, 30)]
    assert parts(found, name="M_ad") == [("d", 0, 30)]
    assert parts(found, name="M_ar")[4:7] == [("4", 4, 5), ("m", 5, 6), ("6", 6, 7)]


def test_kinds_and_things_do_not_meet() -> None:
    others = [
        made("b", 0, 30, of="kiln"),
        made("c", 0, 30, kind="settlement", values={"value": 1}),
        made("d", 0, 30, kind="value", values={"value": 1}),
    ]
    assert set(words(judged([MONTH, *others])).values()) == {COUNTS}


@pytest.mark.parametrize("kind", ["value", "settlement"])
def test_an_amount_is_not_cut(kind: str) -> None:
    of: dict[str, Any] = {"kind": kind, "values": {"value": 1}}
    found = judged([made("a", 0, 30, **of), made("b", 10, 20, "a", **of)])
    assert (words(found), parts(found, kind, "value")) == ({"a": R, "b": C}, [("b", 10, 20)])
    again = judged([made("a", 0, 30, **of), made("b", 20, 40, **of)])
    assert (words(again), parts(again, kind, "value"), again.findings) == ({"a": X, "b": X}, [], 1)


@pytest.mark.parametrize(("kind", "values"), [("register", {"final": 9, "initial": 0}), ("closure", {})])
def test_a_moment_may_have_been_wrong(kind: str, values: dict[str, Any]) -> None:
    of: dict[str, Any] = {"kind": kind, "values": values}
    name = next(iter(values), "")
    first = made("a", 7, 7, **of)
    assert parts(judged([first, made("b", 8, 8, **of)]), kind, name) == [("a", 7, 7), ("b", 8, 8)]
    assert parts(judged([first, made("b", 8, 8, "a", **of)]), kind, name) == [("b", 8, 8)]
    twice = judged([first, made("b", 7, 7, **of)])
    assert (words(twice), parts(twice, kind, name), twice.findings) == ({"a": X, "b": X}, [], 1)
    named = judged([first, made("b", 7, 7, **of), made("c", 7, 7, "ab", **of)])
    assert (parts(named, kind, name), named.findings) == ([("c", 7, 7)], 0)


def test_a_refused_one_takes_nothing_away_and_is_named_to_be_gone() -> None:
    bad = made("b", 0, 30, "a", values={"C_ar": 1.2})
    found = judged([MONTH, bad])
    assert (words(found), parts(found), found.findings) == ({"a": C, "b": REFUSED}, [("a", 0, 30)], 1)
    after = judged([MONTH, bad, made("c", 0, 30, "ab")])
    assert (words(after), after.findings) == ({"a": R, "b": REFUSED, "c": C}, 0)
    assert after.standings[1].by == (hashed("c"),)


def test_what_the_next_one_has_to_name() -> None:
    contradicting = [MONTH, made("b", 20, 40), made("x", 0, 40, values={"C_ar": 2})]
    assert in_the_way(contradicting, made("", 0, 10)) == [hashed("a")]
    assert in_the_way(contradicting, made("", 25, 26)) == [hashed("a"), hashed("b")]
    assert in_the_way(contradicting, made("", 25, 26, "b")) == [hashed("a")]
    assert in_the_way(contradicting, made("", 25, 26, "ab")) == []
    assert in_the_way(contradicting, made("", 25, 26, values={"NCV": 20})) == []


def test_an_entry_of_another_time_is_called_so() -> None:
    shut = made("s", 90, 90, kind="closure", values={})
    found = judged([MONTH, made("b", 40, 50), made("c", 40, 50, "b"), shut]).within(30, 45)
    assert [one.word for one in found] == [ELSEWHERE, REPLACED, COUNTS, COUNTS]
