"""Whose a new file is: what root makes in the folder of a gateway that runs as another user is that user's."""

from __future__ import annotations

import os
from pathlib import Path


def as_its_folder(path: Path) -> None:
    """Give a file or folder that root has just made to whom its folder belongs. Raises OSError."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
