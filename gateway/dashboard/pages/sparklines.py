"""Sparklines of the overview page: the first value of each meter over its newest readings."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from operator import itemgetter

from gateway.config.model import Config
from gateway.dashboard.pages import values
from gateway.records import MissedPoll, News, SignedRecord
from ledger_client.formats.senml import Reading

RECENT = 60  # readings of a meter

Course = tuple[tuple[int, float | None], ...]
"""Record times in ms, with the value where there was a number; None, too, where a poll was missed."""


class Sparks:
    """Remembers one number a reading. A listener of the hub."""

    def __init__(self, in_force: Callable[[], Config]) -> None:
        self._in_force = in_force
        self._config = in_force()
        self._points = self._headlines()
        self._courses: dict[str, deque[tuple[int, float | None]]] = {}

    def hear(self, news: Sequence[News]) -> None:
        """Something has happened."""
        if self._config is not (config := self._in_force()):  # a reload
            self._config, self._points, self._courses = config, self._headlines(), {}
        for item in news:
            if isinstance(item, MissedPoll):
                self._break(item)
                continue
            meter, body = (item.row.meter, item.body) if isinstance(item, SignedRecord) else (item.meter, item.reading)
            if isinstance(body, Reading) and (point := self._points.get(meter)):
                turned = values.turns(self._config.meters[meter], self._config.profiles[meter])
                found = values.by_name(body, (point,), turned)
                number = values.number(found[0]) if found else None
                self._courses.setdefault(meter, deque(maxlen=RECENT)).append((body.time_ms, number))

    def of(self, meter: str) -> Course:
        """The course of a meter, the oldest first. A reading joins it when it is durable, a miss at once."""
        return tuple(sorted(self._courses.get(meter, ()), key=itemgetter(0)))

    def _break(self, missed: MissedPoll) -> None:
        """The first of the polls in a row that were missed stands for all of them."""
        course = self._courses.get(missed.meter)
        if course and course[-1][1] is not None:
            course.append((missed.due_ms, None))

    def _headlines(self) -> dict[str, str]:
        config = self._config
        chosen = {name: values.headline(meter, config.profiles[name]) for name, meter in config.meters.items()}
        return {name: points[0] for name, points in chosen.items() if points}
