"""Texts of the verifier's page in English and Chinese: words.toml and the package's sentences. Reads their files."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ledger_client.verification.value_words import QUALITY_PHRASES

LANGUAGES: Final = ("en", "zh")


def texts() -> dict[str, tuple[str, str]]:
    """Every text of the page, in the order of LANGUAGES, by its key: a sentence's code, or ``section.name``."""
    tables = _toml("ledger_client.verifier_page", "words.toml")
    catalogue = _toml("ledger_client", "en.toml")
    found = {code: (says["en"], says["zh"]) for code, says in tables["sentence"].items()}
    found |= {code: (catalogue[code]["text"], chinese) for code, chinese in tables["shared"].items()}
    for section in ("text", "step", "step-name"):
        found |= {f"{section}.{name}": (says["en"], says["zh"]) for name, says in tables[section].items()}
    for name, chinese in tables["quality"].items():
        found[f"quality.{name}"] = _QUALITY[name], chinese
    return found


_QUALITY: Final = {bit.name: phrase for bit, phrase in QUALITY_PHRASES.items()}


@cache
def _toml(package: str, name: str) -> dict[str, Any]:
    return tomllib.loads((files(package) / name).read_text("utf-8"))
