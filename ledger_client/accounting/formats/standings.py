"""Standings of entries: which of several count, where, and what becomes of the others (rule P9). Pure.

Entries of one kind on one point or node meet where they state the same value of the same time: of ``lab`` letter by
letter, so that daily moisture and monthly carbon never meet. Entries are taken in the order in which they were made:

1. An entry takes away from its time what it names in ``replaces``, and stands there itself. One of a moment (registers,
   closures) is taken away whatever moment the later one is of: a wrong moment can be corrected.
2. What stands alone at a time counts there. Of several none does: the later ones did not name all that stood. Each of
   these is a finding, until a later entry names it.
3. The amount of a time (``value``, ``settlement``) cannot be cut: it counts where all of its time is left to it.
4. An entry with a fault takes nothing away and stands nowhere; it is a finding, until a later one names it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from ledger_client.accounting.formats.entries import Entry, unit_fault
from ledger_client.accounting.formats.plan import Plan

COUNTS, REPLACED, CONTRADICTS = "counts", "replaced", "contradicts"
REFUSED, ELSEWHERE = "refused", "of another time"
_MOMENTS: Final = ("register", "closure")
_UNDIVIDED: Final = ("value", "settlement")
_LASTING: Final = ("calibration", "closure")
"""Entries that count long behind their time."""


class Part(NamedTuple):
    """The time in which an entry counts for one of its values, [from, to) in ms; both are one moment of an entry that
    is of a moment."""

    from_ms: int
    to_ms: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Standing:
    """What becomes of an entry.

    ``word``: ``counts``, at least in a part of its time; ``replaced`` by others in all of it; ``contradicts`` others;
    ``refused`` for a value or unit that cannot be, ``why``; ``of another time`` than the one that was asked for.
    ``by``: the records of those that replace it, or that it contradicts.
    """

    entry: Entry
    word: str
    by: tuple[bytes, ...] = ()
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """All entries on a plan beside each other. ``standings``: in the order in which they were made; ``parts``: by kind,
    point or node, and name of the value (of a closure ""), in order of time; ``findings``: how many miss one (P9)."""

    standings: tuple[Standing, ...]
    parts: Mapping[tuple[str, str, str], Sequence[Part]]
    findings: int

    @property
    def counting(self) -> list[Entry]:
        """The entries that count, at least in a part of their time."""
        return [standing.entry for standing in self.standings if standing.word == COUNTS]

    def parts_of(self, kind: str, of: str, name: str = "") -> Sequence[Part]:
        """Where which entry states a value, in order of time."""
        return self.parts.get((kind, of, name), ())

    def within(self, from_ms: int, to_ms: int) -> list[Standing]:
        """The standings for a statement of [from, to): what counts elsewhere alone is ``of another time``."""
        return [
            Standing(one.entry, ELSEWHERE) if one.word == COUNTS and _elsewhere(one.entry, from_ms, to_ms) else one
            for one in self.standings
        ]


def _elsewhere(entry: Entry, from_ms: int, to_ms: int) -> bool:
    if entry.kind in _LASTING:
        return False
    if entry.from_ms == entry.to_ms:
        return not from_ms < entry.to_ms <= to_ms
    return not (entry.from_ms < to_ms and from_ms < entry.to_ms)


def judged(entries: Sequence[Entry], plan: Plan | None = None) -> Judged:
    """Entries beside each other, in the order in which they were made. ``plan``: whose units they have to be in; None:
    units are not looked at."""
    faults = [_fault(entry, plan) for entry in entries]
    met: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        if faults[place] is None:
            for name in entry.values or ("",):
                met[entry.kind, entry.of, name].append(place)
    parts: dict[tuple[str, str, str], list[Part]] = {}
    beside: dict[int, set[int]] = defaultdict(set)
    for key, places in met.items():
        parts[key] = []
        for from_ms, to_ms, standing in _standing(entries, places):
            if len(standing) == 1:
                _grow(parts[key], Part(from_ms, to_ms, entries[standing[0]]))
            for place in standing[: len(standing) if len(standing) > 1 else 0]:
                beside[place] |= set(standing) - {place}
    parts = {
        key: kept
        for key, found in parts.items()
        if (kept := sorted((part for part in found if _whole(part)), key=lambda part: part[:2]))
    }
    alive = {id(part.entry) for found in parts.values() for part in found}
    named_by = _named_by(entries, faults)
    standings = tuple(
        Standing(entry, REFUSED, _records(entries, named_by[place]), fault) if (fault := faults[place]) is not None
        else Standing(entry, CONTRADICTS, _records(entries, beside[place])) if place in beside
        else Standing(entry, COUNTS) if id(entry) in alive
        else Standing(entry, REPLACED, _records(entries, named_by[place]))
        for place, entry in enumerate(entries)
    )  # fmt: skip
    missing = sum(any(other < place for other in others) for place, others in beside.items())
    refused = sum(fault is not None and not named_by[place] for place, fault in enumerate(faults))
    return Judged(standings, parts, missing + refused)


def in_the_way(entries: Sequence[Entry], entry: Entry) -> list[bytes]:
    """The records that an entry, made behind others, has to name in ``replaces`` and does not (P9)."""
    (*_, last) = judged([*entries, entry]).standings
    return list(last.by) if last.word == CONTRADICTS else []


def _standing(entries: Sequence[Entry], places: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Each stretch of time and each moment with those that stand there, of entries that state one value; all in the
    order in which they were made, the stretches in order of time."""
    moments: dict[int, list[int]] = defaultdict(list)
    gone: set[bytes] = set()
    for place in reversed(places):
        entry = entries[place]
        if _of_moment(entry) and entry.record not in gone:
            moments[entry.from_ms].insert(0, place)
        gone |= set(entry.replaces)
    yield from ((time_ms, time_ms, standing) for time_ms, standing in sorted(moments.items()))
    for together in _clusters(entries, [place for place in places if not _of_moment(entries[place])]):
        cuts = sorted({time_ms for place in together for time_ms in (entries[place].from_ms, entries[place].to_ms)})
        for from_ms, to_ms in pairwise(cuts):
            standing: list[int] = []
            for place in together:
                entry = entries[place]
                if entry.from_ms <= from_ms and to_ms <= entry.to_ms:
                    standing = [one for one in standing if entries[one].record not in entry.replaces] + [place]
            yield from_ms, to_ms, standing


def _clusters(entries: Sequence[Entry], places: Sequence[int]) -> Iterator[list[int]]:
    """Those whose times hang together, in order of time; each cluster in the order in which they were made."""
    together, until_ms = list[int](), -1
    for place in sorted(places, key=lambda place: entries[place].from_ms):
        if together and entries[place].from_ms >= until_ms:
            yield sorted(together)
            together = []
        together.append(place)
        until_ms = max(until_ms, entries[place].to_ms)
    if together:
        yield sorted(together)


def _fault(entry: Entry, plan: Plan | None) -> str | None:
    """Why an entry counts for nothing, by itself."""
    if entry.fault is not None or plan is None:
        return entry.fault
    found = unit_fault(plan, entry)
    return None if found is None else str(found.sentence)


def _of_moment(entry: Entry) -> bool:
    return entry.kind in _MOMENTS or entry.from_ms == entry.to_ms


def _grow(parts: list[Part], part: Part) -> None:
    """Add a part; one that goes on where the last one ends, of the same entry, makes that longer."""
    if parts and parts[-1].entry is part.entry and parts[-1].to_ms == part.from_ms:
        parts[-1] = parts[-1]._replace(to_ms=part.to_ms)
    else:
        parts.append(part)


def _whole(part: Part) -> bool:
    """Whether a part may count: an amount alone is of all of its time."""
    entry = part.entry
    return entry.kind not in _UNDIVIDED or (part.from_ms, part.to_ms) == (entry.from_ms, entry.to_ms)


def _named_by(entries: Sequence[Entry], faults: Sequence[str | None]) -> list[list[int]]:
    """Of each entry the later ones without a fault, of its kind and on the same thing, that name it."""
    places = {entry.record: place for place, entry in enumerate(entries)}
    found: list[list[int]] = [[] for _ in entries]
    for later, entry in enumerate(entries):
        for record in entry.replaces if faults[later] is None else ():
            place = places.get(record, later)
            if place < later and (entries[place].kind, entries[place].of) == (entry.kind, entry.of):
                found[place].append(later)
    return found


def _records(entries: Sequence[Entry], places: Sequence[int] | set[int]) -> tuple[bytes, ...]:
    return tuple(entries[place].record for place in sorted(places))
