"""Reading of gateway.toml: the file and its profiles → the validated model, errors in the words of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.bus import Bus, Meter
from gateway.config.bus_types import TYPES
from gateway.config.feed_points import check_feed_points
from gateway.config.limits import misfits
from gateway.config.metrics_values import check_metrics_values
from gateway.config.model import TABLES, Config, Document
from gateway.config.serial_settings import serial_settings
from gateway.devices.points import Profile, ProfileError
from gateway.devices.profile import load_profile
from gateway.errors import ConfigError
from gateway.key_errors import closest, explain, raw_document
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error


def load_config(path: Path | str) -> Config:
    """Read and validate a gateway.toml with the profiles that it names.

    Raises ConfigError: unreadable, not TOML, unknown key, wrong type or value, duplicate, profile that does not exist.
    """
    path = Path(path)
    return parse_config(path, config_bytes(path))


def config_bytes(path: Path) -> bytes:
    """What stands in the file. Raises ConfigError: it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(path, "", Message("config-no-file")) from None
    except IsADirectoryError:
        raise ConfigError(path, "", Message("config-is-folder", file=str(path / "gateway.toml"))) from None
    except NotADirectoryError:
        raise ConfigError(path.parent, "", Message("config-no-folder")) from None
    except OSError as error:
        raise ConfigError(path, "", Message("config-not-readable", error=os_error(error))) from None


def parse_config(path: Path, data: bytes) -> Config:
    """The configuration that these bytes are as the file at ``path``. Raises ConfigError as ``load_config`` does."""
    return config_of(path, raw_document(path, data))


def config_of(path: Path, raw: Mapping[str, Any]) -> Config:
    """The configuration that a document is as the file at ``path``. Raises ConfigError."""
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        raise explain(path, raw, error, Document, TABLES) from None
    config = Config(path, document, _profiles(path, document), raw)
    check_feed_points(config)
    check_metrics_values(config)
    return config


def _profiles(path: Path, document: Document) -> dict[str, Profile]:
    profiles = {}
    read = cache(lambda ref: load_profile(ref, path.parent))  # a hundred meters of one kind share what is known of it
    decided = cache(lambda ref, word_order: read(ref).decided(word_order))
    for bus in document.bus:
        for meter in bus.meter:
            where = f"bus {bus.name!r}, meter {meter.name!r}"
            try:
                profile = read(meter.profile)
            except ProfileError as error:
                raise ConfigError(path, f"{where}, profile", error.sentence) from None
            for key, what in _mismatches(bus, meter, profile):
                raise ConfigError(path, f"{where}, {key}", what)
            profiles[meter.name] = decided(meter.profile, meter.word_order) if profile.ask else profile
        serial_settings(path, bus, profiles)
        _one_meter_a_kind(path, bus, profiles)
    return profiles


def _one_meter_a_kind(path: Path, bus: Bus, profiles: Mapping[str, Profile]) -> None:
    """Several meters may have the address of one station, each with another kind of its data. Raises ConfigError."""
    first: dict[tuple[int | str, str | None], str] = {}
    for meter in bus.meter:
        kind = profiles[meter.name].cn
        other = first.setdefault((meter.address, kind), meter.name)
        if other != meter.name:
            address, command = str(meter.address), str(kind)
            sentence = Message("config-station-kind-twice", meter=other, command=command, address=address)
            raise ConfigError(path, f"bus {bus.name!r}, meter {meter.name!r}, profile", sentence)


def _mismatches(bus: Bus, meter: Meter, profile: Profile) -> Iterator[tuple[str, Message]]:
    """Keys of a meter that do not go with its profile, and a profile that does not go with the bus."""
    if profile.protocol not in TYPES[bus.type].profiles:
        types = tuple(name for name, known in TYPES.items() if profile.protocol in known.profiles)
        protocol = profile.protocol
        sentence = Message(
            "config-profile-protocol", profile=profile.name, protocol=protocol, type=bus.type, types=types
        )
        yield "profile", sentence
    elif bus.type == "p1":
        passed_on = meter.address != "0-0"
        if strays := [p.at.where for p in profile.points if ("-n:" in p.at.where) != passed_on]:
            address, code = str(meter.address), strays[0]
            yield "profile", Message("config-p1-profile", profile=profile.name, address=address, code=code)
    for factor in sorted(profile.factors):
        if getattr(meter, factor) is None:
            yield factor, Message("config-ratio-missing", profile=profile.name, factor=factor)
    if meter.sleeps is not None and not profile.may_sleep:
        yield "sleeps", Message("config-sleeps-not", profile=profile.name)
    for factor in ("ct", "pt"):
        if getattr(meter, factor) is not None and factor not in {*profile.factors, *dict(profile.ratios)}:
            yield factor, Message("config-ratio-unused", profile=profile.name, factor=factor)
    if "word_order" in profile.ask and meter.word_order is None:
        yield "word_order", Message("config-word-order-open", profile=profile.name)
    if meter.word_order is not None and "word_order" not in profile.ask:
        yield "word_order", Message("config-word-order-unasked", profile=profile.name)
    if meter.reversed and not _has_direction(profile):
        yield "reversed", Message("config-reversed-nothing", profile=profile.name)
    known = {point.name for point in profile.points}
    for point in meter.points:
        if point not in known:
            yield "profile", _no_point(point, profile.name, known)
    for name, wrong in misfits(meter, profile):
        yield f"limits, {name}", wrong


def _has_direction(profile: Profile) -> bool:
    """Whether something of a device is another one where it is installed the wrong way round."""
    from gateway.devices.knowledge.direction import has_direction  # 20 ms: it reads the vocabulary

    return any(has_direction(p.name, signed=p.signed, unit=p.unit) for p in profile.points)


def _no_point(point: str, profile: str, known: Iterable[str]) -> Message:
    other = closest(point, known)
    if other is None:
        return Message("config-no-point", point=point, profile=profile)
    return Message("config-no-point-meant", point=point, profile=profile, other=other)
