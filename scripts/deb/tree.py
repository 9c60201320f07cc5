"""What the package holds: its files, its control file, and the proof that no path of the builder is in it."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("meterseal", "meterseal-sim", "meterseal-ledger")
HOME = Path("opt/meterseal")
SYSTEM = {
    "meterseal.service": "usr/lib/systemd/system/meterseal.service",
    "meterseal.rules": "usr/lib/udev/rules.d/70-meterseal.rules",
    "meterseal.sysusers": "usr/lib/sysusers.d/meterseal.conf",
    "meterseal.tmpfiles": "usr/lib/tmpfiles.d/meterseal.conf",
}
DOC = Path("usr/share/doc/meterseal")
SCRIPTS = Path(__file__).parent / "maintainer"
LIBRARIES = {
    "libc.so.6": "libc6 (>= 2.34)", "libm.so.6": "libc6 (>= 2.34)", "libpthread.so.0": "libc6 (>= 2.34)",
    "libdl.so.2": "libc6 (>= 2.34)", "librt.so.1": "libc6 (>= 2.34)", "libutil.so.1": "libc6 (>= 2.34)",
    "ld-linux-x86-64.so.2": "libc6 (>= 2.34)", "ld-linux-aarch64.so.1": "libc6 (>= 2.34)",
    "libgcc_s.so.1": "libgcc-s1", "libstdc++.so.6": "libstdc++6",
}  # fmt: skip
"""Which Debian package gives what a wheel's compiled part asks the system for."""
DESCRIPTION = """\
edge gateway from meter to ledger
 Reads smart meters and emission sensors over Modbus and serial lines, signs each
 reading with a device key, keeps it in SQLite, and anchors the Merkle root of
 each batch on a ledger. Anyone can check one reading, offline, from one file.
 .
 With its own libraries under /opt/meterseal, a systemd unit and device rules."""


class Unfit(Exception):
    """The tree may not become a package: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a package is called."""

    version: str
    arch: str

    @property
    def file(self) -> str:
        return f"meterseal_{self.version}_{self.arch}.deb"


def label(sources: Path, arch: str, revision: str) -> Label:
    """The version of these sources, as Debian writes it: with the number of the build behind it."""
    version = tomllib.loads((sources / "pyproject.toml").read_text())["project"]["version"]
    return Label(f"{version}-{revision}", arch)


def lay_out(tree: Path, sources: Path, home: Path, name: Label, traces: Iterable[str]) -> None:
    """Fill an empty ``tree``: ``home`` is the environment that will stand under /opt/meterseal. Raises Unfit.

    ``traces``: paths of the machine that builds it, none of which may occur in any file.
    """
    shutil.copytree(home, tree / HOME, symlinks=True)
    for source, target in SYSTEM.items():
        _copy(sources / "configs/systemd" / source, tree / target)
    for command in COMMANDS:
        link = tree / "usr/bin" / command
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/{HOME}/bin/{command}")
    _document(tree / DOC, sources)
    _permit(tree)
    demand_clean(tree, traces)
    _control(tree, name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _document(folder: Path, sources: Path) -> None:
    _copy(SCRIPTS / "copyright", folder / "copyright")
    for page in sorted((sources / "docs").glob("*.md")):
        _copy(page, folder / page.name)
    text = (sources / "CHANGELOG.md").read_bytes()
    (folder / "changelog.gz").write_bytes(gzip.compress(text, mtime=0))


def _permit(tree: Path) -> None:
    """Readable by all, writable by root, executable where it is a command; whatever the builder's umask is."""
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        elif not path.is_symlink():
            path.chmod(0o755 if path.parent.name == "bin" else 0o644)


def demand_clean(tree: Path, traces: Iterable[str]) -> None:
    """Raises Unfit naming every file, or link, in which a path of the building machine stands."""
    words = [trace.encode() for trace in traces]
    found = []
    for path in files(tree):
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        found += [f"{path.relative_to(tree)}: {word.decode()}" for word in words if word in content]
    if found:
        raise Unfit("paths of this machine are in the package:\n  " + "\n  ".join(found))


def files(tree: Path) -> Iterator[Path]:
    """Every file and link, in order."""
    yield from sorted(p for p in tree.rglob("*") if p.is_symlink() or p.is_file())


def _control(tree: Path, name: Label) -> None:
    inside = list(files(tree))
    sums = [f"{hashlib.md5(p.read_bytes()).hexdigest()}  {p.relative_to(tree)}\n" for p in inside if not p.is_symlink()]
    size = sum(p.lstat().st_size for p in inside)
    control = tree / "DEBIAN"
    control.mkdir(mode=0o755)
    (control / "md5sums").write_text("".join(sums))
    needs = ["python3 (>= 3.13)", "python3 (<< 3.14)", "systemd", "init-system-helpers", "passwd", *libraries(tree)]
    fields = {
        "Package": "meterseal",
        "Version": name.version,
        "Architecture": name.arch,
        "Maintainer": "Meterseal project",
        "Installed-Size": str(-(-size // 1024)),
        "Depends": ", ".join(needs),
        "Recommends": "ca-certificates, udev",
        "Section": "net",
        "Priority": "optional",
        "Description": DESCRIPTION,
    }
    (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    for script in ("postinst", "prerm", "postrm"):
        shutil.copyfile(SCRIPTS / script, control / script)
        (control / script).chmod(0o755)
    for path in (control / "md5sums", control / "control"):
        path.chmod(0o644)


def libraries(tree: Path) -> list[str]:
    """The Debian packages that the compiled parts need. Raises Unfit for a library that is not known here."""
    needed, unknown = set(), set()
    for path in files(tree / HOME):
        if path.is_symlink() or ".so" not in path.name:
            continue
        beside = {other.name for other in path.parent.parent.rglob("*.so*")}
        for wanted in _needed(path):
            if wanted in LIBRARIES:
                needed.add(LIBRARIES[wanted])
            elif wanted not in beside:
                unknown.add(f"{path.relative_to(tree)} needs {wanted}")
    if unknown:
        raise Unfit("libraries that no known package gives:\n  " + "\n  ".join(sorted(unknown)))
    return sorted(needed)


def _needed(path: Path) -> list[str]:
    read = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", read.stdout)


def pack(tree: Path, target: Path, epoch_s: int, level: Sequence[str] = ("-Zzstd", "-z15")) -> None:
    """The tree as a .deb: root's files, none younger than ``epoch_s``, so that the same tree gives the same file."""
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
    env = os.environ | {"SOURCE_DATE_EPOCH": str(epoch_s)}
    command = ["dpkg-deb", *level, "--root-owner-group", "--build", str(tree), str(target)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unfit(f"dpkg-deb: {done.stderr}")
