"""What a command imports before it begins: ``--help`` needs none of the libraries, and its lines are the commands'."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.config.load import load_config
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.click_help import Grouped
from tests.support.commands import gateway_command
from tests.support.processes import Server
from tests.system.demo_site import until
from tests.system.machine_contract import programs

LIBRARIES = {
    "astral", "asyncio", "cbor2", "coincurve", "cryptography", "eth_account", "google", "jinja2", "nats", "paho",
    "prometheus_client", "psycopg", "psycopg_pool", "pyarrow", "pydantic", "requests", "rich",
    "segno", "serial", "sqlite3", "sqlite_utils", "ssl", "starlette", "tomlkit", "urllib3", "uvicorn", "zoneinfo",
}  # fmt: skip
"""What takes time before a command does anything: libraries of pyproject.toml, and the heavy ones of Python."""


def imported(program: str, *words: str) -> set[str]:
    """The top-level modules that a command has imported when it ends."""
    module = {
        "meterseal": "gateway.cli.app",
        "meterseal-control": "control_room.cli.app",
        "meterseal-ledger": "ledger_client.cli.app",
    }[program]
    code = (
        f"import sys, {module} as app\n"
        f"sys.argv = {[program, *words]!r}\n"
        "try:\n    app.main()\nexcept SystemExit:\n    pass\n"
        "print('\\n', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("program", ["meterseal", "meterseal-control", "meterseal-ledger"])
@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_import_no_library(program: str, word: str) -> None:
    found = imported(program, word)
    assert "click" in found
    assert found & LIBRARIES == set()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "plant"
    assert gateway_command("init", folder).code == 0
    loaded = load_config(folder / "gateway.toml")
    Database(loaded.database).close()
    return loaded.path


@pytest.mark.parametrize(
    ("word", "needed"),
    [
        ("status", {"cbor2", "pydantic", "rich", "sqlite3", "ssl", "zoneinfo"}),
        ("keys", {"cbor2", "cryptography", "pydantic", "rich", "sqlite3", "ssl", "zoneinfo"}),
    ],
)
def test_a_look_at_a_site_imports_what_it_needs(config: Path, word: str, needed: set[str]) -> None:
    assert imported("meterseal", word, str(config)) & LIBRARIES == needed


def test_a_running_gateway_has_loaded_neither_accounting_nor_pages_nor_feeds_that_nobody_asked_for(
    config: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "gateway.cli", "run", str(config)]
    gateway = Server("gateway", words, "records 3 meters", tmp_path / "log")
    gateway.start()
    data = load_config(config).data
    until("it has looked for alarms", lambda: (control_socket.ask(data, "health") or {}).get("alarms"))
    assert gateway.stop() == 0
    found = set(re.findall(r"^import time:.*\| +(\S+)$", (tmp_path / "log").read_text(), re.MULTILINE))
    needed = {"asyncio", "cbor2", "cryptography", "pydantic", "serial", "sqlite3", "ssl", "zoneinfo"}
    assert {name.partition(".")[0] for name in found} & LIBRARIES == needed
    unasked = ("gateway.accounting.hours.ahead", "gateway.cli.demo", "gateway.dashboard.asgi_server", "gateway.doctor")
    parts = ("accounting.books", "accounting.formats.plan", "audit", "certificates", "claims", "recompute")
    assert found & {*unasked, *(f"ledger_client.{part}" for part in parts)} == set()


def test_judging_a_proof_imports_neither_network_nor_database() -> None:
    assert imported("meterseal-ledger", "verify", "--help") & LIBRARIES == {"cbor2", "cryptography"}


def groups(command: click.Command, path: str) -> dict[str, Grouped]:
    if not isinstance(command, click.Group):
        return {}
    inner = {k: v for name, child in command.commands.items() for k, v in groups(child, f"{path} {name}").items()}
    return inner | ({path: command} if isinstance(command, Grouped) else {})


def test_the_lines_of_help_are_the_first_sentences_of_the_commands() -> None:
    tables = {path: group for name, main in programs().items() for path, group in groups(main, name).items()}
    assert {"meterseal", "meterseal-ledger", "meterseal-ledger certificate"} <= set(tables)
    for path, group in tables.items():
        for name, entry in group.table.items():
            command = group.commands[name]
            assert (command.name, command.get_short_help_str(limit=400)) == (name, entry.line), path
