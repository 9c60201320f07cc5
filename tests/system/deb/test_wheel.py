"""A wheel says which commit it was built from; one of sources without a repository says the version alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from firmware_sim.scenario.shipped import plants

ROOT = Path(__file__).parents[3]
SOURCES = (
    "pyproject.toml", "setup.py", "README.md", "LICENSE", "configs", "control_room", "gateway", "firmware_sim",
    "ledger_client",
)  # fmt: skip
GIT = ("git", "-c", "user.name=maker", "-c", "user.email=maker@example.org")


def run(*words: object, cwd: Path, **env: str) -> str:
    done = subprocess.run([*map(str, words)], cwd=cwd, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def entry_points(site: Path) -> str:
    (file,) = site.glob("meterseal-*.dist-info/entry_points.txt")
    return file.read_text()


@pytest.mark.parametrize("committed", [True, False], ids=["commit", "no repository"])
def test_a_wheel_says_the_commit_that_it_was_built_from(tmp_path: Path, committed: bool) -> None:
    sources, site = tmp_path / "sources", tmp_path / "site"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        (sources / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, sources)
    expected = "0.1.0"
    if committed:
        (sources / ".gitignore").write_text("/build/\n*.egg-info/\n")
        run("git", "init", "-q", cwd=sources)
        run(*GIT, "add", ".", cwd=sources)
        run(*GIT, "commit", "-q", "-m", "sources", cwd=sources)
        expected = f"0.1.0 (commit {run('git', 'rev-parse', '--short=12', 'HEAD', cwd=sources)})"
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        ".",
        cwd=sources,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
        names = {name.partition("/data/")[2] for name in opened.namelist()}
    for plant in plants().values():
        assert f"share/meterseal/{plant.relative_to(ROOT)}" in names
    assert "[pytest11]\nmeterseal = firmware_sim.testing.plugin\n" in entry_points(site)
    for name, module in (("meterseal", "gateway.cli.app"), ("meterseal-ledger", "ledger_client.cli.app")):
        call = f"import sys; sys.argv = ['{name}', '--version']; from {module} import main; main()"
        assert run(sys.executable, "-c", call, cwd=tmp_path, PYTHONPATH=str(site)) == f"{name}, version {expected}"
