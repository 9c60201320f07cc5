"""`python -m scripts.handbook.quantities`: docs/quantities.md, the vocabulary of point names as tables."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from gateway.devices.knowledge.quantities import QUANTITIES, UNITS, Quantity

PAGE = Path(__file__).parents[2] / "docs" / "quantities.md"


def page() -> str:
    """The page: a table for each dimension, in the order of the vocabulary, and one for what is no number."""
    lines = [
        "# Names of points",
        "",
        "Made from `gateway/devices/quantities.toml` by `python -m scripts.handbook.quantities`. In the catalog of",
        "profiles a name has the meaning, dimension and kind that it has here; a value without a name here gets one",
        "that begins with `x_` (docs/profiles.md). Units are those of SenML; OBIS codes are those of IEC 62056-61.",
        "Directions are seen from the grid: import is taken from it. Two names of one quantity say so: values keep the",
        "name that they are recorded under, and totals take either.",
    ]
    order = {dimension: place for place, dimension in enumerate((*UNITS, ""))}
    rows = sorted(QUANTITIES.values(), key=lambda quantity: order[quantity.dimension or ""])
    for dimension, found in groupby(rows, key=lambda quantity: quantity.dimension):
        title = f"{dimension[0].upper()}{dimension[1:]}" if dimension else "No numbers"
        lines += ["", f"## {title}", ""]
        if dimension:
            lines += [f"Units: {', '.join(f'`{unit}`' for unit in UNITS[dimension])}.", ""]
        lines += ["| name | meaning | unit | kind | direction | phase | OBIS |", "|---|---|---|---|---|---|---|"]
        lines += [_row(quantity) for quantity in found]
    return "\n".join(lines) + "\n"


def _row(q: Quantity) -> str:
    unit, obis = (f"`{text}`" if text else "" for text in (q.unit, q.obis))
    meaning = q.meaning if q.same_as is None else f"{q.meaning}; the same as `{q.same_as}`"
    cells = (f"`{q.name}`", meaning, unit, q.kind, q.direction or "", f"L{q.phase}" if q.phase else "", obis)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
