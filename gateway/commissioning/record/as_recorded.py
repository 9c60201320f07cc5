"""Whether a meter still is what its commissioning record says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.commissioning.record.content import CommissioningRecord, Setting
from gateway.config.bus import Meter
from gateway.config.model import Configured
from gateway.messages.message import Message

PLACE: Final = ("bus", "host", "port", "listen", "address")
"""Settings of a record that say where its meter is reached."""


def differences(
    record: CommissioningRecord,
    meter: Meter,
    configured: Configured,
    identity: str | None,
    place: Mapping[str, Setting],
) -> tuple[Message, ...]:
    """What differs from the record; nothing: it is as recorded.

    Args:
        record: the newest of this meter.
        meter: as it is configured now.
        configured: the same, as it is signed.
        identity: of the device that answers, None where it is not known.
        place: where it is reached now (``place_of``).
    """
    return (*configuration_differences(record, meter, configured), *_moved(record, place), *_device(record, identity))


def configuration_differences(record: CommissioningRecord, meter: Meter, configured: Configured) -> Iterator[Message]:
    """What is configured otherwise than the record says."""
    if configured.profile_hash != record.profile_hash:
        if configured.profile == record.profile:
            yield Message("as-recorded-profile-changed", profile=record.profile)
        else:
            yield Message("as-recorded-profile", now=configured.profile, recorded=record.profile)
    if configured.role != record.role:
        yield Message("as-recorded-role", now=configured.role, recorded=record.role)
    for key in ("ct", "pt"):
        now, recorded = configured.stated.get(key, ""), record.ratios.get(key, "")
        if now != recorded:
            yield Message("as-recorded-ratio", key=key, now=now or "1", recorded=recorded or "1")
    if meter.reversed != record.reversed:
        yield Message("as-recorded-not-reversed") if record.reversed else Message("as-recorded-reversed")
    order, recorded = meter.word_order or "", str(record.settings.get("word_order", ""))
    if order != recorded:
        yield Message("as-recorded-word-order", now=order or "-", recorded=recorded or "-")


def _moved(record: CommissioningRecord, place: Mapping[str, Setting]) -> Iterator[Message]:
    """Where it is reached otherwise: another meter may answer there."""
    for key in PLACE:
        now, recorded = str(place.get(key, "")), str(record.settings.get(key, ""))
        if "bus" in record.settings and now != recorded:
            yield Message("as-recorded-place", key=key, now=now or "-", recorded=recorded or "-")


def _device(record: CommissioningRecord, identity: str | None) -> Iterator[Message]:
    if identity is not None and record.identity is not None and identity != record.identity:
        yield Message("as-recorded-identity", now=identity, recorded=record.identity)
