"""Plants that come with Meterseal: their scenario files by name, beside the sources or where the wheel was unpacked."""

from __future__ import annotations

import difflib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from firmware_sim.errors import ScenarioError

SCENARIO = "plant.toml"
_SOURCES = Path(__file__).resolve().parents[2] / "configs"
_INSTALLED = ("share", "meterseal", "configs")


def plants() -> dict[str, Path]:
    """The scenario of each plant by its name, which is that of its folder; empty where the installation has none."""
    found = list(_SOURCES.glob(f"*/{SCENARIO}")) + list(_SOURCES.glob(f"plants/*/{SCENARIO}")) or _installed()
    return {path.parent.name: path for path in sorted(found, key=lambda path: path.parent.name)}


def _installed() -> list[Path]:
    try:
        listed = files("meterseal") or []
    except PackageNotFoundError:
        return []
    ours = (file for file in listed if file.name == SCENARIO and _below(file.parts, _INSTALLED))
    return [Path(str(file.locate())).resolve() for file in ours]


def _below(parts: tuple[str, ...], folder: tuple[str, ...]) -> bool:
    """Whether these folders stand one after the other in a path."""
    return any(parts[n : n + len(folder)] == folder for n in range(len(parts)))


def scenario_file(path: Path) -> Path:
    """The file that a command names: itself, or that of a shipped plant where it is a single word and no file.

    Raises:
        ScenarioError: there is no plant of this name.
    """
    if path.suffix or len(path.parts) != 1 or path.is_file():
        return path
    known = plants()
    if path.name in known:
        return known[path.name]
    close = difflib.get_close_matches(path.name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"plants by name: {', '.join(known) or 'none are installed'}"
    raise ScenarioError(path.name, "", "no such file, and no plant of this name", f"give the path of a file; {hint}")
