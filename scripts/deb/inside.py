"""Inside the build room, by its own /usr/bin/python3: sources → wheels → /opt/meterseal. Standard library only.

``python3 inside.py ARCH EXTRAS``: the sources are in /room/sources; wheels go to /room/wheels. Of another architecture
than the room's the wheels are only unpacked, which needs no code of theirs to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOM = Path("/room")
HOME = Path("/opt/meterseal")
PYTHON = "/usr/bin/python3"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBC = range(17, 42)
"""Minor versions 2.x whose wheels run on Debian trixie (glibc 2.41)."""

STRAYS = ("docs", "tests", "newsfragments", "scripts")
"""What some wheels put beside their package by mistake."""
LEFT_OUT = ("pip",)
"""What a library asks for and only its own commands use; the more files, the longer an upgrade keeps a gateway down."""


def main(arch: str, extras: str) -> None:
    """Build the room's /opt/meterseal."""
    wheels = ROOM / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [PYTHON, "-m", "pip"]
    run([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, ROOM / "sources"])
    (ours,) = wheels.glob("meterseal-*.whl")
    run([*pip, "download", "-q", "-d", wheels, *tags(arch), "--only-binary=:all:", f"{ours}[{extras}]"])
    for name in LEFT_OUT:
        for wheel in wheels.glob(f"{name}-*.whl"):
            wheel.unlink()
    strangers = [path.name for path in wheels.iterdir() if path.suffix != ".whl"]
    if strangers:
        raise SystemExit(f"not a wheel: {', '.join(strangers)}")
    install(sorted(wheels.glob("*.whl")))


def tags(arch: str) -> list[str]:
    """What pip is to take wheels for."""
    machine = MACHINES[arch]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in reversed(GLIBC)] + [f"manylinux2014_{machine}"]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    named = [word for platform in platforms for word in ("--platform", platform)]
    return [*named, "--implementation", "cp", "--python-version", version]


def install(wheels: list[Path]) -> None:
    """An environment of the room's Python with these wheels in it, compiled where it will stand."""
    shutil.rmtree(HOME, ignore_errors=True)
    run([PYTHON, "-m", "venv", "--without-pip", HOME])
    for leftover in [HOME / "include", HOME / ".gitignore", *HOME.glob("bin/[Aa]ctivate*")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    env = os.environ | {"PYTHONPATH": "/usr/lib/python3/dist-packages"}
    for wheel in wheels:
        run([HOME / "bin/python3", "-m", "installer", "--no-compile-bytecode", wheel], env)
        for folder in STRAYS:  # two libraries with the same would stand in each other's way
            for stray in HOME.glob(f"lib/python3*/site-packages/{folder}"):
                shutil.rmtree(stray)
    for name in HOME.glob("bin/*"):  # commands of libraries are no business of ours
        if not name.name.startswith(("meterseal", "python")):
            name.unlink()
    # By their contents, not their times: nothing is ever compiled again there, by whomever it is run.
    run([PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", HOME / "lib"])


def run(command: list[object], env: dict[str, str] | None = None) -> None:
    """One step; what it says is the room's output."""
    subprocess.run([str(word) for word in command], env=env, check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
