"""Units that answer alike: whether two addresses are one device, which answers under any.

A device that answers under any address gives each the same registers. Some of them move from one read to the next, so
only those count that stand still under both addresses, and differ there: by more than the last digits of a measured
value, or at all where the profile has the device's serial number. A register that holds the address that is asked
says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from gateway.commissioning.identity.unit_reads import Ask
from gateway.fieldbus.modbus.frames import REGISTERS, Request, registers_of
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal

STRAYS: Final = (201, 173, 219, 233)
"""Addresses that hardly a device has: where all of them answer, a device answers under any."""
MOST_UNITS: Final = 8
"""Units that are compared; where each of them is that device, the others are, too."""
MOST_READS: Final = 4
"""Reads that are compared, the longest ones."""
SMALL, SMALL_PART = 2, 0.01
"""Differences that a measured value may have from one read to the next."""

Place = tuple[int, int]
"""Function and address of a register."""


class Likeness:
    """The reads by which a device is known.

    Args:
        ask: one read on its line.
        unit: address under which it was identified.
        reads: those that it has answered then.
        exact: registers of its serial number.
    """

    def __init__(self, ask: Ask, unit: int, reads: Sequence[Request], exact: Collection[Place] = ()) -> None:
        longest = sorted(dict.fromkeys(reads), key=lambda read: -read.count)[:MOST_READS]
        telling = [read for read in reads if any(place in exact for place in _places(read))]
        self._ask, self._unit, self._exact = ask, unit, frozenset(exact)
        self._reads = tuple(dict.fromkeys([*telling, *longest])) or (Request(unit, 3, 0, 1),)

    async def holds(self, unit: int) -> bool:
        """Whether what answers under another address is the same device, as far as its registers tell."""
        for read in self._reads:
            pairs = [await self._pair(read, unit)]
            if self._differ(read, unit, pairs):  # once more: it may have changed between the two
                pairs.append(await self._pair(read, unit))
                if self._differ(read, unit, pairs):
                    return False
        return True

    async def _pair(self, read: Request, unit: int) -> tuple[Outcome, Outcome]:
        return await self._ask(replace(read, unit=self._unit)), await self._ask(replace(read, unit=unit))

    def _differ(self, read: Request, unit: int, pairs: Sequence[tuple[Outcome, Outcome]]) -> bool:
        kinds = {(type(ours), type(other)) for ours, other in pairs}
        if kinds in ({(Answer, Refusal)}, {(Refusal, Answer)}):
            return True
        both = [(ours, other) for ours, other in pairs if isinstance(ours, Answer) and isinstance(other, Answer)]
        if len(both) < len(pairs):
            return False  # what was not answered tells nothing
        if read.function not in REGISTERS:
            return all(ours.data != other.data for ours, other in both)
        ours, others = ([registers_of(pair[n]) for pair in both] for n in (0, 1))
        for place, words, other_words in zip(
            _places(read), zip(*ours, strict=True), zip(*others, strict=True), strict=True
        ):
            if len({*words}) == len({*other_words}) == 1 and self._apart(place, words[0], other_words[0], unit):
                return True
        return False

    def _apart(self, place: Place, word: int, other: int, unit: int) -> bool:
        if place in self._exact:
            return word != other
        if (word, other) == (self._unit, unit):
            return False
        return abs(word - other) > max(SMALL, SMALL_PART * max(word, other))


def _places(read: Request) -> list[Place]:
    return [(read.function, address) for address in range(read.address, read.address + read.count)]
