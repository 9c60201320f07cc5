"""Messages: equality, the wire form and back, hostile maps, formats, and what is shown of an unknown message."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.formats import cbor
from ledger_client.message_formats import FORMATS, setting, size, span
from ledger_client.messages import MOST_CHARACTERS, MOST_DEEP, MOST_FACTS, MOST_ITEMS, Catalogue, Fact, Message, Unsaid

ENGLISH = Message.english
CODES = st.from_regex(r"\A[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}\Z")
NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,20}\Z")
PLAIN = st.text(max_size=50) | st.integers(-(1 << 63), (1 << 63) - 1) | st.booleans()


def one(facts: st.SearchStrategy[Any]) -> st.SearchStrategy[Message]:
    lists = st.lists(facts, max_size=5).map(tuple)
    maps = st.dictionaries(NAMES, facts | lists, max_size=5)
    return st.builds(lambda code, those: Message(code, **those), CODES, maps)


def nested(deep: int) -> st.SearchStrategy[Message]:
    return one(PLAIN) if deep == 1 else one(PLAIN | nested(deep - 1))


@given(nested(MOST_DEEP))
def test_a_message_comes_back_from_cbor_and_json(message: Message) -> None:
    fields = message.to_fields()
    assert Message.from_fields(fields) == message
    assert Message.from_fields(cbor.decode(cbor.encode(fields))) == message
    assert Message.from_fields(json.loads(json.dumps(fields))) == message


@given(nested(2))
def test_equal_messages_are_one_in_a_set_and_survive_copies(message: Message) -> None:
    others = {copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))}
    assert others == {message}


def test_a_message_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Message("a").code = "b"


def deep(levels: int) -> Message:
    return Message("a") if levels == 1 else Message("a", why=deep(levels - 1))


TOO_MUCH: list[Fact] = [
    deep(MOST_DEEP),
    tuple(str(n) for n in range(MOST_ITEMS + 1)),
    "x" * (MOST_CHARACTERS + 1),
    1 << 63,
    (("a",),),
]


@pytest.mark.parametrize("fact", TOO_MUCH, ids=range(len(TOO_MUCH)))
def test_what_is_too_large_for_the_wire_is_left_out_as_a_whole(fact: Fact) -> None:
    assert Message("a", fact=fact).to_fields() == {}


def test_the_largest_still_goes() -> None:
    assert Message.from_fields(deep(MOST_DEEP).to_fields()) == deep(MOST_DEEP)
    wide = Message("a", **{f"f{n}": tuple("x" * MOST_CHARACTERS for _ in range(MOST_ITEMS)) for n in range(MOST_FACTS)})
    assert Message.from_fields(wide.to_fields()) == wide


def endless() -> dict[str, Any]:
    fields: dict[str, Any] = {"message": "a", "facts": {}}
    fields["facts"]["why"] = fields
    return fields


HOSTILE: list[Any] = [
    {}, None, [], "a", {"message": "a"}, {"facts": {}}, {"message": 1, "facts": {}}, {"message": "a", "facts": []},
    {"message": "A", "facts": {}}, {"message": "a--b", "facts": {}}, {"message": "", "facts": {}},
    {"message": "a" * 65, "facts": {}}, {"message": "a", "facts": {"X": 1}}, {"message": "a", "facts": {1: 1}},
    {"message": "a", "facts": {"x": 1.5}}, {"message": "a", "facts": {"x": None}},
    {"message": "a", "facts": {"x": b""}},
    {"message": "a", "facts": {"x": {"message": "b"}}}, {"message": "a", "facts": {"x": {}}},
    {"message": "a", "facts": {"x": [[1]]}}, {"message": "a", "facts": {"x": [1] * (MOST_ITEMS + 1)}},
    {"message": "a", "facts": {"x": "x" * (MOST_CHARACTERS + 1)}}, {"message": "a", "facts": {"x": 1 << 63}},
    {"message": "a", "facts": {f"x{n}": n for n in range(MOST_FACTS + 1)}}, endless(),
    {"message": "a", "facts": {"x" * 50: 1}}, {"message": "a\n", "facts": {}}, {"message": "a", "facts": {"x\n": 1}},
]  # fmt: skip


@pytest.mark.parametrize("fields", HOSTILE, ids=range(len(HOSTILE)))
def test_a_map_of_another_shape_holds_no_message(fields: Any) -> None:
    assert Message.from_fields(fields) is None


def test_a_fact_named_like_an_argument_is_a_fact() -> None:
    message = Message("a", self="x", code="y", cls="z")
    assert Message.from_fields(message.to_fields()) == message


# — what is shown —


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is in the field, where a wrong message must cost no page."""
    monkeypatch.setattr(Catalogue, "strict", False)


@pytest.mark.usefixtures("lenient")
def test_of_an_unknown_message_its_code_and_facts_are_shown() -> None:
    assert str(Message("never-made", n=3, why=Message("nor-this"))) == "never-made: n=3, why=nor-this"
    assert str(Message("never-made")) == "never-made"
    assert str(Message("list-more", n=3)) == "list-more: n=3"


def test_tests_are_strict() -> None:
    with pytest.raises(Unsaid):
        str(Message("never-made"))
    with pytest.raises(Unsaid):
        str(Message("list-more", n=3))


def test_a_message_is_known_with_all_that_is_in_it() -> None:
    assert ENGLISH.knows(Message("list-more", names="a", n=2))
    assert not ENGLISH.knows(Message("list-more", names="a"))
    assert not ENGLISH.knows(Message("list-more", names=Message("never-made"), n=2))
    assert not ENGLISH.knows(Message("list-more", names=("a", "b"), n=2))
    assert not ENGLISH.knows(Message("never-made"))


@pytest.mark.parametrize(
    ("form", "fact", "name", "text"),
    [
        ("time", 1_795_000_000_123, "since_ms", "2026-11-18T11:06:40.123Z"),
        ("time", 1_795_000_000, "since_s", "2026-11-18T11:06:40Z"),
        ("duration", 37 * 3600, "left_s", "37 h"),
        ("duration", 90_000, "silent_ms", "90 s"),
        ("setting", 900_000, "for_ms", "15m"),
        ("size", 2_100_000_000, "used_bytes", "2.1 GB"),
        ("names", ("a", "b"), "meters", "a, b"),
        ("names", tuple("abcdefg"), "meters", "a, b, c, d and 3 more"),
        ("list", tuple("abcdefg"), "meters", "a, b, c, d, e, f, g"),
        ("parts", ("a", Message("span-s", n=3)), "causes", "a; 3 s"),
        ("parts", (), "causes", ""),
        ("fix", "a finished text", "why", ""),
        ("ordinal", 2, "n", "2nd"),
        ("ordinal", 112, "n", "112th"),
        ("alarm", "no-such-kind", "kind", "no-such-kind"),
        ("word", "ledger", "role", "ledger"),
        ("word", "no-such-word", "role", "no-such-word"),
    ],
)
def test_facts_in_their_formats(form: str, fact: Any, name: str, text: str) -> None:
    assert FORMATS[form](fact, name, ENGLISH) == text


def test_numbers_for_people() -> None:
    assert [size(n) for n in (0, 99, 1500, 123_456, 999_999, 5 * 10**12)] == [
        "0 B", "99 B", "1.5 kB", "123 kB", "1 MB", "5 TB",
    ]  # fmt: skip
    assert [span(s) for s in (119, 120, 7200, 3 * 86400, 1001 * 86400)] == [
        ("119", "s"), ("2", "min"), ("2", "h"), ("3", "d"), ("3", "years"),
    ]  # fmt: skip
    assert [setting(ms) for ms in (1, 1500, 60_000, 5_400_000, 86_400_000)] == ["1ms", "1500ms", "1m", "90m", "1d"]
