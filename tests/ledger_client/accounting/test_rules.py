"""Every rule of docs/accounting.md has tests: the page's own list of them is whole, and names tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
RULE = re.compile(r"\| ([A-Z]\d) \| ")
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def sections() -> tuple[str, str]:
    """The rules, and the list of their tests."""
    page = (TESTS.parent / "docs" / "accounting.md").read_text()
    listed = page.partition("\n## Rules and their tests\n")[2]
    return page.partition("\n## A month, step by step\n")[0], listed


@cache
def defined_in(name: str) -> frozenset[str]:
    path = TESTS / name
    if not path.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))


def test_every_rule_names_its_tests() -> None:
    rules, listed = sections()
    ids = [found[1] for line in rules.splitlines() if (found := RULE.match(line))]
    assert len(ids) == len(set(ids)) > 40
    lines = {found[1]: NAMED.findall(line) for line in listed.splitlines() if (found := RULE.match(line))}
    assert list(lines) == ids
    assert [rule for rule, tests in lines.items() if not tests] == []


def test_every_test_that_is_named_is_there() -> None:
    named = NAMED.findall(sections()[1])
    assert [(path, test) for path, test in named if test not in defined_in(path)] == []
