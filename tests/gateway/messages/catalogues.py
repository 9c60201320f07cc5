"""The catalogues of messages as files, and what the code makes of them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
ENGLISH = (ROOT / "gateway/messages/en.toml", ROOT / "ledger_client/en.toml")
NO_MESSAGES = {"ledger_client/transport/mqtt_broker.py"}
"""Modules that call something else so."""
CHINESE = (ROOT / "gateway/messages/zh.toml",)


def tables(paths: tuple[Path, ...]) -> Mapping[str, Mapping[str, str]]:
    """Every code with what the files say under it."""
    return {code: table for path in paths for code, table in tomllib.loads(path.read_text()).items()}


def rooms() -> Mapping[str, str]:
    """The room of each code: the section of the English catalogues in which it stands."""
    found: dict[str, str] = {}
    for path in ENGLISH:
        room = ""
        for line in path.read_text().splitlines():
            if section := re.fullmatch(r"# ((control_room|gateway|ledger_client)[a-z_/]*)", line):
                room = section[1]
            elif code := re.fullmatch(r"\[([a-z0-9-]+)\]", line):
                found[code[1]] = room
    return found


@cache
def facts() -> Mapping[str, Mapping[str, str]]:
    """The facts of each code with their types, as codes.txt has them."""
    lines = (Path(__file__).parent / "codes.txt").read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {code: dict(fact.split(":") for fact in those) for code, *those in rows}


class Made(NamedTuple):
    """A call that makes a message: where, of which code (None: not a literal), of which facts."""

    where: str
    code: str | None
    facts: Mapping[str, ast.expr]
    all_named: bool


@cache
def sources() -> Mapping[str, ast.Module]:
    """Every module of the product."""
    packages = ("control_room", "gateway", "ledger_client")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func) if isinstance(call.func, ast.Name | ast.Attribute) else ""


def made() -> Iterator[Made]:
    """Every call of Message in the product."""
    for name, tree in sources().items():
        for node in () if name in NO_MESSAGES else ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node) in ("Message", "messages.Message"):
                first = node.args[0] if node.args else None
                code = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
                named = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
                yield Made(f"{name}:{node.lineno}", code, named, len(named) == len(node.keywords))


def mentioned() -> set[str]:
    """Every text of the product that might be a code."""
    return {
        node.value
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
