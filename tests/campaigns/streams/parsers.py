"""What any bytes do to the parsers, and to the listeners: no exception but ours, and right messages are still taken.

Each codec that hears a wire gets streams made by hypothesis for ``seconds``: right frames, damaged ones and noise, cut
anywhere. ``findings``: what it raised beside its own refusals, and right frames behind a silence that it did not take.

Then `meterseal run` listens for HJ 212 stations and for a DTU with a DL/T 645 meter, and both ports get garbage from
four connections each for ``garbage_s``. ``messages_taken`` of ``messages_sent`` were acknowledged and are in the
database once; ``polls`` are those of the meter, ``polls_missed`` the gaps between them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.campaigns.streams.garbage_site import garbage
from tests.campaigns.streams.parser_cases import CODECS
from tests.campaigns.streams.parser_streams import search

SMALLEST: tuple[dict[str, Any], ...] = ({"seconds": 5.0, "garbage_s": 13.0},)


def run(seconds: float = 180.0, garbage_s: float = 60.0, seed: int = 1) -> dict[str, object]:
    """``seconds`` for each codec, then ``garbage_s`` for the listeners."""
    figures: dict[str, object] = {}
    total = 0
    for name, codec in CODECS.items():
        streams, findings = search(codec, seconds, seed * 1_000_000)
        figures[f"{name}_streams"] = streams
        for finding in findings:
            print(f"{name}: {finding}", file=sys.stderr)
        total += len(findings)
    with tempfile.TemporaryDirectory() as name:
        heard = garbage(Path(name), garbage_s)
    return figures | {"findings": total, "seconds": seconds, "seed": seed} | heard
