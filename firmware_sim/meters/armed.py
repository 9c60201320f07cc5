"""Faults in force: which, of whom, since when and how often; armed from the scenario's file or while the plant runs.

One registry has them all. ``of`` gives a meter's faults as a list that stays the same one: what is armed or cleared
changes it between two requests, and whoever answers looks at it anew each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from firmware_sim.meters.answer_faults import Fault

ENDED_KEPT = 100
"""How many faults that are over are still listed."""


@dataclass(frozen=True, slots=True)
class When:
    """When a fault is on: between two moments of the plant's time, at every n-th request or a share of them, and of
    Modbus reads only at those of more than ``above`` registers."""

    from_ms: int = 0
    to_ms: int | None = None
    every: int = 1
    share: float = 1.0
    above: int = 0

    def covers(self, t_ms: int) -> bool:
        """Whether a moment of the plant's time is within its time."""
        return self.from_ms <= t_ms and (self.to_ms is None or t_ms < self.to_ms)


@dataclass(frozen=True, slots=True)
class Choice:
    """A fault, and its share of the requests."""

    kind: str
    fault: Fault
    share: float = 1.0


@dataclass
class Budget:
    """How many requests a fault may still strike, of all of its meters together; None: any number."""

    left: int | None = None


@dataclass
class Armed:
    """A fault of one meter, or several of which a request meets one at most; and how many requests it has seen while
    its time was on. ``cleared``: it was taken away, and what it holds back is not sent."""

    choices: Sequence[Choice]
    when: When
    seed: str
    id: str = ""
    budget: Budget = field(default_factory=Budget)
    requests: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)
    cleared: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for choice in self.choices:
            choice.fault.since_ms, choice.fault.id = self.when.from_ms, self.id
        if self.when.to_ms is not None:
            tail_ms = max(choice.fault.tail_ms for choice in self.choices)
            self.when = replace(self.when, to_ms=self.when.to_ms + tail_ms)

    @classmethod
    def of(cls, kind: str, fault: Fault, when: When, seed: str) -> Armed:
        """A single fault.

        Args:
            kind: its name in the scenario.
            fault: what it does.
            when: the time in which it is on, and how often it strikes.
            seed: of its generator.
        """
        return cls((Choice(kind, fault),), when, seed)

    def is_on(self, t_ms: int) -> bool:
        """Whether a request at this moment of the plant's time could meet it."""
        return self.budget.left != 0 and self.when.covers(t_ms)

    def is_over(self, t_ms: int) -> bool:
        """Whether no later request can meet it."""
        return self.budget.left == 0 or (self.when.to_ms is not None and t_ms >= self.when.to_ms)

    def strikes(self, t_ms: int, count: int = 0) -> tuple[Choice, random.Random] | None:
        """The fault that is on for this request, with a generator for it, or None.

        Args:
            t_ms: the plant's time.
            count: so many registers are asked for.
        """
        when = self.when
        if not self.is_on(t_ms) or (when.above and count <= when.above):
            return None
        self.requests += 1
        rng = random.Random(f"{self.seed}/{self.requests}")
        if self.requests % when.every or rng.random() >= when.share:
            return None
        place = rng.random()
        for choice in self.choices:
            place -= choice.share
            if place < 0:
                self.struck += 1
                if self.budget.left is not None:
                    self.budget.left -= 1
                return choice, rng
        return None


@dataclass(frozen=True, slots=True)
class Order:
    """A fault that is asked for, and may be.

    Attributes:
        target: the meter or bus that it was asked for.
        meters: whose requests it strikes: the meter, those of the bus, or none if it is of the bus's port alone.
        bus: the bus, if it is of a whole bus.
        kind: its name.
        keys: its keys that are not as by default.
        when: its time, and how often it strikes.
        count: it strikes so many requests at most; None: any number.
        made: makes the fault of one meter; each has a memory of its own.
    """

    target: str
    meters: tuple[str, ...]
    kind: str
    made: Callable[[], Sequence[Choice]]
    when: When = When()
    count: int | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    bus: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """An order that is carried out: its faults by meter, and those of the bus itself."""

    id: str
    order: Order
    by_meter: Mapping[str, Armed]
    of_bus: Armed | None

    def each(self) -> tuple[Armed, ...]:
        """Its faults."""
        return (*self.by_meter.values(), *([] if self.of_bus is None else [self.of_bus]))

    def listed(self, t_ms: int) -> dict[str, Any]:
        """What the log and ``status`` say of it; times in ms of the plant's time."""
        order, when = self.order, self.order.when
        every = {"every": when.every, "share": when.share, "above": when.above}
        return {
            "id": self.id,
            "target": order.target,
            "meters": list(order.meters),
            "kind": order.kind,
            "keys": dict(order.keys),
            "from_ms": when.from_ms,
            "to_ms": when.to_ms,
            **every,
            "count": order.count,
            "struck": sum(armed.struck for armed in self.each()),
            "state": "over" if self.is_over(t_ms) else "waits" if t_ms < when.from_ms else "on",
        }

    def is_over(self, t_ms: int) -> bool:
        """Whether it can strike no more."""
        return all(armed.is_over(t_ms) for armed in self.each())


class Faults:
    """All faults of a simulator.

    Args:
        seed: of their generators.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._of: dict[str, list[Armed]] = {}
        self._of_bus: dict[str, list[Armed]] = {}
        self._standing: dict[str, Standing] = {}
        self._numbers = {"f": 0, "i": 0}
        self.changed: list[Callable[[], None]] = []
        """Called after each change."""

    def of(self, meter: str) -> list[Armed]:
        """The faults of a meter, in the order of arming; the list is changed in place."""
        return self._of.setdefault(meter, [])

    def of_bus(self, bus: str) -> list[Armed]:
        """The faults of a bus itself, not of its meters; the list is changed in place."""
        return self._of_bus.setdefault(bus, [])

    def arm(self, order: Order, t_ms: int = 0, *, injected: bool = True, number: int | None = None) -> str:
        """Put a fault into force; gives its id.

        Args:
            order: what is asked for.
            t_ms: the plant's time; faults that are over by now are taken out of the way.
            injected: it comes while the plant runs, not from the scenario's file.
            number: that its id has had in a run before; None: the next one.
        """
        letter = "i" if injected else "f"
        number = number or self._numbers[letter] + 1
        self._numbers[letter] = max(self._numbers[letter], number)
        name = f"{letter}{number}"
        self._drop_ended(t_ms)
        seed = f"{self._seed}/{name if injected else number - 1}"
        budget = Budget(order.count)
        by_meter: dict[str, Armed] = {}
        for meter in order.meters:
            of_meter = f"{seed}/{meter}" if order.bus else seed
            by_meter[meter] = Armed(tuple(order.made()), order.when, of_meter, name, budget)
            self.of(meter).append(by_meter[meter])
        of_bus = Armed(tuple(order.made()), order.when, seed, name, budget) if order.bus else None
        if of_bus is not None:
            self.of_bus(order.bus).append(of_bus)
        self._standing[name] = Standing(name, order, by_meter, of_bus)
        self._tell()
        return name

    def clear(self, ids: Sequence[str]) -> list[str]:
        """Take faults away, with all that they hold back; gives the ids of those that there were."""
        found = [self._standing.pop(name) for name in ids if name in self._standing]
        for standing in found:
            for armed in standing.each():
                armed.cleared = True
            self._drop(standing)
        if found:
            self._tell()
        return [standing.id for standing in found]

    @property
    def injected(self) -> int:
        """How many faults were injected so far."""
        return self._numbers["i"]

    def number_from(self, injected: int) -> None:
        """Let the ids of faults that are injected follow on so many."""
        self._numbers["i"] = max(self._numbers["i"], injected)

    def standing(self) -> list[Standing]:
        """Every fault that was not cleared, in the order of arming: also the last ones that are over."""
        return list(self._standing.values())

    def _drop_ended(self, t_ms: int) -> None:
        ended = [standing for standing in self._standing.values() if standing.is_over(t_ms)]
        for standing in ended:
            self._drop(standing)
        for standing in ended[:-ENDED_KEPT]:
            del self._standing[standing.id]

    def _drop(self, standing: Standing) -> None:
        for meter, armed in standing.by_meter.items():
            self._of[meter][:] = [other for other in self._of[meter] if other is not armed]
        if standing.of_bus is not None:
            bus = self._of_bus[standing.order.bus]
            bus[:] = [other for other in bus if other is not standing.of_bus]

    def _tell(self) -> None:
        for call in self.changed:
            call()
