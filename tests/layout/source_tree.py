"""A tree of Python sources as their text stands: rooms, imports and the names that a module uses. Nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"(?:control_room|gateway|ledger_client|firmware_sim)(?:\.\w+)+:\w+")


@dataclass(frozen=True)
class Module:
    """One module: its dotted name, what it imports at any depth, and the names and attributes that its code uses."""

    name: str
    tree: ast.Module
    imports: tuple[tuple[int, str], ...]
    uses: tuple[tuple[int, str], ...]

    @classmethod
    def parse(cls, name: str, text: str, *, package: bool = False) -> Self:
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
        folder = name.split(".") if package else name.split(".")[:-1]
        return cls(name, tree, tuple(_imports(nodes, folder)), tuple(_uses(nodes)))

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def room(self) -> str:
        """The module's folder below its package; ``.`` is the package's folder itself, its ground."""
        return ".".join(self.name.split(".")[1:-1]) or "."


def _imports(nodes: list[ast.AST], folder: list[str]) -> Iterator[tuple[int, str]]:
    """The line and the full name of each thing imported: ``from a.b import c`` is ``a.b.c``, module or not.

    Also what a table of commands names as ``module:attribute``, which is imported when the command is called.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PLACE.fullmatch(node.value):
            yield node.lineno, node.value.replace(":", ".")


def _uses(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Names that are read, attributes that are called or are a class's (``Path.open``), and names imported. A field of
    that name (``row.open``) is none."""
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and (node in called or _is_class(node.value)):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names)


def _is_class(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id[:1].isupper()


class Tree:
    """Modules by their dotted names."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.modules = modules

    @classmethod
    def of_texts(cls, texts: Mapping[str, str]) -> Self:
        return cls({name: Module.parse(name, text) for name, text in texts.items()})

    def imported(self, module: Module) -> Iterator[tuple[int, str]]:
        """The modules of this tree that a module imports, itself apart."""
        for line, name in module.imports:
            for found in (name, name.rpartition(".")[0]):
                if found in self.modules:
                    if found != module.name:
                        yield line, found
                    break

    def below(self, *roots: str) -> list[Module]:
        return [module for name, module in self.modules.items() if within(name, *roots)]


def within(name: str, *roots: str) -> bool:
    """Whether a dotted name is one of the roots or stands below one."""
    return any(name == root or name.startswith(root + ".") for root in roots)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(*packages: str) -> Tree:
    """Every module that says something of the packages in this repository; empty ``__init__`` files do not."""
    return Tree(
        {
            name: Module.parse(name, text, package=path.name == "__init__.py")
            for package in packages
            for path in sorted((ROOT / package).rglob("*.py"))
            if (text := path.read_text()).strip() and (name := module_name(path))
        }
    )
