"""`meterseal install` shows, asks, writes; `uninstall` takes exactly that away, and data only for the gateway's id."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.commissioning.service_files import CONFIG, MARK, PACKAGED, STATE, TARGETS, UNIT
from gateway.messages.message import Message
from gateway.process import instance_lock
from tests.support.commands import Answer, gateway_command

COMMAND = "/opt/elsewhere/bin/meterseal"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path


def call(*arguments: object, text: str | None = None) -> Answer:
    return gateway_command(*arguments, typed=text)


def install(root: Path, *more: object, text: str | None = None) -> Answer:
    return call("install", "--root", root, "--command", COMMAND, *more, text=text)


def files(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text(errors="replace") for p in sorted(root.rglob("*")) if p.is_file()}


def configured(root: Path) -> None:
    done = call("init", root / CONFIG.parent, "--state", root / STATE, "--id", "plant-7")
    assert done.code == 0, done.output


def test_nothing_is_written_that_was_not_shown_and_agreed_to(root: Path) -> None:
    done = install(root, text="n\n")
    assert done.code == 1
    assert done.output.endswith("nothing was changed\n")
    assert files(root) == {}
    assert install(root).code == 1  # nobody there to ask
    agreed = install(root, text="y\n")
    assert agreed.code == 0, agreed.output
    for path, content in files(root).items():
        assert f"{root / path}: will be written" in agreed.output
        for line in content.splitlines():
            assert f"+{line}\n" in agreed.output


def test_what_is_written_is_a_service_of_this_installation(root: Path) -> None:
    assert install(root, "--yes").code == 0
    written = files(root)
    assert {str(path) for path in TARGETS.values()} <= written.keys()
    unit = written[str(TARGETS[UNIT])]
    assert unit.startswith(f"{MARK}\n")
    assert f"\nExecStart={COMMAND} run /etc/meterseal/gateway.toml\n" in unit
    assert "/opt/meterseal/" not in unit
    assert (root / "etc/systemd/system/multi-user.target.wants" / UNIT).is_symlink()


def test_a_second_time_only_what_differs_is_shown_and_written(root: Path) -> None:
    install(root, "--yes")
    unit = root / TARGETS[UNIT]
    unit.write_text(unit.read_text().replace("WatchdogSec=30s", "WatchdogSec=1s"))
    done = install(root, "--yes")
    assert f"{unit}: will be changed\n--- as it is\n+++ as it will be\n" in done.output
    assert "-WatchdogSec=1s\n+WatchdogSec=30s\n" in done.output
    assert done.output.count(": up to date") == len(TARGETS) - 1
    assert done.output.count("wrote ") == 1
    assert "WatchdogSec=30s" in unit.read_text()


def test_uninstall_removes_exactly_that(root: Path) -> None:
    for folder in ("systemd/system", "tmpfiles.d", "udev/rules.d"):
        (root / "etc" / folder).mkdir(parents=True)
    (root / "etc/mine").write_text("stays")
    configured(root)
    before, folders = files(root), sorted(root.rglob("*"))
    install(root, "--yes")
    assert ": up to date" in install(root, "--yes").output
    done = call("uninstall", "--root", root, "--yes")
    assert done.code == 0, done.output
    assert files(root) == before
    assert sorted(root.rglob("*")) == folders
    assert not (root / "etc/systemd/system/multi-user.target.wants" / UNIT).is_symlink()
    assert f"{root / STATE} and {root / CONFIG.parent} are kept" in done.output


def test_what_others_have_written_is_neither_replaced_nor_removed(root: Path) -> None:
    unit = root / TARGETS[UNIT]
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    refused = install(root, "--yes")
    assert refused.code == 2
    assert Message("service-file-foreign", paths=(str(unit),)).problem in refused.output
    left = call("uninstall", "--root", root, "--yes")
    assert f"{unit}: not written by `meterseal install`, kept" in left.output
    assert files(root) == {str(TARGETS[UNIT]): "[Service]\n"}


def test_beside_the_package_there_is_nothing_to_install(root: Path) -> None:
    (root / PACKAGED).parent.mkdir(parents=True)
    (root / PACKAGED).touch()
    done = install(root, "--yes")
    assert (done.code, Message("service-packaged", path=str(root / PACKAGED)).problem in done.output) == (1, True)


def test_a_command_that_a_service_cannot_see_is_refused() -> None:
    done = call("install", "--command", "/home/somebody/.venv/bin/meterseal", "--yes")
    assert done.code == 2
    assert (
        Message("service-command-hidden", command="/home/somebody/.venv/bin/meterseal", folders=("/home",)).problem
        in done.output
    )
    missing = call("install", "--command", "/opt/there-is-no-such/bin/meterseal", "--yes")
    assert (missing.code, "No such file" in missing.output) == (2, True)


@pytest.mark.parametrize("known_by", ["gateway.toml", "enrolment request"])
def test_data_goes_only_for_the_typed_id(root: Path, known_by: str) -> None:
    configured(root)
    if known_by == "enrolment request":
        (root / CONFIG).unlink()
    kept = files(root)
    for typed in ("", "plant-8\n", "yes\n", "\n"):
        done = call("uninstall", "--data", "--root", root, "--yes", text=typed)
        assert done.code == 1, done.output
        assert files(root) == kept
    assert f"{root / STATE} holds 4 private keys and 0 databases" in done.output
    done = call("uninstall", "--data", "--root", root, "--yes", text="plant-7\n")
    assert done.code == 0, done.output
    assert not (root / STATE).exists()
    assert files(root) == {path: text for path, text in kept.items() if not path.startswith(str(STATE))}


def test_data_that_nobody_can_be_asked_for_stays(root: Path) -> None:
    (root / STATE).mkdir(parents=True)
    (root / STATE / "something").touch()
    done = call("uninstall", "--data", "--root", root, "--yes", text="something\n")
    assert (done.code, Message("service-gateway-unknown", state=str(root / STATE)).problem in done.output) == (
        2,
        True,
    )
    assert (root / STATE / "something").exists()


def test_data_in_use_stays(root: Path) -> None:
    configured(root)
    another_process = [sys.executable, "-m", "gateway.cli", "uninstall", "--data", "--yes", "--root", str(root)]
    with instance_lock.take(root / STATE / "data"):
        done = subprocess.run(another_process, input="plant-7\n", capture_output=True, text=True)
    assert done.returncode == 2
    assert "a gateway (pid" in done.stderr
    assert (root / STATE).exists()


def test_what_root_makes_for_the_gateway_is_the_gateways(root: Path) -> None:
    """Keys, certificate and users; whoever else makes them can make them for himself only."""
    state, password = root / STATE, root / "password"
    state.mkdir(parents=True)
    password.write_text("correct horse battery\n")
    if os.geteuid() == 0:
        os.chown(state, 12345, 12346)
    pages = ("--web", "127.0.0.1:0", "--password-file", password)
    done = call("init", root / CONFIG.parent, "--state", state, "--id", "plant-7", *pages)
    assert done.code == 0, done.output
    keys = [state / "keys", *(state / "keys").iterdir()]
    assert {"web.key", "web.crt", "web.users", "statement.pem", "gateway.enrol"} <= {path.name for path in keys}
    owner = state.stat()
    assert {(path.stat().st_uid, path.stat().st_gid) for path in keys} == {(owner.st_uid, owner.st_gid)}
    assert (root / CONFIG).stat().st_uid == os.geteuid()
