"""Exception hierarchy of the gateway.

GatewayError                 root; its text says what, where and the fix
├── ConfigError              gateway.toml or a file that it names is wrong: the installer's to mend
├── Superseded               a newer epoch has begun in the database: this process has to stop
├── StoreError               the database cannot be read or written: the machine's fault
│   ├── DiskFull             … for want of space
│   ├── Damaged              … it is no sound database any more
│   ├── Unfinished           … within the time that it was given
│   └── StartAgain           … it does not stand where this process left it: only a new start can go on
├── Declined                 the answer is no
│   ├── NotYet               … for now: a record that is not sealed or not anchored yet
│   ├── Pruned               … any more: records that are no longer in the database
│   ├── TooMany              … while so many other lists are written (gateway/api/shapes/portions.py)
│   └── WrongField           … because of one field of a page's form (gateway/dashboard/shell/page.py)
├── ProfileError             a meter's profile is wrong (gateway/devices/points.py)
├── BadTarget                an address that cannot be scanned, or too many (gateway/commissioning/scan/tcp_targets.py)
├── BadScanFile              JSON that is no result of a scan (gateway/commissioning/scan/found.py)
├── NotDelivered             a notification that its receiver did not take (gateway/alarms/notification/outcome.py)
├── Down                     a feed has no connection (gateway/feeds/mqtt_link.py)
├── OfferRefused             a broker refuses what it was only offered (there, too)
├── Refusal                  a request of the HTTP API that is not answered (gateway/api/shapes/problems.py)
├── Problem                  a request of a page that is not answered, with its status (gateway/dashboard/shell/page.py)
├── BadQuery                 an address asks for what there cannot be (gateway/dashboard/shell/time/asked_range.py)
├── NotFound                 a page that there is not (gateway/dashboard/shell/page.py)
├── Busy                     no database reader is free for a page (gateway/dashboard/shell/readers.py)
├── TooOften                 too many wrong passwords (gateway/dashboard/shell/login_limits.py)
└── FieldbusError            ports and frames (gateway/fieldbus/wire/errors.py draws its own branch)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client import messages

if TYPE_CHECKING:  # `meterseal --help` needs the errors, and none of the formats
    from ledger_client.formats.record import Event


class GatewayError(Exception):
    """Refusal or failure that the user reads in place of what was asked: what, where, the fix.

    Made of a message, or of finished English text. ``sentence`` is what another message quotes and what the pages show;
    ``problem`` and ``way_out`` (the fix) are its English; ``message`` is None for a text.
    """

    def __init__(self, message: messages.Sentence, way_out: str = "") -> None:
        super().__init__(message, way_out)
        self.message = message if isinstance(message, messages.Message) else None
        self._text, self._way_out = message, way_out

    @property
    def sentence(self) -> messages.Sentence:
        """The message, or the text without the fix."""
        return self._text

    @property
    def problem(self) -> str:
        """What is wrong, and where, in English."""
        return self._text if isinstance(self._text, str) else self._text.problem

    @property
    def way_out(self) -> str:
        """What to do about it, in English; ``""`` where nothing is known to help."""
        return (self.message.way_out if self.message else "") or self._way_out

    def __str__(self) -> str:
        return f"{self.problem}\n  fix: {self.way_out}" if self.way_out else self.problem


class ConfigError(GatewayError):
    """A configuration that cannot run: the file, the key in it, what is wrong, and the fix. ``what`` is the
    mistake without its place."""

    def __init__(self, file: Path | str, key: str, what: messages.Sentence, way_out: str = "") -> None:
        super().__init__(placed(str(file), key, what), way_out)
        self.file, self.key, self.what = str(file), key, what


def placed(file: str, key: str, what: messages.Sentence) -> messages.Sentence:
    """What is wrong with a key of a file, with its place in front; ``key`` is ``""`` for the whole file."""
    if isinstance(what, str):
        return f"{file}: {key}: {what}" if key else f"{file}: {what}"
    if key:
        return Message("config-at", file=file, key=key, what=what)
    return Message("config-at-file", file=file, what=what)


class Superseded(GatewayError):
    """Another gateway has begun a newer epoch in the database. No StoreError: trying again would fork the records."""


class StoreError(GatewayError):
    """The database failed; ``reason`` is the coverage reason that polls are counted under meanwhile."""

    reason = "disk-error"


class DiskFull(StoreError):
    """No space left for the database."""

    reason = "disk-full"


class Damaged(StoreError):
    """The file is not a sound database."""


class Unfinished(StoreError):
    """The database could not be looked through in the time that there was."""


class StartAgain(StoreError):
    """The database is sound and ours, and does not stand where this process left it.

    ``waiting``: (meter, event) of all that happened and is not in it; the next start is to write them.
    """

    def __init__(
        self, message: messages.Sentence, way_out: str = "", waiting: Sequence[tuple[str, Event]] = ()
    ) -> None:
        super().__init__(message, way_out)
        self.waiting = list(waiting)


class Declined(GatewayError):
    """What was asked is possible, and the answer is no; commands leave with 1 instead of 2."""


class NotYet(Declined):
    """What was asked for does not exist yet, but will without anyone's help."""


class Pruned(Declined):
    """What was asked for was in the database once."""


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Writing to the path that a user gave. Raises GatewayError for what the system says against it."""
    try:
        yield
    except OSError as error:
        raise GatewayError(Message("output-not-writable", path=str(path), error=os_error(error))) from None


def first_error(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first exception in a group, at any depth: of a TaskGroup the one that cancelled the other tasks."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
