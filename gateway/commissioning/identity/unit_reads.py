"""Reads of one unit while it is identified: each register is asked for once, and there is an end of asking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.fieldbus.modbus.exceptions import LASTING
from gateway.fieldbus.modbus.frames import Request, registers_of
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal

Ask = Callable[[Question], Awaitable[Outcome]]
"""One read, through the gate of its protocol. LineDown passes through."""

MOST_READS, MOST_S = 120, 15.0
"""What identifying one unit may cost; at 2400 Bd a short read takes about 0.1 s."""
MOST_SILENT, MOST_REPEATS = 12, 3
"""Unanswered reads after which nothing more is asked, as each one costs a time-out, and those that are repeated."""
NOWHERE = 60_211
"""A register that no profile has."""
PAUSE_S = 0.1
"""Once a read was not answered, each waits so long: some meters need a pause behind an answer (openWB/core PR 2184)."""


class UnitReads:
    """Modbus registers of one unit. Once the bounds are reached, what was not asked is as good as refused.

    Args:
        ask: one read.
        unit: who is asked.
        most_s: how long may be asked, in seconds.
    """

    def __init__(self, ask: Ask, unit: int, *, most_s: float = MOST_S) -> None:
        self.unit, self.made, self.silent = unit, 0, 0
        self._ask = ask
        self._until = asyncio.get_running_loop().time() + most_s
        self._words: dict[tuple[int, int], int] = {}
        self._refused: set[tuple[int, int, int]] = set()
        self._anywhere: dict[int, int | None] = {}

    @property
    def spent(self) -> bool:
        """Nothing more is asked."""
        late = asyncio.get_running_loop().time() >= self._until
        return late or self.made >= MOST_READS or self.silent >= MOST_SILENT

    async def words(self, fc: int, address: int, count: int) -> tuple[int, ...] | None:
        """Registers (fc 1 and 2: bits); None: they were refused, or not answered."""
        places = [(fc, place) for place in range(address, address + count)]
        if all(place in self._words for place in places):
            return tuple(self._words[place] for place in places)
        if (fc, address, count) in self._refused:
            return None
        outcome = await self.put(Request(self.unit, fc, address, count), again=True)
        if not isinstance(outcome, Answer):
            self._refused.add((fc, address, count))
            return None
        found = registers_of(outcome)
        self._words.update(zip(places, found, strict=True))
        return found

    async def anywhere(self, fc: int) -> int | None:
        """What the unit answers to a read of one register that it does not have; None: it refuses. Eastron meters
        answer any read of a single register with a number of their type (SDM630 Modbus manual, 1.1)."""
        if fc not in self._anywhere:
            outcome = await self.put(Request(self.unit, fc, NOWHERE, 1), again=True)
            self._anywhere[fc] = registers_of(outcome)[0] if isinstance(outcome, Answer) else None
        return self._anywhere[fc]

    async def refuses(self, fc: int, address: int, count: int) -> bool | None:
        """Whether a read is answered with an exception that lasts; None: it was not answered at all."""
        outcome = await self.put(Request(self.unit, fc, address, count), again=True)
        return isinstance(outcome, Refusal) if isinstance(outcome, Answer | Refusal) else None

    async def put(self, request: Request, *, again: bool = False) -> Outcome | None:
        """Any read, once more with ``again`` where it was not answered; None: nothing came of it."""
        for _ in range(1 + (again and self.silent < MOST_REPEATS)):
            if self.spent:
                return None
            if self.silent:
                await asyncio.sleep(PAUSE_S)
            self.made += 1
            outcome = await self._ask(request)
            if isinstance(outcome, Answer) or (isinstance(outcome, Refusal) and outcome.refused.code in LASTING):
                return outcome
            self.silent += 1
        return None
