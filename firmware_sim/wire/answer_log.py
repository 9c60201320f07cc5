"""Answer log: every answer of the simulator, written before it is sent.

One JSON object a line, flushed at once. It is the reference by which a gateway is judged, also one that was killed.
A line says what the answer shows, and where faults struck also what is true: what it would show without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

from firmware_sim.errors import WireError
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.device import Outcome
from firmware_sim.meters.packing import Value

VERSION = 2
"""Of the log's format: in each line."""


def untrue(true: Mapping[str, Value], values: Mapping[str, Value]) -> dict[str, object]:
    """The key ``true`` of a line, if any is due.

    Args:
        true: what would be shown without faults.
        values: what is shown, as a right reader takes it.
    """
    other = {name: value for name, value in true.items() if name not in values or values[name] != value}
    return {"true": other} if other else {}


def injected(ids: Iterable[str]) -> dict[str, object]:
    """The key ``injected`` of a line, if any fault struck that is armed as something."""
    found = [one for one in ids if one]
    return {"injected": found} if found else {}


class AnswerLog:
    """Appends to ``path``; without a path nothing is written."""

    def __init__(self, path: Path | None = None) -> None:
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                raise WireError(
                    f"{path}: {error.strerror}", "set --log to a file in an existing folder that you can write to"
                ) from None

    def write(self, t_ms: int, meter: str, bus: str, outcome: Outcome, delivery: Delivery) -> None:
        """Write one answer, which is about to be sent.

        Args:
            t_ms: Unix time in ms.
            meter: its name.
            bus: its name.
            outcome: what the device made of the request.
            delivery: the bytes of the answer, and the readings in them.
        """
        if self._file is None:
            return
        asked = outcome.asked
        entry = {
            "t_ms": t_ms,
            "at_ms": asked.at_ms,
            "meter": meter,
            "line": bus,
            "unit": asked.unit,
            **asked.place,
            "answer": delivery.data.hex(),
            "exception": outcome.exception,
            "values": delivery.values,
            "faults": list(outcome.faults),
            "asked": asked.heard.hex(),
            **untrue(outcome.true, delivery.values),
            **injected(outcome.injected),
        }
        self.write_entry(entry)

    def write_entry(self, entry: Mapping[str, object]) -> None:
        """Write one line: what is about to be sent, or has been received."""
        if self._file is not None:
            self._file.write(json.dumps({"v": VERSION, **entry}, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; a log without one stays what it is."""
        if self._file is not None:
            self._file.close()
