"""Thousands of changes and clock events in one history: an audit goes through them once, and says what it found.

``python -m tests.ledger_client.audit.test_many_events 10000`` does the same with so many, and prints what it took.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ledger_client.audit.result import Audit
from tests.support.audit_batches import Gateway, audited
from tests.support.evidence import METER


def eventful(folder: Path, count: int, batches: int, seed: int) -> list[Path]:
    """A history of one epoch with so many changes and as many clock events, each with new grids, by chance a moment
    forward, and slowed."""
    gateway, chance = Gateway(folder), random.Random(seed)
    rows, paths = gateway.start(), []
    for number in range(count):
        rows += gateway.polls(1)
        rows += gateway.correct(chance.choice((0, 10, 20)), slow=chance.random() < 0.3)
        gateway.chains[METER].facts["ratios"] = {"ct": f"{200 + number % 2}/5"}
        rows.append(gateway.configuration("change"))
        if number % (count // batches) == count // batches - 1:
            paths.append(gateway.write([*rows, *gateway.cut()]))
            rows = []
    return paths


def summary(result: Audit) -> dict[str, int]:
    return {"changes": len(result.changes), "findings": result.findings_total, "records": sum(result.kinds.values())}


@pytest.mark.parametrize("batches", [1, 20])
def test_many_changes_and_clock_events(tmp_path: Path, batches: int) -> None:
    result = audited(*eventful(tmp_path, 60, batches, 5))
    assert result.findings == []
    assert summary(result) == {"changes": 60, "findings": 0, "records": 363 + 2 * batches}


if __name__ == "__main__" and len(sys.argv) == 3:
    with tempfile.TemporaryDirectory() as name:
        eventful(Path(name), int(sys.argv[1]), int(sys.argv[2]), 5)
        subprocess.run([sys.executable, "-m", "tests.ledger_client.audit.test_many_events", name], check=True)
elif __name__ == "__main__":
    found = audited(*Path(sys.argv[1]).iterdir(), processes=1)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(summary(found), f"{time.process_time():.1f} s of a processor", peak, [f.detail for f in found.findings[:3]])
