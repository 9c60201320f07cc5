"""Words of a commissioning record in English, Chinese or both, from words.toml. Reads that file alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {"en": ("en",), "zh": ("zh",), "both": ("en", "zh")}
"""What can be chosen, and the languages that stand beside each other then."""


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Every text by its key (``section.name``), in each language."""
    sections = tomllib.loads((files("gateway.commissioning.record") / "words.toml").read_text("utf-8"))
    return {f"{section}.{name}": text for section, texts in sections.items() for name, text in texts.items()}


class Words:
    """The texts in one of LANGUAGES."""

    def __init__(self, language: str) -> None:
        self.languages = LANGUAGES[language]

    def __call__(self, key: str, /, **fields: object) -> str:
        """A text with its fields filled in. KeyError where the table has none."""
        lines = (table()[key][language].format(**fields) for language in self.languages)
        return " / ".join(dict.fromkeys(lines))

    def of(self, section: str, name: str) -> str:
        """The word for a name; without one the name itself."""
        key = f"{section}.{name}"
        return self(key) if key in table() else name
