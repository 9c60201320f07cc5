"""Fingerprint of a configuration: the SHA-256 of what is effective of it, in a form that an update keeps.

What later versions have brought is in it only where a configuration uses it, and what a bus does not name is in it as
it holds, so that the first start after an update announces no change where there is none.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.bus import Bus
from gateway.config.serial_settings import serial_settings
from gateway.devices.points import Profile
from ledger_client.formats import cbor

_LATER_OF_DOCUMENT = ("notify",)
_LATER_OF_GATEWAY = ("statement_key", "pkcs11_module", "pin_file")
_LATER_OF_BUS = ("listen", "from_", "hello", "heartbeat", "timezone", "passive", "tls", "ca", "cert", "key", "databits")
_LATER_OF_METER = ("password", "clock_limit", "word_order", "reversed", "limits")
_LATER_OF_WEB = ("metrics_values",)
_LATER_OF_FEED: Mapping[str, Any] = {
    "form": "full", "points": [], "discovery": None, "since": "now", "again_rate": 200,
}  # fmt: skip
_LATER_OF_PROFILE = ("cn", "interval_ms", "ratios")
_KNOWLEDGE: dict[str, Any] = {
    "ask": (),
    "same_layout": (),
    "positive": None,
    "word_order_unsaid": (),
    "provenance": None,
    "fingerprint": None,
}
"""What a profile says beyond how a device is read and decoded; the fingerprint does not depend on it."""


def fingerprint(
    path: Path, document: Mapping[str, Any], buses: tuple[Bus, ...], profiles: Mapping[str, Profile]
) -> bytes:
    """SHA-256 of the deterministic CBOR of a configuration, profiles included.

    Args:
        path: of the configuration.
        document: what it says, as plain data.
        buses: those of it.
        profiles: by meter.
    """
    feeds = [_feed(stated) for stated in document["feed"]]
    found = {
        **_without_unused(document, _LATER_OF_DOCUMENT),
        "gateway": _without_unused(document["gateway"], _LATER_OF_GATEWAY),
        "feed": feeds,
        "web": document["web"] and _without_unused(document["web"], _LATER_OF_WEB),
        "bus": [_bus(path, *pair, profiles) for pair in zip(document["bus"], buses, strict=True)],
    }
    each = {id(profile): profile for profile in profiles.values()}  # most meters share one
    encoded = {key: cbor.encode(_plain(_profile(profile))) for key, profile in each.items()}
    by_meter = _map({name: encoded[id(profile)] for name, profile in profiles.items()})
    return hashlib.sha256(_map({"document": cbor.encode(_plain(found)), "profiles": by_meter})).digest()


def _map(encoded: Mapping[str, bytes]) -> bytes:
    """The deterministic CBOR of a map whose values are encoded (RFC 8949 §4.2.1)."""
    entries = sorted((cbor.encode(key), value) for key, value in encoded.items())
    size = len(entries)
    head = bytes((0xA0 | size,)) if size < 24 else bytes((0xB8, size)) if size < 0x100 else b"\xb9" + size.to_bytes(2)
    return head + b"".join(key + value for key, value in entries)


def _bus(path: Path, stated: Mapping[str, Any], bus: Bus, profiles: Mapping[str, Profile]) -> dict[str, Any]:
    effective = dataclasses.asdict(serial_settings(path, bus, profiles))
    meters = [_without_unused(_counted(meter), _LATER_OF_METER) for meter in stated["meter"]]
    return {**_without_unused(stated, _LATER_OF_BUS), **effective, "meter": meters}


def _counted(meter: Mapping[str, Any]) -> dict[str, Any]:
    """A meter is in the totals unless it says otherwise."""
    return {key: fact for key, fact in meter.items() if (key, fact) != ("in_totals", True)}


def _feed(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fact for key, fact in stated.items() if key not in _LATER_OF_FEED or fact != _LATER_OF_FEED[key]}


def _profile(profile: Profile) -> dict[str, Any]:
    decoding = dataclasses.replace(profile, **_KNOWLEDGE)
    facts = _without_unused(dataclasses.asdict(decoding), (*_LATER_OF_PROFILE, *_KNOWLEDGE))
    return {**facts, "points": [_point(point) for point in facts["points"]]}


def _point(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a point; the keys of a register place stand beside the others, any other place under ``at``."""
    place = facts["at"] if "fc" in facts["at"] else {"at": facts["at"]}
    others = {key: fact for key, fact in facts.items() if key != "at"}
    return {**others, **place, "parts": [(_point(part), offset) for part, offset in facts["parts"]]}


def _without_unused(facts: Mapping[str, Any], later: tuple[str, ...]) -> dict[str, Any]:
    return {key: fact for key, fact in facts.items() if key not in later or fact}


def _plain(value: Any) -> Any:
    """Dataclass dictionaries with the types that the evidence encoding knows."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | bytes | bool) or value is None else str(value)
