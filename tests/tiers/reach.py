"""What a test file reaches: itself, what it names of ``tests`` and ``benchmarks``, and what those name.

It is read from the texts alone, so it is known before anything is imported, and on a machine that has nothing but
Python. A ``conftest.py`` above a test file counts where something reached takes one of its fixtures, or where one of
them is autouse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_DOTTED = re.compile(r"\b(?:tests|benchmarks)(?:\.\w+)+")
_FROM = re.compile(r"^[ \t]*from ((?:tests|benchmarks)[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_BENCH = re.compile(r'"benchmarks", "([\w-]+)"')
_ANY_BENCH = "MODULES[name]"
_FIXTURE = re.compile(r"^@pytest\.fixture(\([^)]*\))?\n(?:async )?def (\w+)", re.MULTILINE)


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def _module(name: str) -> Path | None:
    found = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return found if found.is_file() else None


@cache
def _named(path: Path) -> frozenset[Path]:
    """The modules of ours that a text names: imports, and those that it starts by their name."""
    text = text_of(path)
    names = set(_DOTTED.findall(text))
    for package, listed in _FROM.findall(text):
        names |= {package, *(f"{package}.{name}" for name in re.findall(r"\w+", listed))}
    benches = _BENCH.findall(text) + (["*"] if _ANY_BENCH in text else [])
    started = {
        found
        for name in benches
        for folder in ("benchmarks", "tests/campaigns")
        for found in (ROOT / folder).rglob(f"{name.replace('-', '_')}.py")
    }
    return frozenset({found for name in names if (found := _module(name)) is not None} | started)


@cache
def _fixtures(conftest: Path) -> tuple[re.Pattern[str] | None, bool]:
    """A pattern of a use of one of its fixtures, and whether one is autouse."""
    found = _FIXTURE.findall(text_of(conftest))
    if not found:
        return None, False
    names = "|".join(name for _, name in found)
    pattern = rf"\b(?:{names}): |usefixtures\([^)]*\"(?:{names})\""
    return re.compile(pattern), any("autouse=True" in options for options, _ in found)


def _conftests(test_file: Path) -> Iterator[Path]:
    """The conftest modules between ``tests`` and a file; that of ``tests`` itself holds for every tier."""
    for folder in test_file.parents:
        if folder == ROOT / "tests":
            return
        if (found := folder / "conftest.py").is_file():
            yield found


def reach(test_file: Path) -> set[Path]:
    """Every file of ours that a test file may run, itself included."""
    offered = [(found, *_fixtures(found)) for found in _conftests(test_file)]
    reached: set[Path] = set()
    ahead = [test_file, *(found for found, _, autouse in offered if autouse)]
    while ahead:
        path = ahead.pop()
        if path not in reached:
            reached.add(path)
            ahead += _named(path)
            ahead += [found for found, use, _ in offered if use is not None and use.search(text_of(path))]
    return reached
