"""`meterseal scan` as a process: its output, Ctrl-C, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.commissioning.scan.found import ScanResult
from tests.gateway.commissioning.scan.lines import line, meter
from tests.support.commands import gateway_command

PTY = 'port = "line"\ngarbles = true'
QUICK = "--baud", "19200", "--parity", "N"


def process(*words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway.cli", "scan", *words]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_result_is_a_section_that_check_accepts(tmp_path: Path) -> None:
    with line(tmp_path, meter(7, keys='latency_ms = 5\nserial = "K0710040"'), wire=PTY):
        scan = process("line", "--baud", "19200", "--units", "7", cwd=tmp_path)
        out, err = scan.communicate(timeout=60)
        assert scan.returncode == 0, err
        assert "vaisala-gmp252" in out
        assert "K0710040" in out
        assert "left at most" in err
        assert "leaving the line alone for 3 s" in err
        path = tmp_path / "gateway.toml"
        path.write_text('[gateway]\nid = "g"\n\n' + out.partition("# for gateway.toml\n")[2])
        assert f'port = "{tmp_path}/line"' in path.read_text()
        code, _, refusal = gateway_command("keys", path, "--make-missing")
        assert code == 0, refusal
        code, plan, refusal = gateway_command("check", path)
        assert code == 0, refusal
        assert "vaisala-gmp252-7" in plan


def test_ctrl_c_keeps_what_was_found(tmp_path: Path) -> None:
    with line(tmp_path, meter(1), wire=PTY):
        scan = process("line", *QUICK, "--json", cwd=tmp_path)
        assert scan.stderr is not None
        for row in scan.stderr:
            if row.startswith("asking every unit"):
                break
        scan.send_signal(signal.SIGINT)
        out, err = scan.communicate(timeout=60)
    assert scan.returncode == 130, err
    assert "Traceback" not in err
    result = ScanResult.of_json(json.loads(out))
    assert not result.complete
    assert [unit.address for unit in result.units] == [1]
    assert result.diagnosis == ()


def test_nothing_found_is_a_no(tmp_path: Path) -> None:
    with line(tmp_path, meter(7), wire=PTY):
        scan = process("line", *QUICK, "--units", "8", cwd=tmp_path)
        out, _ = scan.communicate(timeout=60)
    assert scan.returncode == 1
    assert "no device was found" in out
    assert "termination" in out


def test_a_port_that_another_process_has_is_refused_naming_it(tmp_path: Path) -> None:
    with line(tmp_path, meter(7), wire='port = "line"'):
        holder = subprocess.Popen(
            [sys.executable, "-c", "import os; os.open('line', os.O_RDWR); print(flush=True); input()"],
            cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        holder.stdout.readline()
        code, out, err = gateway_command("scan", tmp_path / "line")
        holder.communicate(b"\n")
    assert (code, out) == (2, "")
    assert f"process {holder.pid}" in err or f"kill {holder.pid}" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("plant.toml",), "not a serial port"),
        (("./absent",), "there is no such port"),
        (("/dev/null",), "not a serial port"),
        (("rfc2217://10.0.0.7",), "rfc2217://HOST:PORT"),
        (("10.0.0.0/8",), "10.0.0.0/8"),
        (("10.0.0.7", "--baud", "9600"), "for serial lines"),
        (("plant.toml", "10.0.0.7"), "scanned alone"),
        (("plant.toml", "--units", "0"), "units are 1 to 247"),
        (("plant.toml", "--units", "9-3"), "units are 1 to 247"),
        (("plant.toml", "--units", "a"), "units are 1 to 247"),
    ],
)
def test_what_cannot_be_scanned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "plant.toml").write_text("no port")
    monkeypatch.chdir(tmp_path)
    code, out, err = gateway_command("scan", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert "fix: " in err
    assert os.listdir(tmp_path) == ["plant.toml"]
