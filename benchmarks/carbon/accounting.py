"""The accounting: whether both implementations agree, and how fast rows, gauges, recomputations and statements are.

- ``i8_…``: random histories by both implementations (targets: no other byte, no Wh lost).
- ``intervals_per_s``: hours of ``meters`` from decoded looks, every quarter of an hour, to the tree of each of
  ``months`` (876,000 in a year of 100 meters; target: 20 s, which are 43,800 a second); ``peak_mb`` of that process
  (at most 300).
- ``gauge_values_per_s``: of a stack, from decoded readings to the statement of ``days``.
- ``recompute_ratio``: the time of an audit over that of a recomputation, which holds the audit, on the same batches
  (at least 0.8); ``recompute_verify_ratio``: that of the signatures alone, by the library itself, over that of the
  recomputation of two versions (at least 0.5).
- ``statement_s``: the command's statement of ``hours`` from a gateway's database, beside that gateway, which goes on
  polling a farm; ``recording_kept``: its recorded readings of those that were due in ``recording_s`` (at least 0.98).
  A month of 100 meters (``--hours 744``; at most 60 s) has 27 million readings: only ``statement_marks`` of them, which
  a statement reads, are made; coverage and batches are all there (parts/accounting_statement.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from benchmarks.carbon import (
    accounting_gauges,
    accounting_i8,
    accounting_recompute,
    accounting_rows,
    accounting_statement,
)

SMALLEST = (
    {"histories": 20, "stacks": 3, "meters": 2, "months": 1, "days": 1, "polls": 300, "hours": 1, "watch_s": 11.0},
    {"only": "i8", "histories": 2, "stacks": 1},
)


def run(
    only: Literal["all", "i8", "rows", "gauges", "recompute", "statement"] = "all",
    histories: int = 10_000,
    stacks: int = 500,
    seed: int = 14,
    meters: int = 100,
    months: int = 12,
    days: int = 10,
    polls: int = 6_000,
    hours: int = 24,
    watch_s: float = 60.0,
) -> dict[str, object]:
    """``only``: one of its parts; ``meters`` are those of rows and statement."""
    parts: Mapping[str, Callable[[], dict[str, object]]] = {
        "i8": lambda: {f"i8_{key}": value for key, value in accounting_i8.run(histories, stacks, seed).items()},
        "rows": lambda: accounting_rows.run(meters, months),
        "gauges": lambda: accounting_gauges.run(days),
        "recompute": lambda: accounting_recompute.run(polls, runs=5),
        "statement": lambda: accounting_statement.run(meters, hours, watch_s),
    }
    figures: dict[str, object] = {"meters": meters}
    for name, part in parts.items():
        figures |= part() if only in ("all", name) else {}
    return figures
