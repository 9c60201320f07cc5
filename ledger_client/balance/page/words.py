"""Words of the balance page in English and Chinese, from words.toml. Reads that file alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("en", "zh")


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Every text by its key (``section.name``), in each language."""
    sections = tomllib.loads((files("ledger_client.balance.page") / "words.toml").read_text("utf-8"))
    return {f"{section}.{name}": says for section, texts in sections.items() for name, says in texts.items()}


class Words:
    """The texts in one of LANGUAGES."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._says = {key: says[language] for key, says in table().items()}

    def __call__(self, key: str, /, **fields: object) -> str:
        """A text with its fields filled in. KeyError where the table has none."""
        return self._says[key].format(**fields) if fields else self._says[key]
