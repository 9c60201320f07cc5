"""Messages in the language of a page. The first Chinese sentence reads the Chinese catalogue.

Labels of the pages stand in gateway/dashboard/words.toml, those of their frame in gateway/dashboard/shell/words.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.messages import Catalogue

CATALOGUES: Final[Mapping[str, Catalogue]] = {
    "en": Message.english,
    "zh": Catalogue("zh", ("gateway.messages", "zh.toml")),
}

LANGUAGES: Final = tuple(CATALOGUES)


def choose(accepted: str, wanted: str | None = None) -> str:
    """The language of a visitor: the one that was chosen, else the first of Accept-Language that there is."""
    if wanted in LANGUAGES:
        return wanted
    for part in accepted.lower().split(","):
        language = part.strip()[:2]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


class Stored(NamedTuple):
    """A sentence that was stored or signed: its English as it was made then, with its fix; and its message, if any."""

    text: str
    message: messages.Message | None = None


def in_language(sentence: messages.Sentence | Stored, language: str) -> str:
    """A sentence in a language, without its fix. A finished English text, as of a meter or a network, stays as it is.

    Of a stored one all of it: its text is kept for English, also where a later version words it otherwise.
    """
    if isinstance(sentence, Stored):
        if language != "en" and sentence.message is not None and CATALOGUES[language].knows(sentence.message):
            return CATALOGUES[language].whole(sentence.message)
        return in_language(sentence.text, language)
    if isinstance(sentence, messages.Message):
        return CATALOGUES[language].text(sentence)
    return sentence


def whole_in_language(sentence: messages.Sentence, language: str) -> str:
    """A sentence with its fix."""
    return (
        CATALOGUES[language].whole(sentence)
        if isinstance(sentence, messages.Message)
        else in_language(sentence, language)
    )


def fix_in_language(sentence: messages.Sentence, language: str) -> str:
    """What to do about it; ``""`` for a sentence without a fix, and for a text."""
    return CATALOGUES[language].fix(sentence) if isinstance(sentence, messages.Message) else ""


def sentence_in(fields: Mapping[str, Any], text: str) -> Message | str:
    """The message that stands in a stored or received map beside its English text; the text where there is none, or
    where this version has no sentence for it or for one within it. Never raises."""
    message = Message.from_fields(fields)
    return message if message is not None and Message.english.knows(message) else text
