"""Figures of the accounting in words: amounts in a unit that is easy to read, signs, reasons, civil times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.accounting.hours.hour import GONE, NO_EDGE, NO_PLAN, RUNNING, Why
from gateway.dashboard.figures.figures_page import NodeFigures
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.formats import Shown
from ledger_client.accounting.formats import words as statuses
from ledger_client.accounting.formats.civil_time import civil, offset_text
from ledger_client.accounting.formats.numbers import MILLI, scaled

SIGNS: Final = {
    statuses.MEASURED: "✓", statuses.SPLIT: "÷", statuses.BRIDGED: "⌒", statuses.IMPLAUSIBLE: "!",
    statuses.UNALLOCATED: "⋯", statuses.UNKNOWN: "?", statuses.VALID: "✓", statuses.STOPPED: "■",
    statuses.MISSING: "–", statuses.SUBSTITUTED: "⇄", statuses.MANUAL: "✎",
    NO_PLAN: "·", NO_EDGE: "○", RUNNING: "…", GONE: "×",
}  # fmt: skip
"""A sign of each status, beside its word and its pattern."""
_LARGER: Final = {"Wh": ("Wh", "kWh", "MWh", "GWh"), "kg": ("kg", "t", "kt"), "m3": ("m3",)}


class Scale(NamedTuple):
    """A unit, and by which power of ten amounts of the base unit are divided for it."""

    unit: str
    power: int

    def shown(self, milli: int | None) -> Shown:
        """An amount in thousandths of the base unit, with three places."""
        if milli is None:
            return Shown("—", "")
        return formats.exact(Decimal(f"{scaled(milli, MILLI - self.power):.3f}"), self.unit)


def scale_of(node: NodeFigures) -> Scale:
    """One unit for all figures of a node, by the largest."""
    return scale_for(node.unit, _amounts(node))


def scale_for(unit: str, amounts: Iterable[int]) -> Scale:
    """The same for some amounts in thousandths of a base unit."""
    peak, names = max((abs(amount) for amount in amounts), default=0), _LARGER[unit]
    steps = next((n for n in range(len(names) - 1) if peak < 10 ** (3 * n + 6)), len(names) - 1)
    return Scale(names[steps], 3 * steps)


def _amounts(node: NodeFigures) -> Iterator[int]:
    for line in node.lines:
        yield line.total or 0
        yield from (one.amount or 0 for one in line.sums)
    for hour in node.hours:
        yield hour.amount or 0
        yield hour.beside.amount or 0 if hour.beside else 0


def sign(status: str) -> str:
    """The sign of a status."""
    return SIGNS[status]


def why_text(words: Words, why: Why, civil_min: int) -> str:
    """A reason in words: moments by the plan's civil time, reasons of missed polls by their words."""
    facts: dict[str, object] = {}
    for key, value in why.facts.items():
        if key.endswith("_ms") and isinstance(value, int):
            facts[key.removesuffix("_ms")] = clock(value, civil_min)
        else:
            facts[key] = words.of("reason", str(value)) if key == "reason" else value
    return words(f"hour-why.{why.code}", **facts)


def clock(time_ms: int, civil_min: int) -> str:
    """The time of the day."""
    return f"{civil(time_ms, civil_min):%H:%M}"


def moment(time_ms: int, civil_min: int) -> str:
    """Date and time of the day."""
    return f"{civil(time_ms, civil_min):%Y-%m-%d %H:%M}"


def called(view: str, from_ms: int, civil_min: int) -> str:
    """A day or month by its name; ``view``: by which they are."""
    return f"{civil(from_ms, civil_min):{'%Y-%m' if view == 'month' else '%Y-%m-%d'}}"


def month_of(from_ms: int, to_ms: int, civil_min: int) -> str:
    """A period for `meterseal statement --period`: its month where it is one, else its two times in UTC."""
    begin, end = civil(from_ms, civil_min), civil(to_ms, civil_min)
    whole = (begin.day, begin.hour, begin.minute) == (end.day, end.hour, end.minute) == (1, 0, 0)
    if whole and (end.year * 12 + end.month) - (begin.year * 12 + begin.month) == 1:
        return f"{begin:%Y-%m}"
    return "/".join(f"{civil(ms, 0):%Y-%m-%dT%H:%M:%SZ}" for ms in (from_ms, to_ms))


def percent(share: Decimal) -> str:
    """A share of 1, in percent with two places."""
    return f"{formats.exact(Decimal(f'{share * 100:.2f}'), None)} %"


def offset(civil_min: int) -> str:
    """UTC+08:00"""
    return f"UTC{offset_text(civil_min)}"
