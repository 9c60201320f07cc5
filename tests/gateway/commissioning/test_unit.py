"""The shipped unit and its neighbours: systemd's own checks, and that they say of the gateway what is true."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest

from gateway.commissioning.service_files import CONFIG, STATE, TARGETS, UNIT
from gateway.commissioning.shipped_files import shipped
from gateway.recording.recorder import COMMIT_WITHIN_S

ROOT = Path(__file__).parents[3]
EXPOSURE = 2.0


class Unit(ConfigParser):
    """A unit file, whose keys may come several times; the values of one are joined."""

    def __init__(self, text: str) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.text = text
        self.read_string(text)

    def all(self, key: str) -> list[str]:
        return re.findall(rf"(?m)^{key}=(.*)$", self.text)


@pytest.fixture(scope="module")
def unit() -> Unit:
    return Unit(shipped(f"systemd/{UNIT}").read_text())


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def test_systemd_finds_nothing_wrong(tmp_path: Path, unit: Unit) -> None:
    path = tmp_path / UNIT
    path.write_text(re.sub(r"(?m)^(ExecStart|ExecReload)=\S+", rf"\1={sys.executable}", unit.text))
    done = run("systemd-analyze", "verify", path)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr


def test_what_a_broken_gateway_could_reach_is_little() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", shipped(f"systemd/{UNIT}"))
    level = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= EXPOSURE, done.stdout


def test_the_clock_may_be_read(unit: Unit) -> None:
    """ProtectClock would take adjtimex away even for that."""
    service = unit["Service"]
    assert "ProtectClock" not in service
    assert service["CapabilityBoundingSet"] == ""
    assert unit.all("SystemCallFilter")[-1].split() == ["adjtimex", "clock_adjtime", "clock_adjtime64"]
    assert service["SystemCallErrorNumber"] == "EPERM"


def test_it_says_what_the_gateway_does(unit: Unit) -> None:
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "always")
    assert service["ExecStart"] == f"/opt/meterseal/bin/meterseal run /{CONFIG}"
    assert service["ExecReload"] == f"/opt/meterseal/bin/meterseal reload --yes /{CONFIG}"
    assert unit["Unit"]["ConditionPathExists"] == f"/{CONFIG}"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert f"/var/lib/{service['StateDirectory']}" == f"/{STATE}" == service["WorkingDirectory"]
    assert int(service["WatchdogSec"].removesuffix("s")) < COMMIT_WITHIN_S


def test_user_and_folders_are_those_of_the_unit(unit: Unit) -> None:
    service = unit["Service"]
    users = shipped("systemd/meterseal.sysusers").read_text()
    assert re.search(rf'(?m)^u {service["User"]} - ".*" /{STATE}$', users)
    assert re.search(rf"(?m)^m {service['User']} {service['SupplementaryGroups']}$", users)
    folders = shipped("systemd/meterseal.tmpfiles").read_text()
    assert f"d /{STATE} {service['StateDirectoryMode']} {service['User']} {service['Group']}" in folders
    assert f"d /{CONFIG.parent} 0755 root root" in folders


def test_systemd_makes_user_and_folders(tmp_path: Path) -> None:
    for part in ("etc", "usr"):
        (tmp_path / part).mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nmeterseal:x:990:990::/:/bin/false\n")
    (tmp_path / "etc/group").write_text("root:x:0:\ndialout:x:20:\nmeterseal:x:990:\n")
    users = run("systemd-sysusers", "--dry-run", f"--root={tmp_path}", shipped("systemd/meterseal.sysusers"))
    assert users.returncode == 0, users.stderr
    folders = run(
        "systemd-tmpfiles", "--dry-run", "--create", f"--root={tmp_path}", shipped("systemd/meterseal.tmpfiles")
    )
    assert folders.returncode == 0, folders.stderr
    assert f"Would create directory {tmp_path}/{STATE}" in folders.stderr


def test_the_device_rules_are_well_formed_and_let_the_unit_at_the_ports(unit: Unit) -> None:
    rules = shipped("systemd/meterseal.rules")
    done = run("udevadm", "verify", "--no-style", rules)
    assert done.returncode == 0, done.stdout + done.stderr
    group = unit["Service"]["SupplementaryGroups"]
    assert f'GROUP="{group}", MODE="0660"' in rules.read_text()
    for kind in re.findall(r"(tty[A-Z]+)\[", rules.read_text()):
        assert f"char-{kind} rw" in unit.all("DeviceAllow")


def test_the_wheel_brings_whatever_is_looked_for() -> None:
    """The sources have it anyway; what an installation has is what the project file lists."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = setuptools["data-files"]
    for package, patterns in setuptools["package-data"].items():
        tracked = run("git", "-C", ROOT / package, "ls-files").stdout.splitlines()
        files = [name for name in tracked if not name.endswith(".py")]
        assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    names = ["demo/plant.toml", *(f"systemd/{name}" for name in TARGETS)]
    assert sorted(TARGETS) == sorted(path.name for path in (ROOT / "configs/systemd").iterdir())
    for name in names:
        folder = f"share/meterseal/configs/{name.rpartition('/')[0]}"
        assert any(fnmatch(f"configs/{name}", pattern) for pattern in listed[folder]), name
