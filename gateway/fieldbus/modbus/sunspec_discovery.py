"""SunSpec model discovery as in pysunspec2: "SunS" at 40000, 0 or 50000, then models up to ID 0xFFFF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.devices.points import Point, Profile, Span
from gateway.devices.read_plan import for_models, resolve, resolve_profile
from gateway.fieldbus.modbus.exceptions import ILLEGAL_ADDRESS, refused
from gateway.fieldbus.modbus.frames import Request, registers_of
from gateway.fieldbus.wire.dialect import Ask
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal, Silence

BASES = (40000, 0, 50000)
MARKER = (0x5375, 0x6E53)
END = 0xFFFF
VARIANTS = 24
"""Counts in which two registers may be read along with those behind them, so that no shape comes twice too soon."""


class ModelSearch:
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
            if isinstance(found, Answer) and registers_of(found)[:2] == MARKER:
                self._next = base + 2
        if self._next is None:
            self._bases = list(BASES)
            return Refusal(Request(self._unit, 3, BASES[0], 2), refused(ILLEGAL_ADDRESS, 3))
        while not self._done:
            head = await self._two(ask, self._next)
            if isinstance(head, Silence):
                return head
            self._step(head)
        return None

    @property
    def found(self) -> dict[int, int]:
        """The models."""
        return self.models

    def resolved(
        self, profile: Profile, points: Sequence[Point]
    ) -> tuple[Profile, tuple[Point, ...], tuple[Point, ...]]:
        """Profile and points with absolute addresses, each model to be read as a whole; and the points of models that
        the device does not have."""
        profile = replace(profile, points=for_models(profile, profile.points, self.models))
        points = for_models(profile, points, self.models)
        missing = tuple(p for p in points if p.model not in self.models)
        resolved = replace(resolve_profile(profile, self.models), readable=tuple(self._spans))
        return resolved, resolve(points, self.models), missing

    def _step(self, head: Answer | Refusal) -> None:
        """Take one model's head; a map may also simply end without the end mark."""
        assert self._next is not None
        model, length = registers_of(head)[:2] if isinstance(head, Answer) else (END, 0)
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
        *longer, two = [Request(self._unit, 3, address, count) for count in counts]
        outcome = await ask([*longer, two])
        if isinstance(outcome, Refusal) and outcome.question is not two:
            return await ask([two])
        return outcome
