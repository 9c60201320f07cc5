"""Profiles of one's own in a scan: the files of a folder, beside the catalog, each named by its path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.devices.points import Profile
from gateway.devices.profile import NotToml, load_profile, toml_of
from gateway.errors import ConfigError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.text_file import NotText, text_of


def folder_profiles(folder: Path) -> tuple[Profile, ...]:
    """The profiles of a folder. Their name is the path of their file, as a meter's section says it; TOML files without
    points, such as gateway.toml, are none.

    Raises:
        ConfigError: the folder cannot be read, or holds no profile.
        ProfileError: a profile has a mistake.
    """
    try:
        paths = [path for path in sorted(folder.absolute().iterdir()) if path.suffix == ".toml"]
        found = [replace(load_profile(str(path)), name=str(path)) for path in paths if _may_be_profile(path)]
    except OSError as error:
        raise ConfigError(folder, "", Message("config-not-readable", error=os_error(error))) from None
    if not found:
        raise ConfigError(folder, "", Message("scan-no-profiles"))
    return tuple(found)


def label(profile: str) -> str:
    """What a profile is called in a table: the stem of its file, or its name in the catalog."""
    return Path(profile).stem if profile.endswith(".toml") else profile


def _may_be_profile(path: Path) -> bool:
    """A file that is no TOML may be meant as one, and its mistake is to be named."""
    try:
        return "points" in toml_of(text_of(path.read_bytes()), float)
    except (NotText, NotToml):
        return True
