"""I8 in random histories: both implementations of the accounting side by side, and no Wh of a total lost."""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.oracle.comparison import compare, first_difference, lost
from tests.oracle.histories import history, stack


def run(histories: int, stacks: int, seed: int) -> dict[str, object]:
    """``histories`` of counters and ``stacks`` of gauges; the first seed at which something was wrong is reported."""
    met: Counter[str] = Counter()
    different, wrong, first = 0, 0, ""
    cases = [(history, n) for n in range(histories)] + [(stack, n) for n in range(stacks)]
    for make, n in cases:
        made = make(Random(f"{seed}/{n}"))
        found = compare(made)
        for row in found.oracle.plain:
            met[row.status] += 1
            met.update(f"jump {jump[1]}" for jump in row.facts.get("jumps", ()))
        differs, loses = first_difference(found) is not None, make is history and bool(lost(made, found))
        different, wrong = different + differs, wrong + loses
        first = first or (f"{make.__name__} {seed}/{n}" if differs or loses else "")
    return {
        "histories": len(cases), "different_bytes": different, "lost": wrong, "first_wrong": first, "seed": seed,
        "rows": sum(count for what, count in met.items() if not what.startswith("jump")),
        "met": dict(sorted(met.items())),
    }  # fmt: skip
