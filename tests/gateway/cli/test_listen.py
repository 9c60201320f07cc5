"""`meterseal listen` on a real terminal: exchanges as they happen, writes, rates at the end, and errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.fieldbus.modbus.frames import Reply, Request, crc

PROFILE = """
vendor = "Test"
device = "Meter"
source = "made up for this test"
[points]
voltage = { fc = 4, address = 0, type = "float32", unit = "V" }
"""
VOLTAGE, OTHER = Request(1, 4, 0, 2), Request(2, 3, 7, 1)
BODY = bytes.fromhex("01 06 00 10 00 03")
STREAM = (
    VOLTAGE.frame
    + Reply(VOLTAGE.key, bytes.fromhex("4366 3334")).encode()
    + OTHER.frame
    + Reply(OTHER.key, bytes.fromhex("002A")).encode()
    + 2 * (BODY + crc(BODY))
)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    path = tmp_path / "line"
    path.symlink_to(os.ttyname(slave))
    os.close(slave)  # a port that another process has open is refused
    yield path, master
    os.close(master)


@contextmanager
def listening(*words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "gateway.cli", "listen", *words]
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str], master: int, enough: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """The lines until one is enough, while the stream goes on; and those behind an interrupt."""
    over = threading.Event()

    def speak() -> None:
        while not over.wait(0.05):
            os.write(master, STREAM)

    speaking = threading.Thread(target=speak)
    speaking.start()
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for text in process.stdout:
            lines.append(text.rstrip())
            if enough(text):
                break
        else:
            raise AssertionError(process.communicate()[1])
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    finally:
        over.set()
        speaking.join()
    assert (process.returncode, errors) == (0, "")
    return lines, rest.splitlines()


def test_it_shows_each_exchange_decoded_and_the_rates(line: tuple[Path, int], tmp_path: Path) -> None:
    path, master = line
    (tmp_path / "meter.toml").write_text(PROFILE)
    with listening(str(path), "--baud", "115200", "--profile", "meter.toml", cwd=tmp_path) as process:
        lines, rest = heard(process, master, lambda text: "WRITE" in text)
    assert any("unit 1, function 4, registers 0 to 1" in text and "4366 3334  voltage 230.2" in text for text in lines)
    assert any("unit 2, function 3, register 7" in text and text.endswith("002A") for text in lines)
    assert lines[-1].endswith("unit 1, function 6, from 16  WRITE")
    assert any(text.startswith("unit 1, function 4, registers 0 to 1: asked") for text in rest)


def test_it_writes_one_object_a_line(line: tuple[Path, int], tmp_path: Path) -> None:
    path, master = line
    with listening(str(path), "--baud", "115200", "--json", cwd=tmp_path) as process:
        lines, rest = heard(process, master, lambda text: '"write": true' in text)
    found: list[dict[str, Any]] = [json.loads(text) for text in (*lines, *rest)]
    voltage = next(one for one in found if one.get("address") == 0)
    assert (voltage["unit"], voltage["function"], voltage["count"], voltage["error"]) == (1, 4, 2, None)
    assert voltage["words"] == [0x4366, 0x3334]
    assert {one["question"] for one in found if "question" in one} == {
        "function 4, registers 0 to 1",
        "function 3, register 7",
    }


def test_a_port_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with listening(str(tmp_path / "none"), cwd=tmp_path) as process:
        _, errors = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert str(tmp_path / "none") in errors
