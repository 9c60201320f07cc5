"""The walkthrough of docs/profiles.md, word for word: its files are written, its commands run, the output compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "profiles.md"
OF_THIS_MACHINE = ("the gateway's clock was not synchronised", ": waiting ")
"""What is printed only on some machines, or at some moments."""


def walkthrough() -> Iterator[tuple[str, str, str]]:
    """Language, text, and the paragraph before each block of the section."""
    section = DOCS.read_text().partition("\n## Walkthrough")[2].partition("\n## ")[0]
    before = 0
    for block in re.finditer(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        yield block[1], block[2], section[before : block.start()]
        before = block.end()


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command with the lines that it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines()
        yield command, printed


def shell(command: str, folder: Path) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=os.environ | {"PATH": path}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def printed_by(command: str, folder: Path) -> list[str]:
    """The lines that a command prints, without blanks at their ends."""
    output, _ = shell(command, folder).communicate(timeout=60)
    return [line.rstrip() for line in output.splitlines() if not any(name in line for name in OF_THIS_MACHINE)]


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes in the background, ended with the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_walkthrough_of_a_made_up_device(tmp_path: Path, behind: list[subprocess.Popen[str]]) -> None:
    compared = 0
    for language, text, before in walkthrough():
        if language == "toml":
            (tmp_path / re.findall(r"`(\w+\.toml)`", before)[-1]).write_text(text)
            continue
        for command, printed in commands(text):
            if command.endswith(" &"):
                behind.append(shell(f"exec {command.removesuffix(' &')}", tmp_path))
                continue
            assert printed_by(command, tmp_path) == printed, command
            compared += bool(printed)
    assert compared == 5
    assert len(behind) == 1
