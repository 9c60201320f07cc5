"""Files that others find whole or not at all, whenever they look."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from firmware_sim.errors import WireError


@contextmanager
def whole_file(path: Path, option: str) -> Iterator[TextIO]:
    """A file for UTF-8 that takes the place of ``path`` at the end of the block, if that raises nothing. Raises
    ``WireError``, which names the ``option`` of the command that it was given by."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8", newline="") as file:
            yield file
        fresh.replace(path)
    except OSError as error:
        raise WireError(
            f"{path}: {error.strerror}", f"set {option} to a file in an existing folder that you can write to"
        ) from None
    finally:
        with suppress(OSError):
            fresh.unlink()
