"""The accounting: 10,000 random histories by both implementations (target: no other byte, no Wh lost)."""

from __future__ import annotations

from typing import Literal

from benchmarks.parts import accounting_i8

SMALLEST = ({"only": "i8", "histories": 20, "stacks": 3},)


def run(only: Literal["i8"] = "i8", histories: int = 10_000, stacks: int = 500, seed: int = 14) -> dict[str, object]:
    """``only``: a part of it. Figures of each part under their names."""
    return {f"{only}_{name}": value for name, value in accounting_i8.run(histories, stacks, seed).items()}
