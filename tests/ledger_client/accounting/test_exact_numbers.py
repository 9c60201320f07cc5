"""The accounting is exact: no binary floating point, no chance, of ``math`` only the integer root (N2, N3)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ledger_client.accounting

MODULES = sorted(Path(ledger_client.accounting.__path__[0]).rglob("*.py"))


def inexact(source: str) -> Iterator[str]:
    """What of a module's source is not exact."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: {node.value}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "complex"):
            yield f"line {node.lineno}: {node.func.id}()"
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.partition(".")[0] in ("math", "cmath", "random")]
            yield from (f"line {node.lineno}: import {name}" for name in names)
        elif isinstance(node, ast.ImportFrom) and node.module in ("math", "cmath", "random"):
            names = [alias.name for alias in node.names if (node.module, alias.name) != ("math", "isqrt")]
            yield from (f"line {node.lineno}: from {node.module} import {name}" for name in names)


def test_nothing_is_inexact() -> None:
    assert len(MODULES) > 15
    assert [f"{path.name} {what}" for path in MODULES for what in inexact(path.read_text())] == []


def test_what_is_inexact_is_found() -> None:
    source = "import math\nfrom random import choice\nfrom math import isqrt, sqrt\nx = float(1.5) + 2j"
    assert len(list(inexact(source))) == 6
