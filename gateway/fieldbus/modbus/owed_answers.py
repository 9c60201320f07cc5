"""Owed answers: can an answer that is overheard be of the newest question alone, or of an older one too?

On a line where another master asks, nothing but the order says whose answer a frame is: it bears unit, function and
byte count, not the register. So a slow unit, or a bridge that is one answer behind, can stay *shifted* without end:
each answer is heard behind the next question, in time and of the right key. This is built upon, and nothing else:

1. An answer comes within the answer life of its question, or never.
2. A question has one answer at most. Of two equal frames of a unit in a row the second may be a copy.
3. A unit answers in the order in which it was asked. It may leave out any question: one that was lost, or dropped
   because the unit was busy. A queue, a busy unit and a bridge that is behind all do so.

So an answer counts for the *oldest* question that it can be of: of this unit and key, younger than its life, behind all
that are settled. If that is the newest one, the answer is certain: no course of things under 1–3 makes it another's.
Else it proves nothing; the oldest is settled, and the newest stays owed. So doubt goes on from question to question for
as long as the shift can stand. It ends for a unit

- with an answer that only the newest question can have, as one of another key: all before it are settled (3);
- when as many answers were heard alone as it owed;
- when it was asked nothing for its answer life (1).

Other units never end it: each has its order. Nor does a silence shorter than the life: a bridge that is
behind hands out what it holds when it is asked again, however long that takes. A question that was not understood may
have been any unit's, of any key. Where bytes were lost while a unit owed something, nobody can say how much it owes now
(``deep``); then only the last way is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.fieldbus.modbus.frames import EXCEPTION
from gateway.fieldbus.wire.keys import Key, KeyTable, Unit

MOST = 500
"""A unit that owes more answers owes an unknown number."""


@dataclass(slots=True, eq=False)
class _Question:
    """``key``: None if it was not understood. ``at``: its life counts from then on."""

    key: Key | None
    at: float
    settled: bool = False

    def fits(self, key: Key, frame: bytes) -> bool:
        """That answer may be its answer. A refusal bears no byte count."""
        same = len(frame) > 1 and bool(frame[1] & EXCEPTION)
        return self.key is None or (self.key[:2] == key[:2] if same else self.key == key)


@dataclass(slots=True, eq=False)
class _Unit:
    """What one unit may still answer, the oldest first. ``waiting``: the master waits for the last of them.
    ``asked_at``: when it was last asked, or waited for. ``answered``: its last answer."""

    questions: deque[_Question] = field(default_factory=deque)
    waiting: bool = False
    asked_at: float = float("-inf")
    deep: bool = False
    answered: bytes = b""


class OwedAnswers:
    """The questions of one line that may still be answered, by unit. It outlives the port.

    Moments are monotonic seconds: of a question the latest at which it can have been asked, of an answer the earliest
    at which its question can have been.

    Args:
        table: has the answer lives.
    """

    def __init__(self, table: KeyTable) -> None:
        self._table = table
        self._units: dict[Unit, _Unit] = {}
        self._unknown = deque[_Question](maxlen=MOST)
        self._heard = float("-inf")
        """When a question was last heard, or waited for. What came behind it may be lost."""

    def ask(self, key: Key, at: float, earliest: float) -> None:
        """A question of this key was heard."""
        unit = self._unit(key[0])
        if not self._lives(key[0], unit.asked_at, earliest):
            unit.deep = False
        unit.asked_at, unit.waiting, self._heard = at, True, at
        self._add(key[0], _Question(key, at), earliest)

    def give_up(self, key: Key, at: float) -> None:
        """The master waits no longer for the answer to the newest question of that unit, which was of this key."""
        unit = self._unit(key[0])
        unit.asked_at, unit.waiting, self._heard = at, False, at
        if unit.questions and unit.questions[-1].key == key:
            unit.questions[-1].at = at

    def answer(self, key: Key, frame: bytes, at: float) -> bool:
        """The frame behind the newest question fits it; gives whether it is certainly its answer. ``at``: when that
        question was asked."""
        unit = self._unit(key[0])
        unit.waiting = False
        newest = unit.questions[-1]
        first = next((one for one in self._open(key[0], at) if one.fits(key, frame)), newest)
        if first is newest or frame != unit.answered:
            self._settle(unit, first)
        unit.answered = frame
        return first is newest and not unit.deep

    def alone(self, key: Key, frame: bytes, at: float) -> None:
        """An answer came that no question waits for."""
        unit = self._unit(key[0])
        fitting = [one for one in self._open(key[0], at) if one.fits(key, frame)]
        if fitting and frame != unit.answered:
            fitting[0].settled = len(fitting) == 1  # of a question that was not understood: for the other units, too
            self._settle(unit, fitting[0])
        unit.answered = frame

    def damaged(self, key: Key, at: float) -> None:
        """An answer of this key came, but damaged."""
        unit = self._unit(key[0])
        first = next((one for one in self._open(key[0], at) if one.fits(key, b"")), None)
        if first is not None:
            self._settle(unit, first)
        unit.answered = b""

    def unknown(self, count: int, at: float, earliest: float) -> None:
        """Up to ``count`` questions may have been asked that were not understood."""
        for _ in range(count):
            question = _Question(None, at)
            self._unknown.append(question)
            for number in self._units:
                self._add(number, question, earliest)

    def lost(self, at: float) -> None:
        """Anything may have been asked and answered until now. Who owed an answer when something was last heard may owe
        it still, or more: nobody heard that it was asked nothing since then."""
        for number, unit in self._units.items():
            unit.deep = self.owes(number, self._heard)
            unit.asked_at, unit.waiting = at, False
            unit.questions.clear()
        self._unknown.clear()

    def doubt(self, unit: Unit, at: float) -> None:
        """Nobody can say how much this unit owes."""
        self._unit(unit).deep, self._unit(unit).asked_at = True, at

    def owes(self, unit: Unit, at: float) -> bool:
        """An answer may still come, beside that to a question that waits for it."""
        owing = self._unit(unit)
        if owing.deep:
            return self._lives(unit, owing.asked_at, at)
        waiting = owing.questions[-1] if owing.waiting else None
        return any(one is not waiting for one in self._open(unit, at))

    def may_be_owed(self, key: Key, frame: bytes, at: float) -> bool:
        """This answer may be that to some question that was understood."""
        return self._unit(key[0]).deep or any(one.key and one.fits(key, frame) for one in self._open(key[0], at))

    def _unit(self, number: Unit) -> _Unit:
        if number not in self._units:
            self._units[number] = _Unit(deque(self._unknown))
        return self._units[number]

    def _add(self, number: Unit, question: _Question, earliest: float) -> None:
        unit = self._units[number]
        while unit.questions and not self._lives(number, unit.questions[0].at, earliest):
            unit.questions.popleft()
        unit.questions.append(question)
        if len(unit.questions) > MOST:
            unit.questions.popleft()
            unit.deep, unit.asked_at = True, max(unit.asked_at, question.at)

    def _open(self, number: Unit, at: float) -> Iterator[_Question]:
        """What it may still answer, the oldest first."""
        return (one for one in self._unit(number).questions if not one.settled and self._lives(number, one.at, at))

    def _settle(self, unit: _Unit, question: _Question) -> None:
        """It and all before it."""
        while unit.questions.popleft() is not question:
            pass

    def _lives(self, unit: Unit, asked_at: float, at: float) -> bool:
        return at - asked_at < self._table.life(unit, asked_at)
