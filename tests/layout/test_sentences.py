"""A test asserts codes and facts: sentences are the catalogues', which change with every better word."""

from __future__ import annotations

# not quick: it parses all tests, 3 s of CPU
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WORDS = 5
"""How many words in a row make a sentence."""
MOST = 400
"""How many functions of tests assert one. It only falls: who takes some away lowers it."""


def asserted(function: ast.AST) -> Iterator[ast.expr]:
    """What a function demands: of its assertions, not what they say when they fail; and ``raises(…, match=…)``."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            yield node.test
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "raises":
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "match")


def texts(demanded: ast.expr) -> Iterator[str]:
    for node in ast.walk(demanded):
        if isinstance(node, ast.JoinedStr):
            yield " ".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_sentence(text: str) -> bool:
    return sum(bool(re.search("[A-Za-z]", word)) for word in text.split()) >= WORDS


def with_sentences(source: str) -> list[str]:
    """The functions of tests that assert a sentence."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if any(is_sentence(text) for demanded in asserted(node) for text in texts(demanded))
    ]


def test_fewer_and_fewer_tests_assert_sentences() -> None:
    found = {str(path.relative_to(TESTS)): with_sentences(path.read_text()) for path in TESTS.rglob("test_*.py")}
    count = sum(map(len, found.values()))
    assert MOST - 10 < count <= MOST, "assert the code and the facts of a message; where the count fell, lower MOST"


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("assert 'it is not as it was' in x", True),
        ("with pytest.raises(E, match='no key for this gateway'): f()", True),
        ("assert f'{a} is not {b} at all times' == x", True),
        ("'it is not as it was'; assert x == 'four words are none', 'it is not as it was'", False),
    ],
)
def test_what_counts_as_a_sentence(body: str, counts: bool) -> None:
    assert bool(with_sentences(f"def test_a():\n    {body}\n")) is counts
