"""Lines of a log: what others wrote neither ends a line, nor steers a terminal, nor changes the order of its text.

A name or topic of a foreign hand may bear controls, line ends, and bidirectional overrides (UAX #9), by which a line
reads as another one. Whatever Unicode does not call printable is shown as its escape.
"""

from __future__ import annotations

import logging
import sys

_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FIX = "\n  fix: "


def printable(text: str) -> str:
    """The text with every character that is not printable (``str.isprintable``) as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """A message as one line that is ``printable``; the way out of our own errors follows behind a semicolon."""
    return printable(text.replace(_FIX, "; fix: "))


class OneLine(logging.Formatter):
    """Time, level, part, message; a traceback, which only a mistake of ours has, follows in lines of its own."""

    def __init__(self) -> None:
        super().__init__(_FORM)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """The lines of a traceback; a foreign text in them begins none."""
        lines = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(map(printable, lines.split("\n")))


def start() -> None:
    """Setup of the log of a ledger or a bridge, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("meterseal").setLevel(logging.INFO)
