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

from tests.support.processes import free_port
from tests.system.demo_site import PATIENCE_S, ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
PATH_BLOCK = BLOCKS[2]
LATER = [line for block in BLOCKS[3:] for line in block.splitlines()]


AND_WAIT = "trap '' TERM; echo pasted; for job in $(jobs -p); do wait $job; done\n"
"""Then every command that keeps running is waited for, and must end in order."""


def test_the_two_commands_come_first() -> None:
    assert COMMANDS[0].startswith("scripts/demo ")
    assert COMMANDS[1] == "scripts/test"
    for name in ("demo", "test", "check", "bench", "campaign"):
        assert os.access(ROOT / "scripts" / name, os.X_OK)


def test_every_document_that_it_names_exists() -> None:
    named = set(re.findall(r"\b(docs/[a-z.-]+[a-z]|docs/decisions/|[A-Z]+\.md|LICENSE|configs/[a-z/.]+\.toml)", README))
    assert len(named) >= 8
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_path_pasted_as_a_whole_works(tmp_path: Path) -> None:
    """The block goes into a shell as it is, which stops at the first command that fails; then a reading is proven."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    ledger_port, inverter_port = free_port(), free_port()
    edit(tmp_path / "configs" / "demo" / "plant.toml", {"port = 5020": f"port = {inverter_port}"})
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    block, init = PATH_BLOCK.partition("\n")[2], re.compile("(meterseal init site .*\n)")
    changes = ("s/60s/2s/", "s/10s/5s/", f"s/:8700/:{ledger_port}/", f"s/port = 5020/port = {inverter_port}/")
    quick = "sed -i " + " ".join(f"-e '{change}'" for change in changes) + " site/gateway.toml\n"
    block = init.sub(lambda found: found[1] + quick, block)
    block = block.replace("serve ledger", f"serve ledger --listen 127.0.0.1:{ledger_port}")
    with (tmp_path / "shell.log").open("w+") as log:
        shell = subprocess.Popen(
            ["bash", "-e"], cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
        assert shell.stdin is not None
        try:
            shell.stdin.write(f"{block}{AND_WAIT}".encode())
            shell.stdin.close()
            await_word(shell, "pasted", tmp_path / "shell.log")
            for line in LATER:
                succeed(line, tmp_path, env)
            assert (tmp_path / "reading.mseal").exists()
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
            assert shell.wait(PATIENCE_S) == 0, (tmp_path / "shell.log").read_text()


def await_word(shell: subprocess.Popen[bytes], word: str, log: Path) -> None:
    """Until the shell has said it in a line of its own."""
    deadline = time.monotonic() + PATIENCE_S
    while word not in log.read_text().splitlines():
        assert shell.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def edit(file: Path, changes: dict[str, str]) -> None:
    text = file.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def succeed(line: str, folder: Path, env: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True)
        if done.returncode == 0:
            return
        assert "Traceback" not in done.stderr, done.stderr
        if time.monotonic() > deadline:
            pytest.fail(f"{line}\n{done.stdout}\n{done.stderr}\n{(folder / 'shell.log').read_text()}")
        time.sleep(0.3)
