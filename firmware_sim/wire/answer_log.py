"""Answer log: every answer of the simulator, written before it is sent.

One JSON object a line, flushed at once. It is the reference by which a gateway is judged, also one that was killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from firmware_sim.errors import WireError
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.device import Outcome


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
        }
        self.write_entry(entry)

    def write_entry(self, entry: Mapping[str, object]) -> None:
        """Write one line: what is about to be sent, or has been received."""
        if self._file is not None:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; a log without one stays what it is."""
        if self._file is not None:
            self._file.close()
