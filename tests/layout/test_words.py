"""The code says things in the field's words: none of a list of names, and none of a list of phrases in docstrings."""

# not quick: it parses the sources of everything

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.layout.source_tree import ROOT
from tests.layout.words import MAY_BE_REFUSED, TOPS, refused


def found() -> Iterator[str]:
    """Where each refused word stands, and what it is."""
    for path in (path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))):
        text = path.read_text()
        if MAY_BE_REFUSED.search(text):
            yield from (f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in refused(ast.parse(text)))


def test_no_refused_word_stands_in_code() -> None:
    if lines := "\n".join(found()):
        pytest.fail(f"{lines}\nname what it is in the field's words (tests/layout/words.py)", pytrace=False)


@pytest.mark.parametrize(
    "text",
    [
        "told = 1",
        "def f(own): ...",
        "class _Told: ...",
        "class C:\n    said: int",
        "self.__own = 1",
        "for told in (): ...",
        "import this as ear",
        "(said := 1)",
        "match 1:\n    case own: ...",
        "try: ...\nexcept ValueError as told: ...",
        "lambda own: 1",
        '"""So often is it looked at."""',
        'class C:\n    a = 1\n    """So many of\n    them."""',
        'def f():\n    """What a gateway is told."""',
        'A = 1\n"""Told to nobody."""',
    ],
)
def test_a_name_and_a_docstring_are_refused(text: str) -> None:
    assert MAY_BE_REFUSED.search(text)
    assert len(list(refused(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        'FACTS = {"told": 1}\nFACTS["own"]',
        "known = told.said",
        "f(own=1)",
        '"""Its own and what is said. Not so many."""',
        "# told\nfound = 'told'",
        "owner = ears = told_apart = 1",
    ],
)
def test_text_use_and_longer_names_are_not(text: str) -> None:
    assert list(refused(ast.parse(text))) == []
