"""Text of the profile that a table makes: its points, among the commented keys of ``profiles --new``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.devices.points import Profile
from gateway.devices.profile import SKELETON
from gateway.devices.profile_text import inline, point_lines

STATED: Final = ("format", "vendor", "device", "source")
"""Keys of a profile that the table, or whoever fills it in, is sure to state; others stay comments."""


def profile_text(profile: Profile, table: Path) -> str:
    """The profile as TOML, to be filled in: what the table does not say stands in it as a comment.

    Args:
        profile: of the points of the table.
        table: its file, which is the source of the points.
    """
    return "\n".join(_lines(profile, f"CSV file {table.name}")) + "\n"


def _lines(profile: Profile, source: str) -> Iterator[str]:
    section = ""
    for line in SKELETON.read_text().splitlines():
        if line.startswith("["):
            section = line.partition("]")[0].removeprefix("[")
        key = line.partition(" = ")[0]
        if section == "points" and line != "[points]":
            if line:
                continue  # the points of an example
            section = ""
        if line == "[points]":
            yield from (line, *point_lines(profile))
        elif key == "source":
            yield f"source = {inline(key, source)}"
        elif section == "provenance.sources" and key == "manual":
            yield f"table = {inline(key, source)}"
        elif not line or line.startswith("#") or key in STATED or section.startswith("provenance"):
            yield line
        else:
            yield f"# {line}"
