"""Audit of coverage: it exists, tiles time, and counts the readings that exist. No I/O.

A coverage record says of one meter and [from, to): so many polls were due, so many gave a reading, so many were missed,
by reason. It is what makes a missing reading visible, and an audit takes it at its word only where it can be checked:

1. Each epoch of a meter begins with a coverage record, and each begins where the one before ended. A hole would be time
   in which nothing had to be read; an overlap would count polls twice.
2. It counts the readings since the coverage record before it, in the order of ``seq``. The chain (chain.py) shows that
   no reading in between is missing; so its ``recorded`` must be their number. None of them is dated
   before it begins or after it was signed.
3. It does not extend beyond its signing: nobody knows yet what will be missed.
4. Each configured meter has one in every batch. Without that a meter could fall silent by no longer being covered.
5. What was due is not checked here. due_polls.py recounts it from the announced grids, and due_slots.py checks which
   polls the readings answer. An ``Interval`` is what those two need of one coverage record.
6. Around lost records (a batch that says ``resume``, a gap in a meter's chain) 1, 2 and 4 cannot be demanded, and what
   is missing is found under the step ``resume``. If a meter goes on from an older record because a database was put
   back, its time may be covered twice: what was anchored first is counted.
7. Where batches are missing nothing is known of what was before, and 1 and 2 begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger_client.audit.chain import Step
from ledger_client.audit.records import Fact, Name
from ledger_client.audit.result import COVERAGE, Audit
from ledger_client.audit.times import SECOND_MS
from ledger_client.formats.record import GATEWAY_ITSELF, Coverage
from ledger_client.times import rfc3339, rfc3339_ms


class Interval(NamedTuple):
    """A coverage record, to be counted again at the end of its batch.

    Attributes:
        name, body, clock: which record, its contents, the clock letter of its claims.
        counted_to_ms: until when its time was covered, and counted, before a database was put back (0: none of it was).
        readings: how many of its readings lie in the files.
        moments_ms: times of those that are not LATE, in order; None: not all that it counts are there.
        times_ms: times of all that are there.
    """

    name: Name
    body: Coverage
    clock: str
    counted_to_ms: int
    readings: int
    moments_ms: tuple[int, ...] | None
    times_ms: tuple[int, ...] = ()

    @property
    def first(self) -> bool:
        return self.name.seq == 0


@dataclass(slots=True)
class _Span:
    """One meter: the end of its coverage (None: not known); the readings since then, the earliest and the latest of
    them (``sure``: all of them are there); until when its time was covered before a database was put back."""

    covered_to_ms: int | None = None
    readings: int = 0
    sure: bool = False
    earliest: tuple[int, Name] | None = None
    latest: tuple[int, Name] | None = None
    broken: bool = False
    counted_to_ms: int = 0
    moments_ms: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Coverages:
    """The coverage of one gateway's meters, in order."""

    result: Audit
    _spans: dict[str, _Span] = field(default_factory=dict)
    _batch: set[str] = field(default_factory=set)
    _broken: set[str] = field(default_factory=set)

    def begin_anew(self) -> None:
        """Batches are missing: nothing is known of what was before."""
        self._spans = {}

    def record(self, fact: Fact, name: Name, step: Step) -> Interval | None:
        """The next record of a meter, and how it follows; gives the interval of a coverage record, to be recounted."""
        if name.meter == GATEWAY_ITSELF:
            return None
        span = self._spans.get(name.meter)
        if span is None:
            span = self._spans[name.meter] = _Span()
        if step is Step.FIRST:
            span.sure = fact.prev is None
            self.result.account(name.meter).begins |= span.sure
        elif step is not Step.NEXT:
            self._lose(span, name, step)
        if fact.coverage is not None:
            return self._covered(fact, fact.coverage, name, span)
        if name.seq == 0:
            self.result.found(COVERAGE, name, "the first record of an epoch is a coverage record, and this is none")
        if fact.kind == "reading":
            self.result.account(name.meter).readings += 1
            span.readings += 1
            span.times_ms.append(fact.time_ms)
            if not fact.late:
                span.moments_ms.append(fact.time_ms)
            moment = fact.time_ms, name
            if span.earliest is None or moment[0] < span.earliest[0]:
                span.earliest = moment
            if span.latest is None or moment[0] > span.latest[0]:
                span.latest = moment
        return None

    def _lose(self, span: _Span, name: Name, step: Step) -> None:
        """Records are missing: the readings since the last coverage are not known, and their time may be a hole."""
        self._broken.add(name.meter)
        span.broken, span.sure = True, False
        if step is Step.OLDER:
            span.counted_to_ms = max(span.counted_to_ms, span.covered_to_ms or 0)
            span.readings, span.earliest, span.latest, span.moments_ms, span.times_ms = 0, None, None, [], []

    def _covered(self, fact: Fact, body: Coverage, name: Name, span: _Span) -> Interval:
        self._batch.add(name.meter)
        self._tile(body, name, span)
        if span.sure and body.recorded != span.readings:
            text = f"it counts {body.recorded} readings as recorded, and there are {span.readings}"
            self.result.found(COVERAGE, name, text)
        self._ends(fact, body, name)
        self._holds_its_readings(fact, body, span)
        moments = tuple(span.moments_ms) if span.sure else None
        interval = Interval(name, body, fact.clock, span.counted_to_ms, span.readings, moments, tuple(span.times_ms))
        span.covered_to_ms, span.readings, span.sure, span.broken = body.to_ms, 0, True, False
        span.moments_ms, span.times_ms = [], []
        span.earliest = span.latest = None
        return interval

    def _tile(self, body: Coverage, name: Name, span: _Span) -> None:
        ended_ms = span.covered_to_ms
        if body.from_ms < span.counted_to_ms:
            again = body.from_ms, min(body.to_ms, span.counted_to_ms)
            if again[0] < again[1]:
                self.result.account(name.meter).covered_twice.append(again)
                self.result.resumed(
                    name, f"{_time(*again)} is told twice; counted as it was anchored first", again[1] - again[0]
                )
        if ended_ms is None or body.from_ms == ended_ms:
            return
        begins, ended = rfc3339_ms(body.from_ms), rfc3339_ms(ended_ms)
        if not span.broken:
            what = "a hole" if body.from_ms > ended_ms else "an overlap"
            self.result.found(COVERAGE, name, f"{what}: it begins at {begins}, the one before ends at {ended}")
        elif body.from_ms > ended_ms:
            self.result.resumed(
                name, f"{_time(ended_ms, body.from_ms)} is told by no record: it was lost", body.from_ms - ended_ms
            )

    def _ends(self, fact: Fact, body: Coverage, name: Name) -> None:
        """Coverage does not extend beyond its own signing; a grid may be 100 ms off the clock."""
        if body.to_ms > (fact.iat + 2) * SECOND_MS:
            text = f"it covers the time until {rfc3339_ms(body.to_ms)}, and was signed at {rfc3339(fact.iat)}"
            self.result.found(COVERAGE, name, text)

    def _holds_its_readings(self, fact: Fact, body: Coverage, span: _Span) -> None:
        """No reading is dated before the interval that counts it, or after the coverage was signed."""
        if span.earliest is not None and span.earliest[0] < body.from_ms - SECOND_MS:
            time_ms, name = span.earliest
            text = f"its time {rfc3339_ms(time_ms)} is before {rfc3339_ms(body.from_ms)}, where its coverage begins"
            self.result.found(COVERAGE, name, text)
        if span.latest is not None and span.latest[0] >= (fact.iat + 1) * SECOND_MS:
            time_ms, name = span.latest
            text = f"its time {rfc3339_ms(time_ms)} is after {rfc3339(fact.iat)}, when its coverage was signed"
            self.result.found(COVERAGE, name, text)

    def end_batch(self, configured: Iterable[str], *, resume: bool) -> None:
        """Each configured meter has one in the batch; where records were lost, under ``resume``, it may be lost too."""
        for meter in sorted(configured):
            if meter in self._batch:
                continue
            text = f"it holds no coverage record of meter {meter}, which is configured"
            if resume or meter in self._broken:
                self.result.resumed(None, text)
            else:
                self.result.found(COVERAGE, None, text)
        self._batch, self._broken = set(), set()

    def covered_to_ms(self, meter: str) -> int | None:
        """The end of a meter's coverage; None where it has none."""
        span = self._spans.get(meter)
        return span.covered_to_ms if span else None


def _time(from_ms: int, to_ms: int) -> str:
    return f"the time from {rfc3339_ms(from_ms)} to {rfc3339_ms(to_ms)}"
