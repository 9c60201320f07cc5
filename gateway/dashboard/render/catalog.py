"""Message catalogue of the dashboard, in English and Chinese, from words.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from gateway.messages.alarm_kinds import KINDS
from gateway.messages.languages import LANGUAGES, fix_in_language, in_language
from gateway.messages.reasons import CAUSES


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Every message by its key (``section.name``), in each language."""
    sections = tomllib.loads((files("gateway.dashboard") / "words.toml").read_text("utf-8"))
    sections["alarm-advice"] = {}
    for kind in KINDS.values():
        for language in LANGUAGES:
            sections["alarm"].setdefault(kind.code, {}).setdefault(language, in_language(kind.message, language))
            advice = fix_in_language(kind.message, language)
            sections["alarm-advice"].setdefault(kind.code, {}).setdefault(language, advice)
    sections["reason"] = {
        cause: {language: in_language(sentence, language) for language in LANGUAGES}
        for cause, sentence in CAUSES.items()
    }
    return {f"{section}.{name}": says for section, messages in sections.items() for name, says in messages.items()}


class Words:
    """The messages in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._says = {key: says[language] for key, says in table().items() if language in says}

    def __call__(self, key: str, /, **fields: object) -> str:
        """The message with its fields filled in. KeyError where the table has none."""
        text = self._says[key]
        return text.format(**fields) if fields else text

    def of(self, section: str, name: str) -> str:
        """The word for a name that others may add to (a point, an event, a reason); without one, the name itself."""
        return self._says.get(f"{section}.{name}") or name.replace("_", " ")

    def has(self, section: str, name: str) -> bool:
        """Whether the table has a word for it."""
        return f"{section}.{name}" in self._says
