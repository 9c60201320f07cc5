"""The same bytes wherever they are made: hash seeds, languages, time zones, another Python, and files in any order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from ledger_client.recompute.run import recompute
from tests.oracle.digest import digest
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import NOW

ROOT = Path(__file__).parents[2]
PROGRAM = ("-m", "tests.oracle.digest")


def made_by(*python: str | Path, **environment: str) -> str:
    """The digest by another process."""
    command = [*python, *PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "4242"}, {"LC_ALL": "zh_CN.UTF-8"}, {"TZ": "Asia/Shanghai"},
        {"PYTHONHASHSEED": "1", "LC_ALL": "zh_CN.UTF-8", "TZ": "Asia/Shanghai"},
    ],
)  # fmt: skip
def test_another_environment_makes_the_same_bytes(environment: dict[str, str]) -> None:
    assert made_by(sys.executable, **environment) == digest()


def test_another_python_makes_the_same_bytes() -> None:
    """3.13 beside 3.11, or the other way round."""
    other = "3.11" if sys.version_info[:2] == (3, 13) else "3.13"
    python = Path(os.environ.get("METERSEAL_OTHER_PYTHON", ROOT / ".venv-other-python" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"{python} is missing: scripts/test makes it where python{other} is installed with its venv")
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith(f"Python {other}."), version
    assert made_by(python) == digest()


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
        assert result.periods[0].rows_compared
        found.append(result.periods[0].statement.fields)  # type: ignore[union-attr]
    assert all(one == found[0] for one in found)
