"""LOG: what the simulated meters sent, as the readings are judged by it (docs/simulator.md, "Log format").

The time of an answer is the moment that its values are of: the one at which the request came, so that an answer that
was held back is old. The log tells when an answer left; how long ``late`` or ``doubled`` held it follows from the
answer before it that nothing held. Of a logger's message it is its label.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from firmware_sim.compare.equality import Ieee, Sent
from firmware_sim.errors import CompareError

VERSION: Final = 2
NO_FAULT, SILENT = "none", "silent"
HELD: Final = frozenset({"late", "doubled"})
MISADDRESSED: Final = {"wrong-unit": "meter", "wrong-function": "question", "wrong-di": "question"}
"""Faults whose frame is no answer to the question, whatever it holds: whose it is."""
_QUARTER_MS: Final = 900_000
_GAP_MS: Final = 50
"""Gaps between answers are counted in steps of so much."""
_FEW: Final = 3
_LONG_MS: Final = 10_000
_BACK_MS: Final = 2000
"""A plant's time that goes back by more is that of another run in the same log."""
_ONE: Final = 0.05
"""A speed of the plant this near to 1 is 1: the rest is what answers take."""


@dataclass(slots=True)
class Answer:
    """One answer of a meter, or one message that it sent unasked.

    ``label``: the faults that acted, "none" without. ``true``: as the log has it, what differs from ``values`` or is
    not in them. ``taken``: the points whose value stands in a reading. ``sent_ms``: when it left; by the plant's clock
    the request came ``at_ms`` and the answer left ``left_ms``. ``copy``: the same answer has left before.
    """

    time_ms: float
    sent_ms: int
    at_ms: int
    left_ms: float
    meter: str
    values: Mapping[str, Sent]
    true: Mapping[str, Sent]
    faults: tuple[str, ...]
    asked: str
    order: int
    copy: bool = False
    taken: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        """The faults that acted, in one word."""
        return "+".join(self.faults) or NO_FAULT

    def is_behind(self, other: Answer) -> bool:
        """Whether it left when the request of another answer of its meter had come already."""
        return self.at_ms < other.at_ms < self.left_ms

    @property
    def serial(self) -> bool:
        """Whether nothing in its frame says which request it answers: any but Modbus TCP's."""
        asked = self.asked
        return bool(asked) and not (len(asked) == 24 and asked[4:12] == "00000006")

    @property
    def misaddressed(self) -> str | None:
        """Whose answer its frame says that it is, where that is not the one asked for: ``meter`` or ``question``."""
        return next((MISADDRESSED[kind] for kind in self.faults if kind in MISADDRESSED), None)


@dataclass(slots=True)
class Series:
    """One point of a meter: how often it was answered, and the gaps between."""

    answers: int = 0
    last_ms: float | None = None
    gaps: Counter[int] = field(default_factory=Counter)

    def add(self, time_ms: float) -> None:
        """The next answer."""
        if self.last_ms is not None:
            self.gaps[round((time_ms - self.last_ms) / _GAP_MS)] += 1
        self.answers, self.last_ms = self.answers + 1, time_ms

    @property
    def period_ms(self) -> float | None:
        """The median gap; None: there are too few."""
        total, seen = self.gaps.total(), 0
        for gap, count in sorted(self.gaps.items()) if total >= _FEW else ():
            seen += count
            if 2 * seen >= total:
                return max(1, gap) * _GAP_MS
        return None


@dataclass(slots=True)
class Survey:
    """What a log holds, from reading it once.

    ``asked_ms``: from the first answer to a request to the last one. ``all_ms``: the same with what was sent unasked.
    ``disorder_ms``: how far behind an answer before it the time of an answer may lie.
    """

    meters: dict[str, dict[str, Series]] = field(default_factory=dict)
    asked_meters: set[str] = field(default_factory=set)
    asked_ms: tuple[float, float] | None = None
    all_ms: tuple[float, float] | None = None
    disorder_ms: float = 0.0
    cut_line: int | None = None

    def span_ms(self, meter: str) -> tuple[float, float] | None:
        """The time in which polls of a meter are due."""
        if self.asked_ms is not None:
            return self.asked_ms
        return self.all_ms


def survey(path: Path) -> Survey:
    """Read a log once. Raises ``CompareError``."""
    found, newest = Survey(), float("-inf")
    for answer in _answers(path, found):
        begin, end = min(answer.time_ms, answer.sent_ms), max(answer.time_ms, float(answer.sent_ms))
        found.all_ms = _wider(found.all_ms, begin, end)
        if answer.asked:
            found.asked_ms = _wider(found.asked_ms, begin, end)
            found.asked_meters.add(answer.meter)
        found.disorder_ms = max(found.disorder_ms, newest - answer.time_ms)
        newest = max(newest, answer.time_ms)
        points = found.meters.setdefault(answer.meter, {})
        if not answer.copy:
            for point in answer.values:
                points.setdefault(point, Series()).add(answer.time_ms)
            for point in answer.true.keys() - answer.values.keys():
                points.setdefault(point, Series())
    if found.all_ms is None:
        raise CompareError(f"{path}: no answer", "give the file of `meterseal-sim run --log`, of the run that was read")
    return found


def _wider(span: tuple[float, float] | None, begin: float, end: float) -> tuple[float, float]:
    return (begin, end) if span is None else (min(span[0], begin), max(span[1], end))


def in_order(path: Path, surveyed: Survey) -> Iterator[Answer]:
    """The answers by time, those that a survey has seen."""
    waiting: list[tuple[float, int, Answer]] = []
    newest = float("-inf")
    for answer in _answers(path, Survey()):
        heapq.heappush(waiting, (answer.time_ms, answer.order, answer))
        newest = max(newest, answer.time_ms)
        while waiting[0][0] < newest - surveyed.disorder_ms:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _answers(path: Path, found: Survey) -> Iterator[Answer]:
    """The answers in the order of the file."""
    clock = _Clock()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    entry = json.loads(line, parse_float=Ieee)
                except ValueError:
                    if line.endswith("\n"):
                        raise CompareError(f"{path}: line {number}: not JSON", _WHOLE) from None
                    found.cut_line = number  # it was not sent, as the simulator was killed while it wrote
                    return
                if not isinstance(entry, dict) or entry.get("v") != VERSION:
                    raise CompareError(f"{path}: line {number}: no line of a log of version {VERSION}", _WHOLE)
                if "meter" in entry and "values" in entry:
                    try:
                        yield clock.answer(number, entry)
                    except (KeyError, TypeError, ValueError, AttributeError):
                        raise CompareError(f"{path}: line {number}: an answer that lacks something", _WHOLE) from None
    except OSError as error:
        raise CompareError(f"{path}: {error.strerror or error}", "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise CompareError(f"{path}: byte {error.start} is not UTF-8", _WHOLE) from None


_WHOLE: Final = "give the file of `meterseal-sim run --log` as it was written, by this version"


class _Clock:
    """The moment of each answer, from line to line."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None  # of the answers of this run that nothing held, in Unix and plant ms
        self._newest: tuple[int, int] | None = None
        self._speed = 1.0
        self._last: dict[str, tuple[int, str, str]] = {}
        self._zones: dict[str, float] = {}

    def answer(self, number: int, entry: Mapping[str, Any]) -> Answer:
        meter, sent_ms, at_ms = str(entry["meter"]), int(entry["t_ms"]), int(entry["at_ms"])
        faults = tuple(sorted({str(kind) for kind in entry.get("faults", ())}))
        asked, shown = str(entry.get("asked") or ""), str(entry.get("answer") or "")
        held_ms = 0.0
        if HELD.isdisjoint(faults):
            self._seen(sent_ms, at_ms)
        elif self._newest is not None:
            held_ms = max(0.0, sent_ms - self._newest[0] - (at_ms - self._newest[1]) / self._speed)
        time_ms = sent_ms - held_ms
        if "label" in entry:
            time_ms = self._labelled(meter, sent_ms, entry)
        copy = "doubled" in faults and self._last.get(meter) == (at_ms, asked, shown)
        self._last[meter] = at_ms, asked, shown
        values, true = _values(entry["values"]), _values(entry.get("true", {}))
        left_ms = at_ms + held_ms * self._speed
        return Answer(time_ms, sent_ms, at_ms, left_ms, meter, values, true, faults, asked, number, copy)

    def _seen(self, sent_ms: int, at_ms: int) -> None:
        """An answer that nothing held: how fast the plant's time runs follows from the first and the newest of a run,
        once they are so far apart that what an answer takes does not matter."""
        if self._first is None or self._newest is None or at_ms < self._newest[1] - _BACK_MS:
            self._first, self._speed = (sent_ms, at_ms), 1.0
        elif sent_ms - self._first[0] >= _LONG_MS:
            speed = (at_ms - self._first[1]) / (sent_ms - self._first[0])
            self._speed = 1.0 if abs(speed - 1) < _ONE or speed <= 0 else speed
        self._newest = sent_ms, at_ms

    def _labelled(self, meter: str, sent_ms: int, entry: Mapping[str, Any]) -> float:
        """A logger's label is its local time: how far that is from UTC is seen from a message of now."""
        label = datetime.strptime(str(entry["label"]), "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp() * 1000
        if meter not in self._zones:
            self._zones[meter] = round((label - sent_ms) / _QUARTER_MS) * _QUARTER_MS
        return label - self._zones[meter]


def _values(values: Mapping[str, Any]) -> dict[str, Sent]:
    return {name: value if value is None or isinstance(value, str) else str(value) for name, value in values.items()}
