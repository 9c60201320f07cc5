"""HTML of the control room's pages: what its templates use besides the frame (``gateway.dashboard.shell``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from control_room.web.findings import is_away
from gateway.dashboard.shell import plots
from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.formats import Times
from gateway.dashboard.shell.html import Html, Names
from gateway.messages.languages import CATALOGUES, Stored
from gateway.messages.message import Message
from ledger_client.messages import Sentence

MENU: Final = (("fleet", "/"), ("holes", "/holes"), ("refused", "/refused"), ("alarms", "/alarms"))
MARKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "bad": ("✗", "bad", "bad"),
    "warn": ("≈", "uncertain", "warn"),
    "wait": ("…", "over", ""),
    "good": ("✓", "good", "good"),
}
"""Of each level its sign, its class beside a word, and that of a whole section."""


def _globals(words: Words) -> Mapping[str, Any]:
    return {"marks": MARKS, "is_away": is_away}


def _filters(words: Words) -> Mapping[str, Any]:
    return {"stored": stored, "alarm_text": alarm_text}


def _of_page(words: Words, times: Times) -> Mapping[str, Any]:
    return {"draw": partial(plots.draw, words, times)}


HTML: Final = Html("control_room.web", MENU, Names(_globals, _filters, _of_page))
"""The pages of a control room."""


def stored(fields: Mapping[str, Any] | None) -> Sentence:
    """A message of the database; of a code that this version does not know, as a newer receiver writes it, the code."""
    if fields is None:
        return ""
    message = Message.from_fields(fields)
    if message is None or not CATALOGUES["en"].knows(message):
        return str(fields.get("text") or fields.get("message") or "?")
    return message


def alarm_text(alarm: Any) -> Stored:
    """Why an alarm was raised: its English as it was signed, and the message that it was made of."""
    return Stored(alarm.text, None if alarm.message is None else Message.from_fields(alarm.message))
