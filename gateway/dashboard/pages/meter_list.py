"""Meters of the site page: those without a reading first, then line by line; which of them a filter shows. Pure.

A filter hides rows, never facts: the headline, the tiles and the counts are those of all meters, and how many meters
without a reading it hides stands beside it. Without a script the browser sends the form; with one the rows that are
there already are shown and hidden as somebody types (static/script.js, by the same rule).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.dashboard.pages.overview import LineRow, MeterRow
from gateway.standing import Standing

LONGEST: Final = 100
"""Characters of a search that count."""
FEW: Final = 8
"""Meters: up to so many nobody needs a filter."""


class MeterState(StrEnum):
    """``doubtful``: it is read in time, and a value is not good or outside its limits; ``well``: all are good."""

    SILENT = "silent"
    DOUBTFUL = "doubtful"
    STARTING = "starting"
    ASLEEP = "asleep"
    WELL = "well"


_STATE: Final = {standing: MeterState(standing.value) for standing in Standing}


def state_of(meter: MeterRow) -> MeterState:
    """How a meter stands, as the filter has it."""
    if meter.standing == Standing.WELL and (meter.verdict != "good" or meter.beyond):
        return MeterState.DOUBTFUL
    return _STATE[meter.standing]


@dataclass(frozen=True, slots=True)
class MeterFilter:
    """What somebody wants to see of the meters: words that each stand in a meter's name, label or line, its state, its
    line, its role. Empty: all."""

    find: str = ""
    state: str = ""
    line: str = ""
    role: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], lines: Iterable[str], roles: Iterable[str]) -> MeterFilter:
        """The filter of a query. What the site has not is not chosen: an address of yesterday shows all meters, rather
        than none of a line that is no more."""

        def chosen(name: str, known: Iterable[str]) -> str:
            return value if (value := query.get(name, "")) in known else ""

        find = query.get("find", "")[:LONGEST].strip()
        return cls(find, chosen("state", list(MeterState)), chosen("line", lines), chosen("role", roles))

    def __bool__(self) -> bool:
        return bool(self.find or self.state or self.line or self.role)

    def shows(self, meter: MeterRow, line: str, state: MeterState) -> bool:
        """Whether a meter of a line, in this state, is wanted."""
        if (self.state and state != self.state) or (self.line and line != self.line):
            return False
        if self.role and meter.role != self.role:
            return False
        if not self.find:
            return True
        text = folded(f"{meter.name} {meter.label} {line}")
        return all(word in text for word in folded(self.find).split())


def folded(text: str) -> str:
    """A text without the difference of small and capital letters, and of full and half width."""
    return unicodedata.normalize("NFKC", text).lower()


class Row(NamedTuple):
    """A meter in the list."""

    meter: MeterRow
    line: str
    state: MeterState
    shown: bool
    """Whether the filter shows it."""


class Block(NamedTuple):
    """Rows under one head: a line's, or those without a reading (``line`` None)."""

    line: LineRow | None
    rows: Sequence[Row]
    shown: bool
    """Whether its head is shown."""


@dataclass(frozen=True, slots=True)
class MeterList:
    """All meters in their order, with what a filter is chosen from."""

    filter: MeterFilter
    lines: Sequence[str]
    roles: Sequence[str]
    blocks: Sequence[Block]
    states: Sequence[MeterState] = tuple(MeterState)

    @property
    def all(self) -> int:
        """How many meters there are."""
        return sum(len(block.rows) for block in self.blocks)

    @property
    def filterable(self) -> bool:
        """Whether they are so many that a filter helps, or one is set."""
        return self.all > FEW or bool(self.filter)

    @property
    def shown(self) -> int:
        """How many the filter shows."""
        return sum(row.shown for block in self.blocks for row in block.rows)

    @property
    def silent_hidden(self) -> int:
        """How many meters without a reading it hides."""
        return sum(not row.shown for row in self.blocks[0].rows)


def meter_list(lines: Sequence[LineRow], query: Mapping[str, str]) -> MeterList:
    """The meters of some lines, those without a reading first."""
    names = [line.name for line in lines]
    roles = sorted({meter.role for line in lines for meter in line.meters})
    wanted = MeterFilter.of(query, names, roles)
    silent: list[Row] = []
    blocks: list[Block] = []
    for line in lines:
        rows: list[Row] = []
        for meter in line.meters:
            state = state_of(meter)
            row = Row(meter, line.name, state, not wanted or wanted.shows(meter, line.name, state))
            (silent if state == MeterState.SILENT else rows).append(row)
        here = not wanted or wanted.line == line.name or any(row.shown for row in rows)
        blocks.append(Block(line, rows, here))
    first = Block(None, silent, any(row.shown for row in silent))
    return MeterList(wanted, names, roles, [first, *blocks])
