"""``[[bus]]`` sections for what a scan found, as `meterseal check` accepts them. Pure.

A unit without a profile that is certain stands as a comment, with what it may be.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.commissioning.scan.folder_profiles import label
from gateway.commissioning.scan.found import Candidate, FoundLine, FoundUnit, ScanResult
from gateway.config.bus_types import TYPES
from gateway.config.wire_texts import rfc2217_address
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile
from gateway.fieldbus.read_budget import NEARLY_FULL, budget
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec

PERIODS_S: Final = (10, 15, 20, 30, 60, 120, 300, 900)
"""The shortest of these that the line can carry becomes ``every``."""
_LONGEST_NAME: Final = 56
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def bus_sections(
    result: ScanResult,
    taken: Collection[str] = (),
    chosen: Mapping[str, str] = NOTHING,
    folder: Path | None = None,
) -> str:
    """The sections, one a line; "" where nothing was found.

    Args:
        result: of a scan.
        taken: names that buses and meters must not have.
        chosen: names of meters, by the address of the unit.
        folder: that of the gateway.toml, to which it names files of profiles; None: by their whole path.
    """
    names, ports, out = _Names((*taken, *chosen.values()), chosen, folder), set[str](), list[str]()
    for line in result.lines:
        text = _section(line, names, result.complete)
        if line.port is not None and line.port in ports:
            text = [f"# A port is one bus; this one has others at {line.baudrate} baud, parity {line.parity}.", *text]
            text = [row if not row or row.startswith("#") else f"# {row}" for row in text]
        ports |= {line.port} if line.port is not None else set()
        out += [*text, ""]
    return "\n".join(out).rstrip("\n") + "\n" if out else ""


class _Names:
    """Names, each given once."""

    def __init__(self, taken: Collection[str], chosen: Mapping[str, str], folder: Path | None) -> None:
        self._taken, self._chosen, self._folder = set(taken), chosen, folder

    def profile(self, profile: str) -> str:
        """A profile as the meter's section names it."""
        if self._folder is None or not os.path.isabs(profile):
            return profile
        return os.path.relpath(profile, self._folder.resolve())

    def of(self, unit: FoundUnit, profile: str) -> str:
        """The name that was chosen for a unit; else the stem of the file of its profile, or the catalog's name with the
        address."""
        if (name := self._chosen.get(str(unit.address))) is not None:
            return name
        return self.free(label(profile) if profile.endswith(".toml") else f"{profile}-{unit.address}")

    def free(self, wanted: str) -> str:
        """The wanted name, or the first with a number behind it that nobody has."""
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("._-")[:_LONGEST_NAME] or "meter"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name


def _section(line: FoundLine, names: _Names, complete: bool) -> list[str]:
    known = [(unit, best) for unit in line.units if (best := _certain(unit)) is not None]
    head = ["[[bus]]", f"name = {_text(names.free('line-1'))}", f"type = {_text(line.type)}", *_wire(line)]
    every_s = _every_s(line, known)
    meters: list[str] = []
    for unit in line.units:
        meters += ["", *(f"  {row}" for row in _meter(unit, names, every_s, complete))]
    if not known:  # a bus without a meter is none
        return [f"# {row}" if row and not row.lstrip().startswith("#") else row.strip() for row in (*head, *meters)]
    return [*head, *meters]


def _wire(line: FoundLine) -> Iterator[str]:
    if line.port is None:
        yield f"host = {_text(str(line.host))}"
        yield f"port = {line.tcp_port}"
        return
    yield f"port = {_text(line.port)}"
    yield f"baudrate = {line.baudrate}"
    yield f"parity = {_text(str(line.parity))}"
    yield f"stopbits = {line.stopbits}"


def _meter(unit: FoundUnit, names: _Names, every_s: int, complete: bool) -> Iterator[str]:
    address = _text(unit.address) if isinstance(unit.address, str) else str(unit.address)
    best = _certain(unit)
    if best is None:
        may_be = ", ".join(f"{label(c.profile)} ({c.confidence:.0%})" for c in (unit.tie or unit.candidates[:3]))
        unknown = "no profile fits it." if complete else "the scan ended before it was known what it is."
        yield f"# A device answers at {address}: " + (f"it may be {may_be}." if may_be else unknown)
        for candidate in (*unit.tie, *unit.candidates)[:1]:
            yield from (f"# {row}" for row in _rows(unit, candidate, names, every_s))
        return
    yield from _rows(unit, best, names, every_s)


def _certain(unit: FoundUnit) -> Candidate | None:
    """The one profile that fits and is likelier than not, with its word order where it asks for one."""
    best = unit.sure
    asks = best is not None and best.word_order is None and bool(load_profile(best.profile, Path()).ask)
    return None if asks else best


def _rows(unit: FoundUnit, candidate: Candidate, names: _Names, every_s: int) -> Iterator[str]:
    address = _text(unit.address) if isinstance(unit.address, str) else str(unit.address)
    yield "[[bus.meter]]"
    yield f"name = {_text(names.of(unit, candidate.profile))}"
    yield f"profile = {_text(names.profile(candidate.profile))}"
    yield f"address = {address}"
    yield f'every = "{every_s}s"'
    if candidate.word_order is not None:
        yield f"word_order = {_text(candidate.word_order)}"
    for ratio in sorted(load_profile(candidate.profile, Path()).factors):
        yield f'{ratio} = 1  # its transformer ratio, such as "200/5"'
    if unit.identity is not None:
        yield f"# serial number {unit.identity}".replace("\n", " ")


def _every_s(line: FoundLine, units: Sequence[tuple[FoundUnit, Candidate]]) -> int:
    """The shortest period with which the line can be read, all its meters alike."""
    if not units:
        return PERIODS_S[0]
    meters = []
    for unit, candidate in units:
        profile = _profile(candidate)
        meters.append(MeterSpec(str(unit.address), profile, unit.address, 0, profile.select(None)))
    server = rfc2217_address(line.port or "")
    spec = LineSpec(
        "line",
        line.type,
        (),
        port=None if server else line.port,
        host=server[0] if server else line.host,
        tcp_port=server[1] if server else line.tcp_port,
        rfc2217=server is not None,
        baudrate=line.baudrate or TYPES[line.type].serial[0],
        parity=line.parity or TYPES[line.type].serial[1],
        stopbits=line.stopbits or TYPES[line.type].serial[2],
    )
    for period_s in PERIODS_S:
        asked = replace(spec, meters=tuple(replace(meter, period_ms=1000 * period_s) for meter in meters))
        if _carries(asked):
            return period_s
    return PERIODS_S[-1]


def _carries(spec: LineSpec) -> bool:
    found = budget(spec)
    short = any(b.short() for m, b in zip(spec.meters, found.meters, strict=True) if m.profile.protocol != "sunspec")
    in_time = all(b.poll_ms + m.profile.pause_ms <= m.period_ms for m, b in zip(spec.meters, found.meters, strict=True))
    return found.share <= NEARLY_FULL and in_time and not short


def _profile(candidate: Candidate) -> Profile:
    profile = load_profile(candidate.profile, Path())
    return profile.decided(candidate.word_order) if candidate.word_order is not None and profile.ask else profile


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
