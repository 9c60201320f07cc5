"""Identification of a unit that answers: what it says of itself, which profiles fit it, how surely, and why.

The order is that of what a device says best: function 43/14, function 17, the SunSpec common model, the fingerprints of
the profiles, and what its registers hold. ``identity.confidence`` has the rules.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from gateway.commissioning.identity import confidence
from gateway.commissioning.identity.confidence import Ranked
from gateway.commissioning.identity.device_names import identification, server_id
from gateway.commissioning.identity.dlt645_identity import Dlt645Device, dlt645_device
from gateway.commissioning.identity.fitting import fit, fit_by_name
from gateway.commissioning.identity.read_lengths import too_long
from gateway.commissioning.identity.sunspec_identity import SunSpecDevice, fitting, sunspec_device
from gateway.commissioning.identity.unit_reads import MOST_S, Ask, UnitReads
from gateway.commissioning.scan.found import Candidate, FoundUnit, Protocol
from gateway.devices.decode import decode
from gateway.devices.points import Profile
from gateway.devices.profile import catalog, load_profile
from gateway.fieldbus.modbus.frames import identification_object, object_text
from gateway.fieldbus.wire.link import Answer
from gateway.messages.message import Message

ALL_MODELS, SOME_MODELS = 0.9, 0.4
PHASES_SEEN, ONE_PHASE_ONLY, UNDECIDED = 0.95, 0.9, 0.6
SINGLE, THREE = "dlt645-single-phase", "dlt645-three-phase"


@lru_cache(1)
def known() -> tuple[Profile, ...]:
    """The profiles of the catalog."""
    return tuple(load_profile(name) for name in catalog())


async def identify(
    ask: Ask,
    unit: int | str,
    protocol: Protocol,
    *,
    profiles: Sequence[Profile] | None = None,
    likely: Collection[str] = (),
    most_s: float = MOST_S,
) -> FoundUnit:
    """Find out what a unit is.

    Args:
        ask: one read of it.
        unit: its Modbus address, or the 12 digits of a DL/T 645 meter.
        protocol: what it has answered; a Modbus device may turn out to be a SunSpec one.
        profiles: those that it may have; the catalog's if not given.
        likely: profiles that its neighbours on the line have, which are tried first.
        most_s: how long it may be asked, in seconds; a read that has begun is waited for.

    Raises:
        LineDown: the line broke off.
    """
    chosen = known() if profiles is None else profiles
    if protocol == "dlt645":
        return _dlt645(str(unit), await dlt645_device(ask, str(unit)), chosen)
    reads = UnitReads(ask, int(unit), most_s=most_s)
    objects = await identification(reads)
    server = None if objects else await server_id(reads)
    evidence = [Message("scan-says-objects", text=", ".join(objects))] if objects else []
    evidence += [Message("scan-says-server", text=server)] if server else []
    plain = [profile for profile in chosen if profile.protocol == "modbus"]
    if (device := await sunspec_device(reads)) is not None:
        also = await fit_by_name(reads, plain, tuple(text for text in (device.manufacturer, device.model) if text))
        return _sunspec(int(unit), device, chosen, evidence, confidence.rank(also))
    texts = (*objects, *([server] if server else []))
    fits = await fit(reads, plain, texts, likely)
    ranked = confidence.rank(fits)
    identity = await _serial(reads, ranked[0].profile) if ranked else None
    evidence += await _diagnosis(reads, ranked)
    return FoundUnit(int(unit), "modbus", tuple(map(_candidate, ranked)), tuple(evidence), identity)


def _candidate(one: Ranked) -> Candidate:
    return Candidate(one.profile.name, one.confidence, one.why, one.word_order)


async def _diagnosis(reads: UnitReads, ranked: Sequence[Ranked]) -> list[Message]:
    """What is wrong between the unit and its likeliest profile."""
    if not ranked:
        return []
    best = ranked[0]
    if best.swapped:
        return [sentence for sentence in best.why if sentence.code == "scan-words-swapped"]
    shorter = await too_long(reads, best.profile) if best.confidence >= UNDECIDED else None
    if shorter is None:
        return []
    answered, refused = shorter
    return [Message("scan-reads-too-long", unit=reads.unit, profile=best.profile.name, n=answered, refused=refused)]


async def _serial(reads: UnitReads, profile: Profile) -> str | None:
    """The serial number, as the profile's identity tells it."""
    parts = []
    for name in profile.identity:
        point = profile.point(name)
        words = await reads.words(point.fc, point.address, point.registers)
        value = decode(point, words).value if words is not None else None
        if value not in (None, "", 0):
            parts.append(str(value))
    if profile.identity_object is not None:
        outcome = await reads.put(identification_object(reads.unit, profile.identity_object))
        if isinstance(outcome, Answer) and (text := object_text(outcome.data, profile.identity_object)):
            parts.append(text)
    return " ".join(parts) or None


def _sunspec(
    unit: int, device: SunSpecDevice, profiles: Sequence[Profile], evidence: list[Message], also: Sequence[Ranked]
) -> FoundUnit:
    """``also``: profiles of its maker's own registers, which such a device may have besides."""
    texts = tuple(text for text in (device.manufacturer, device.model, device.version) if text)
    models = tuple(map(str, device.models))
    evidence = [*evidence, Message("scan-says-sunspec", text=", ".join(texts) or "-", models=models)]
    why = Message("scan-why-models", models=models)
    found = fitting(device, [profile for profile in profiles if profile.protocol == "sunspec"])
    candidates = [Candidate(p.name, ALL_MODELS if whole else SOME_MODELS, (why,)) for p, whole in found]
    candidates += [_candidate(one) for one in also if one.confidence >= ALL_MODELS]
    candidates.sort(key=lambda c: -c.confidence)
    return FoundUnit(unit, "sunspec", tuple(candidates), tuple(evidence), device.serial)


def _dlt645(address: str, device: Dlt645Device, profiles: Sequence[Profile]) -> FoundUnit:
    there = {profile.name for profile in profiles}
    why = Message("scan-why-phases", n=device.phases)
    if device.phases > 1:
        sure = [(THREE, PHASES_SEEN, why)]
    elif device.refuses_others or len(device.volts) == 1:
        sure = [(SINGLE, ONE_PHASE_ONLY, Message("scan-why-one-phase"))]
    else:
        sure = [(name, UNDECIDED, why) for name in (SINGLE, THREE)]
    found = tuple(Candidate(name, number, (message,)) for name, number, message in sure if name in there)
    evidence = (Message("scan-says-number", number=device.number),) if device.number else ()
    return FoundUnit(address, "dlt645", found, evidence, device.number)
