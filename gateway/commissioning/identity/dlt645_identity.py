"""DL/T 645 meters: their number, and whether one phase or three are measured.

DL/T 645-2007, annex A: 04000402 is the meter number, 04000401 the address, 0201FF00 the voltages of all phases.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.commissioning.identity.unit_reads import Ask
from gateway.fieldbus.dlt645.frames import Request
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal

NUMBER, ADDRESS, VOLTAGES, VOLTAGE_B = "04000402", "04000401", "0201FF00", "02010200"
PHASE = 2
"""Bytes of a voltage: XXX.X."""


@dataclass(frozen=True, slots=True)
class Dlt645Device:
    """``number``: on its plate, or its address. ``phases``: voltages that are there, of those that it answers; None: it
    answers no voltage. ``refuses_others``: it has no voltage of phase B."""

    number: str | None = None
    volts: tuple[float, ...] = ()
    refuses_others: bool = False

    @property
    def phases(self) -> int:
        """How many phases have a voltage."""
        return sum(volts > 0 for volts in self.volts)


async def dlt645_device(ask: Ask, address: str) -> Dlt645Device:
    """Ask a meter who it is."""
    number = None
    for di in (NUMBER, ADDRESS):
        outcome = await _put(ask, Request(address, di, 6))
        if isinstance(outcome, Answer) and (found := outcome.data[5::-1].hex()).isdecimal() and len(found) == 12:
            number = found
            break
    volts = _voltages(await _put(ask, Request(address, VOLTAGES, PHASE)))
    refuses = False
    if sum(v > 0 for v in volts) <= 1:
        other = await _put(ask, Request(address, VOLTAGE_B, PHASE))
        refuses = isinstance(other, Refusal) and other.refused.lasting
    return Dlt645Device(number, volts, refuses)


async def _put(ask: Ask, request: Request) -> Outcome:
    outcome = await ask(request)
    return outcome if isinstance(outcome, Answer | Refusal) else await ask(request)


def _voltages(outcome: Outcome) -> tuple[float, ...]:
    if not isinstance(outcome, Answer):
        return ()
    data = outcome.data
    items = [data[place : place + PHASE][::-1].hex() for place in range(0, len(data) - 1, PHASE)]
    return tuple(int(item) / 10 for item in items if item.isdecimal())
