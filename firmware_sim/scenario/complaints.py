"""Complaints about a table: key, problem and fix in words, with the nearest of what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

TAGS = (
    "modbus-rtu", "modbus-rtu-over-tcp", "modbus-tcp", "modbus-ascii", "dlt645", "hj212", "p1", "noise",
    "second-master", "str", "int",
)  # fmt: skip
"""What pydantic adds to the path of a table that differs from others by its type or kind."""
UNIT_KINDS = ("load", "solar", "hydro", "thermal", "battery")
"""The same behind the number of a unit; elsewhere they are keys."""
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


class Unfit(Exception):
    """A table that cannot be: at which key, the problem and the fix."""

    def __init__(self, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{key}: {problem}; {fix}")
        self.key, self.problem, self.fix = key, problem, fix


def explained(
    error: ValidationError, known: Iterable[str] = (), form: type[BaseModel] | None = None
) -> tuple[str, str, str]:
    """The first complaint as key, problem and fix.

    Args:
        error: of pydantic.
        known: the keys that the table has, from which the nearest to an unknown one is named.
        form: of the table, which knows these keys of all tables in it.
    """
    first = error.errors(include_url=False)[0]
    key, before = "", None
    for part in first["loc"]:
        if part not in TAGS and not (isinstance(before, int) and part in UNIT_KINDS):
            key += f"[{part}]" if isinstance(part, int) else f".{part}"
        before = part
    key = key.lstrip(".")
    if form is not None:
        known = _keys_at(form, first["loc"][:-1])
    if first["type"] in UNKNOWN:
        names = list(known)
        fix = nearest(str(first["loc"][-1]), names) if names else "use a key listed in docs/simulator.md"
        return key, "unknown key", fix
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument", "union_tag_not_found"):
        return f"{key}.{_tag(first)}" if first["type"] == "union_tag_not_found" else key, "missing", "add it"
    if first["type"] == "union_tag_invalid":
        return (
            f"{key}.{_tag(first)}",
            f"no such {_tag(first)}: {first['ctx']['tag']!r}",
            nearest(str(first["ctx"]["tag"]), [tag.strip("'") for tag in first["ctx"]["expected_tags"].split(", ")]),
        )
    rule = first["msg"][0].lower() + first["msg"][1:]
    return key, f"{first['input']!r} is not allowed: {rule}", "correct it; docs/simulator.md describes the key"


def nearest(word: str, known: Iterable[str]) -> str:
    """What a wrong word may have been, or all that there is."""
    names = list(known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _keys_at(form: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The keys of the table at a path in pydantic's own words, which names the tag of a table behind its number."""
    forms = [form]
    for part in path:
        tagged = [each for each in forms if any(part in get_args(f.annotation) for f in each.model_fields.values())]
        fields = [f for each in forms for name, f in each.model_fields.items() if part in (f.alias or name, name)]
        if fields:
            forms = [found for f in fields for found in _forms_in(f.annotation)]
        elif tagged:
            forms = tagged
    return sorted({f.alias or name for each in forms for name, f in each.model_fields.items()})


def _forms_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [form for part in get_args(annotation) for form in _forms_in(part)]


def _tag(error: Mapping[str, Any]) -> str:
    """The key that tells tables apart, quoted in pydantic's context."""
    return str(error["ctx"]["discriminator"]).strip("'")
