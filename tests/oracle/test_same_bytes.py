"""The same bytes wherever they are made: hash seeds, languages, time zones, and files in any order."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from ledger_client.recompute.run import recompute
from tests.oracle.comparison import product
from tests.oracle.histories import history, stack
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import NOW

ROOT = Path(__file__).parents[2]
PROGRAM = "from tests.oracle.test_same_bytes import digest; print(digest())"


def digest() -> str:
    """Of what the product makes of some histories."""
    made = sha256()
    for told in [*(history(Random(seed)) for seed in range(25)), *(stack(Random(seed)) for seed in range(4))]:
        payload, _, root = product(told)
        made.update(payload + root)
    return made.hexdigest()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "4242"}, {"LC_ALL": "zh_CN.UTF-8"}, {"TZ": "Asia/Shanghai"},
        {"PYTHONHASHSEED": "1", "LC_ALL": "zh_CN.UTF-8", "TZ": "Asia/Shanghai"},
    ],
)  # fmt: skip
def test_another_environment_makes_the_same_bytes(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest()


def test_files_in_any_order_give_the_same_statement(tmp_path: Path) -> None:
    site = Accounted(tmp_path)
    from_ms = site.from_ms
    site.publish(plan_fields(from_ms))
    for _ in range(4):
        site.polls(100)
        site.seal()
    _, rows = site.state(from_ms, from_ms + 3 * QUARTER_MS, (0, 3))
    site.seal()
    found = []
    for seed in range(4):
        files = Random(seed).sample(site.files, len(site.files))
        result = recompute(files, trusted(), NOW, rows=[rows])
        assert result.equal
        found.append((result.periods[0].statement.fields, result.periods[0].statement.rows))  # type: ignore[union-attr]
    assert all(one == found[0] for one in found)
