"""Events from which an audit recounts due polls: configuration, new grids, new keys (decision 032).

Makes events for the writer to sign, and remembers what they have announced; reads the database once, and writes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.config.model import Configured
from gateway.records import CONFIGURATION, GATEWAY, KEYS, SCHEDULE
from gateway.storage.record_tables import Records
from gateway.storage.rows import Tail
from ledger_client.formats import cbor
from ledger_client.formats.cose import KID, Sign1
from ledger_client.formats.record import Event, parse_record
from ledger_client.recording_grid import Grid

MOST_BYTES = 60 * 1024
"""An event that would pass this is split: a record may have 64 KiB."""
MOST_FACTS_BYTES = 30 * 1024
"""Bytes for the facts of a change, with the names that it adds and removes. Of longer lists the event has the number
only."""
DAY_MS = 86_400_000

NamedGrid = tuple[str, int, int]
"""Meter, beginning, and period: of a grid that the database notes."""
_Fact = tuple[str, str, Any]
"""Table, meter, and the fact about it."""


def identities(records: Records, meters: Iterable[str]) -> dict[str, str]:
    """The identity that each meter was last commissioned or accepted with, from its newest event; none where that was
    accepted without one."""
    found = {meter: next(_identities_of(records, meter), None) for meter in meters}
    return {meter: identity for meter, identity in found.items() if identity}


def _identities_of(records: Records, meter: str) -> Iterator[str]:
    for row in records.events_of(meter):
        body = parse_record(row.data).body
        if isinstance(body, Event) and isinstance(identity := body.fields.get("identity"), str):
            yield identity


def series_of(records: Records, meters: Iterable[str]) -> set[str]:
    """Those of the meters that are series, whose messages are due by arriving. What counts is the newest
    ``configuration`` that names the meter, which need not be the last one."""
    unknown, found = set(meters), set[str]()
    for row in records.events_of(GATEWAY) if unknown else ():
        if CONFIGURATION.encode() not in row.data:  # saves to parse it
            continue
        body = parse_record(row.data).body
        if isinstance(body, Event) and body.name == CONFIGURATION:
            named = body.fields.get("meters", {})
            found |= {meter for meter in unknown & named.keys() if named[meter].get("series")}
            unknown -= named.keys()
            if not unknown:
                break
    return found


def spread(event: Event, tables: Mapping[str, Mapping[str, Any]]) -> list[Event]:
    """The event with tables of facts by meter; what finds no room in it stands in events ``schedule`` behind it."""
    facts = [(table, meter, fact) for table, by_meter in tables.items() for meter, fact in by_meter.items()]
    if not facts:
        return [event]
    room = MOST_BYTES - len(cbor.encode(dict(event.fields)))
    first, *others = map(_tables, _portions(facts, room))
    return [Event(event.name, {**event.fields, **first}), *(Event(SCHEDULE, fields) for fields in others)]


def _tables(facts: Iterable[_Fact]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for table, meter, fact in facts:
        found.setdefault(table, {})[meter] = fact
    return found


def by_meter(grids: Iterable[NamedGrid]) -> dict[str, list[list[int]]]:
    """Grids as events bear them: each meter's in order."""
    found: dict[str, list[list[int]]] = {}
    for meter, begins_ms, period_ms in grids:
        found.setdefault(meter, []).append([begins_ms, period_ms])
    return found


def schedule(grids: Sequence[NamedGrid]) -> list[Event]:
    """New grids that no other event bears."""
    return spread(Event(SCHEDULE, {}), {"grids": by_meter(grids)}) if grids else []


def new_keys(kids: Mapping[str, bytes], tails: Mapping[str, Tail | None], *, begun: bool) -> list[Event]:
    """An event for each owner of ``kids`` whose last record bears another key, or who has none while the gateway has
    ``begun`` before. Owners whose last key stands in an event already have none."""
    found = []
    for owner, kid in kids.items():
        tail = tails.get(owner)
        before = Sign1.parse(tail.last_data).protected[KID] if tail is not None else None
        if before != kid and (begun or before is not None):
            facts = {"owner": owner, "key": kid}
            found.append(Event(KEYS, facts if before is None else facts | {"before": before}))
    return found


def replaced_keys(before: Mapping[str, bytes], kids: Mapping[str, bytes]) -> list[Event]:
    """An event for each owner of ``kids`` who has signed in this epoch with another key ``before``."""
    return [
        Event(KEYS, {"owner": owner, "key": kid, "before": before[owner]})
        for owner, kid in kids.items()
        if before[owner] != kid
    ]


class Announcements:
    """What has been announced of one epoch: its grids, identities as they become known, and the day of the last
    ``configuration``. Not to be shared between threads."""

    def __init__(self, records: Records, meters: Iterable[str]) -> None:
        self.identities = identities(records, meters)
        self._grids: dict[str, list[Grid]] = {}
        self._day = -1

    def hear(self, meter: str, event: Event) -> None:
        """Take in an event that may name the device that is a meter."""
        if meter != GATEWAY and isinstance(identity := event.fields.get("identity"), str):
            self.identities.pop(meter, None)
            if identity:
                self.identities[meter] = identity

    def note(self, grids: Iterable[NamedGrid]) -> None:
        """Take note of grids that are in force, or will be."""
        for meter, begins_ms, period_ms in grids:
            self._grids.setdefault(meter, []).append((begins_ms, period_ms))

    def another_day(self, time_ms: int) -> bool:
        """The UTC day is another one than that of the last ``configuration``."""
        return time_ms // DAY_MS != self._day

    def configured_at(self, time_ms: int) -> None:
        """A ``configuration`` of this moment is durable."""
        self._day = time_ms // DAY_MS

    def configuration(
        self,
        facts: Mapping[str, Any],
        periods_ms: Mapping[str, int],
        configured: Mapping[str, Configured],
        kids: Mapping[str, bytes],
        counted_to_ms: Mapping[str, int],
        grids: Iterable[NamedGrid] = (),
    ) -> list[Event]:
        """The event ``configuration``, in parts of at most ``MOST_BYTES``.

        Args:
            facts: fields of the first part: ``at``, ``config``, and the facts of a change.
            periods_ms: each meter's period in ms.
            configured: each meter's role, profile and ratios.
            kids: key id by owner.
            counted_to_ms: the end of each meter's coverage, behind which its grids count; record time in ms.
            grids: those that this commit brings.
        """
        coming: dict[str, list[Grid]] = {}
        for meter, begins_ms, period_ms in grids:
            coming.setdefault(meter, []).append((begins_ms, period_ms))
        entries = []
        for meter, period_ms in periods_ms.items():
            known = self._grids[meter] = _in_force(self._grids.get(meter, []), counted_to_ms[meter])
            listed = _in_force([*known, *coming.get(meter, ())], counted_to_ms[meter])
            entries.append(("meters", meter, self._entry(meter, period_ms, configured[meter], kids[meter], listed)))
        facts = _shortened({**facts, "statement": kids[GATEWAY]})
        parts = list(_portions(entries, MOST_BYTES - len(cbor.encode(dict(facts))) - 100))
        shared = {key: facts[key] for key in ("at", "config", "statement")}
        of_parts = [facts, *[shared] * (len(parts) - 1)]
        return [
            Event(CONFIGURATION, {**fields, "part": [number, len(parts)], "meters": {}, **_tables(part)})
            for number, (fields, part) in enumerate(zip(of_parts, parts, strict=True), 1)
        ]

    def _entry(
        self, meter: str, period_ms: int, configured: Configured, kid: bytes, grids: Sequence[Grid]
    ) -> dict[str, Any]:
        entry = {
            "key": kid,
            "role": configured.role,
            "grids": [list(grid) for grid in grids],
            "period": period_ms,
            "profile": configured.profile,
            "profile-hash": configured.profile_hash,
        }
        optional = {
            "ratios": dict(configured.ratios),
            "ratios-compared": {k: r for k, r in configured.stated.items() if k not in configured.ratios},
            "series": configured.series,
            "reversed": configured.reversed,
            "identity": self.identities.get(meter),
        }
        return entry | {key: fact for key, fact in optional.items() if fact}


def _in_force(grids: list[Grid], from_ms: int) -> list[Grid]:
    """The grids by which polls are due from a moment on."""
    begun = [place for place, (begins_ms, _) in enumerate(grids) if begins_ms <= from_ms]
    return grids[begun[-1] :] if begun else grids


def _shortened(facts: Mapping[str, Any]) -> dict[str, Any]:
    if len(cbor.encode(dict(facts))) <= MOST_FACTS_BYTES:
        return dict(facts)
    return {key: len(fact) if isinstance(fact, list | tuple) else fact for key, fact in facts.items()}


def _portions(facts: Sequence[_Fact], room: int) -> Iterator[list[_Fact]]:
    """Facts in groups, the first of which fills at most ``room`` bytes and the others ``MOST_BYTES``."""
    portion, left = list[_Fact](), room
    for fact in facts:
        size = len(cbor.encode(list(fact)))
        if size > left:
            yield portion
            portion, left = [], MOST_BYTES - 100
        portion.append(fact)
        left -= size
    yield portion
