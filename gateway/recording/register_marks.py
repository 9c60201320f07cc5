"""Register marks: which readings matter for registers, noted in the commit that brings them (docs/accounting.md).

Readings of a meter fall into runs in which all are looks of a counter, or none is, whatever a profile accepts: same
units, same quality, same clock, times that go on, registers that do not fall, no event in between. Marked are the first
and the last of each run, and within one the two beside each quarter of an hour. What lies between decides no edge (I2)
and no break (I4).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import StoreError
from gateway.records import CONFIGURATION, GATEWAY, SignedRecord
from gateway.storage.database import Database
from gateway.storage.marks import Marks
from gateway.storage.record_reader import read_body
from ledger_client.formats.record import EXCHANGE, Event
from ledger_client.formats.senml import Number, Quality, Reading

log = logging.getLogger("meterseal.recorder")

QUARTER_MS: Final = 900_000
_BREAKS: Final = int(Quality.ROLLOVER | Quality.COUNTER_RESET | Quality.METER_EXCHANGED)
"""Bits of a reading that is a run of its own: each of them breaks the line, also behind another one."""

_Value = tuple[str, Any, int]
"""A counter's name, value, time."""


@dataclass(slots=True)
class _Run:
    """Of a meter: its last reading, and the run that it belongs to (``form`` None: the next begins one)."""

    place: int
    form: tuple[Any, ...] | None
    values: list[_Value]
    latest_ms: dict[str, int]


class RegisterMarks:
    """Writer thread only."""

    def __init__(self, store: Database, counters: Mapping[str, Iterable[str]]) -> None:
        self._store, self._marks = store, Marks(store)
        self._counters: Mapping[str, Iterable[str]] = dict(counters)
        self._runs: dict[str, _Run] = {}
        self._coming: Mapping[str, Iterable[str]] | None = None
        self._failed = False

    def change(self, counters: Mapping[str, Iterable[str]]) -> None:
        """Another configuration comes with the next commit, which has no readings."""
        self._coming = dict(counters)

    def begin(self) -> None:
        """Mark readings from the next record on. Call within ``transaction()``."""
        self._marks.begin(self._counters, self._store.records.last_place() + 1)

    def write(self, signed: Sequence[SignedRecord]) -> None:
        """Mark what matters of records that are about to be appended. Call within the ``transaction()`` that appends
        them, before they are. Raises StoreError; any other mistake ends marking, and nothing else."""
        if self._failed:
            return
        try:
            self._write(signed)
        except StoreError:
            raise
        except Exception:
            log.exception("marking of registers has stopped until the next start; recording continues")
            self._failed = True
            self._marks.give_up()

    def _write(self, signed: Sequence[SignedRecord]) -> None:
        first = self._store.records.last_place() + 1
        if self._coming is not None:
            self._marks.begin(self._coming, first)
        marked: set[int] = set()
        for place, one in enumerate(signed, first):
            meter, body = one.row.meter, one.body
            if isinstance(body, Reading):
                if names := self._counters.get(meter):
                    marked.update(self._reading(meter, frozenset(names), body, one.stamp.clock, place))
            elif isinstance(body, Event):
                if body.name == EXCHANGE:
                    self._end(meter)
                elif body.name == CONFIGURATION and meter == GATEWAY:
                    for each in self._runs:
                        self._end(each)
        if marked:
            self._marks.add(sorted(marked))

    def _end(self, meter: str) -> None:
        if (run := self._runs.get(meter)) is not None:
            run.form = None

    def _reading(self, meter: str, names: frozenset[str], body: Reading, clock: str, place: int) -> Iterable[int]:
        """The places that a reading marks: its own, and that of the one before."""
        counters = [value for value in body.values if value[0] in names]
        values = [(name, content, body.time_ms + offset_ms) for name, content, _, _, offset_ms in counters]
        form: tuple[Any, ...] = (
            clock,
            *((name, unit, quality, _is_number(c)) for name, c, unit, quality, _ in counters),
        )
        run = self._runs.get(meter) or self._resumed(meter, names, place)
        late = any(time_ms <= run.latest_ms.get(name, -1) for name, _, time_ms in values)
        begins = late or run.form != form or _falls(run.values, values)
        marked = (run.place, place) if begins or _crosses(run.values, values) else ()
        for name, _, time_ms in values:
            run.latest_ms[name] = max(time_ms, run.latest_ms.get(name, -1))
        alone = late or any(quality & _BREAKS for _, _, _, quality, _ in counters)
        run.place, run.form, run.values = place, None if alone else form, values
        return marked

    def _resumed(self, meter: str, names: frozenset[str], place: int) -> _Run:
        """What the database says of the last reading of a meter, behind a start or a failed commit; of its very first
        one, at ``place``, nothing. Record times do not run backwards, so no reading was later."""
        run, last = _Run(place, None, [], {}), self._marks.last_reading(meter)
        if last is not None:
            run.place, row = last
            body = read_body(row.kind, row.time_ms, row.data)
            assert isinstance(body, Reading)
            run.latest_ms = {v.name: body.time_ms + v.offset_ms for v in body.values if v.name in names}
        return self._runs.setdefault(meter, run)

    def kept(self) -> None:
        """What was written is durable."""
        if self._coming is not None:
            self._counters, self._coming = self._coming, None

    def forget(self) -> None:
        """The transaction failed: the last readings are those of the database, and the configuration stays."""
        self._runs, self._coming = {}, None


def _is_number(content: Any) -> bool:
    return isinstance(content, Number) and not isinstance(content, bool)


def _falls(before: Sequence[_Value], after: Sequence[_Value]) -> bool:
    """Whether a register shows less than before; both are of one form."""
    return any(_is_number(b) and a < b for (_, b, _), (_, a, _) in zip(before, after, strict=True))


def _crosses(before: Sequence[_Value], after: Sequence[_Value]) -> bool:
    """Whether a quarter of an hour begins between the two, or with the later one."""
    return any(b // QUARTER_MS != a // QUARTER_MS for (_, _, b), (_, _, a) in zip(before, after, strict=True))
