"""Alarms of values: outside their limits (`limit`), and bad for the delay of their kind (`value-bad`).

All of one meter are one alarm, which names those that are so now. A value is bad for five minutes only if it alone is:
two that take turns are none. A meter that does not answer has none of these alarms: its silence is another alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.alarms.value_state import EMPTY, Bad, MeterValues, Outside, expected, is_bad, is_usable
from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.config.limits import Limit, number_text, recorded_numbers
from gateway.history.rollup import kept_spans
from gateway.messages.alarm_kinds import KINDS, AlarmCode
from gateway.messages.message import Message
from gateway.night import Night
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from ledger_client.formats.senml import Number, Reading, quality_words

SILENT_MS = 60_000
"""Time without an answer after which nothing is known of a meter's values."""
UNREAD_PERIODS = 3
"""Periods, and five minutes, without a reading of a point after which nothing is known of it."""
PAST = (MINUTE_MS, 3 * HOUR_MS), (HOUR_MS, 30 * 24 * HOUR_MS)
"""Spans, and how far back they are looked at for whether a point ever was good: minutes, hours; in ms."""
MOST_NAMED = 20
"""Values outside their limits that one alarm names."""
MOST_POINTS = 50
"""Points that a message can name (ledger_client.messages)."""
NO_LIMITS: Mapping[str, Limit] = {}


@dataclass(slots=True)
class Meter:
    """One meter: its line, its values and their units, the night in which it may leave them empty, and what its alarms
    name.

    By code, ``sentence``: the newest one that the board has; ``seen``: the points that the active alarm has named.
    """

    line: str
    every_ms: int
    units: Mapping[str, str]
    values: MeterValues
    night: Night | None = None
    sentence: dict[str, Message] = field(default_factory=dict)
    seen: dict[str, frozenset[str]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """Points whose past has been looked for."""


class ValueAlarms:
    """Reports the conditions in readings to the board of one epoch. Event loop only, but for ``past``."""

    def __init__(self, site: GatewayContext) -> None:
        self._site, self._board = site, site.board
        self._meters: dict[str, Meter] = {}
        self.reloaded()
        for row in (*site.board.listed(), *site.board.shelved()):
            meter = self._meters.get(row.source)
            if meter is not None and row.active and row.code in (AlarmCode.LIMIT, AlarmCode.VALUE_BAD):
                points = _points_of(row.message)
                meter.seen[row.code] = points
                if row.code == AlarmCode.VALUE_BAD:
                    meter.values.recall(points, row.since_ms)

    def reloaded(self) -> None:
        """Take another configuration; what is known of points and limits that stay is kept."""
        config, before = self._site.config, self._meters
        self._meters = {}
        for line in self._site.lines.values():
            for spec in line.spec.meters:
                entry, profile = config.meters[spec.name], config.profiles[spec.name]
                numbers, limits = recorded_numbers(entry, profile), config.limits.get(spec.name, NO_LIMITS)
                known, wanted = before.get(spec.name), expected(numbers)
                values = known.values if known else MeterValues(limits, wanted, frozenset(numbers))
                recorded = {p.name for p in (profile.select(entry.points) if entry.points else profile.points)}
                values.reconfigure(limits, wanted, frozenset(numbers), recorded)
                units = {name: point.unit or "" for name, point in numbers.items()}
                night = spec.night if profile.may_sleep else None
                meter = Meter(line.spec.name, spec.period_ms, units, values, night)
                if known and known.line == meter.line:
                    meter.sentence, meter.seen = known.sentence, known.seen
                elif known:
                    for code in known.sentence:
                        sentence = Message("values-none", meter=spec.name, line=known.line)
                        self._board.condition(spec.name, code, known.line, sentence, on=False)
                self._meters[spec.name] = meter
                self._judge(spec.name, meter)

    def hear(self, name: str, reading: Reading) -> None:
        """The newest reading of a meter."""
        meter = self._meters.get(name)
        if meter is None:  # of before a reload
            return
        meter.values.take(reading)
        if meter.values.outside or meter.values.bad or meter.sentence:
            self._judge(name, meter)

    def look(self) -> None:
        """Once a second: what has been bad for long enough by now, and meters that fell silent."""
        for name, meter in self._meters.items():
            if meter.values.outside or meter.values.bad or meter.sentence:
                self._look_at(name, meter)

    def _look_at(self, name: str, meter: Meter) -> None:
        now_ms, seen = self._site.clock.now_ms(), self._site.live.meters.get(name)
        if seen is None or seen.silent_since_ms is None:
            meter.values.forget_unread(now_ms - UNREAD_PERIODS * meter.every_ms - _delay_ms())
            self._judge(name, meter)
        elif seen.reason == "asleep" or now_ms - seen.silent_since_ms >= SILENT_MS:
            meter.values.forget()
            for code in tuple(meter.sentence):
                self._say(name, meter, code, {}, Message("values-none", meter=name, line=meter.line))

    def _judge(self, name: str, meter: Meter) -> None:
        now_ms, line, outside = self._site.clock.now_ms(), meter.line, meter.values.outside
        bad = meter.values.bad_since(now_ms - _delay_ms())
        if bad and meter.night is not None and meter.night.at(now_ms):
            bad = {point: one for point, one in bad.items() if is_bad(one.flags & ~EMPTY)}
        sentence = _outside(name, meter, outside) if outside else Message("values-inside", meter=name, line=line)
        self._say(name, meter, AlarmCode.LIMIT, {point: one.since_ms for point, one in outside.items()}, sentence)
        bad = dict(sorted(bad.items(), key=lambda entry: entry[0] not in meter.values.expected))  # the powers first
        sentence = _bad(name, line, bad) if bad else Message("values-usable", meter=name, line=line)
        self._say(name, meter, AlarmCode.VALUE_BAD, {point: one.since_ms for point, one in bad.items()}, sentence)

    def _say(self, name: str, meter: Meter, code: str, since: Mapping[str, int], sentence: Message) -> None:
        """``since``: by point, since when it is so; none: no point is so any more."""
        before, now, board, line = meter.sentence.pop(code, None), frozenset(since), self._board, meter.line
        if not since:
            if before is not None:
                board.condition(name, code, line, sentence, on=False)
            return
        board.condition(name, code, line, sentence, on=True, since_ms=min(since.values()))
        active = board.is_active(name, code, line)
        seen = meter.seen.get(code, frozenset()) if active else frozenset()
        if active and sentence != before:
            board.restate(name, code, line, sentence, again=bool(now - seen))
        meter.sentence[code], meter.seen[code] = sentence, seen | now

    # — the past —

    def unknown(self) -> dict[str, set[str]]:
        """By meter, points that are bad for long enough and were never good in this epoch; each is named once."""
        before_ms = self._site.clock.now_ms() - _delay_ms()
        found = {name: m.values.unknown_since(before_ms) - m.asked for name, m in self._meters.items() if m.values.bad}
        for name, points in found.items():
            self._meters[name].asked |= points
        return {name: points for name, points in found.items() if points}

    def were_good(self, found: Mapping[str, set[str]]) -> None:
        """What ``past_good`` has found."""
        for name, points in found.items():
            if (meter := self._meters.get(name)) is not None:
                meter.values.good |= points


def _delay_ms() -> int:
    """Time in ms for which a value is bad before it is an alarm."""
    return KINDS[AlarmCode.VALUE_BAD].on_delay_ms


def past_good(database: Path, asked: Mapping[str, set[str]], now_ms: int) -> dict[str, set[str]]:
    """By meter, those of the asked points that had a value of the last month which was neither bad nor missing.

    Any thread; blocks it. Raises StoreError.
    """
    found: dict[str, set[str]] = {}
    store = Database(database, read_only=True)
    try:
        for meter, points in asked.items():
            good = found[meter] = set()
            for span_ms, back_ms in PAST:
                for span in kept_spans(store.summaries, meter, span_ms, now_ms - back_ms, now_ms + span_ms, points):
                    good |= {name for name, kept in span.points.items() if kept.count and is_usable(kept.value_bits)}
    finally:
        store.close()
    return found


# — in words —


def _outside(name: str, meter: Meter, outside: Mapping[str, Outside]) -> Message:
    values = [_beyond(point, one, meter) for point, one in list(outside.items())[:MOST_NAMED]]
    if (more := len(outside) - len(values)) > 0:
        values.append(Message("points-more", n=more))
    return Message("values-outside", meter=name, line=meter.line, values=tuple(values))


def _beyond(point: str, one: Outside, meter: Meter) -> Message:
    limit = meter.values.limits[point]
    end, value = (f"{number} {meter.units.get(point, '')}".rstrip() for number in (
        number_text(limit.high if one.high else limit.low), _number(one.value)
    ))  # fmt: skip
    if one.high:
        return Message("value-above", point=point, limit=end, value=value)
    return Message("value-below", point=point, limit=end, value=value)


def _number(value: Number) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _bad(name: str, line: str, bad: Mapping[str, Bad]) -> Message:
    """The points by their quality: the last flag of each that makes it bad, which is the one that says most."""
    by_quality: dict[str, list[str]] = {}
    for point, one in bad.items():
        words = [word for bit, word in zip(_bits(one.flags), quality_words(one.flags), strict=True) if is_bad(bit)]
        by_quality.setdefault(words[-1].lower().replace("_", "-"), []).append(point)
    values = tuple(_of_quality(quality, points) for quality, points in by_quality.items())
    return Message("values-bad", meter=name, line=line, values=values)


def _bits(flags: int) -> list[int]:
    return [1 << n for n in range(flags.bit_length()) if flags >> n & 1]


def _of_quality(quality: str, points: list[str]) -> Message:
    if len(points) <= MOST_POINTS:
        return Message("points-of-quality", points=tuple(points), quality=quality)
    first = tuple(points[:4])
    return Message("points-of-quality-many", points=first, n=len(points) - len(first), quality=quality)


def _points_of(sentence: Message | None) -> frozenset[str]:
    """The points that an alarm names."""
    if sentence is None:
        return frozenset()
    if isinstance(what := sentence.facts.get("what"), Message):  # it comes and goes
        return _points_of(what)
    values = sentence.facts.get("values")
    found: set[str] = set()
    for each in values if isinstance(values, tuple) else ():
        if isinstance(each, Message):
            points, point = each.facts.get("points"), each.facts.get("point")
            found |= {str(name) for name in points} if isinstance(points, tuple) else set()
            found |= {str(point)} if point is not None else set()
    return frozenset(found)
