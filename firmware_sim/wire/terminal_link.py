"""Links to pseudo-terminals: published in one step, never over anything else."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from firmware_sim.errors import WireError


def publish(path: Path, terminal: str) -> None:
    """Make the path lead to a terminal, in place of a link that was there. Raises ``WireError``."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.symlink_to(terminal)
        fresh.replace(path)
    except OSError as error:
        raise WireError(
            f"{path}: {error.strerror}",
            "set port of the bus to a path in an existing folder that you can write to",
        ) from None


def refuse_taken(path: Path) -> None:
    """``WireError`` unless the path is free or a link that a dead simulator left behind, which is taken away. Its
    terminal is gone, or is another one by now: numbers are given again, and a terminal is there before its link."""
    if not path.is_symlink():
        if path.exists():
            raise WireError(
                f"{path}: already exists and is not a link to a terminal",
                "move it away, or set another port for the bus",
            )
        return
    is_another = path.is_char_device() and path.stat().st_ctime_ns > path.lstat().st_mtime_ns
    if path.exists() and not is_another:
        target = os.readlink(path)
        served = _server_of(target) or "in use"
        raise WireError(
            f"{path}: leads to {target}, which is {served}", "stop that process, or set another port for the bus"
        )
    path.unlink()


def _server_of(terminal: str) -> str:
    """Who serves a pseudo-terminal, as far as /proc tells: 'served by process 12 (command)', or nothing."""
    number = f"tty-index:\t{Path(terminal).name}\n"
    for fd in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):
            if number in fd.read_text():
                command = (fd.parents[1] / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return f"served by process {fd.parents[1].name} ({command})"
    return ""
