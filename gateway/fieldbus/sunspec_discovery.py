"""SunSpec model discovery as in pysunspec2: "SunS" at 40000, 0 or 50000, then models up to ID 0xFFFF."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from gateway.devices.points import Profile, Span
from gateway.devices.read_plan import resolve_profile
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.link import Answer, Outcome, Refusal, Silence

BASES = (40000, 0, 50000)
MARKER = (0x5375, 0x6E53)
END = 0xFFFF
VARIANTS = 24
"""Counts in which two registers may be read along with those behind them, so that no shape comes twice too soon."""

Ask = Callable[[Sequence[Request]], Awaitable[Outcome]]


class Discovery:
    """Finds the models of one device on one connection. An interrupted search goes on where it was.

    ``models``: the address of each model's ID register (of its first instance).
    """

    def __init__(self, unit: int, *, direct: bool) -> None:
        self.models: dict[int, int] = {}
        self._unit, self._direct = unit, direct
        self._bases = list(BASES)
        self._next: int | None = None
        self._spans: list[Span] = []
        self._done = False

    async def run(self, ask: Ask) -> Silence | Refusal | None:
        """Search on; None when the map is known, else why not. ``ask`` is one read; its LineDown passes through."""
        while self._next is None and self._bases:
            found = await self._two(ask, self._bases[0])
            if isinstance(found, Silence):
                return found
            base = self._bases.pop(0)
            if isinstance(found, Answer) and found.registers()[:2] == MARKER:
                self._next = base + 2
        if self._next is None:
            self._bases = list(BASES)
            return Refusal(Request(self._unit, 3, BASES[0], 2), 2)
        while not self._done:
            head = await self._two(ask, self._next)
            if isinstance(head, Silence):
                return head
            self._step(head)
        return None

    def profile(self, profile: Profile) -> Profile:
        """The profile with absolute addresses; each model may be read as a whole."""
        return replace(resolve_profile(profile, self.models), readable=tuple(self._spans))

    def _step(self, head: Answer | Refusal) -> None:
        """Take one model's head; a map may also simply end without the end mark."""
        assert self._next is not None
        model, length = head.registers()[:2] if isinstance(head, Answer) else (END, 0)
        behind = self._next + 2 + length
        if model == END or behind > 0xFFFF:
            self._done = True
            return
        self.models.setdefault(model, self._next)
        self._spans.append(Span(3, self._next, behind - 1))
        self._next = behind

    async def _two(self, ask: Ask, address: int) -> Outcome:
        """Two registers, on a line with a converter along with some behind them: two reads of one shape would have to
        wait for each other. A device that refuses those is asked for the two alone."""
        most = 2 if self._direct else min(2 + VARIANTS, 65536 - address)
        counts = (*range(3, most + 1), 2)
        outcome = await ask([Request(self._unit, 3, address, count) for count in counts])
        if isinstance(outcome, Refusal) and outcome.request.count > 2:
            return await ask([Request(self._unit, 3, address, 2)])
        return outcome
