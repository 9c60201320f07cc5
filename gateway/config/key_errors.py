"""Error messages for gateway.toml: the key as written, what is wrong with it, the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.config.field_types import Unfit
from gateway.errors import ConfigError

CORRECT = "correct it and run `meterseal check` again"
_TWICE = re.compile(r"Cannot declare \('([a-z_]+)',\) twice")


def not_toml(path: Path, error: ValueError) -> ConfigError:
    """A file that is no TOML; a table that is declared twice is mostly one of several in single brackets."""
    twice = _TWICE.search(str(error))
    way_out = f"where there may be several, write [[{twice[1]}]] in double brackets" if twice else "mend that line"
    return ConfigError(path, "", f"is not valid TOML: {error}", way_out)


def explain(
    path: Path,
    raw: Mapping[str, Any],
    error: ValidationError,
    document: type[BaseModel],
    tables: Mapping[str, type[BaseModel]],
) -> ConfigError:
    """The first mistake of a pydantic report. ``tables``: what each table of the document holds, by its key."""
    first = error.errors(include_url=False)[0]
    key, model = _where(raw, first["loc"], document, tables)
    kind, message, value = first["type"], first["msg"], first["input"]
    if kind == "extra_forbidden":
        meant = closest(key.split(", ")[-1], model.model_fields if model else ())
        return ConfigError(path, key, f"is not a known key{meant}", "correct or remove it")
    if kind == "missing":
        return ConfigError(path, key, "is missing", "add it; `meterseal init DIR` writes a commented example")
    if kind == "value_error":
        return _unfit(path, key, message.removeprefix("Value error, "), first.get("ctx", {}).get("error"))
    if kind == "string_pattern_mismatch":
        rule = "use letters, digits, dot, dash and underscore, at most 64, beginning with a letter or digit"
        return ConfigError(path, key, f"{value!r} is not a usable name", rule)
    if (brackets := _brackets(first["loc"], value, tables)) is not None:
        return ConfigError(path, key, *brackets)
    way_out = _meant(first, value) or CORRECT
    return ConfigError(path, key, f"{message[0].lower()}{message[1:]}, got {value!r}", way_out)


def _unfit(path: Path, key: str, text: str, error: object) -> ConfigError:
    if isinstance(error, Unfit):
        return ConfigError(path, ", ".join(filter(None, (key, error.key))), error.what, error.way_out)
    inner, found, problem = text.partition(": ")
    if found and re.fullmatch(r"[a-z0-9_]+( '[^']*')?(, [a-z0-9_]+( '[^']*')?)*", inner):
        key, text = (f"{key}, {inner}" if key else inner), problem
    return ConfigError(path, key, text, CORRECT)


def _brackets(
    location: tuple[int | str, ...], value: object, tables: Mapping[str, type[BaseModel]]
) -> tuple[str, str] | None:
    """A table in the wrong brackets: the problem and the way out."""
    name = ".".join(step for step in location if isinstance(step, str))
    if not location or location[-1] not in tables:
        return None
    if isinstance(value, dict):
        return f"stands in single brackets, and there may be several: [{name}]", f"write [[{name}]]"
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return f"stands in double brackets, and there is one: [[{name}]]", f"write [{name}]"
    return None


def _meant(first: Mapping[str, Any], value: object) -> str | None:
    """What was meant: of several allowed words one ("even" is "E"), of a ratio as on a plate the number."""
    if isinstance(value, str) and (ratio := re.fullmatch(r" *(\d+) *[/:] *([1-9]\d*) *", value)):
        return f"write {first['loc'][-1]} = {int(ratio[1]) / int(ratio[2]):.10g}"  # such as ct = "400/5"
    allowed = re.findall(r"'([^']+)'", str(first.get("ctx", {}).get("expected", "")))
    if not isinstance(value, str) or not value:
        return None
    short = [word for word in allowed if len(word) == 1 and word.lower() == value[0].lower()]
    near = difflib.get_close_matches(value.lower(), allowed, n=1)
    found = short or near
    return f'write {first["loc"][-1]} = "{found[0]}"' if found else None


def _where(
    raw: Any, location: tuple[int | str, ...], document: type[BaseModel], tables: Mapping[str, type[BaseModel]]
) -> tuple[str, type[BaseModel] | None]:
    """The place of a mistake as a user would say it, and the model whose keys are allowed there."""
    words: list[str] = []
    model: type[BaseModel] | None = document
    for step in location:
        if isinstance(step, int):
            raw = raw[step] if isinstance(raw, list) and step < len(raw) else None
            name = raw.get("name") if isinstance(raw, dict) else None
            words[-1] += f" {name!r}" if isinstance(name, str) else f" number {step + 1}"
        elif step not in ("str", "int"):  # the branches of a union are not the user's words
            raw = raw.get(step) if isinstance(raw, dict) else None
            words.append(step)
            if raw is not None and step in tables and isinstance(raw, dict | list):
                model = tables[step]
    return ", ".join(words), model


def closest(word: str, known: Iterable[str]) -> str:
    """A known word that was perhaps meant, in brackets."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
