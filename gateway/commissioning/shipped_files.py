"""Shipped files of configs/: beside the sources, or where the wheel was unpacked."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from gateway.errors import GatewayError
from gateway.messages.message import Message

_SOURCES = Path(__file__).resolve().parents[2] / "configs"


def shipped(name: str) -> Path:
    """The file of this name under configs/. Raises GatewayError where the installation is not whole."""
    if (beside := _SOURCES / name).is_file():
        return beside
    try:
        listed = files("meterseal") or []
    except PackageNotFoundError:
        listed = []
    for entry in listed:
        if entry.as_posix().endswith(f"share/meterseal/configs/{name}"):
            return Path(str(entry.locate())).resolve()
    raise GatewayError(Message("shipped-file-missing", name=name))
