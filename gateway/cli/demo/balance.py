"""Balance of a run: due polls, readings and coverage in a database against the simulator's answer log.

Trusts neither the poller's nor the recorder's counters: the schedule is counted again from its anchor and period, the
readings and coverage are read back from sealed batches, and every answer that the simulator's log holds is looked for
among the readings, value by value.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.records import StoredRecord
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Reading
from ledger_client.recording_grid import due_by


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that a simulated meter gave: when, and the values that a reader should have decoded."""

    time_ms: int
    meter: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """One meter's balance over all of its sealed coverage."""

    due: int
    readings: int
    missed: int
    lost: int


def read_answers(log: Path) -> list[Answer]:
    """The answers of a simulator's log that hold values; exceptions and torn last lines have none."""
    answers = []
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("exception") is None and entry["values"]:
            answers.append(Answer(entry["t_ms"], entry["meter"], entry["values"]))
    return answers


def account(store: Database, answers: Iterable[Answer]) -> dict[str, Account]:
    """The balance of every meter that the database has a schedule for."""
    sealed = store.batches.last()
    rows = store.records.rows(1, sealed.last_id) if sealed else []
    by_meter: dict[str, list[StoredRecord]] = defaultdict(list)
    for row in rows:
        by_meter[row.meter].append(row)
    heard: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        heard[answer.meter].append(answer)
    grids: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for meter, _, anchor_ms, period_ms in store.epochs.schedules():
        grids[meter].append((anchor_ms, period_ms))
    return {meter: _balance(by_meter[meter], grid, heard[meter]) for meter, grid in grids.items()}


@dataclass(slots=True)
class _Stretch:
    """What lies between two coverage records of a meter."""

    from_ms: int
    to_ms: int
    missed: int
    readings: int


def _balance(rows: list[StoredRecord], grids: list[tuple[int, int]], answers: list[Answer]) -> Account:
    stretches: list[_Stretch] = []
    readings: list[Reading] = []
    pending = 0
    for row in rows:
        body = parse_record(row.data).body
        if isinstance(body, Reading):
            readings.append(body)
            pending += 1
        elif isinstance(body, Coverage):
            stretches.append(_Stretch(body.from_ms, body.to_ms, sum(body.missed.values()), pending))
            pending = 0
    unheard = _unheard(readings, answers, grids)
    lost = due_total = 0
    for stretch in stretches:
        due = due_by(grids, stretch.from_ms, stretch.to_ms)
        due_total += due
        unanswered = sum(stretch.from_ms <= slot < stretch.to_ms for slot in unheard)
        # A due poll that was answered but not recorded shows up on both sides: it is one loss. An answer that came
        # too late to count is explained by the miss that it became.
        lost += max(due - stretch.readings - stretch.missed, unanswered - stretch.missed, 0)
    covered_to = stretches[-1].to_ms if stretches else 0
    lost += sum(slot >= covered_to for slot in unheard)
    return Account(due_total, len(readings), sum(s.missed for s in stretches), lost)


def _unheard(readings: list[Reading], answers: list[Answer], grids: list[tuple[int, int]]) -> set[int]:
    """Due times of the polls whose answers stand in no reading.

    A poll is heard if a reading of its time has every point that the answers hold, each with a value of one of them:
    a block that was asked twice moved in between, and a discovery read holds points too.
    """
    named = [(reading.time_ms, {value.name: value.value for value in reading.values}) for reading in readings]
    recorded = {name for _, values in named for name in values}
    answered: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        for name, value in answer.values.items():
            if name in recorded:  # else it was an identity read, never meant for a record
                answered[_slot(grids, answer.time_ms)[0]][name].append(value)
    by_slot: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for time_ms, values in named:
        slot, period_ms = _slot(grids, time_ms)
        by_slot[slot].append(values)
        by_slot[slot - period_ms].append(values)  # a poll that began late may be answered when the next is due
    return {slot for slot, values in answered.items() if not any(agrees(values, r) for r in by_slot[slot])}


def _slot(grids: list[tuple[int, int]], time_ms: int) -> tuple[int, int]:
    """The due time that a moment follows, and the period in force."""
    running = [grid for grid in grids if grid[1]]  # a period of 0 is a gap between two courses of the clock
    anchor, period = max((grid for grid in running if grid[0] <= time_ms), default=running[0])
    return time_ms - (time_ms - anchor) % period, period


def agrees(answered: Mapping[str, list[Any]], recorded: Mapping[str, Any]) -> bool:
    """Whether a reading holds every point of the answers, each with one of the values that they gave."""
    return all(name in recorded and any(_same(v, recorded[name]) for v in values) for name, values in answered.items())


def _same(answered: Any, recorded: Any) -> bool:
    if recorded is None or answered is None:
        return recorded is None and answered is None
    if isinstance(recorded, str):
        return bool(answered == recorded)
    if isinstance(recorded, float):
        return float(answered) == recorded
    return Decimal(str(answered)) == Decimal(recorded)
