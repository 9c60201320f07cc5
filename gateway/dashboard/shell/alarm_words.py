"""Words of an alarm: why it was raised, and beside it, once, what to do about it."""

from __future__ import annotations

from typing import Protocol

from gateway.dashboard.shell.catalog import Words
from gateway.messages.languages import CATALOGUES, Stored, fix_in_language, in_language
from gateway.messages.message import Message


class WordedAlarm(Protocol):
    """What the words of an alarm are made of."""

    @property
    def code(self) -> str:
        """Its kind."""

    @property
    def message(self) -> Message | None:
        """Why it was raised; None where only a text is kept."""

    @property
    def stored(self) -> Stored:
        """The same as it was stored, with its fix."""


def what(words: Words, alarm: WordedAlarm) -> str:
    """Why an alarm was raised, without what to do about it."""
    message = alarm.message
    known = message is not None and CATALOGUES[words.language].knows(message)
    return in_language(message if known and message is not None else alarm.stored, words.language)


def advice(words: Words, alarm: WordedAlarm) -> str:
    """What to do about an alarm: what a page offers, else the fix of its own message, else that of its kind."""
    if words.has("alarm-advice-here", alarm.code):
        return words.of("alarm-advice-here", alarm.code)
    fix = fix_in_language(alarm.message, words.language) if alarm.message is not None else ""
    return fix or words.of("alarm-advice", alarm.code)
