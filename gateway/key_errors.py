"""Error messages for gateway.toml and CONTROL.toml: the key as written, what is wrong with it, and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigError
from gateway.field_types import Unfit
from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.messages import Sentence, sentence_of
from ledger_client.text_file import NotText, NotToml, text_of, toml_of

_TWICE = re.compile(r"Cannot declare \('([a-z_]+)',\) twice")

_KINDS: Final[Mapping[str, str]] = {
    "string_type": "string", "int_type": "integer", "int_from_float": "integer", "float_type": "number",
    "bool_type": "boolean", "tuple_type": "list", "model_type": "table", "model_attributes_type": "table",
}  # fmt: skip
"""Types of values by pydantic's names of errors: ``word-…`` of the catalogues."""


def raw_document(path: Path, data: bytes) -> dict[str, Any]:
    """What the bytes of a configuration say, not yet checked. Raises ConfigError: no text, or no TOML."""
    try:
        return toml_of(text_of(data))
    except NotText as error:
        raise ConfigError(path, "", error.sentence) from None
    except NotToml as error:
        raise _not_toml(path, error) from None


def _not_toml(path: Path, error: ValueError) -> ConfigError:
    """A file that is no TOML; a table that is declared twice is mostly one of several in single brackets."""
    if twice := _TWICE.search(str(error)):
        return ConfigError(path, "", Message("config-double-brackets", error=sentence_of(error), name=twice[1]))
    return ConfigError(path, "", Message("config-not-toml", error=sentence_of(error)))


def explain(
    path: Path,
    raw: Mapping[str, Any],
    error: ValidationError,
    document: type[BaseModel],
    tables: Mapping[str, type[BaseModel]],
) -> ConfigError:
    """The first mistake of a pydantic report.

    Args:
        path: the file.
        raw: its document as it stands there.
        error: the report.
        document: the model of the whole file.
        tables: what each table of the document holds, by its key.
    """
    first = error.errors(include_url=False)[0]
    key, model = _where(raw, first["loc"], document, tables)
    kind, value = first["type"], first["input"]
    if kind == "value_error":
        return _unfit(path, key, first["ctx"]["error"])
    if kind == "extra_forbidden":
        return ConfigError(path, key, _unknown(key.split(", ")[-1], _keys(model)))
    if kind == "missing":
        return ConfigError(path, key, Message("config-missing"))
    if kind == "string_pattern_mismatch":
        return ConfigError(path, key, Message("config-name-invalid", value=str(value)))
    if (brackets := _brackets(first["loc"], value, tables)) is not None:
        return ConfigError(path, key, brackets)
    rule, written = _rule(first), _shown(value)
    if (meant := _meant(first, value)) is not None:
        name = str(first["loc"][-1])
        return ConfigError(path, key, Message("config-value-meant", rule=rule, value=written, key=name, meant=meant))
    return ConfigError(path, key, Message("config-value", rule=rule, value=written))


def _unfit(path: Path, key: str, error: Exception) -> ConfigError:
    sentence = sentence_of(error)
    if isinstance(error, Unfit) and error.key:
        key = f"{key}, {error.key}" if key else error.key
    if isinstance(sentence, messages.Message) and sentence.way_out:
        return ConfigError(path, key, sentence)
    return ConfigError(path, key, Message("config-unfit", what=sentence))


def _keys(model: type[BaseModel] | None) -> list[str]:
    """The keys of a table as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _unknown(word: str, known: Iterable[str]) -> Message:
    other = closest(word, known)
    return Message("config-unknown-key") if other is None else Message("config-unknown-key-meant", other=other)


def _brackets(location: tuple[int | str, ...], value: object, tables: Mapping[str, type[BaseModel]]) -> Message | None:
    """A table in the wrong brackets."""
    name = ".".join(step for step in location if isinstance(step, str))
    if not location or location[-1] not in tables:
        return None
    if isinstance(value, dict):
        return Message("config-single-brackets", name=name)
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return Message("config-one-table", name=name)
    return None


def _rule(first: Mapping[str, Any]) -> Sentence:
    """What a value has to be, by pydantic's report; in its own words where ours has none."""
    kind, limits = first["type"], first.get("ctx", {})
    if kind in _KINDS:
        return Message("config-not-kind", kind=_KINDS[kind])
    made = _RULES.get(kind)
    text = str(first["msg"])
    return made(limits) if made else text[:1].lower() + text[1:]


_RULES: Final[Mapping[str, Callable[[Mapping[str, Any]], Message]]] = {
    "literal_error": lambda limits: Message("config-not-one-of", choices=_choices(limits)),
    "greater_than_equal": lambda limits: Message("config-too-small", low=_number(limits["ge"])),
    "less_than_equal": lambda limits: Message("config-too-large", high=_number(limits["le"])),
    "less_than": lambda limits: Message("config-not-below", high=_number(limits["lt"])),
    "too_short": lambda limits: Message("config-too-few", n=int(limits["min_length"])),
    "string_too_long": lambda limits: Message("config-too-long", most=int(limits["max_length"])),
}


def _choices(limits: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_shown(word) for word in _allowed(limits))


def _allowed(limits: Mapping[str, Any]) -> list[str | int]:
    """The values that a key takes: pydantic has them as text, in Python's quotes."""
    expected = str(limits.get("expected", ""))
    return [word if word else int(number) for word, number in re.findall(r"'([^']+)'|([0-9]+)", expected)]


def _number(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)


def _shown(value: object) -> str:
    """A value as it stands in the file, or nearly so."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _meant(first: Mapping[str, Any], value: object) -> str | None:
    """What was meant: of several allowed words one ("even" is "E"), of a ratio as on a plate the number."""
    if isinstance(value, str) and (ratio := re.fullmatch(r" *(\d+) *[/:] *([1-9]\d*) *", value)):
        return f"{int(ratio[1]) / int(ratio[2]):.10g}"  # such as ct = "400/5"
    allowed = [word for word in _allowed(first.get("ctx", {})) if isinstance(word, str)]
    if not isinstance(value, str) or not value:
        return None
    short = [word for word in allowed if len(word) == 1 and word.lower() == value[0].lower()]
    near = difflib.get_close_matches(value.lower(), allowed, n=1)
    found = short or near
    return _shown(found[0]) if found else None


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


def closest(word: str, known: Iterable[str]) -> str | None:
    """A known word that was perhaps meant."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)
