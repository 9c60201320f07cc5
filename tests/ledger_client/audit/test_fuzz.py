"""Whatever a gateway's events say, an audit raises nothing: what it cannot count by is a finding."""

from __future__ import annotations

# not quick: events by chance, 2 s of CPU
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger_client.audit.events import COUNTED
from tests.support.audit_batches import Gateway, audited, trusted
from tests.support.evidence import EPOCH, METER

FIELDS = (
    "at", "part", "config", "meters", "statement", "grids", "factor", "before", "after", "up", "tenths", "began",
    "stopped", "owner", "key", "ranges",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    0, 1, 9, -1, 2**63, 1.5, Decimal("0.1"), "", "start", "day", METER, b"", bytes(8), bytes(32), EPOCH, [], [1, 1],
    [2, 1], {}, True, {METER: [[1, 0], [2, 5]]}, {METER: [[1, 2, 3]]}, {METER: []}, {1: 2}, {METER: {}},
    [[METER, EPOCH, 1, 2]],
    [[METER, EPOCH, 2, 1]], [[1]], {METER: 3}, {METER: {"key": bytes(32), "period": 1, "grids": [[0, 1]]}},
    {METER: {"key": bytes(32), "period": 0, "grids": [[0, 1]]}}, {"": 1}, {METER: [[2**62, 1]]}, 1_795_000_000_000,
)  # fmt: skip


def test_events_of_any_content_are_audited(tmp_path: Path) -> None:
    chance, steps = random.Random(1207), set[str]()
    for _ in range(150):
        gateway, chosen = Gateway(tmp_path), []
        paths = [gateway.write()]
        for _ in range(4):
            fields = {name: chance.choice(VALUES) for name in chance.sample(FIELDS, chance.randint(0, len(FIELDS)))}
            chosen.append(gateway.event(chance.choice(sorted(COUNTED)), **fields))
            if chance.random() < 0.3:
                chosen.append(gateway.configuration("day", **dict([*fields.items()][:1])))
        paths.append(gateway.write([*chosen, *gateway.usual()]))
        by = replace(trusted(), max_delay_s=chance.choice((1, 10**9)))
        result = audited(*paths, by=by, allow_resume=chance.random() < 0.5)
        steps |= {finding.step for finding in result.findings}
    assert {"parse", "due"} <= steps
