"""Message catalogue of pages, in English and Chinese: words.toml of the frame, and of the application that it is of."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from gateway.messages.alarm_kinds import KINDS
from gateway.messages.languages import LANGUAGES, fix_in_language, in_language
from gateway.messages.reasons import CAUSES

SHELL: Final = "gateway.dashboard.shell"
Table = Mapping[str, Mapping[str, str]]
"""Messages by key (``section.name``), in each language."""


def read(package: str) -> dict[str, dict[str, dict[str, str]]]:
    """The words.toml of a package: section → name → language → message."""
    found: dict[str, dict[str, dict[str, str]]] = tomllib.loads((files(package) / "words.toml").read_text("utf-8"))
    return found


@cache
def table_of(package: str) -> Table:
    """Every message of an application: those of the frame, of its package, and of the kinds of alarms."""
    sections = read(SHELL)
    for section, messages in read(package).items():
        sections[section] = {**sections.get(section, {}), **messages}
    sections["alarm-advice"] = {}
    for kind in KINDS.values():
        for language in LANGUAGES:
            words = sections.setdefault("alarm", {}).setdefault(kind.code, {})
            words.setdefault(language, in_language(kind.message, language))
            sections["alarm-advice"].setdefault(kind.code, {})[language] = fix_in_language(kind.message, language)
    sections["reason"] = {
        cause: {language: in_language(sentence, language) for language in LANGUAGES}
        for cause, sentence in CAUSES.items()
    }
    return {f"{section}.{name}": says for section, messages in sections.items() for name, says in messages.items()}


class Words:
    """The messages of a table in one language."""

    def __init__(self, language: str, table: Table) -> None:
        self.language = language
        self._says = {key: says[language] for key, says in table.items() if language in says}

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
