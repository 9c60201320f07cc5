"""Keys: all that an answer tells about its question, and how soon one may be used again.

A Modbus RTU answer tells unit, function and byte count of its question (its *key*), a DL/T 645 answer address and data
identifier, nothing more. So no key is asked again on a line within ``answer_life`` of its last use: an answer that is
still on its way then has a key that no question waits for. Pure: times are monotonic seconds and come in as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from gateway.devices.blocks import Raw

Unit = int | str
"""Who is asked on a line: a Modbus unit, a DL/T 645 address."""
Key = tuple[Any, ...]
"""Any frozen tuple that begins with the unit."""


class Question(Protocol):
    """One read, as a dialect makes it."""

    @property
    def unit(self) -> Unit:
        """Who is asked."""

    @property
    def key(self) -> Key:
        """What an answer to it bears."""

    @property
    def frame(self) -> bytes:
        """It as it leaves, through the read-only gate of its protocol."""

    def content(self, data: bytes) -> Raw:
        """What the data bytes of an answer with its key hold."""


_Q = TypeVar("_Q", bound=Question)

LATENESS = 0.25
LONGEST_LIFE_S = 90.0
STRANGER_S = 3600.0
"""How long after its last frame the key of another master's answers is avoided, and a line called shared."""
LONGER_S = 3600.0
"""How long after the last answer that needed it a longer answer life stays in force."""


class KeyTable:
    """When each key of one line was last on the wire. It outlives the port: what was asked before stays known."""

    def __init__(
        self,
        life_s: float,
        lives_s: Mapping[Unit, float] | None = None,
        *,
        used_until: float | None = None,
        armed: bool = True,
    ) -> None:
        """
        Args:
            life_s: the answer life of units that are not in ``lives_s``.
            lives_s: the answer life of single units.
            used_until: another process may have sent any question until that monotonic moment in seconds.
            armed: False removes the guard, to measure its effect.
        """
        self.life_s, self._lives, self.armed = life_s, dict(lives_s or {}), armed
        self._before = -math.inf if used_until is None else used_until
        self._last: dict[Key, float] = {}
        self._sent: dict[Key, tuple[Question, float]] = {}
        self._avoid: dict[Key, float] = {}
        self._silent: dict[Key, float] = {}
        self._longer: dict[Unit, tuple[float, float]] = {}
        """Longer answer lives that were seen to be needed: for all that a unit is asked until that moment."""

    def used_by_others(self, until: float) -> None:
        """Another process may have asked anything until then."""
        self._before = max(self._before, until)

    def configured_life(self, unit: Unit) -> float:
        """Answer life of a unit in seconds, as the site or its profile has it."""
        return self._lives.get(unit, self.life_s)

    def life(self, unit: Unit, asked_at: float) -> float:
        """Answer life in seconds of what this unit was asked at that moment."""
        longer_s, until = self._longer.get(unit, (0.0, -math.inf))
        return max(self.configured_life(unit), longer_s if asked_at <= until else 0.0)

    def configure(self, life_s: float, lives_s: Mapping[Unit, float], now: float) -> None:
        """The site has changed the answer lives; what was asked before still rests for the longer one."""
        before = {unit: self.life(unit, now) for unit in self._lives.keys() | lives_s.keys()}
        self.life_s, self._lives = life_s, dict(lives_s)
        for unit, was_s in before.items():
            if was_s > self.configured_life(unit):
                longer_s, until = self._longer.get(unit, (was_s, now))
                self._longer[unit] = max(was_s, longer_s), max(now, until)

    @property
    def longest(self) -> float:
        """The longest configured answer life on this line in seconds."""
        return max((self.life_s, *self._lives.values()))

    def ask(self, question: Question, now: float) -> None:
        """This question is sent at ``now``."""
        self._sent[question.key] = question, now
        self.use(question.key, now)

    def latency(self, key: Key, arrived: float) -> float | None:
        """Seconds from the last question of this key to ``arrived``; None: there was none."""
        sent = self._sent.get(key)
        return None if sent is None else max(0.0, arrived - sent[1])

    def last_question(self, key: Key, arrived: float) -> Question | None:
        """The last question for that key, if it was sent within its answer life before ``arrived``."""
        question, at = self._sent.get(key, (None, -math.inf))
        return question if arrived - at < self.life(key[0], at) else None

    def use(self, key: Key, now: float) -> None:
        """The key is or was on the wire at ``now``: asked, answered or seen."""
        self._last[key] = max(now, self._last.get(key, now))

    def silent(self, key: Key, now: float) -> None:
        """A question of this key got no answer by ``now``; it may still come."""
        self._silent[key] = now
        self.use(key, now)

    def avoid(self, key: Key, now: float) -> None:
        """Another master uses this key; keep away from it until an hour has passed without a frame of it."""
        self._avoid[key] = now + STRANGER_S

    def avoid_none(self) -> None:
        """No other master is there any more. Its last answers may still be on their way: those keys are young."""
        for key, until in self._avoid.items():
            self.use(key, until - STRANGER_S)
        self._avoid.clear()

    def avoids(self, now: float) -> bool:
        """Some key is avoided."""
        return any(until > now for until in self._avoid.values())

    def avoided(self, unit: Unit, now: float) -> frozenset[Key]:
        """What behind the unit stands in its keys that another master uses."""
        if not self._avoid:
            return frozenset()
        return frozenset(s[1:] for s, until in self._avoid.items() if s[0] == unit and until > now)

    def lengthen(self, unit: Unit, life_s: float, now: float) -> None:
        """An answer of this unit came later than its answer life allowed for: allow for more until an hour has passed
        without one that came so late."""
        self._longer[unit] = max(self.life(unit, now), min(life_s, LONGEST_LIFE_S)), now + LONGER_S

    def needed(self, unit: Unit, latency_s: float, now: float) -> None:
        """An answer came so late: a longer life that it needed stays in force."""
        if latency_s > self.configured_life(unit) and unit in self._longer:
            self._longer[unit] = self._longer[unit][0], now + LONGER_S

    def lengthened(self, now: float) -> bool:
        """The answer life of some unit is longer than the configured one."""
        return any(now < until for _, until in self._longer.values())

    def as_configured(self, now: float, unit: Unit | None = None) -> None:
        """From now on the configured answer lives hold, of one unit or of all; what was asked before still rests for
        the longer ones."""
        for one in self._longer if unit is None else self._longer.keys() & {unit}:
            life_s, until = self._longer[one]
            self._longer[one] = life_s, min(until, now)

    def asked(self, key: Key) -> bool:
        """We asked for this key, however long ago."""
        return key in self._last

    def young(self, key: Key, now: float) -> bool:
        """An answer to an earlier question of this key may still come."""
        return now < self._rests_until(key)

    def _rests_until(self, key: Key) -> float:
        last = max(self._last.get(key, -math.inf), self._before)
        return last + self.life(key[0], last)

    def young_among(self, is_wanted: Callable[[Key], bool], now: float) -> bool:
        """An answer of one of these keys may still come."""
        return any(is_wanted(key) and self.young(key, now) for key in self._last)

    def burnt(self, unit: Unit, now: float) -> bool:
        """A question to this unit went unanswered within its answer life."""
        return any(s[0] == unit and now - at < self.life(unit, at) for s, at in self._silent.items())

    def free_at(self, questions: Sequence[Question], now: float) -> float | None:
        """When one of these questions, all of them too young at ``now``, may be asked; None: it is not its age that
        forbids it."""
        moments = (max(self._rests_until(r.key), self._avoid.get(r.key, -math.inf)) for r in questions)
        soonest = min(moments, default=-math.inf)
        return soonest if soonest > now else None

    def choose(self, questions: Sequence[_Q], now: float) -> _Q | None:
        """The least recently used of the questions whose key is old enough (ties: the first), or None."""
        if not self.armed:
            return questions[0] if questions else None
        free = [r for r in questions if not self.young(r.key, now) and self._avoid.get(r.key, now) <= now]
        return min(free, key=lambda r: self._last.get(r.key, -math.inf), default=None)


def occupied(life_s: float, timeout_s: float, period_s: float) -> float:
    """How many keys a block that is polled every ``period_s`` keeps from being asked again.

    A key counts as used until its read ended, at latest after the time-out, and a poll may start late by ``LATENESS``
    of its period. A block that is polled more slowly than its answer life and time-out needs one, and leaves it to
    others for a part of the time.
    """
    busy = life_s + timeout_s
    return busy / period_s if period_s >= busy else math.ceil(busy / period_s + LATENESS)


def needed(life_s: float, timeout_s: float, period_s: float) -> int:
    """K: how many keys a block needs for itself so that one is always old enough, polled every ``period_s``."""
    return math.ceil(occupied(life_s, timeout_s, period_s))
