"""Service installation from wheels: its files, and the steps run around writing and removing them.

The Debian package brings the same files with it (docs/install.md). Every file written here says so in its first line,
and only such files are ever removed.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.commissioning.shipped_files import shipped
from gateway.config.device_keys import REQUEST_FILE
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process import instance_lock
from ledger_client.durable_files import whole_file
from ledger_client.enrolment.request import parse_request
from ledger_client.errors import VerificationError
from ledger_client.messages import Sentence
from ledger_client.text_file import toml_of

MARK = "# Written by `meterseal install`; `meterseal uninstall` removes it."
FOLDER = "# With its folder, which was made for it."
UNIT = "meterseal.service"
CONFIG, ETC, STATE = Path("etc/meterseal/gateway.toml"), Path("etc/meterseal"), Path("var/lib/meterseal")
TARGETS = {
    UNIT: Path("etc/systemd/system/meterseal.service"),
    "meterseal.rules": Path("etc/udev/rules.d/70-meterseal.rules"),
    "meterseal.sysusers": Path("etc/sysusers.d/meterseal.conf"),
    "meterseal.tmpfiles": Path("etc/tmpfiles.d/meterseal.conf"),
}
PACKAGED = Path("usr/lib/systemd/system/meterseal.service")
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What the unit's ProtectHome and PrivateTmp keep from the service."""
ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the service: where it belongs, what is to stand there, what stands there now (None: nothing)."""

    path: Path
    content: str
    present: str | None

    def shown(self) -> str:
        """What writing it changes: the whole file if it is new, else the difference."""
        if self.present is None:
            return "".join(f"+{line}\n" for line in self.content.splitlines())
        before, after = self.present.splitlines(keepends=True), self.content.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, "as it is", "as it will be"))

    @property
    def ours(self) -> bool:
        """What stands there was written by us."""
        return self.present is not None and self.present.startswith(MARK)


def running_command() -> Path:
    """The `meterseal` that is running, by the name under which a service can start it."""
    return Path(sys.executable).parent / "meterseal"


def pieces(root: Path, command: Path) -> list[Piece]:
    """The files of a service that starts ``command``, under ``root``."""
    found = []
    for name, target in TARGETS.items():
        text = shipped(f"systemd/{name}").read_text()
        text = re.sub(r"(?m)^(ExecStart|ExecReload)=\S+", rf"\1={command}", text)
        path = root / target
        present = path.read_text() if path.exists() else None
        made = FOLDER in present if present is not None else not path.parent.exists()
        head = f"{MARK}\n{FOLDER}\n" if made else f"{MARK}\n"
        found.append(Piece(path, head + text, present))
    return found


def check(root: Path, command: Path) -> None:
    """Check that the service can be installed under ``root`` and needs to be. Raises GatewayError."""
    if not root.is_dir():
        raise GatewayError(Message("service-no-root", root=str(root)))
    if (root / PACKAGED).exists():
        raise Declined(Message("service-packaged", path=str(root / PACKAGED)))
    if root != ROOT:  # another machine's disk: the permissions of its users are not known here
        return
    if str(command).startswith(HIDDEN):
        raise GatewayError(Message("service-command-hidden", command=str(command), folders=HIDDEN))
    for path in (command, *command.parents, command.parent / "python3"):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise GatewayError(Message("service-command-missing", path=str(path), error=os_error(error))) from None
        if not mode & stat.S_IXOTH:
            raise GatewayError(Message("service-command-closed", path=str(path)))
    if os.geteuid() != 0:
        raise GatewayError(Message("service-needs-root"))


def write(found: Iterable[Piece]) -> Iterator[Path]:
    """Write what is not there as it should be. Raises GatewayError."""
    for piece in found:
        if piece.content != piece.present:
            try:
                piece.path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(piece.path) as file:
                    file.write(piece.content.encode())
                piece.path.chmod(0o644)
            except OSError as error:
                raise GatewayError(
                    Message("service-not-writable", path=str(piece.path), error=os_error(error))
                ) from None
            yield piece.path


def remove(piece: Piece) -> None:
    """Take a file away, and its folder if that was made for it and holds nothing else. Raises GatewayError."""
    try:
        piece.path.unlink()
        if FOLDER in (piece.present or "") and not any(piece.path.parent.iterdir()):
            piece.path.parent.rmdir()
    except OSError as error:
        raise GatewayError(Message("service-not-writable", path=str(piece.path), error=os_error(error))) from None


def steps_in(root: Path) -> list[list[str]]:
    """What is run behind the writing. On another machine's disk only the unit is enabled: the rest its boot does."""
    if root != ROOT:
        return [["systemctl", f"--root={root}", "enable", UNIT]]
    start = ["--now"] if (root / CONFIG).exists() else []
    return [
        ["systemd-sysusers", "meterseal.conf"],
        ["systemd-tmpfiles", "--create", "meterseal.conf"],
        ["udevadm", "control", "--reload"],
        ["udevadm", "trigger", "--action=change", "--subsystem-match=tty"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", *start, UNIT],
    ]


def steps_out(root: Path) -> tuple[list[list[str]], list[list[str]]]:
    """What is run before the files go, and after it."""
    if root != ROOT:
        return [["systemctl", f"--root={root}", "disable", UNIT]], []
    return [["systemctl", "disable", "--now", UNIT]], [
        ["systemctl", "daemon-reload"],
        ["udevadm", "control", "--reload"],
    ]


def steps_after_data(root: Path) -> list[list[str]]:
    """What is run when nothing belongs to the gateway's user any more; of the package's it is for the purge to go."""
    return [] if root != ROOT or (root / PACKAGED).exists() else [["userdel", "meterseal"]]


def run(command: Sequence[str]) -> Sentence | None:
    """Run of one step: None, or why it failed. A failed step does not end the others: a machine may lack udev."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return Message("command-not-started", command=command[0], error=os_error(error))
    return None if done.returncode == 0 else (done.stderr.strip() or Message("command-failed", code=done.returncode))


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a gateway has in its state folder, and the id under which it signs."""

    path: Path
    gateway: str
    keys: int
    databases: int
    size: int


def holdings(root: Path) -> Holdings | None:
    """What `uninstall --data` would delete; None: nothing. Raises GatewayError: in use, or of an unknown gateway."""
    state = root / STATE
    if not state.exists():
        return None
    found = [path for path in state.rglob("*") if path.is_file()]
    for path in found:
        if path.name == "meterseal.lock" and (pid := instance_lock.running(path.parent)) is not None:
            raise GatewayError(Message("service-in-use", folder=str(path.parent), pid=pid))
    gateway = _gateway_id(root, found)
    if gateway is None:
        raise GatewayError(Message("service-gateway-unknown", state=str(state)))
    keys = sum(path.suffix == ".pem" for path in found)
    databases = sum(path.name.startswith("meterseal.db") and path.name[-4:] not in ("-wal", "-shm") for path in found)
    return Holdings(state, gateway, keys, databases, sum(path.stat().st_size for path in found))


def _gateway_id(root: Path, found: Iterable[Path]) -> str | None:
    """As the configuration says, else as the enrolment request beside the private keys does."""
    with suppress(OSError, ValueError):
        document = toml_of((root / CONFIG).read_text())
        entry = document.get("gateway")
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            return str(entry["id"])
    for path in found:
        if path.name == REQUEST_FILE:
            with suppress(OSError, VerificationError):
                return parse_request(path.read_bytes()).gateway
    return None


def delete(held: Holdings) -> None:
    """Delete the state folder with all that is in it. Raises GatewayError."""
    try:
        shutil.rmtree(held.path)
    except OSError as error:
        raise GatewayError(Message("service-not-writable", path=str(held.path), error=os_error(error))) from None
