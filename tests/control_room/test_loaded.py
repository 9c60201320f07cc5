"""The pages of a control room load nothing of a gateway's configuration and database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import control_room

ROOT = Path(control_room.__file__).parent


@pytest.mark.parametrize("room", ["web", "store"])
def test_no_module_of_a_room_loads_a_gateway(room: str) -> None:
    modules = [
        ".".join(("control_room", *p.relative_to(ROOT).with_suffix("").parts)) for p in (ROOT / room).rglob("*.py")
    ]
    code = f"import sys, {', '.join(sorted(modules))}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    found = set(done.stdout.split())
    assert f"control_room.{room}" in found
    assert found & {"gateway.config", "gateway.storage", "sqlite3", "serial"} == set()
