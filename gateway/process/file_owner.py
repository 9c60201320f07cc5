"""File owner: files that root creates in a gateway's folder get the owner of that folder."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

OWN_USER = "use the gateway's own user or root (sudo), or check who may enter the folder"


def as_its_folder(path: Path) -> None:
    """Give a file or folder that root has just made to whom its folder belongs. Raises OSError."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def is_there(path: Path) -> bool:
    """Whether there is such a file. Raises GatewayError where this user may not look: "no" would be a guess then."""
    try:
        return path.exists()
    except PermissionError as error:
        raise GatewayError(Message("user-not-owner", path=str(path), error=os_error(error))) from None


def demand_folder(path: Path, key: str) -> None:
    """Raise GatewayError where something else than a folder has the name that ``key`` of gateway.toml gives."""
    if is_there(path) and not path.is_dir():
        raise GatewayError(Message("folder-is-file", path=str(path), key=key))
