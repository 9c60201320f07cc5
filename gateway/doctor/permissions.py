"""Doctor check of file permissions: data folder and private keys."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from gateway.doctor.finding import CheckContext, Finding


def permissions(case: CheckContext) -> Iterator[Finding]:
    """Whether this user may write the data, and nobody else may read the keys."""
    name, data, config = "permissions", case.config.data, case.config
    user = _user(os.geteuid())
    found = []
    if not data.exists():
        if not os.access(case.folder, os.W_OK | os.X_OK):
            text = f"{data} is not there, and {user} cannot make it in {case.folder}"
            found.append(Finding(name, "bad", text, f"make it, and give it to the gateway's user: chown {user} {data}"))
    else:
        if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            text = f"{user} may not write in {data}, which belongs to {_owner(data)}"
            found.append(Finding(name, "bad", text, f"use the gateway's own user, or: chown -R {user} {data}"))
        owners = {_owner(path) for path in [data, *data.glob("meterseal.*")]}
        if len(owners) > 1:
            text = f"the files in {data} belong to several users ({', '.join(sorted(owners))}), who keep each other out"
            found.append(Finding(name, "warn", text, f"give them to the gateway's user: chown -R USER {data}"))
    if config.keys.is_dir() and (mode := config.keys.stat().st_mode & 0o777) & 0o022:
        text = f"{config.keys} has mode {mode:04o}: others can replace the private keys in it"
        found.append(Finding(name, "bad", text, f"chmod 700 {config.keys}"))
    yield from found or [Finding(name, "ok", f"{user} may write in {data}, and only its owner in {config.keys}")]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(path: Path) -> str:
    return _user(path.stat().st_uid)
