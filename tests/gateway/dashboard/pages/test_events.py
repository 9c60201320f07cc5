"""Events on the pages: a message stands in place of the English text that it was signed beside."""

from __future__ import annotations

import pytest

from gateway.dashboard.pages.events import plain, worded
from gateway.dashboard.render.html import HTML
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.records import sentence_fields

REFUSED = Message("act-no-meter", meter="m")


@pytest.mark.parametrize("key", ["text", "why", "reason"])
def test_a_message_takes_the_place_of_its_text(key: str) -> None:
    fields = worded({"code": "clock", **sentence_fields(REFUSED, key)})
    assert fields == {"code": "clock", key: Stored(str(REFUSED), REFUSED)}


def test_facts_of_other_events_stay() -> None:
    for fields in ({"text": "it is so"}, {"message": "", "facts": {}}, {"why": "it is so", "message": 3, "facts": {}}):
        assert worded(fields) == fields


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "as it was signed"), ("zh", "没有电表 m；处理")],
)
def test_a_fact_is_shown_in_the_pages_language(language: str, expected: str) -> None:
    stored = Stored("as it was signed", REFUSED)
    show = HTML.environment(language).filters["fact"]
    assert str(show(plain(stored), "why", "")).startswith(expected)
    assert show("text of a person", "user", "") == "text of a person"
