"""Recent polls: how the polls of each line that were due within the last minute ended. A listener of the hub."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.clock import Clock
from gateway.fieldbus.specs import FieldLine
from gateway.records import News
from ledger_client.formats.record import MISSED_REASONS

EVERY_S, SAMPLES = 5.0, 12
ANSWERED = "answered"
OUTCOMES = MISSED_REASONS | {ANSWERED}


class LinePolls(NamedTuple):
    """Over so many seconds, how many polls ended so: by ``answered`` or the reason that coverage counts."""

    seconds: float
    polls: Mapping[str, int]


class RecentPolls:
    """Looks at the lines every few seconds, when there is news. Event loop only."""

    def __init__(self, lines: Mapping[str, FieldLine], clock: Clock) -> None:
        self._lines, self._clock = lines, clock
        self._seen: deque[tuple[float, dict[str, tuple[FieldLine, Counter[str]]]]] = deque(maxlen=SAMPLES + 1)
        """When, and of each line its worker, which is another one after a reload, with its counters."""

    def hear(self, news: Sequence[News]) -> None:
        """Something has happened."""
        now_s = self._clock.monotonic()
        if not self._seen or now_s - self._seen[-1][0] >= EVERY_S:
            self._seen.append((now_s, {name: (line, _polls(line)) for name, line in self._lines.items()}))

    def of(self, line: str) -> LinePolls | None:
        """The polls of one line; None while too little is known."""
        now, now_s = self._lines[line], self._clock.monotonic()
        for then_s, lines in self._seen:
            worker, polls = lines.get(line, (None, Counter[str]()))
            if worker is now and now_s - then_s >= EVERY_S:
                return LinePolls(now_s - then_s, dict(_polls(now) - polls))
        return None

    def as_json(self) -> dict[str, Any]:
        """Of each line ``seconds`` and ``polls``; without those of which too little is known."""
        found = {name: self.of(name) for name in self._lines}
        return {name: polls._asdict() for name, polls in found.items() if polls is not None}


def _polls(line: FieldLine) -> Counter[str]:
    return Counter({outcome: n for outcome, n in line.counters.items() if outcome in OUTCOMES})
