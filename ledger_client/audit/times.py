"""Audit of times: record times by a meter's numbers, and by the uptime of each epoch. No I/O.

Within an epoch record times follow ``up`` by a course, which ``clock`` events change. Says what does not agree, once:
what comes behind is compared with the time that was found wrong. ``Jumps``: how far record times jumped forward, by
``clock`` events, between two moments. ``Delays``: how much later the ledgers had the records.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Final

from ledger_client.audit.events import SLOWED, Correction
from ledger_client.audit.notes import Kind
from ledger_client.audit.records import UNKNOWN, Fact, Name
from ledger_client.audit.result import TIMES, Audit
from ledger_client.errors import STEPS
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.record import Record
from ledger_client.times import rfc3339, rfc3339_ms, span_in_words
from ledger_client.verification.vouching import TOLERANCE_S

AGREE_MS: Final = 2000
"""How far iat and up may drift apart between two clock events, and a moment be off the event that it belongs to."""
FULL: Final = 10
SECOND_MS: Final = 1000  # ``iat`` is in whole seconds; a due time may be 100 ms off the clock
MOST_NEAR: Final = 100  # clock events within a second
LATEST: Final = 10
"""Of so many batches at the end the least lag counts: batches that waited for a ledger are no lagging clock."""
LATENESS_MS: Final = 60_000  # how much later than its period a reading may be signed


@dataclass(slots=True)
class _Sums:
    """Sizes by moment, summed up as far as they are asked for."""

    moments_ms: list[tuple[int, int]] = field(default_factory=list)
    _sums_ms: list[int] = field(default_factory=lambda: [0])

    def add(self, moment_ms: int, size_ms: int) -> None:
        entry = moment_ms, size_ms
        if not self.moments_ms or self.moments_ms[-1] <= entry:  # nearly always
            self.moments_ms.append(entry)
            self._sums_ms.append(self._sums_ms[-1] + size_ms)
        else:
            insort(self.moments_ms, entry)
            self._sums_ms = [0, *accumulate(size for _, size in self.moments_ms)]

    def before(self, moment_ms: int) -> int:
        return self._sums_ms[bisect_left(self.moments_ms, (moment_ms, 0))]


@dataclass(slots=True)
class Jumps:
    """The jumps of one gateway, in any order."""

    _begun: _Sums = field(default_factory=_Sums)
    _over: _Sums = field(default_factory=_Sums)

    def add(self, before_ms: int, after_ms: int) -> None:
        """Record times went from one moment to another one at once."""
        self._begun.add(before_ms, after_ms - before_ms)
        self._over.add(after_ms, after_ms - before_ms)

    def between(self, from_ms: int, to_ms: int) -> int:
        """By how much record times jumped from one moment to another."""
        return max(0, self._over.before(to_ms + AGREE_MS + 1) - self._begun.before(from_ms - AGREE_MS))

    def same_until(self, from_ms: int) -> int | None:
        """The last moment from which as many jumps count as from this one; None: it is the same from all later ones."""
        place = bisect_left(self._begun.moments_ms, (from_ms - AGREE_MS, 0))
        return self._begun.moments_ms[place][0] + AGREE_MS if place < len(self._begun.moments_ms) else None


@dataclass(slots=True)
class _Stretch:
    """Between two clock events: ``offsets`` of record times less ``up`` at each speed (in tenths) that fits so far, as
    (least, greatest) in tenths of a ms."""

    up_ms: int
    offsets: dict[int, tuple[int, int] | None]

    def fits(self, iat: int, up_ms: int) -> bool:
        """Whether a record goes on alike; it is then part of what the next is compared with."""
        if len(self.offsets) == 1:  # nearly always
            ((speed, known),) = self.offsets.items()
            offset = iat * SECOND_MS * FULL - up_ms * speed
            if known is not None and known[0] <= offset <= known[1]:
                return True
        fitting: dict[int, tuple[int, int] | None] = {}
        for speed, known in self.offsets.items():
            offset = iat * SECOND_MS * FULL - up_ms * speed
            low, high = (offset, offset) if known is None else (min(known[0], offset), max(known[1], offset))
            if high - low <= AGREE_MS * FULL:
                fitting[speed] = low, high
        if fitting:
            self.offsets = fitting
        return bool(fitting)

    def begin_anew(self, iat: int, up_ms: int) -> None:
        """What comes is compared with this record."""
        self.offsets = {s: (o := iat * SECOND_MS * FULL - up_ms * s, o) for s in self.offsets}


@dataclass(slots=True)
class _Line:
    """Along one meter's numbers: its epoch, the last ``up`` and ``iat`` of it, the latest reading."""

    epoch: bytes
    up_ms: int = 0
    iat: int = 0
    latest_ms: int = 0


@dataclass(slots=True)
class Times:
    """The times of one gateway's records, in order."""

    result: Audit
    _lines: dict[str, _Line] = field(default_factory=dict)
    _courses: dict[bytes, list[_Stretch]] = field(default_factory=dict)
    jumps: Jumps = field(default_factory=Jumps)
    _set_forward_ms: list[int] = field(default_factory=list)
    """Jumps of a clock that was known: of one that dates its epoch the event tells what was due."""
    _begun_ms: dict[bytes, int] = field(default_factory=dict)
    """When each epoch began at the latest: by the ledgers' time of a record, less its ``up``."""

    def begin_anew(self) -> None:
        """Batches are missing, and clock events with them."""
        self._lines, self._courses = {}, {}

    def end(self) -> None:
        """All batches were seen: note the time that the clock jumped over, in which nothing was due."""
        if self._set_forward_ms:
            total, most = span_in_words(sum(self._set_forward_ms)), span_in_words(max(self._set_forward_ms))
            text = f"the clock was set forward by {total}, at once by {most} at most: nothing was due"
            self.result.noted(text, Kind.CLOCK)

    def forget(self, meter: str) -> None:
        """A meter's numbers go on from an older record: the times of later ones no longer precede what comes."""
        self._lines.pop(meter, None)

    def record(self, fact: Fact, name: Name, period_ms: int | None, until: int | None) -> None:
        """The next record; ``period_ms``: of its meter's polls, where known; ``until``: its batch's T (Unix s)."""
        iat, up_ms = fact.iat, fact.up_ms
        line = self._lines.get(name.meter)
        if line is None or line.epoch != name.epoch:
            line = self._begin(name, line)
        elif up_ms < line.up_ms or iat < line.iat:
            what = f"up falls from {line.up_ms} to {up_ms} ms" if up_ms < line.up_ms else "iat falls"
            self.result.found(TIMES, name, f"{what}: the times of an epoch never run backwards")
        line.up_ms, line.iat = up_ms, iat
        self._agree(fact, name)
        if until is not None:
            self._beside_ledgers(name, iat, up_ms, until)
        if fact.kind == "reading":
            self._reading(fact, name, line, period_ms)

    def _beside_ledgers(self, name: Name, iat: int, up_ms: int, until: int) -> None:
        """What a ledger had at ``until`` was signed before, and so was what the epoch signed earlier, by ``up``."""
        begun_ms = self._begun_ms.get(name.epoch, MAX_TIME_MS)
        if iat > until + TOLERANCE_S:
            detail = f"it was signed at {rfc3339(iat)}, its batch was on a ledger at {rfc3339(until)}"
            self.result.found(STEPS[7], name, detail)
        elif iat * SECOND_MS - up_ms > begun_ms + TOLERANCE_S * SECOND_MS:
            latest = rfc3339(max(0, begun_ms + up_ms) // SECOND_MS)
            detail = (
                f"it says that it was signed at {rfc3339(iat)}; by the ledgers' times of what its epoch signed before"
            )
            self.result.found(TIMES, name, f"{detail}, and by its up, that was at {latest} at the latest")
            begun_ms = MAX_TIME_MS  # once
        self._begun_ms[name.epoch] = min(begun_ms, until * SECOND_MS - up_ms)

    def _begin(self, name: Name, before: _Line | None) -> _Line:
        """An epoch of which the beginning is not among the files may run at either speed."""
        if name.epoch not in self._courses:
            speeds: dict[int, tuple[int, int] | None] = {FULL: None} if name.seq == 0 else {FULL: None, SLOWED: None}
            self._courses[name.epoch] = [_Stretch(0, speeds)]
        line = _Line(name.epoch, latest_ms=before.latest_ms if before else 0)
        self._lines[name.meter] = line
        return line

    def _agree(self, fact: Fact, name: Name) -> None:
        """``iat`` and ``up`` go on alike; close to a clock event by the course before it or behind it."""
        course = self._courses[name.epoch]
        iat, up_ms = fact.iat, fact.up_ms
        alone = len(course) == 1 or course[-1].up_ms <= up_ms - SECOND_MS  # nearly always
        near = course[-1:] if alone else [*_near(course, up_ms)]
        if not any(stretch.fits(iat, up_ms) for stretch in near):
            detail = f"its iat {rfc3339(iat)} and its up {up_ms} ms do not go on as those before it"
            self.result.found(TIMES, name, f"{detail}, and no clock event is between")
            near[0].begin_anew(iat, up_ms)

    def _reading(self, fact: Fact, name: Name, line: _Line, period_ms: int | None) -> None:
        time_ms, signed_ms, problem = fact.time_ms, fact.iat * SECOND_MS, None
        if not fact.late:
            if time_ms < line.latest_ms:
                problem = f"before {rfc3339_ms(line.latest_ms)}, that of a reading before it, and it is not LATE"
            line.latest_ms = time_ms
        if signed_ms < time_ms - SECOND_MS:
            problem = f"and it was signed before, at {rfc3339(fact.iat)}"
        elif period_ms is not None:
            late_ms = signed_ms - time_ms - period_ms - LATENESS_MS
            if late_ms > 0 and late_ms > self.jumps.between(time_ms, signed_ms):
                problem = f"and it was signed only at {rfc3339(fact.iat)}"
        if problem is not None:
            self.result.found(TIMES, name, f"its time is {rfc3339_ms(time_ms)}, {problem}")

    def jumped_before(self, correction: Correction, iat: int) -> None:
        """A clock event from before the batches, which was signed at ``iat``: it says nothing of later times."""
        if correction.before_ms < correction.after_ms <= (iat + 1) * SECOND_MS:
            self.jumps.add(correction.before_ms, correction.after_ms)

    def corrected(self, correction: Correction, name: Name) -> None:
        """A clock event of the epoch: from its ``up`` on another course."""
        course = self._courses.setdefault(name.epoch, [_Stretch(0, {FULL: None, SLOWED: None})])
        now, last = correction, course[-1]
        if now.after_ms < now.before_ms or now.up_ms < last.up_ms:
            self.result.found(TIMES, name, "a clock event by which record times would run backwards")
        if now.began_ms is not None and now.began_ms != now.after_ms - now.up_ms:
            dated, by_up = rfc3339_ms(now.began_ms), rfc3339_ms(max(0, now.after_ms - now.up_ms))
            self.result.found(TIMES, name, f"it says that its epoch began at {dated}; by its up it began at {by_up}")
        if not any(_at(last, speed, now.up_ms, now.before_ms) for speed in last.offsets):
            detail = f"it says that record times were {rfc3339_ms(now.before_ms)} at {now.up_ms} ms, and they were not"
            self.result.found(TIMES, name, detail)
        speed = SLOWED if now.slow else FULL
        offset = now.after_ms * FULL - now.up_ms * speed
        course.append(_Stretch(now.up_ms, {speed: (offset, offset)}))
        if now.after_ms > now.before_ms:
            self.jumps.add(now.before_ms, now.after_ms)
            if now.began_ms is None:
                self._set_forward_ms.append(now.after_ms - now.before_ms)


def _at(stretch: _Stretch, speed: int, up_ms: int, time_ms: int) -> bool:
    """Whether record times were so at ``up`` by a course, as far as records have shown it."""
    known = stretch.offsets[speed]
    return known is None or known[0] - AGREE_MS * FULL <= time_ms * FULL - up_ms * speed <= known[1] + AGREE_MS * FULL


def _near(course: Sequence[_Stretch], up_ms: int) -> Iterator[_Stretch]:
    """Stretches by which a record of this ``up`` may go, the latest first: the last, and those that are over for less
    than a second; of very many, which no gateway has, the latest."""
    end_ms = up_ms
    for stretch in islice(reversed(course), MOST_NEAR):
        if end_ms < up_ms - SECOND_MS:
            return
        if stretch.up_ms <= up_ms + SECOND_MS or stretch is course[0]:
            yield stretch
        end_ms = stretch.up_ms


@dataclass(slots=True)
class Moments:
    """When the records of one batch were made: the oldest of a known clock, the newest signature, and of each epoch of
    an unknown clock the least ``up`` and the least time."""

    oldest_ms: int | None = None
    newest_iat: int = 0
    unknown: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Record) -> Moments:
        """Of one record alone."""
        claims, time_ms = record.claims, record.time_ms
        if claims.clock == UNKNOWN:
            return cls(None, claims.iat, {claims.epoch: (claims.up_ms, time_ms)})
        return cls(time_ms, claims.iat)

    def add(self, fact: Fact, epoch: bytes) -> None:
        """A record of the batch."""
        time_ms = fact.time_ms
        if fact.clock == UNKNOWN:
            up_ms, least_ms = self.unknown.get(epoch, (fact.up_ms, time_ms))
            self.unknown[epoch] = min(up_ms, fact.up_ms), min(least_ms, time_ms)
        elif self.oldest_ms is None or time_ms < self.oldest_ms:
            self.oldest_ms = time_ms
        if fact.iat > self.newest_iat:
            self.newest_iat = fact.iat


@dataclass(slots=True)
class Delays:
    """How long before the ledgers had a batch its records were made; ``most_s``: the policy's ``max_delay`` (None: any
    will do).

    A record counts from its own time. Where its clock was unknown (letter U) that goes on from the last record before
    its epoch, however long the gateway was off: it counts from ``began`` + its ``up``, by the ``clock`` event that
    dates its epoch, which may be in a later batch. An epoch that no event dates counts from its own times.
    """

    result: Audit
    most_s: int | None
    _began_ms: dict[bytes, int] = field(default_factory=dict)
    _undated: list[tuple[tuple[str, int | None], Moments, int]] = field(default_factory=list)
    _lags_s: deque[int] = field(default_factory=lambda: deque(maxlen=LATEST))

    def dated(self, epoch: bytes, began_ms: int) -> None:
        """A ``clock`` event tells when an epoch began; the first one counts."""
        self._began_ms.setdefault(epoch, began_ms)

    def batch(self, moments: Moments, until: int | None, *, in_order: bool) -> None:
        """A batch, which enough ledgers had at ``until`` (Unix s; None: they have not)."""
        if until is None:
            return
        if in_order and moments.newest_iat:
            self._lags_s.append(until - moments.newest_iat)
        if self.most_s is None:
            return
        if moments.unknown:
            self._undated.append((self.result.place, moments, until))
        else:
            self._judge(moments, until, self.most_s)

    def proofs(self, moments: Sequence[tuple[str, Moments, int]]) -> None:
        """Of proofs: the file, when its record was made, and when the ledgers had it (Unix s)."""
        for path, made, until in moments:
            with self.result.speaking_of((path, None)):
                self.batch(made, until, in_order=False)

    def end(self) -> None:
        """All batches were seen: of every epoch is known whether an event dates it."""
        for place, moments, until in self._undated:
            with self.result.speaking_of(place):
                self._judge(moments, until, self.most_s or 0)
        lag_s = min(self._lags_s, default=0)
        if lag_s > TOLERANCE_S:
            span, count = span_in_words(lag_s * 1000), len(self._lags_s)
            which = "batch was" if count == 1 else f"{count} batches were each"
            text = (
                f"the last {which} on the ledgers {span} at least after its newest record was signed: the gateway's "
                "clock lags, or its batches wait; time that a lagging clock leaves out between two epochs is not found"
            )
            self.result.noted(text, Kind.CLOCK, "lag", lag_s * 1000)

    def _judge(self, moments: Moments, until: int, most_s: int) -> None:
        """Step 7: no record is older than the policy allows when the ledgers have its batch."""
        made_ms = [(moments.oldest_ms, "")] if moments.oldest_ms is not None else []
        for epoch, (up_ms, time_ms) in moments.unknown.items():
            began_ms = self._began_ms.get(epoch)
            if began_ms is None:
                made_ms.append((time_ms, " by an unknown clock"))
            else:
                made_ms.append((max(time_ms, began_ms + up_ms), " by the clock event that dates its epoch"))
        oldest_ms, by = min(made_ms, default=(until * 1000, ""))
        delay_ms = until * 1000 - oldest_ms
        if delay_ms > most_s * 1000:
            times = f"of {rfc3339_ms(oldest_ms)}{by}, on the ledgers at {rfc3339(until)}"
            held, most = span_in_words(delay_ms), span_in_words(most_s * 1000)
            text = f"its oldest record was held back for {held}: {times}; policy.max_delay is {most}"
            way_out = "raise it if the ledgers were away for so long, or there were none at first"
            self.result.found(STEPS[7], None, f"{text}; {way_out}")
