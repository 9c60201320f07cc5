"""The house holds: who may import whom, what the top level holds, and no trace of the workshop."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from tests.layout.law import FEW, ORDER, PUBLIC, WALLS, Wall, breaches, upward
from tests.layout.source_tree import ROOT, Tree, tree_of, within

TOP_LEVEL = {
    ".ci", ".git-blame-ignore-revs", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md",
    "benchmarks", "configs", "control_room", "docs", "firmware_sim", "gateway", "ledger_client", "pyproject.toml",
    "scripts", "setup.py", "tests",
}  # fmt: skip

MOST_MODULES = 20


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()


def product() -> Tree:
    return tree_of(*ORDER)


def refuse(found: Iterable[str]) -> None:
    """Fail with one line a breach."""
    if lines := "\n".join(found):
        pytest.fail(lines, pytrace=False)


def test_top_level_names_are_fixed() -> None:
    assert {name.split("/")[0] for name in tracked()} <= TOP_LEVEL


def test_a_room_imports_only_rooms_that_stand_before_it() -> None:
    refuse(upward(product()))


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.name)
def test_a_wall_stands(wall: Wall) -> None:
    refuse(breaches(product(), wall))


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.name)
def test_a_wall_names_what_is_there(wall: Wall) -> None:
    """A wall around a room that has moved away would hold for ever."""
    tree = product()
    for name in (*wall.around, *wall.doors):
        assert tree.below(name), name
    for name in (*wall.bans, *wall.but):
        if within(name, *ORDER) and not tree.below(name):
            module, _, defined = name.rpartition(".")
            assert defined in {getattr(node, "name", "") for node in tree.modules[module].tree.body}, name


def test_init_files_stay_empty() -> None:
    """One that re-exports would load its whole room with each of its modules; the one that may loads nothing."""
    filled = [path for package in ORDER for path in (ROOT / package).rglob("__init__.py") if path.read_text()]
    assert filled == [ROOT / PUBLIC / "__init__.py"]


def test_the_order_has_no_room_that_is_not_there() -> None:
    assert {(package, name) for package, rooms in ORDER.items() for name in rooms} == {
        (module.package, module.room) for module in product().modules.values()
    }


def test_no_room_holds_more_modules_than_can_be_read_at_a_glance_or_too_few_to_be_one() -> None:
    held = Counter((module.package, module.room) for module in product().modules.values())
    assert {where: count for where, count in held.items() if count > MOST_MODULES} == {}
    assert {where for where, count in held.items() if count <= 2} == FEW.keys()


@pytest.mark.parametrize("folder", ["benchmarks", "tests/campaigns", "tests/support", "tests/system"])
def test_no_folder_beside_the_product_holds_more_modules_either(folder: str) -> None:
    held = Counter(path.parent for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py")
    assert {str(where.relative_to(ROOT)): count for where, count in held.items() if count > MOST_MODULES} == {}


def classes_of(tree: Tree) -> dict[str, ast.ClassDef]:
    """Every class at the top of a module, by its dotted name."""
    return {
        f"{name}.{node.name}": node
        for name, module in tree.modules.items()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }


def bases_of(name: str, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    """The classes of ours that a class inherits, as its module imports or defines them."""
    module = name.rpartition(".")[0]
    known = {f"{module}.{node.name}": f"{module}.{node.name}" for node in classes.values()}
    known |= {
        f"{module}.{full.rpartition('.')[2]}": full for _, full in product().modules[module].imports if full in classes
    }
    written = [base.value if isinstance(base, ast.Subscript) else base for base in classes[name].bases]
    found = [known.get(f"{module}.{base.id}", "") for base in written if isinstance(base, ast.Name)]
    return [base for base in found if base in classes]


def test_inheritance_is_one_step_and_no_class_is_a_room_of_its_own() -> None:
    """No class inherits from one that inherits from another of ours, exceptions aside, and the tables of gateway.toml
    and of scenarios, which are pydantic's. None has more than 25 public methods."""
    classes = classes_of(product())
    bases = {name: bases_of(name, classes) for name in classes}
    forked = {
        name: base
        for name, found in bases.items()
        for base in found
        if bases[base] and not name.endswith("Error") and not _raised(base, bases) and not _is_a_table(base, bases)
    }
    assert forked == {}
    assert {name: count for name, node in classes.items() if (count := _public_methods(node)) > 25} == {}


def _raised(name: str, bases: Mapping[str, list[str]]) -> bool:
    return any(base.endswith((".errors.GatewayError", "LedgerClientError", "SimError")) for base in _line(name, bases))


def _is_a_table(name: str, bases: Mapping[str, list[str]]) -> bool:
    return not _line(name, bases).isdisjoint({"gateway.field_types.Model", "firmware_sim.scenario.table.Table"})


def _line(name: str, bases: Mapping[str, list[str]]) -> set[str]:
    return {name}.union(*(_line(base, bases) for base in bases[name]))


def _public_methods(node: ast.ClassDef) -> int:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(each, kinds) and not each.name.startswith("_") for each in node.body)


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for package, rooms in ORDER.items():
        section = text.partition(f"### {package}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        assert re.findall(r"^\| `([a-z0-9_.]+)` \|", section, re.MULTILINE) == list(rooms)


def test_imports_have_no_cycle() -> None:
    tree = product()
    graph = {name: {found for _, found in tree.imported(module)} for name, module in tree.modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail, name])
        if name not in done:
            for successor in sorted(graph[name]):
                visit(successor, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
