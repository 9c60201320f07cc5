"""The Debian package on a machine of its own: installed, run by its unit, killed, hung, cut off, upgraded, purged.

The machine is a Debian root booted by systemd-nspawn, with its own systemd and no network. Two builds are made, of
the commit before and of this tree, unless `--previous FILE` and `--package FILE` give them. The unit is the shipped
one, with its own times: a watchdog of 30 s, so that a hung process is back after two minutes. Needs root. What fails
is false, with the reason on stderr; steps that build on it then fail as well.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.installed.machine import Failed, machine
from benchmarks.installed.package_site import Site
from benchmarks.installed.package_steps import Step, all_steps, files

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = ()
"""It needs two builds, root and a machine; its steps alone are tried: tests/layout/test_bench_smallest.py."""


def run(previous: str = "", package: str = "") -> dict[str, object]:
    """``previous``, ``package``: .deb files to use instead of building them."""
    began, figures = time.monotonic(), dict[str, object]()
    with tempfile.TemporaryDirectory(prefix="meterseal-bench-") as name:
        folder = Path(name)
        old = Path(previous) if previous else build_before(folder)
        new = Path(package) if package else build(ROOT, folder, "2")
        figures["package_mb"] = new.stat().st_size / 1e6
        booting = time.monotonic()
        with machine(folder) as booted:
            figures["boot_s"] = time.monotonic() - booting
            site = Site(booted, folder / "pki")
            for step, work in all_steps(site, old, new, folder, files(site)):
                figures |= taken(step, work)
    return figures | {"ok": False not in figures.values(), "took_s": time.monotonic() - began}


def taken(step: str, work: Step) -> dict[str, object]:
    """What a step has shown; a step that fails is false."""
    try:
        return work()
    except (Failed, AssertionError, OSError, sqlite3.Error) as error:  # the last two: of a step before that has failed
        print(f"{step}: {error}", file=sys.stderr)
        return {step: False}


def build(sources: Path, folder: Path, revision: str) -> Path:
    """A package of these sources."""
    command = [ROOT / "scripts/package", "--sources", sources, "--output", folder / "dist", "--revision", revision]
    subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
    (made,) = (folder / "dist").glob(f"*-{revision}_amd64.deb")
    return made


def build_before(folder: Path) -> Path:
    """A package of the commit before this one."""
    sources = folder / "before"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", str(sources), "HEAD~1"], check=True, capture_output=True)
    try:
        return build(sources, folder, "1")
    finally:
        subprocess.run([*git, "remove", "--force", str(sources)], check=True, capture_output=True)
