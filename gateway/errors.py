"""Exception hierarchy of the gateway.

GatewayError                 root; its text says what, where and the way out
├── ConfigError              gateway.toml or a file that it names is wrong: the installer's to mend
├── Superseded               a newer epoch has begun in the database: this process has to stop
├── StoreError               the database cannot be read or written: the machine's fault
│   ├── DiskFull             … for want of space
│   ├── Damaged              … it is no sound database any more
│   ├── Unfinished           … within the time that it was given
│   └── StartAgain           … it does not stand where this process left it: only a new start can go on
├── Declined                 the answer is no
│   └── NotYet               … for now: a record that is not sealed or not anchored yet
├── ProfileError             a meter's profile is wrong (gateway/devices/points.py)
└── FieldbusError            ports and frames (gateway/fieldbus/modbus/errors.py draws its own branch)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ledger_client.formats.record import Event


class GatewayError(Exception):
    """Anything that the gateway tells its user instead of doing what was asked: what, where, the way out."""

    def __init__(self, problem: str, way_out: str = "") -> None:
        super().__init__(f"{problem}\n  way out: {way_out}" if way_out else problem)
        self.problem, self.way_out = problem, way_out


class ConfigError(GatewayError):
    """A configuration that cannot run: the file, the key in it, what is wrong, and the way out."""

    def __init__(self, file: Path | str, key: str, problem: str, way_out: str) -> None:
        super().__init__(f"{file}: {key}: {problem}" if key else f"{file}: {problem}", way_out)
        self.file, self.key = str(file), key


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

    def __init__(self, problem: str, way_out: str, waiting: Sequence[tuple[str, Event]] = ()) -> None:
        super().__init__(problem, way_out)
        self.waiting = list(waiting)


class Declined(GatewayError):
    """What was asked is possible, and the answer is no; commands leave with 1 instead of 2."""


class NotYet(Declined):
    """What was asked for does not exist yet, but will without anyone's help."""


def first_error(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first exception in a group, at any depth: of a TaskGroup the one that cancelled the other tasks."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
