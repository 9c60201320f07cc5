"""Draft of a configuration: the file as it is, with what a commissioning is about to change. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.commissioning.wizard.config_edit import Value, with_settings
from gateway.config.load import config_bytes, config_of
from gateway.config.model import Config
from gateway.devices.points import Profile, ProfileError
from gateway.devices.profile import load_profile
from gateway.errors import GatewayError
from gateway.key_errors import raw_document
from gateway.messages.message import Message

_ASSUMED_RATIO: Final = 1
_ASSUMED_ORDER: Final = "big"


@dataclass
class Draft:
    """``text`` of the file at ``path``, and ``settings`` of one meter that are not written yet."""

    path: Path
    text: str
    meter: str
    settings: dict[str, Value] = field(default_factory=dict)

    @property
    def written(self) -> dict[str, Any]:
        """The keys of the meter as the file has them."""
        found = next((m for m in _meters(raw_document(self.path, self.text.encode())) if m["name"] == self.meter), None)
        if found is None:
            raise GatewayError(Message("wizard-no-meter", meter=self.meter))
        return found

    @property
    def profile(self) -> Profile:
        """The meter's. Raises ProfileError."""
        return load_profile(str(self.written.get("profile", "")), self.path.parent)

    def edited(self) -> str:
        """The text with the settings."""
        return with_settings(self.text, self.meter, self.settings)

    def config(self) -> Config:
        """The configuration that the text would be. What only a commissioning can decide of *other* meters is assumed,
        so that one can be put into service before the next. Raises ConfigError."""
        return read_leniently(self.path, self.edited(), self.meter)


def read_leniently(path: Path, text: str, *strict: str) -> Config:
    """A configuration in which ratios and word orders that are still to be asked for are assumed, but not those of the
    meters ``strict``. Raises ConfigError."""
    raw = raw_document(path, text.encode())
    for meter in _meters(raw):
        if meter.get("name") not in strict and (profile := _profile(path, meter)) is not None:
            for key in open_settings(profile, meter):
                meter[key] = _ASSUMED_ORDER if key == "word_order" else _ASSUMED_RATIO
    return config_of(path, raw)


def open_settings(profile: Profile, written: Mapping[str, Any]) -> list[str]:
    """Keys that the meter's profile leaves to whoever stands before the device, and that are not written yet."""
    asked = [*profile.ask, *sorted(profile.factors)]
    return [key for key in asked if key not in written]


def text_at(path: Path) -> str:
    """The text of a configuration. Raises ConfigError: it cannot be read, or is no text."""
    data = config_bytes(path)
    raw_document(path, data)
    return data.decode()


def _meters(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    buses = [bus for bus in _list(raw.get("bus")) if isinstance(bus, dict)]
    return [meter for bus in buses for meter in _list(bus.get("meter")) if isinstance(meter, dict)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _profile(path: Path, meter: Mapping[str, Any]) -> Profile | None:
    """None: it cannot be read, as reading the configuration will say."""
    try:
        return load_profile(str(meter.get("profile", "")), path.parent)
    except ProfileError:
        return None
