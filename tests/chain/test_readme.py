"""The README's commands, run as they stand, in order; only ports and periods are made fit for a test."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chain.site import PATIENCE_S, ROOT
from tests.processes import free_port

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def test_the_two_commands_come_first() -> None:
    assert COMMANDS[0].startswith("scripts/demo ")
    assert COMMANDS[1] == "scripts/test"
    for name in ("demo", "test", "check", "bench"):
        assert os.access(ROOT / "scripts" / name, os.X_OK)


def test_every_document_that_it_names_exists() -> None:
    named = set(re.findall(r"\b(docs/[a-z.]+[a-z]|docs/decisions/|[A-Z]+\.md|LICENSE|configs/[a-z/.]+\.toml)", README))
    assert len(named) >= 8
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_path_runs_as_written(tmp_path: Path) -> None:
    """Background commands are started, the others repeated until they succeed, as a reader at a terminal would."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    ledger_port, inverter_port = free_port(), free_port()
    edit(tmp_path / "configs" / "demo" / "plant.toml", {"port = 5020": f"port = {inverter_port}"})
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (tmp_path / "background.log").touch()
    background: list[subprocess.Popen[bytes]] = []
    try:
        for line in COMMANDS[2:]:
            if line.startswith("export "):
                continue
            line = re.sub(r"(serve ledger)", rf"\1 --listen 127.0.0.1:{ledger_port}", line)
            if line.endswith(" &"):
                background.append(start(line[:-2], tmp_path, env))
            else:
                succeed(line, tmp_path, env)
            if line.startswith("meterseal init"):
                quick = {'"60s"': '"2s"', '"10s"': '"5s"'}
                ports = {":8700": f":{ledger_port}", "port = 5020": f"port = {inverter_port}"}
                edit(tmp_path / "site" / "gateway.toml", quick | ports)
        assert (tmp_path / "reading.mseal").exists()
    finally:
        for process in reversed(background):
            os.killpg(process.pid, signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0


def edit(file: Path, changes: dict[str, str]) -> None:
    text = file.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def start(line: str, folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "background.log").open("ab") as log:
        return subprocess.Popen(
            f"exec {line}", shell=True, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )


def succeed(line: str, folder: Path, env: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True)
        if done.returncode == 0:
            return
        assert "Traceback" not in done.stderr, done.stderr
        if time.monotonic() > deadline:
            pytest.fail(f"{line}\n{done.stdout}\n{done.stderr}\n{(folder / 'background.log').read_text()}")
        time.sleep(0.3)
