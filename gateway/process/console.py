"""The console that text for people is printed on: no colours from brackets, no pictures from colons."""

from __future__ import annotations

import sys
from typing import IO

from rich.console import Console


def console(file: IO[str] | None = None, *, stderr: bool = False) -> Console:
    """Where words for people go, as they are: rich would take `[…]` in a name for a colour, and `:AB:` in a
    fingerprint for a picture."""
    width = None if sys.stdout.isatty() else 160
    return Console(file=file, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)
