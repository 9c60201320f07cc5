"""Error classes: each that a user may see stands in the tree of its errors module, under the class it is made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = {
    "control_room": ("control_room/errors.py",),
    "gateway": ("gateway/errors.py", "gateway/fieldbus/wire/errors.py"),
    "ledger_client": ("ledger_client/errors.py",),
}
ROOTS = {"control_room": "ControlRoomError", "gateway": "GatewayError", "ledger_client": "LedgerClientError"}


def classes(package: str) -> list[tuple[str, str]]:
    """(class, its first base) of every class of a package, without the modules that they come from."""
    texts = [path.read_text() for path in sorted((ROOT / package).rglob("*.py"))]
    return [
        (node.name, ast.unparse(node.bases[0]).rpartition(".")[2])
        for text in texts
        if re.search(r"^ *class \w+\(", text, re.MULTILINE)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and node.bases
    ]


def errors(package: str) -> set[tuple[str, str]]:
    """(error, the error it is made of) of every error below the root of a package."""
    there, found, size = classes(package), {ROOTS[package]}, 0
    while size < len(found):
        size = len(found)
        found |= {name for name, base in there if base in found}
    return {(name, base) for name, base in there if base in found}


def drawn(path: str) -> Iterator[tuple[str, str]]:
    """(class, the one above it) of every line of the tree in a module's docstring."""
    above: list[str] = []
    for line in (ast.get_docstring(ast.parse((ROOT / path).read_text())) or "").splitlines():
        if match := re.match(r"((?:[│ ] {3})*)[├└]── (\w+)", line):
            deep = len(match[1]) // 4 + 1
            yield match[2], above[deep - 1]
            above = [*above[:deep], match[2]]
        elif match := re.match(r"(\w+Error)\b", line):
            above = [match[1]]


@pytest.mark.parametrize("package", TREES)
def test_every_error_stands_in_the_tree_of_its_package(package: str) -> None:
    assert {pair for path in TREES[package] for pair in drawn(path)} == errors(package)
