"""What the gateway has in its database of a meter since a fault was armed: values by what is true, quality, missed
polls, events and alarms."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from gateway.config.model import Config
from gateway.messages.alarm_kinds import AlarmCode
from gateway.records import ALARM, CONFIGURATION, SCHEDULE, event_name
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from tests.firmware_sim.fault_page.cases import CODES, GATEWAYS, LOGGER, POINTS, Case

UNSETTLED = {AlarmCode.STALE, AlarmCode.LINE_DOWN, AlarmCode.COUNTER_BACK}
"""Alarms that come at about the end of a run."""
OF_THE_MACHINE = Quality.CLOCK_UNSYNC
NO_FINDING = "skipped", "stopped", "backoff", "no-shape"
"""Why a poll is missed on a busy machine and at the end, and of a meter whose last one was missed for a reason."""
ONE_POLL_MS = 300
"""So near are two reads of one poll."""
LEAST_SHARE, LEAST_MISSED = 0.3, 0.3
"""What fewer of a point's values are, or of the due polls, is not listed: two moments can have one value, and a busy
machine misses a poll."""


@dataclass
class Recorded:
    """Of a meter: what its values are by the word of the points, their flags, reasons of missed polls where most are
    missed, events, and alarms."""

    values: dict[str, Counter[str]] = field(default_factory=dict)
    flags: dict[str, set[str]] = field(default_factory=dict)
    missed: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    alarms: set[str] = field(default_factory=set)


def recorded(loaded: Config, cases: Sequence[Case], log: Sequence[Mapping[str, Any]]) -> list[Recorded]:
    """What an ended gateway has of each case since its fault was armed."""
    armed = {entry["inject"]["target"]: entry["t_ms"] for entry in log if "inject" in entry}
    first, last = min(armed.values()), max(entry["t_ms"] for entry in log)
    with closing(Database(loaded.database, read_only=True)) as store:
        return [_of(store, case, log, armed.get(f"{GATEWAYS}{case.kind}", first), last) for case in cases]


def _of(store: Database, case: Case, log: Sequence[Mapping[str, Any]], since_ms: int, last_ms: int) -> Recorded:
    """Values and missed polls are those of the second half, in which nothing is under way that began before the
    fault."""
    name, found, due, missed = f"{GATEWAYS}{case.kind}", Recorded(), 0, Counter[str]()
    entries = [entry for entry in log if entry.get("meter") == name and "values" in entry]
    for _, row in store.records.chain(name, 100_000):
        body = parse_record(bytes(row.data)).body
        if isinstance(body, Coverage) and body.from_ms >= since_ms:
            due += body.due - sum(body.missed.get(why, 0) for why in NO_FINDING)
            missed.update({why: count for why, count in body.missed.items() if why not in NO_FINDING})
        elif isinstance(body, Event) and row.time_ms >= since_ms:
            if body.name == ALARM:
                found.alarms |= {str(body.fields["code"])} - UNSETTLED if body.fields["raised"] else set()
            elif body.name not in (CONFIGURATION, SCHEDULE):
                found.events.add(event_name(body))
        elif isinstance(body, Reading) and row.time_ms >= since_ms:
            settled = row.time_ms >= (since_ms + last_ms) // 2
            for value in body.values:
                for word in (word for word, names in POINTS[case.profile].items() if value.name in names):
                    found.flags.setdefault(word, set()).update(_flags(value))
                    if settled:
                        found.values.setdefault(word, Counter())[_judged(case, value, row.time_ms, entries)] += 1
    often = {why for why, count in missed.items() if count >= LEAST_MISSED * due}
    found.missed = often - {"line-down"} if "timeout" in often else often
    return found


def _flags(value: Value) -> list[str]:
    return [str(flag.name) for flag in Quality if flag & value.quality & ~OF_THE_MACHINE]


def _judged(case: Case, value: Value, time_ms: int, entries: Sequence[Mapping[str, Any]]) -> str:
    """Whether it is what was true, or what the meter showed, nearest to that time."""
    if value.value is None or value.value == "":
        return "no value"
    point = CODES[value.name] if case.type == LOGGER else value.name
    at_ms = time_ms + value.offset_ms
    near = [
        (
            abs(entry["t_ms"] - at_ms),
            entry["values"].get(point),
            {**entry["values"], **entry.get("true", {})}.get(point),
        )
        for entry in entries
        if point in entry["values"] or point in entry.get("true", {})
    ]
    nearest = min((apart for apart, _, _ in near), default=0)
    of_poll = [(shown, true) for apart, shown, true in near if apart <= nearest + ONE_POLL_MS]
    if any(_same(value.value, true) for _, true in of_poll):
        return "true"
    if any(_same(value.value, shown) for shown, _ in of_poll):
        return "untrue"
    return "of an earlier answer" if any(_same(value.value, true) for _, _, true in near) else "never sent"


def _same(recorded: object, sent: object) -> bool:
    return sent is not None and _single(recorded) == _single(sent)


def _single(number: object) -> bytes:
    return struct.pack(">f", float(str(number)))
