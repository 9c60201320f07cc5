"""Debian roots: made once by debootstrap from this machine's own mirror, kept as tarballs, unpacked and entered."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SUITE, ARCH = "trixie", "amd64"
BASE = ("systemd-sysv", "udev", "dbus", "python3", "ca-certificates", "iproute2", "openssl")
"""What a small Debian machine has; the rest comes with the package as its dependencies."""
BUILD = ("python3-pip", "python3-setuptools", "python3-installer", "python3-venv", "binutils")
KEPT_S = 30 * 86_400
"""So old may a root become before it is made anew, with what Debian has mended since."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class CannotBuild(Exception):
    """What is missing on this machine, and how to get it."""


def cache() -> Path:
    """Where roots and wheels are kept between builds."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meterseal"


def mirror() -> str:
    """The mirror from which this machine's apt takes the suite, else the one it asks first. Raises CannotBuild."""
    sources = sorted(Path("/etc/apt").glob("sources.list.d/*.sources"))
    sources += [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt").glob("sources.list.d/*.list"))]
    found: list[tuple[str, str]] = []
    for path in sources:
        if path.exists():
            found += _deb822(path.read_text()) if path.suffix == ".sources" else _lines(path.read_text())
    usable = [(uri, suites) for uri, suites in found if re.match(r"https?://", uri) and "security" not in uri]
    usable.sort(key=lambda pair: SUITE not in pair[1].split())
    if not usable:
        raise CannotBuild("no Debian mirror in /etc/apt: give this machine's apt one")
    return usable[0][0].rstrip("/")


def _deb822(text: str) -> list[tuple[str, str]]:
    fields = [dict(re.findall(r"(?m)^([A-Za-z-]+):\s*(.*)$", part)) for part in re.split(r"\n\s*\n", text)]
    wanted = [f for f in fields if "deb" in f.get("Types", "").split() and f.get("Enabled", "yes") != "no"]
    return [(uri, f.get("Suites", "")) for f in wanted for uri in f.get("URIs", "").split()]


def _lines(text: str) -> list[tuple[str, str]]:
    return re.findall(r"(?m)^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text)


def base() -> Path:
    """The tarball of a small Debian machine."""
    name = f"{SUITE}-{ARCH}-{_digest(BASE)}.tar"
    return _kept(name, _debootstrap)


def build_room() -> Path:
    """The tarball of a machine on which the package is built."""
    name = f"{SUITE}-{ARCH}-build-{_digest((*BASE, *BUILD))}.tar"
    return _kept(name, _furnish)


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    if os.geteuid() != 0:
        raise CannotBuild("a Debian root can be made and entered by root only: run this with sudo")
    tarball = cache() / name
    if tarball.exists() and time.time() - tarball.stat().st_mtime < KEPT_S:
        return tarball
    cache().mkdir(parents=True, exist_ok=True)
    folder = cache() / f"{name}.making-{os.getpid()}"
    try:
        make(folder)
        part = tarball.with_suffix(f".part-{os.getpid()}")
        call(["tar", "--numeric-owner", "--xattrs", "-cf", str(part), "-C", str(folder), "."])
        part.rename(tarball)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tarball


def _debootstrap(folder: Path) -> None:
    print(f"making a Debian root of {len(BASE)} packages and what they need …", flush=True)
    command = ["debootstrap", "--variant=minbase", f"--arch={ARCH}", f"--include={','.join(BASE)}"]
    call([*command, SUITE, str(folder), mirror()])
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)


def _furnish(folder: Path) -> None:
    unpack(base(), folder)
    connect(folder)
    enter(folder, ["apt-get", "-q", "update"])
    enter(folder, ["apt-get", "-q", "-y", "--no-install-recommends", "install", *BUILD])


def unpack(tarball: Path, folder: Path) -> None:
    """A root of one's own."""
    folder.mkdir(parents=True, exist_ok=True)
    call(["tar", "--numeric-owner", "--xattrs", "-xf", str(tarball), "-C", str(folder)])


def connect(folder: Path) -> None:
    """Let a root's apt and pip reach what this machine's reach, and trust whom it trusts."""
    options = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    (folder / "etc/apt/apt.conf.d/00builder").write_text(options)
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, folder / CERTIFICATES.relative_to("/"))


def enter(
    folder: Path,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    binds: Mapping[Path, str] | None = None,
) -> None:
    """Run one command in a root that is not booted, with this machine's network; ``binds``: folders of here there."""
    settings = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **(env or {})}
    asked = [f"--setenv={name}={value}" for name, value in settings.items()]
    nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "--resolv-conf=copy-host"]
    bound = [f"--bind={here}:{there}" for here, there in (binds or {}).items()]
    call([*nspawn, *asked, *bound, f"--machine=package-{os.getpid()}", f"--directory={folder}", *command])


def call(command: Sequence[str]) -> None:
    """Run a command; its output is shown when it fails. Raises CannotBuild."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise CannotBuild(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        raise CannotBuild(f"{' '.join(command)}\n{done.stdout.decode(errors='replace')[-4000:]}")
