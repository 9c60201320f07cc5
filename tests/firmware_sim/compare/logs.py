"""Logs of version 2 and readings, made by hand: what a test of the comparison says was sent, and was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from firmware_sim.compare.run import Wanted, compare
from firmware_sim.compare.tallies import Result

BEGIN_MS = 1_795_566_942_500
ASKED = "010400000050f1f6"
Row = tuple[float, str, str, object] | tuple[float, str, str, object, str]
"""Seconds since the begin, meter, point, value and quality."""


def answer(
    at_s: float,
    values: Mapping[str, object],
    *faults: str,
    meter: str = "main",
    true: Mapping[str, object] | None = None,
    late_s: float = 0.0,
    asked: str = ASKED,
    frame: str = "",
) -> dict[str, Any]:
    """A line of the log: a request at ``at_s``, whose answer leaves at once, or ``late_s`` later."""
    at_ms = round(at_s * 1000)
    entry = {"v": 2, "t_ms": BEGIN_MS + at_ms + round(late_s * 1000), "at_ms": at_ms, "meter": meter, "line": "rs485"}
    entry |= {"unit": 1, "fc": 4, "address": 0, "count": 80, "asked": asked, "answer": frame or f"0104{at_ms:08x}"}
    entry |= {"exception": None, "values": values, "faults": list(faults)}
    return entry | ({"true": true} if true else {})


def write_log(path: Path, lines: Sequence[Mapping[str, Any]], *, tail: str = "") -> Path:
    """A log of these lines, in the order in which the answers left."""
    ordered = sorted(lines, key=lambda line: int(line["t_ms"]))
    path.write_text("".join(json.dumps(line) + "\n" for line in ordered) + tail)
    return path


def time_text(at_s: float) -> float:
    """A time in Unix s."""
    return (BEGIN_MS + round(at_s * 1000)) / 1000


def write_readings(path: Path, rows: Sequence[Row]) -> Path:
    """A CSV of these rows."""
    lines = ["time,meter,point,value,quality"]
    for at_s, meter, point, value, *quality in rows:
        shown = "" if value is None else value
        lines.append(f"{time_text(at_s)},{meter},{point},{shown},{quality[0] if quality else 'good'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def compared(
    folder: Path,
    lines: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    *,
    every: Mapping[str, float] | None = None,
    **more: Any,
) -> Result:
    """The comparison of a log and readings; ``every`` in seconds, the rest as of ``Wanted``."""
    log, readings = write_log(folder / "log.jsonl", lines), write_readings(folder / "readings.csv", rows)
    return compare(Wanted(log, readings, {meter: 1000 * s for meter, s in (every or {}).items()}, **more))


def counts(result: Result) -> dict[str, int]:
    """What is not 0 of all that was found."""
    found = result.as_json()
    names = ("right", "right_flagged", "faithful_flagged", "faithful_unflagged", "wrong")
    return {name: found[name] for name in (*names, "missing_said", "missing_unsaid", "doubled") if found[name]}
