"""What any bytes do to the parsers, and to the listeners: no exception but ours, and right messages are still taken.

Each codec that hears a wire gets streams made by hypothesis for ``seconds``: right frames, damaged ones and noise, cut
anywhere. ``findings``: what it raised beside its own refusals, and right frames behind a silence that it did not take.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.parts.parser_cases import CODECS
from benchmarks.parts.parser_streams import search

SMALLEST: tuple[dict[str, Any], ...] = ({"seconds": 6.0},)


def run(seconds: float = 180.0, seed: int = 1) -> dict[str, object]:
    """``seconds`` for each codec."""
    figures: dict[str, object] = {}
    total = 0
    for name, codec in CODECS.items():
        streams, findings = search(codec, seconds, seed * 1_000_000)
        figures[f"{name}_streams"] = streams
        for finding in findings:
            print(f"{name}: {finding}", file=sys.stderr)
        total += len(findings)
    return figures | {"findings": total, "seconds": seconds, "seed": seed}
