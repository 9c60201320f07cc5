"""Words that the code does not use: names that say nothing without their docstring, and turns of phrase in docstrings.

A name is refused where it is bound (a variable, an argument, an attribute, a function, a class, an import under
another name), in any case and behind underscores. What stands in text, a key of JSON or a column, is no name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

REFUSED_NAMES = frozenset({"told", "said", "own", "ear"})
REFUSED_IN_DOCSTRINGS = re.compile(r"\btold\b|\A\s*So (?:often|long|many)\b", re.IGNORECASE)
MAY_BE_REFUSED = re.compile(r"(?<![a-z0-9])(?:told|said|own|ear|so (?:often|long|many))(?![a-z0-9])", re.IGNORECASE)
"""A text in which this finds nothing has none of them; it need not be parsed."""

TOPS = ("control_room", "gateway", "ledger_client", "firmware_sim", "tests", "benchmarks", "scripts")


def refused(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line of each refused word, and what is refused."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for name in _bound(node):
            if name.strip("_").lower() in REFUSED_NAMES:
                yield line, f"the name {name}"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for word in REFUSED_IN_DOCSTRINGS.findall(node.value.value):
                yield line, f"a docstring with {word.strip()!r}"


def _bound(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case (
            ast.alias(asname=str(name))
            | ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            yield name
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from names
