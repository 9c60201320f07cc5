"""The house holds: who may import whom, what the top level holds, and no trace of the workshop."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "firmware_sim", "ledger_client")
TOP_LEVEL = {
    ".ci", ".git-blame-ignore-revs", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md",
    "benchmarks", "configs", "docs", "firmware_sim", "gateway", "ledger_client", "pyproject.toml", "scripts", "tests",
}  # fmt: skip

GROUND: dict[str, set[str]] = {"gateway": {"messages", ".", "process"}, "ledger_client": {"."}, "firmware_sim": {"."}}
"""Rooms that every other room of the package may import. ``.`` is the package's own folder."""

ALLOWED: dict[str, dict[str, set[str]]] = {
    "gateway": {
        "messages": set(),
        ".": {"messages"},
        "process": {"messages", "."},
        "devices.knowledge": set(),
        "devices": {"devices.knowledge"},
        "config": {"devices", "devices.knowledge"},
        "fieldbus.wire": {"devices"},
        "fieldbus.modbus": {"devices", "fieldbus.wire"},
        "fieldbus.dlt645": {"devices", "fieldbus.wire"},
        "fieldbus.hj212": {"devices", "fieldbus.wire"},
        "fieldbus.obis": {"devices", "fieldbus.wire"},
        "fieldbus.rfc2217": {"fieldbus.wire"},
        "fieldbus": {
            "devices.knowledge",
            "devices",
            "fieldbus.wire",
            "fieldbus.modbus",
            "fieldbus.dlt645",
            "fieldbus.rfc2217",
        },
        "fieldbus.listening": {
            "devices",
            "fieldbus.wire",
            "fieldbus.modbus",
            "fieldbus.hj212",
            "fieldbus.obis",
            "fieldbus",
        },
        "storage": set(),
        "storage.registers": {"storage"},
        "accounting": {"devices", "config", "storage", "storage.registers"},
        "storage.capacity": {"config", "storage", "accounting"},
        "storage.recovery": {"config", "storage", "storage.capacity"},
        "evidence": {"config", "storage", "storage.registers", "storage.capacity", "storage.recovery"},
        "history": {"devices", "config", "storage", "storage.capacity"},
        "recording": {
            "config",
            "storage",
            "storage.capacity",
            "storage.recovery",
            "storage.registers",
            "evidence",
            "history",
        },
        "accounting.figures": {"storage", "storage.registers", "accounting"},
        "accounting.certified": {"config", "accounting", "accounting.figures"},
        "acquisition": {
            "devices.knowledge",
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "fieldbus.listening",
            "storage",
        },
        "anchoring": {"config", "storage", "evidence", "recording"},
        "alarms": {
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "storage",
            "accounting",
            "accounting.figures",
            "accounting.certified",
            "storage.capacity",
            "evidence",
            "recording",
        },
        "runtime": {"devices", "config", "fieldbus", "storage", "history", "recording", "anchoring", "alarms"},
        "feeds": {"storage"},
        "feeds.plain_json": {"storage", "feeds"},
        "feeds.sparkplug": {"devices", "storage", "recording", "feeds"},
        "dashboard.auth": {"config"},
        "commissioning.identity": {"devices", "fieldbus.wire", "fieldbus.modbus", "fieldbus.dlt645"},
        "commissioning.scan": {
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus.modbus",
            "fieldbus.dlt645",
            "fieldbus.rfc2217",
            "fieldbus",
            "commissioning.identity",
        },
        "commissioning": {
            "devices.knowledge",
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "fieldbus.listening",
            "evidence",
            "anchoring",
            "dashboard.auth",
        },
        "commissioning.record": {
            "devices.knowledge",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "storage",
            "storage.registers",
            "acquisition",
            "commissioning",
        },
        "status": {
            "devices",
            "config",
            "fieldbus.wire",
            "storage",
            "storage.capacity",
            "storage.recovery",
            "recording",
            "anchoring",
            "alarms",
            "runtime",
            "commissioning.record",
        },
        "commissioning.wizard": {
            "devices.knowledge",
            "devices",
            "config",
            "fieldbus",
            "acquisition",
            "commissioning.scan",
            "commissioning",
            "commissioning.record",
        },
        "site_backup": {"config", "storage", "storage.capacity", "commissioning.wizard"},
        "doctor": {
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "storage",
            "storage.capacity",
            "evidence",
            "acquisition",
            "anchoring",
            "commissioning",
            "commissioning.record",
        },
        "dashboard.accounts": {"storage", "accounting", "accounting.figures", "accounting.certified"},
        "dashboard.pages": {
            "devices.knowledge",
            "devices",
            "config",
            "fieldbus",
            "storage",
            "storage.capacity",
            "evidence",
            "history",
            "recording",
            "alarms",
            "accounting",
            "runtime",
            "accounting.figures",
            "dashboard.auth",
            "dashboard.accounts",
            "commissioning.record",
            "doctor",
        },
        "dashboard.render": {
            "commissioning.record",
            "devices",
            "history",
            "accounting.figures",
            "dashboard.auth",
            "dashboard.pages",
            "dashboard.accounts",
        },
        "dashboard": {
            "accounting",
            "config",
            "storage",
            "accounting.figures",
            "accounting.certified",
            "evidence",
            "recording",
            "runtime",
            "status",
            "dashboard.auth",
            "dashboard.pages",
            "dashboard.accounts",
            "dashboard.render",
        },
        "agent": {
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "fieldbus.listening",
            "storage",
            "storage.recovery",
            "history",
            "recording",
            "accounting",
            "acquisition",
            "anchoring",
            "alarms",
            "runtime",
            "feeds",
            "feeds.plain_json",
            "feeds.sparkplug",
            "commissioning",
            "commissioning.record",
            "dashboard",
        },
        "cli.demo": {
            "devices",
            "config",
            "fieldbus",
            "storage",
            "storage.recovery",
            "evidence",
            "recording",
            "accounting",
            "acquisition",
            "anchoring",
            "status",
            "dashboard.auth",
            "commissioning",
        },
        "cli.terminal": {"config", "storage", "fieldbus.wire", "fieldbus", "fieldbus.listening", "commissioning"},
        "cli.profiles": {"devices", "config", "acquisition", "commissioning", "cli.demo", "cli.terminal"},
        "cli.accounting": {"config", "storage", "accounting", "cli.terminal"},
        "cli.commissioning": {
            "devices",
            "config",
            "fieldbus.wire",
            "storage",
            "accounting",
            "acquisition",
            "commissioning.scan",
            "commissioning.record",
            "commissioning.wizard",
            "cli.terminal",
        },
        "cli": {
            "devices",
            "config",
            "fieldbus.wire",
            "fieldbus",
            "fieldbus.listening",
            "storage",
            "storage.capacity",
            "evidence",
            "history",
            "recording",
            "acquisition",
            "status",
            "dashboard.auth",
            "commissioning.scan",
            "commissioning",
            "commissioning.wizard",
            "commissioning.record",
            "doctor",
            "site_backup",
            "agent",
            "cli.demo",
            "cli.terminal",
            "cli.profiles",
            "cli.accounting",
            "cli.commissioning",
        },
    },
    "ledger_client": {
        ".": set(),
        "contracts": set(),
        "transparency": set(),
        "formats": set(),
        "claims": {"formats"},
        "transparency.log": {"formats", "claims"},
        "transport": {"formats"},
        "verification": {"formats"},
        "audit": {"formats", "verification"},
        "accounting.formats": {"formats"},
        "accounting.energy": {"formats", "accounting.formats"},
        "accounting.emissions": {"formats", "accounting.formats", "accounting.energy"},
        "accounting": {"formats", "accounting.formats", "accounting.energy", "accounting.emissions"},
        "accounting.tables": {"accounting.formats", "accounting.emissions", "accounting"},
        "recompute": {
            "formats",
            "verification",
            "audit",
            "accounting.formats",
            "accounting",
            "accounting.tables",
        },
        "enrolment": {"formats", "verification"},
        "http_server": {"transport"},
        "ledgers": {"formats", "claims", "transport"},
        "transparency.policy": {"formats", "verification"},
        "certificates": {
            "formats",
            "claims",
            "verification",
            "audit",
            "accounting.formats",
            "recompute",
            "transparency.policy",
        },
        "certificates.holding": {"formats", "claims", "verification", "accounting.formats", "enrolment", "ledgers"},
        "certificates.mcert": {
            "formats",
            "claims",
            "verification",
            "accounting.formats",
            "accounting.energy",
            "accounting",
            "recompute",
            "certificates",
        },
        "balance": {
            "formats",
            "claims",
            "verification",
            "accounting.formats",
            "accounting.emissions",
            "accounting.tables",
            "recompute",
            "certificates.mcert",
        },
        "balance.page": {"formats", "accounting.formats", "balance"},
        "exports": {"claims", "accounting.formats", "accounting.tables", "certificates"},
        "ledgers.evm": {"contracts", "formats", "claims", "transport", "verification", "ledgers"},
        "transparency.ledger": {
            "formats",
            "claims",
            "transparency.log",
            "transport",
            "verification",
            "enrolment",
            "http_server",
            "transparency.policy",
        },
        "online": {
            "contracts",
            "formats",
            "claims",
            "certificates.mcert",
            "transport",
            "verification",
            "enrolment",
            "ledgers",
            "transparency.policy",
            "ledgers.evm",
        },
        "transparency.server": {
            "formats",
            "claims",
            "transparency.log",
            "transport",
            "http_server",
            "transparency.policy",
            "transparency.ledger",
        },
        "bridge": {
            "formats",
            "transparency.log",
            "transport",
            "ledgers",
            "transparency.policy",
            "ledgers.evm",
            "transparency.ledger",
            "transparency.server",
        },
        "cli.terminal": {"transport"},
        "cli.certificates": {
            "formats",
            "claims",
            "transparency.log",
            "transport",
            "verification",
            "accounting.formats",
            "recompute",
            "enrolment",
            "ledgers",
            "ledgers.evm",
            "certificates",
            "certificates.holding",
            "certificates.mcert",
            "online",
            "cli.terminal",
        },
        "cli": {
            "contracts",
            "cli.terminal",
            "cli.certificates",
            "formats",
            "transport",
            "verification",
            "audit",
            "accounting.formats",
            "accounting",
            "accounting.tables",
            "certificates",
            "exports",
            "transparency.log",
            "certificates.mcert",
            "claims",
            "balance",
            "balance.page",
            "recompute",
            "enrolment",
            "ledgers",
            "ledgers.evm",
            "transparency.ledger",
            "online",
            "transparency.server",
            "bridge",
        },
    },
    "firmware_sim": {
        ".": set(),
        "plant": set(),
        "meters.knowledge": set(),
        "meters": {"plant", "meters.knowledge"},
        "wire.pair": set(),
        "wire": {"meters", "wire.pair"},
        "wire.rfc2217": {"wire.pair", "wire"},
        "wire.hj212": {"meters", "wire"},
        "p1": {"plant", "wire"},
        "scenario": {"plant", "meters", "wire.pair", "wire", "wire.hj212", "p1"},
        "cli": {"plant", "meters", "wire", "wire.rfc2217", "wire.hj212", "p1", "scenario"},
    },
}
"""Package → room → the rooms of the package that it may import, besides the ground. A room is a folder."""

MOST_MODULES = 20
PLACE = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+:\w+")


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any depth, with relative imports made absolute; also what a table of
    commands names as ``module:attribute``, which is imported when the command is called."""
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PLACE.fullmatch(node.value):
            yield node.value.partition(":")[0]


def room(path: Path) -> tuple[str, str]:
    """The package and the room of a module."""
    package, *folders = path.relative_to(ROOT).parent.parts
    return package, ".".join(folders) or "."


def own_modules() -> dict[str, Path]:
    """Every module that says something, by its dotted name."""
    return {module_name(p): p for package in PACKAGES for p in sources(package) if p.read_text().strip()}


def arrows() -> Iterator[tuple[str, str, str, str]]:
    """Each import between two rooms of one package: package, from, to, and the module that imports."""
    modules = own_modules()
    for name, path in modules.items():
        package, here = room(path)
        for other in imports(path):
            if other in modules and (there := room(modules[other])) != (package, here) and there[0] == package:
                yield package, here, there[1], name


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
        ("sqlite3", ("gateway/storage/database.py",)),
        ("serial", ("gateway/fieldbus/",)),
    ],
)
def test_a_library_of_the_gateway_has_one_home(library: str, homes: tuple[str, ...]) -> None:
    strays = [o for o in offenders("gateway", library) if not o.startswith(homes)]
    assert strays == []


def test_pymodbus_is_what_we_compare_with_not_what_we_run() -> None:
    assert [o for package in PACKAGES for o in offenders(package, "pymodbus")] == []


def test_verifying_needs_no_network_and_no_event_loop() -> None:
    rooms = {".", "formats", "claims", "verification", "enrolment", "audit", "contracts", "transparency.policy"}
    rooms |= {"certificates.mcert"}
    core = [p for p in own_modules().values() if room(p) in {("ledger_client", name) for name in rooms}]
    banned = ("asyncio", "socket", "requests", "paho", "starlette", "uvicorn", "sqlite3", "urllib3", "http")
    assert [f"{p.relative_to(ROOT)} imports {m}" for p in core for m in imports(p) if within(m, *banned)] == []


def test_the_poller_reaches_no_wire_and_no_disk() -> None:
    modules, reached, ahead = own_modules(), set[str](), ["gateway.acquisition.poller"]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += [other for other in imports(modules[name]) if other in modules]
    assert len(reached) > 10
    banned = ("asyncio", "socket", "serial", "sqlite3", "gateway.fieldbus.modbus", "gateway.storage")
    strays = [f"{name} imports {m}" for name in sorted(reached) for m in imports(modules[name]) if within(m, *banned)]
    assert strays == []


def test_init_files_stay_empty() -> None:
    """One that re-exports would load its whole room with each of its modules."""
    spoken = {
        str(p.relative_to(ROOT))
        for package in PACKAGES
        for p in sources(package)
        if p.name == "__init__.py" and p.read_text()
    }
    assert spoken == set()


def test_a_room_imports_only_what_it_may() -> None:
    assert [
        f"{module}: {package}/{here} may not import {package}/{there}"
        for package, here, there, module in arrows()
        if there not in ALLOWED[package][here] | (GROUND[package] if here not in GROUND[package] else set())
    ] == []


def test_no_room_may_import_what_it_does_not_import() -> None:
    there_are = {(package, here, there) for package, here, there, _ in arrows()}
    table = {(package, here, there) for package, rooms in ALLOWED.items() for here in rooms for there in rooms[here]}
    assert table - there_are == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_of_rooms_has_no_cycle(package: str) -> None:
    """Each row names rows above it only; so does the ground, which comes first."""
    above: set[str] = set()
    for here, others in ALLOWED[package].items():
        assert others <= above, here
        above.add(here)
    assert GROUND[package] == set(list(ALLOWED[package])[: len(GROUND[package])])


def test_no_room_holds_more_modules_than_can_be_read_at_a_glance() -> None:
    held = Counter(room(path) for path in own_modules().values() if path.name != "__init__.py")
    assert {where: count for where, count in held.items() if count > MOST_MODULES} == {}
    assert {(package, name) for package, rooms in ALLOWED.items() for name in rooms} >= held.keys()


def own_classes() -> dict[str, ast.ClassDef]:
    """Every class of ours at the top of a module, by its dotted name."""
    return {
        f"{name}.{node.name}": node
        for name, path in own_modules().items()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


def own_bases(name: str, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    """The classes of ours that a class inherits, as its module imports or defines them."""
    module = name.rpartition(".")[0]
    known = {f"{module}.{node.name}": f"{module}.{node.name}" for node in classes.values()}
    known |= {f"{module}.{full.rpartition('.')[2]}": full for full in imports(own_modules()[module]) if full in classes}
    written = [base.value if isinstance(base, ast.Subscript) else base for base in classes[name].bases]
    found = [known.get(f"{module}.{base.id}", "") for base in written if isinstance(base, ast.Name)]
    return [base for base in found if base in classes]


def test_inheritance_is_one_step_and_no_class_is_a_room_of_its_own() -> None:
    """No class inherits from one that inherits from another of ours, exceptions aside, and the tables of gateway.toml
    and of scenarios, which are pydantic's. None has more than 25 public methods."""
    classes = own_classes()
    bases = {name: own_bases(name, classes) for name in classes}
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
    return not _line(name, bases).isdisjoint({"gateway.config.field_types.Model", "firmware_sim.scenario.table.Table"})


def _line(name: str, bases: Mapping[str, list[str]]) -> set[str]:
    return {name}.union(*(_line(base, bases) for base in bases[name]))


def _public_methods(node: ast.ClassDef) -> int:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(each, kinds) and not each.name.startswith("_") for each in node.body)


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for package, rooms in ALLOWED.items():
        section = text.partition(f"### {package}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        assert re.findall(r"^\| `([a-z0-9_.]+)` \|", section, re.MULTILINE) == list(rooms)


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
