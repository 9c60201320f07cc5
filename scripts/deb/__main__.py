"""`scripts/package [--arch amd64|arm64]`: sources → dist/meterseal_VERSION_ARCH.deb and its bill of materials."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.deb import roots
from scripts.deb.tree import HOME, Label, Unfit, label, lay_out, pack

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "evm"
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_PROXY")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def main(arguments: list[str]) -> int:
    """Build; 2 and a message when this machine cannot, 1 when what came out may not be a package."""
    parser = argparse.ArgumentParser(prog="scripts/package", description=__doc__)
    parser.add_argument("--arch", choices=["amd64", "arm64"], default="amd64", help="default: amd64")
    parser.add_argument("--revision", default="1", help="number of this build of the version, default 1")
    parser.add_argument("--sources", type=Path, default=ROOT, help="another checkout to build from")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="default: dist")
    given = parser.parse_args(arguments)
    try:
        for line in build(given.sources.resolve(), given.output.resolve(), given.arch, given.revision):
            print(line, flush=True)
    except roots.CannotBuild as error:
        print(f"scripts/package: {error}", file=sys.stderr)
        return 2
    except Unfit as error:
        print(f"scripts/package: {error}", file=sys.stderr)
        return 1
    return 0


def build(sources: Path, output: Path, arch: str, revision: str) -> list[str]:
    """The package and its bill; what was made, in words."""
    from scripts.deb.sbom import bill  # its library is in an environment of its own

    name, epoch_s = label(sources, arch, revision), _epoch(sources)
    output.mkdir(parents=True, exist_ok=True)
    tarball = roots.build_room()
    with tempfile.TemporaryDirectory(prefix="meterseal-package-", dir=roots.cache()) as folder:
        root, tree = Path(folder) / "root", Path(folder) / "tree"
        _furnish(root, tarball, sources)
        _inside(root, arch, _commit(sources))
        traces = [str(sources), str(ROOT), folder, str(roots.cache()), "/room/"]
        lay_out(tree, sources, root / HOME, name, traces)
        deb, bom = output / name.file, output / name.file.replace(".deb", ".cdx.json")
        pack(tree, deb, epoch_s)
        (site,) = (tree / HOME / "lib").glob("python3*/site-packages")
        bom.write_text(bill(site, root / "room/wheels", name, epoch_s))
        wheels = sorted(path.name for path in (root / "room/wheels").iterdir())
    return [*_listed(name, wheels), f"wrote {deb} ({deb.stat().st_size} bytes)", f"wrote {bom}"]


def _listed(name: Label, wheels: list[str]) -> list[str]:
    lines = [f"{name.file} holds {len(wheels)} wheels:", *(f"  {wheel}" for wheel in wheels)]
    if name.arch != roots.ARCH:
        lines.append(f"nothing of {name.arch} was run here")
    return lines


def _epoch(sources: Path) -> int:
    """When the sources were committed, else when they were written: two builds of the same are the same."""
    command = ["git", "-C", str(sources), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True)
    text = done.stdout.strip()
    return int(text) if done.returncode == 0 and text else int((sources / "pyproject.toml").stat().st_mtime)


def _commit(sources: Path) -> str:
    """As setup.py finds it, which has no repository in the build room."""
    command = ["git", "-C", str(sources), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _furnish(root: Path, tarball: Path, sources: Path) -> None:
    roots.unpack(tarball, root)
    room = root / "room"
    room.mkdir()
    shutil.copy(Path(__file__).with_name("inside.py"), room)
    for name in (
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
        "control_room",
        "gateway",
        "firmware_sim",
        "ledger_client",
        "configs",
    ):
        source = sources / name
        if source.is_dir():
            shutil.copytree(source, room / "sources" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (room / "sources").mkdir(exist_ok=True)
            shutil.copy(source, room / "sources")


def _inside(root: Path, arch: str, commit: str) -> None:
    kept = roots.cache() / "pip"
    kept.mkdir(exist_ok=True)
    env = {name: os.environ[name] for name in (*PIP_SETTINGS, *PROXIES) if name in os.environ}
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
    )
    if asked.stdout.strip():
        env.setdefault("PIP_INDEX_URL", asked.stdout.strip())
    env |= {"METERSEAL_COMMIT": commit}
    env |= {"PIP_CACHE_DIR": "/room/pip", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if roots.CERTIFICATES.exists():
        env["PIP_CERT"] = str(roots.CERTIFICATES)
    command = ["/usr/bin/python3", "/room/inside.py", arch, EXTRAS]
    roots.enter(root, command, env=env, binds={kept: "/room/pip"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
