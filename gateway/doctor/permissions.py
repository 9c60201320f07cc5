"""Doctor check of file permissions: data folder and private keys."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from gateway.doctor.check import CheckContext, Finding
from gateway.messages.message import Message


def permissions(case: CheckContext) -> Iterator[Finding]:
    """Check that this user may write the data, and that others may not write the keys."""
    name, data, config = "permissions", case.config.data, case.config
    user = _user(os.geteuid())
    found = []
    if not data.exists():
        if not os.access(case.folder, os.W_OK | os.X_OK):
            missing = Message("data-folder-missing", data=str(data), user=user, folder=str(case.folder))
            found.append(Finding(name, "bad", missing))
    else:
        if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            closed = Message("data-folder-not-writable", data=str(data), user=user, owner=_owner(data))
            found.append(Finding(name, "bad", closed))
        owners = {_owner(path) for path in [data, *data.glob("meterseal.*")]}
        if len(owners) > 1:
            mixed = Message("data-folder-mixed-owners", data=str(data), users=tuple(sorted(owners)))
            found.append(Finding(name, "warn", mixed))
    if config.keys.is_dir() and (mode := config.keys.stat().st_mode & 0o777) & 0o022:
        octal = f"{mode:04o}"
        found.append(Finding(name, "bad", Message("key-folder-open", keys=str(config.keys), mode=octal)))
    good = Message("permissions-good", user=user, data=str(data), keys=str(config.keys))
    yield from found or [Finding(name, "ok", good)]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(path: Path) -> str:
    return _user(path.stat().st_uid)
