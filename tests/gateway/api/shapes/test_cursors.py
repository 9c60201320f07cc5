"""Cursors: they come back as they were made, and no other text is one."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.shapes.cursors import decode, encode
from gateway.api.shapes.problems import Refusal
from gateway.api.shapes.tokens import SCOPES, Scope, Token, hash_of, written
from ledger_client.formats.base64url import base64url, unbase64url

QUERY = {"": "/api/v1/events", "meter": "pv-1"}


@settings(max_examples=25)
@given(st.lists(st.integers(-(2**62), 2**62) | st.text(max_size=20), max_size=4))
def test_a_cursor_gives_the_place_that_it_was_made_of(place: list[int | str]) -> None:
    assert decode(encode(QUERY, place), QUERY) == tuple(place)


def code(text: str, query: dict[str, str] = QUERY) -> str:
    with pytest.raises(Refusal) as refused:
        decode(text, query)
    assert refused.value.status == 400
    return refused.value.refused.code


def test_each_damaged_cursor_is_refused() -> None:
    text = encode(QUERY, [123_456])
    for at in range(len(text)):
        assert code(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]) == "cursor-invalid"
        assert code(text[:at]) == "cursor-invalid"
    for other in ("", "=", text + "A", text + "=", f" {text}", "é", "A" * 10_000, "\0"):
        assert code(other) == "cursor-invalid"


@pytest.mark.parametrize("place", [[2**63], [-(10**30)], ["\ud800"], [True], [1.5], [None], [[1]], {"a": 1}])
def test_a_place_that_no_database_takes_is_refused_whoever_made_the_checksum(place: Any) -> None:
    body = unbase64url(encode(QUERY, []))[:9] + json.dumps(place, separators=(",", ":")).encode()
    assert code(base64url(body + sha256(body).digest()[:6])) == "cursor-invalid"


@pytest.mark.parametrize(
    "query",
    [{"": "/api/v1/batches", "meter": "pv-1"}, {"": "/api/v1/events"}, {"": "/api/v1/events", "meter": "pv-2"}],
)
def test_a_cursor_of_another_query_is_refused(query: dict[str, str]) -> None:
    assert code(encode(QUERY, [1]), query) == "cursor-of-another-query"


def test_a_token_is_known_by_its_hash_and_its_form_alone() -> None:
    text = written(bytes(range(32)))
    assert text.startswith("mst_")
    assert len(text) == 47
    assert hash_of(text) is not None
    others = ("", text[4:], text[:-1], f"{text}A", f" {text}", f"{text}\n", "mst_é" * 9)
    assert not any(map(hash_of, others))


@pytest.mark.parametrize(
    ("scope", "opened"),
    [("status", ["status"]), ("readings", ["status", "readings"]), ("proofs", ["status", "readings", "proofs"])],
)
def test_a_wider_scope_opens_what_a_narrower_one_does(scope: Scope, opened: list[str]) -> None:
    assert [one for one in SCOPES if Token("x", scope, "").opens(one)] == opened


def test_a_token_ends_at_its_time() -> None:
    assert [Token("x", "status", "", None, 1000).is_expired(ms) for ms in (999, 1000)] == [False, True]
    assert not Token("x", "status", "").is_expired(1 << 60)
