"""The shipped unit of receivers: systemd's own checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[3] / "configs/control-room/meterseal-control@.service"
EXPOSURE = 2.0


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    done = run("systemd-analyze", "verify", path.with_name("meterseal-control@1.service"))
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr


def test_what_a_broken_receiver_could_reach_is_little(tmp_path: Path) -> None:
    path = tmp_path / "meterseal-control-1.service"
    path.write_text(UNIT.read_text())
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", path)
    level = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= EXPOSURE, done.stdout
