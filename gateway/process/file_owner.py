"""File owner: files that root creates in a gateway's folder get the owner of that folder."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error


def as_its_folder(path: Path) -> None:
    """Change of owner: what root has just created gets the owner of its folder. Raises OSError."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def is_there(path: Path) -> bool:
    """Whether the file exists. Raises GatewayError where this user has no permission to know."""
    try:
        return path.exists()
    except PermissionError as error:
        raise GatewayError(Message("user-not-owner", path=str(path), error=os_error(error))) from None


def demand_folder(path: Path, key: str) -> None:
    """Check of a folder that ``key`` in [gateway] names: it exists as a folder, or not yet. Raises GatewayError."""
    if is_there(path) and not path.is_dir():
        raise GatewayError(Message("folder-is-file", path=str(path), key=key))
