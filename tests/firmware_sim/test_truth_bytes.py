"""Truth of the shipped plants: two Pythons write the same bytes of it."""

from __future__ import annotations

# not quick: another Python runs
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.firmware_sim.test_truth import scenario

ROOT = Path(__file__).resolve().parents[2]
PLANTS = [*sorted(ROOT.glob("configs/*/plant.toml")), *sorted(ROOT.glob("configs/plants/*/plant.toml"))]


def other_python() -> Path:
    """3.13 beside 3.11, or the other way round."""
    python = Path(os.environ.get("METERSEAL_OTHER_PYTHON", ROOT / ".venv-other-python" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"{python} is missing: scripts/test makes it")
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    assert not version.startswith(f"Python {sys.version_info[0]}.{sys.version_info[1]}.")
    return python


def test_another_python_writes_the_same_bytes(tmp_path: Path) -> None:
    """Of every shipped plant at dawn and at noon, and of a plant with a meter of each protocol."""
    scenario(tmp_path)
    script = (
        "import sys; from pathlib import Path; from firmware_sim.cli.truth import rows, write;"
        "from firmware_sim.scenario.load import load_scenario\n"
        "for n, (file, at) in enumerate((f, a) for f in sys.argv[2:] for a in ('T04:59+02:00', 'T12:00+02:00')):\n"
        "    found = rows(load_scenario(Path(file), at='2026-06-21' + at), 120_000, 40_000)\n"
        "    write(Path(sys.argv[1]) / f'{n}.csv', found)\n"
    )
    files = [*PLANTS, tmp_path / "plant.toml"]
    found: list[dict[str, bytes]] = []
    for name, python in (("this", Path(sys.executable)), ("other", other_python())):
        folder = tmp_path / name
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": str(len(found))}
        subprocess.run([python, "-c", script, folder, *files], cwd=ROOT, env=environment, check=True)
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(found[0]) == 2 * len(files) >= 8
    assert found[0] == found[1]
