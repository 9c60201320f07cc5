"""Our commands answer programs with the keys that were published (machine_answers.py says how to renew them)."""

from __future__ import annotations

from pathlib import Path

from tests.system.machine_answers import collect
from tests.system.machine_contract import PART, published


def test_answers_have_the_keys_that_were_published(tmp_path: Path) -> None:
    found, listed = collect(tmp_path), published()[PART]
    assert found == {name: listed[name] for name in found}
    assert {"step", "error", "detail"} <= set(listed["meterseal-ledger verify"])
