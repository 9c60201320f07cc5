"""Rules between the keys of a profile. Each refusal names file, key and fix."""

from __future__ import annotations

from itertools import pairwise

from gateway.devices.knowledge.fingerprint import Constant, Fingerprint
from gateway.devices.knowledge.provenance import GRADES, Grade, Provenance
from gateway.devices.knowledge.quantities import has_sign
from gateway.devices.places import REGISTERS, SUM, Identifier, Registers
from gateway.devices.points import (
    FIRST,
    MAX_NAME,
    SECOND,
    UNRECORDED,
    Point,
    Profile,
    nearest,
)
from gateway.devices.scaling import line_to_write
from gateway.devices.scaling_rules import Refuse, check_scaling, measures
from gateway.messages.message import Message
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS

USUAL_UNITS = {
    "%": Message("profile-unit-percent-sign"),
    "%O2": Message("profile-unit-percent"),
    "1": Message("profile-unit-one"),
    "degC": Message("profile-unit-celsius"),
    "°C": Message("profile-unit-celsius"),
    "°": Message("profile-unit-degrees"),
    "VAr": Message("profile-unit-write", unit="var"),
    "kVAr": Message("profile-unit-write", unit="kvar"),
    "kVArh": Message("profile-unit-write", unit="kvarh"),
    "mbar": Message("profile-unit-millibar"),
}
"""What to write in place of a unit that people use and SenML does not have (RFC 8428 12.1, RFC 8798)."""

FLAGS = (
    "DEVICE_FAULT", "CAL_RANGE", "MAINTENANCE", "CALIBRATING", "STOPPED", "MANUAL", "SUBSTITUTED", "OUT_OF_CONTROL",
    "CAL_OVERDUE", "TAMPER",
)  # fmt: skip
"""Quality flags that a device can tell about itself, for ``raises``."""


def check(profile: Profile, refuse: Refuse) -> None:
    """Check a profile as a whole. Raises what ``refuse`` makes of the first rule that is broken."""
    for point in profile.points:
        _name(point, refuse)
        if isinstance(point.at, Registers):
            _shape(profile, point, refuse)
        else:
            _place(point, refuse)
        _unit(point, refuse)
        check_scaling(profile, point, refuse)
        _range(point, refuse)
        _status(profile, point, refuse)
    if profile.protocol in ("modbus", "sunspec"):
        _overlaps(profile, refuse)
    else:
        _twice(profile, refuse)
    _witnesses(profile, refuse)
    _sleep(profile, refuse)
    _layouts(profile, refuse)
    _ratios(profile, refuse)
    _ask(profile, refuse)
    _positive(profile, refuse)
    if profile.provenance is not None:
        _provenance(profile, profile.provenance, refuse)
    if profile.fingerprint is not None:
        _fingerprint(profile, profile.fingerprint, refuse)


def _name(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.name.endswith((FIRST, SECOND)):
        raise refuse(where, Message("profile-name-taken", first_suffix=FIRST, second_suffix=SECOND))
    if point.kind == "counter" and len(point.name + SECOND) > MAX_NAME:
        raise refuse(where, Message("profile-name-long", limit=MAX_NAME - len(SECOND)))


def _shape(profile: Profile, point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.type not in ("string", SUM) and point.registers != REGISTERS[point.type]:
        sentence = Message("profile-registers-fixed", type=point.type, n=REGISTERS[point.type])
        raise refuse(f"{where}.registers", sentence)
    if point.end > 65536:
        raise refuse(f"{where}.address", Message("profile-registers-end", last=point.end - 1))
    if (point.type == "bit") != (point.fc in (1, 2)):
        raise refuse(f"{where}.type", Message("profile-type-by-fc", type=point.type, fc=point.fc))
    read = -(-point.end // profile.step) * profile.step - point.address // profile.step * profile.step
    if point.fc in (3, 4) and read > profile.max_registers:
        sentence = Message("profile-value-too-long", registers=read, max_registers=profile.max_registers)
        raise refuse(f"{where}.registers", sentence)
    if point.type in ("string", "bit") and point.not_available:
        raise refuse(f"{where}.not_available", Message("profile-no-codes", type=point.type))
    if profile.protocol == "modbus" and point.model is not None:
        raise refuse(f"{where}.model", Message("profile-model-sunspec-only"))


def _bits(point: Point) -> int:
    """How many bits a status has that each mean something; 0: it is no such status."""
    if point.at.form != "flags":
        return 0
    if isinstance(point.at, Identifier):
        first, end = point.at.field
        return 8 * (end - first)
    return 16 * point.registers


def _place(point: Point, refuse: Refuse) -> None:
    """A value behind an identifier, or in a message."""
    where, at = f"points.{point.name}", point.at
    if not isinstance(at, Identifier):
        return
    if ("FF" in (at.di[n : n + 2] for n in range(0, 8, 2))) != bool(at.part):
        raise refuse(f"{where}.part", Message("profile-part", di=at.di))
    if at.signed and at.form != "whole":
        raise refuse(f"{where}.signed", Message("profile-sign-digits", format=at.format))
    if at.form != "whole" and point.kind != {"text": "text", "flags": "status"}[at.form]:
        raise refuse(f"{where}.kind", Message("profile-type-not-kind", type=at.format, kind=point.kind))
    if at.form == "whole" and point.kind == "text":
        raise refuse(f"{where}.format", Message("profile-text-digits"))


def _twice(profile: Profile, refuse: Refuse) -> None:
    """No two points stand at one place, and the values of a block have one size."""
    found: dict[object, str] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for point in profile.points:
        at = point.at
        place = (at.di, at.part, at.field) if isinstance(at, Identifier) else at.where
        if (other := found.setdefault(place, point.name)) != point.name:
            raise refuse(f"points.{point.name}", Message("profile-place-twice", where=at.where, other=other))
        if isinstance(at, Identifier):
            size, first = sizes.setdefault(at.di, (at.size, point.name))
            if size != at.size:
                sentence = Message("profile-block-sizes", di=at.di, size=at.size, other=first, other_size=size)
                raise refuse(f"points.{point.name}.format", sentence)


def _unit(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.kind == "part" and point.unit is None and point.from_unit is None:
        return
    if not measures(point) and point.kind != "part":
        if point.unit is not None or point.wire_unit is not None:
            raise refuse(f"{where}.unit", Message("profile-kind-no-unit", kind=point.kind))
        return
    if point.at.form in ("text", "exponent", "switch"):
        raise refuse(f"{where}.kind", Message("profile-type-not-kind", type=point.at.type, kind=point.kind))
    if point.unit is None:
        raise refuse(f"{where}.unit", Message("profile-unit-missing"))
    if (wrong := unit_fault(point.unit)) is not None:
        raise refuse(f"{where}.unit", wrong)


def unit_fault(unit: str) -> Message | None:
    """What is wrong with a unit by itself; None: it is one of SenML."""
    if unit in USUAL_UNITS:
        return Message("profile-value", value=repr(unit), rule=USUAL_UNITS[unit])
    known = tuple(PRIMARY_UNITS | SECONDARY_UNITS)
    if unit in known:
        return None
    return Message("profile-unit-unknown", unit=unit, hint=line_to_write(unit) or nearest(unit, known))


def _range(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    for key in ("low", "high", "wraps_at", "max_per_hour"):
        if getattr(point, key) is not None and not measures(point):
            raise refuse(f"{where}.{key}", Message("profile-kind-no-range", kind=point.kind))
    if point.low is not None and point.high is not None and point.low > point.high:
        raise refuse(f"{where}.low", Message("profile-low-above-high", low=str(point.low), high=str(point.high)))
    if point.wraps_at is not None and (point.kind != "counter" or point.wraps_at <= 0):
        raise refuse(f"{where}.wraps_at", Message("profile-wrap-counter"))
    if point.max_per_hour is not None and (point.kind != "counter" or point.max_per_hour <= 0):
        raise refuse(f"{where}.max_per_hour", Message("profile-grow-counter"))
    if point.lively and point.kind not in ("gauge", "counter"):
        raise refuse(f"{where}.lively", Message("profile-may-rest", kind=point.kind))


def _status(profile: Profile, point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    codes = [*point.symbols, *point.raises]
    if (codes or point.about) and point.kind != "status":
        raise refuse(f"{where}.symbols", Message("profile-kind-no-codes", kind=point.kind))
    bits = _bits(point)
    if bits and any(not 0 <= bit < bits for bit, _ in codes):
        raise refuse(f"{where}.symbols", Message("profile-bits-of-type", type=point.at.type, last=bits - 1))
    for code, flag in point.raises:
        if flag not in FLAGS:
            sentence = Message("profile-flag-unknown", flag=flag, hint=nearest(flag, FLAGS))
            raise refuse(f"{where}.raises.{code}", sentence)
    names = [p.name for p in profile.points if p is not point]
    for name in point.about:
        if name not in names:
            sentence = Message("profile-no-other-point", name=name, hint=nearest(name, names))
            raise refuse(f"{where}.about", sentence)


def _overlaps(profile: Profile, refuse: Refuse) -> None:
    """Points may share registers wholly (a word and its parts), never by a part of each."""
    ordered = sorted(
        (p for p in profile.points if p.type != SUM), key=lambda p: (p.model or 0, p.fc, p.address, -p.end)
    )
    reach: list[Point] = []
    for before, after in pairwise(ordered):
        if (before.model, before.fc) != (after.model, after.fc):
            reach = []
            continue
        reach = [p for p in [*reach, before] if p.end > after.address]
        for other in reach:
            if after.end > other.end:
                first, last = other.address, other.end - 1
                sentence = Message("profile-overlap", address=after.address, other=other.name, first=first, last=last)
                raise refuse(f"points.{after.name}.address", sentence)


def _witnesses(profile: Profile, refuse: Refuse) -> None:
    names = [p.name for p in profile.points]
    freshness = (profile.freshness,) if profile.freshness is not None else ()
    for key, wanted in (("identity", profile.identity), ("freshness", freshness)):
        for name in wanted:
            if name not in names:
                raise refuse(key, Message("profile-witness-no-point", name=name, hint=nearest(name, names)))
    if profile.freshness is not None and profile.point(profile.freshness).kind in UNRECORDED:
        raise refuse("freshness", Message("profile-witness-constant"))


def _sleep(profile: Profile, refuse: Refuse) -> None:
    name = profile.sleeps_below
    if name is None:
        return
    if not profile.may_sleep:
        raise refuse("sleeps_below", Message("profile-never-sleeps"))
    powers = [p.name for p in profile.points if measures(p) and p.unit in ("W", "kW")]
    if name not in powers:
        raise refuse("sleeps_below", Message("profile-no-power-point", name=name, hint=nearest(name, powers)))


def _layouts(profile: Profile, refuse: Refuse) -> None:
    """Of the models of one layout points name the first, and no other."""
    if profile.same_layout and profile.protocol != "sunspec":
        raise refuse("same_layout", Message("profile-model-sunspec-only"))
    named = {point.model for point in profile.points}
    for first, *others in profile.same_layout:
        if first not in named or named & {*others}:
            raise refuse("same_layout", Message("profile-model-first", model=first))


def _ratios(profile: Profile, refuse: Refuse) -> None:
    numbers = [point.name for point in profile.points if point.kind == "scale" and point.at.form != "exponent"]
    for factor, name in profile.ratios:
        if name not in numbers:
            sentence = Message("profile-ratio-point", name=name, hint=nearest(name, numbers))
            raise refuse(f"ratios.{factor}", sentence)


def _ask(profile: Profile, refuse: Refuse) -> None:
    if profile.ask and not profile.word_order_unsaid:
        raise refuse("ask", Message("profile-ask-nothing"))


def _positive(profile: Profile, refuse: Refuse) -> None:
    if profile.positive is not None and not any(has_sign(point.name) for point in profile.points):
        raise refuse("positive", Message("profile-positive-nothing"))


def _provenance(profile: Profile, provenance: Provenance, refuse: Refuse) -> None:
    names = [point.name for point in profile.points]
    listed: dict[str, Grade] = {}
    for grade in GRADES:
        for name in provenance.named(grade):
            if name not in names:
                hint = nearest(name, names)
                raise refuse(f"provenance.{grade}", Message("profile-witness-no-point", name=name, hint=hint))
            if listed.setdefault(name, grade) != grade:
                sentence = Message("profile-grade-twice", name=name, other=listed[name])
                raise refuse(f"provenance.{grade}", sentence)
    seen = [name for name in names if provenance.grade(name) == "seen"]
    if seen and len(set(provenance.sources.values())) < 2:
        raise refuse("provenance.sources", Message("profile-seen-once", name=seen[0]))


def _fingerprint(profile: Profile, fingerprint: Fingerprint, refuse: Refuse) -> None:
    measured = {point.name: point for point in profile.points if measures(point)}

    def number(name: str, where: str) -> Point:
        if name not in measured:
            raise refuse(where, Message("profile-fingerprint-point", name=name, hint=nearest(name, [*measured])))
        return measured[name]

    for index, constant in enumerate(fingerprint.constants):
        _answered(profile, constant, f"fingerprint.constants[{index}]", refuse)
    for index, refusal in enumerate(fingerprint.refuses):
        if (last := refusal.address + refusal.registers - 1) > 65535:
            raise refuse(f"fingerprint.refuses[{index}].registers", Message("profile-registers-end", last=last))
    for name, (low, high) in fingerprint.ranges.items():
        number(name, f"fingerprint.ranges.{name}")
        if low >= high:
            raise refuse(f"fingerprint.ranges.{name}", Message("profile-range-falls", key=name))
    for index, total in enumerate(fingerprint.sums):
        where = f"fingerprint.sums[{index}]"
        unit = number(total.total, f"{where}.total").unit
        if len(set(total.parts)) < 2 or total.total in total.parts:
            raise refuse(f"{where}.parts", Message("profile-fingerprint-parts"))
        for part in total.parts:
            if number(part, f"{where}.parts").unit != unit:
                sentence = Message("profile-fingerprint-units", part=part, total=total.total, unit=unit or "")
                raise refuse(f"{where}.parts", sentence)


def _answered(profile: Profile, constant: Constant, where: str, refuse: Refuse) -> None:
    """The read of a constant is one that the device answers; ``step`` is of its values, a constant is read as it is."""
    words = len(constant.words)
    if not words:
        raise refuse(f"{where}.words", Message("profile-key-missing"))
    if (last := constant.address + words - 1) > 65535:
        raise refuse(f"{where}.words", Message("profile-registers-end", last=last))
    if words > profile.max_registers:
        sentence = Message("profile-value-too-long", registers=words, max_registers=profile.max_registers)
        raise refuse(f"{where}.words", sentence)
    if constant.to is not None and constant.to <= constant.words[-1]:
        raise refuse(f"{where}.to", Message("profile-constant-to", to=constant.to, word=constant.words[-1]))
