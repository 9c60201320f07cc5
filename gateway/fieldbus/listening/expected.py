"""Expected messages of a meter that speaks unasked: which are due, and which are missed. Pure: times are arguments, in
ms of the schedule's clock.

Two ways of counting, by the kind of source. Of a *state* (P1, SML, an overheard line) polls are due on a grid, as those
of a meter that is asked. Of a *series* (HJ 212) every message is a record, due by arriving, and one is expected
``every`` after the last moment. In either way due = records + misses, and whoever holds the record times and ``every``
can count them again.
"""

from __future__ import annotations

from typing import Protocol

from ledger_client.recording_series import misses


class Expected(Protocol):
    """The due messages of one meter."""

    @property
    def ends_ms(self) -> int:
        """When the present wait ends in a miss."""

    def missed(self, now_ms: int) -> list[int]:
        """The due times of the messages that were waited for in vain until now; each is given once."""

    def heard(self, at_ms: int, *, late: bool = False) -> int | None:
        """A message came: the due time of the poll that it is, None where it is none. Call ``missed`` with the same
        time before. ``late``: it tells of an older time, as one that is uploaded after an outage."""


class State:
    """Polls due at ``anchor_ms`` + k × ``every_ms``. The first message in [due, due + every) is the poll, others are
    passed over; where none comes it is missed. ``from_ms``: polls due before it belong to an earlier schedule."""

    def __init__(self, every_ms: int, anchor_ms: int, from_ms: int | None = None) -> None:
        begin_ms = anchor_ms if from_ms is None else from_ms
        self._every_ms, self._due_ms = every_ms, begin_ms + (anchor_ms - begin_ms) % every_ms

    @property
    def ends_ms(self) -> int:
        """When the present wait ends in a miss."""
        return self._due_ms + self._every_ms

    def missed(self, now_ms: int) -> list[int]:
        """The due times of the polls that no message came for."""
        n = max(0, (now_ms - self._due_ms) // self._every_ms)
        due = [self._due_ms + k * self._every_ms for k in range(n)]
        self._due_ms += n * self._every_ms
        return due

    def heard(self, at_ms: int, *, late: bool = False) -> int | None:
        """The poll that a message is; None: another one was it before, or none is due yet."""
        if at_ms < self._due_ms:
            return None
        self._due_ms += self._every_ms
        return self._due_ms - self._every_ms


class Series:
    """Every message is a record. Besides, one is expected ``every_ms`` after the last moment (of a record that is not
    late, or of a miss); where none has come 1.5 × ``every_ms`` after it, that one is missed, and its moment counts.

    So drift, and jitter of less than half a period, cost nothing, and a logger that is faster only adds.

    Args:
        anchor_ms: the first moment of a meter without a past.
        last_ms: the last moment that the database knows. Misses that were certain by the anchor are not given here:
            they are of the time before, and whoever begins the epoch counts them.
    """

    def __init__(self, every_ms: int, anchor_ms: int, last_ms: int | None = None) -> None:
        self._every_ms = every_ms
        self._last_ms = anchor_ms if last_ms is None else last_ms
        self._last_ms += misses(every_ms, self._last_ms, anchor_ms) * every_ms

    @property
    def ends_ms(self) -> int:
        """When the present wait ends in a miss."""
        return self._last_ms + (3 * self._every_ms + 1) // 2

    def missed(self, now_ms: int) -> list[int]:
        """The moments at which a message was expected that did not come."""
        n = misses(self._every_ms, self._last_ms, now_ms)
        due = [self._last_ms + k * self._every_ms for k in range(1, n + 1)]
        self._last_ms += n * self._every_ms
        return due

    def heard(self, at_ms: int, *, late: bool = False) -> int | None:
        """``at_ms``: a message of a series is due by arriving."""
        if not late:
            self._last_ms = max(self._last_ms, at_ms)
        return at_ms
