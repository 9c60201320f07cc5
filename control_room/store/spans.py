"""Spans of record numbers, as parameters of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString, NamedTuple

from control_room.store.names import Chain

AT: Final[LiteralString] = "to_timestamp(%s::int8 / 1000.0)"
"""A moment, of Unix ms."""
STATED: Final[LiteralString] = (
    "WITH stated AS (SELECT meter, epoch, range_agg(int8range(first, last, '[]')) AS seqs "
    "FROM unnest(%s::int[], %s::int[], %s::int8[], %s::int8[]) AS s (meter, epoch, first, last) GROUP BY 1, 2) "
)
"""Begins a statement with ``columns`` as a table: (meter, epoch, seqs)."""


class Span(NamedTuple):
    """Numbers first … last, both included, of a meter in an epoch."""

    chain: Chain
    meter: str
    first: int
    last: int


def columns(spans: Sequence[Span]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Meters, epochs, first and last numbers."""
    return (
        [span.chain.meter for span in spans], [span.chain.epoch for span in spans],
        [span.first for span in spans], [span.last for span in spans],
    )  # fmt: skip
