"""Log setup: one line per event, as journald fields, prefixed text, plain text or JSON.

To journald it goes as fields (systemd.io/JOURNAL_NATIVE_PROTOCOL), to a manager without a journal with the priority in
front (sd-daemon(3)), else as text; `--log json` gives one object a line. What is about a line, a meter, a ledger or a
feed says so in ``extra``: ``log.warning("…", extra={"line": name})``. Foreign text cannot begin a line of its own.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Literal, TextIO

from gateway.process.log_dedup import Repeats
from ledger_client.log_lines import one_line, printable
from ledger_client.messages import Message

Form = Literal["auto", "text", "json"]
FORMS: tuple[Form, ...] = ("auto", "text", "json")

JOURNAL = Path("/run/systemd/journal/socket")
IDENTIFIER = "meterseal"
FIELDS = ("code", "line", "meter", "ledger", "feed", "message_code")
"""What an event may be about, as ``extra`` and in JSON; in the journal ``METERSEAL_CODE`` and so on. ``message_code``
is that of the first message, or of the first error made of one, among the record's arguments."""
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
MOST_CHARACTERS = 8000
"""Of a message or traceback: a datagram that is too long would be lost as a whole."""

_LOGIN = re.compile(r"(://)[^\s/@]+@")


def start(form: Form, *, verbose: bool, stream: TextIO | None = None) -> None:
    """Setup of the log of this process; nothing is changed where the program that it is a part of has set up its own.

    Args:
        form: text, JSON, or by what ``stream`` is.
        verbose: debug lines, too.
        stream: standard error by default; where it leads to the journal, lines go there as fields.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    stream = stream or sys.stderr
    handler = _handler(form, stream)
    repeats = Repeats(handler)
    handler.addFilter(repeats)
    atexit.register(repeats.flush)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _handler(form: Form, stream: TextIO) -> logging.Handler:
    handler: logging.Handler = logging.StreamHandler(stream)
    if form == "json":
        handler.setFormatter(Json())
    elif form == "text" or not leads_to_journal(stream):
        handler.setFormatter(Text())
    elif JOURNAL.exists():
        return Journal(JOURNAL, stream)
    else:
        handler.setFormatter(Prefixed())
    return handler


def leads_to_journal(stream: TextIO) -> bool:
    """Whether the service manager has connected this very stream with its log (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        there = os.fstat(stream.fileno())
        return (there.st_dev, there.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


def message_of(record: logging.LogRecord) -> str:
    """The record's message as one line: what is not printable is escaped, a login in a URL left out."""
    return one_line(_LOGIN.sub(r"\1", record.getMessage()))[:MOST_CHARACTERS]


def traceback_of(record: logging.LogRecord) -> str | None:
    """The traceback that belongs to it, in lines; its end matters most."""
    if not record.exc_info:
        return None
    lines = logging.Formatter().formatException(record.exc_info)[-MOST_CHARACTERS:].split("\n")
    return "\n".join(map(printable, lines))


def about(record: logging.LogRecord) -> dict[str, str]:
    """Subject of the event: fields of ``FIELDS`` that it has."""
    found = {field: getattr(record, field, None) for field in FIELDS}
    if found["message_code"] is None:
        found["message_code"] = _message_code(record)
    return {field: printable(str(value)) for field, value in found.items() if value is not None}


def _message_code(record: logging.LogRecord) -> str | None:
    arguments = record.args if isinstance(record.args, tuple) else ()
    messages = (getattr(argument, "message", argument) for argument in arguments)
    return next((message.code for message in messages if isinstance(message, Message)), None)


def priority(record: logging.LogRecord) -> int:
    """The priority of syslog(3)."""
    return next((number for level, number in PRIORITIES if record.levelno >= level), 7)


class Text(logging.Formatter):
    """For people: time, level, message. A traceback, which only a mistake of ours has, follows on the same line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return f"{self.formatTime(record)} {record.levelname} {self.line(record)}"

    def line(self, record: logging.LogRecord) -> str:
        """The line without time and level."""
        traceback = traceback_of(record)
        return message_of(record) + (" | " + " | ".join(traceback.split("\n")) if traceback else "")


class Prefixed(Text):
    """For a service manager: the priority in front, and no time, for that is noted there."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return f"<{priority(record)}>{self.line(record)}"


class Json(logging.Formatter):
    """For programs: one object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line. Times are UTC, in ms."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        fields |= {"part": record.name, "message": message_of(record)} | about(record)
        if (traceback := traceback_of(record)) is not None:
            fields["traceback"] = traceback
        return json.dumps(fields, ensure_ascii=False)


class Journal(logging.Handler):
    """Handler that sends fields to journald. It never blocks: what a stopped journal refuses goes to the stream."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        super().__init__()
        self._path, self._fallback = path, logging.StreamHandler(stream)
        self._fallback.setFormatter(Prefixed())
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """One datagram."""
        try:
            self._socket.sendto(entry(record), str(self._path))
        except OSError:
            self._fallback.emit(record)
        except Exception:  # a line that cannot be made must not end the caller
            self.handleError(record)

    def close(self) -> None:
        """No more."""
        self._socket.close()
        super().close()


def entry(record: logging.LogRecord) -> bytes:
    """The datagram of an event in journald's native protocol."""
    fields = {
        "MESSAGE": message_of(record),
        "PRIORITY": str(priority(record)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "METERSEAL_PART": record.name,
    }
    fields |= {f"METERSEAL_{name.upper()}": value for name, value in about(record).items()}
    if (traceback := traceback_of(record)) is not None:
        fields["METERSEAL_TRACEBACK"] = traceback
    return b"".join(_field(name, value.encode(errors="replace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
