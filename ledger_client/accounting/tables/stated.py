"""Statements as tables show them: with plan, rows and entries; units, times and amounts as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledger_client.accounting.formats.civil_time import civil, civil_text
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row

Cell = str | int | bool | None
"""Decimals are text, exactly as they are written."""


class Table(NamedTuple):
    """Names of columns, and lines of as many cells."""

    header: tuple[str, ...]
    lines: list[tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class StatedRows:
    """A statement: its record hash, its event's fields, its plan, its rows, and the entries on the plan in the order in
    which they were made (also those that were made after it)."""

    record: bytes
    fields: Mapping[str, Any]
    plan: Plan
    rows: Sequence[Row]
    entries: Sequence[Entry]

    @property
    def span(self) -> tuple[int, int]:
        """From and to, in ms."""
        return self.fields["from"], self.fields["to"]


def base_unit(plan: Plan, name: str) -> str:
    """The unit of a node's amounts: Wh, kg or m3."""
    if name not in plan.nodes:
        refuse("T1", "rows", f"the plan has no node {name}", "give the plan that the statement names")
    base = plan.base_of(name)
    assert base is not None  # P4, P5: it has terms or inputs, or takes from one that has
    return base


def civil_time(plan: Plan, time_ms: int) -> str:
    """RFC 3339 by the plan's civil time, with its offset."""
    return civil_text(time_ms, plan.civil_min)


def civil_month(plan: Plan, time_ms: int) -> str:
    """Year and month by the plan's civil time, as 2026-10."""
    return civil(time_ms, plan.civil_min).strftime("%Y-%m")


def written(mantissa: int | None, exponent: int = MILLI) -> str | None:
    """A value as text with all its places; None: there is none."""
    return None if mantissa is None else f"{scaled(mantissa, exponent):f}"
