"""The house holds: who may import whom, what the top level holds, and no trace of the workshop."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "firmware_sim", "ledger_client")
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "benchmarks", "configs", "docs",
    "firmware_sim", "gateway", "ledger_client", "pyproject.toml", "scripts", "tests",
}  # fmt: skip


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any depth, with relative imports made absolute."""
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(module: str, *roots: str) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def offenders(package: str, *forbidden: str, allow: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources(package)
        for module in imports(path)
        if within(module, *forbidden) and not within(module, *allow)
    ]


def test_top_level_names_are_fixed() -> None:
    assert {name.split("/")[0] for name in tracked()} <= TOP_LEVEL


def test_the_ledger_client_imports_nothing_of_ours() -> None:
    assert offenders("ledger_client", "gateway", "firmware_sim") == []


def test_the_gateway_never_imports_the_simulator() -> None:
    assert offenders("gateway", "firmware_sim") == []


def test_the_simulator_shares_only_the_profile() -> None:
    forbidden = [m for m in offenders("firmware_sim", "gateway", "ledger_client") if "gateway.devices.profile" not in m]
    bare = [m for m in forbidden if not m.endswith(("imports gateway", "imports gateway.devices"))]
    assert bare == []


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("sqlite3", ("gateway/store.py",)),
        ("serial", ("gateway/fieldbus/",)),
    ],
)
def test_a_library_of_the_gateway_has_one_home(library: str, homes: tuple[str, ...]) -> None:
    strays = [o for o in offenders("gateway", library) if not o.startswith(homes)]
    assert strays == []


def test_pymodbus_is_what_we_compare_with_not_what_we_run() -> None:
    assert [o for package in PACKAGES for o in offenders(package, "pymodbus")] == []


def test_verifying_needs_no_network_and_no_event_loop() -> None:
    core = [p for p in (ROOT / "ledger_client").glob("*.py") if p.name != "cli.py"]
    banned = ("asyncio", "socket", "requests", "paho", "starlette", "uvicorn", "sqlite3", "urllib3", "http")
    assert [f"{p.name} imports {m}" for p in core for m in imports(p) if within(m, *banned)] == []


def test_init_files_of_the_gateway_stay_empty() -> None:
    assert (ROOT / "gateway/__init__.py").read_text() == ""
    assert (ROOT / "gateway/devices/__init__.py").read_text() == ""


def test_imports_have_no_cycle() -> None:
    modules = {module_name(p): p for package in PACKAGES for p in sources(package)}
    graph = {
        name: {m for m in imports(path) if m in modules and m != name and not name.startswith(m + ".")}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join([*trail, name])
        if name not in done:
            for successor in sorted(graph[name]):
                visit(successor, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
