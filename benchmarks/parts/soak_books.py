"""The books of a soaked gateway: its database beside both ledgers' logs, and beside what its meters say they answered.

Record times follow a clock that was set again and again, so answers and readings are matched by their values and order.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.parts.crash_books import Books, Flaws
from gateway.account import agrees
from gateway.config import Config
from gateway.store import Store
from ledger_client.record import Coverage, Reading
from tests.gateway.books import check_all_is_sealed, check_books, check_each_record_is_sealed_once, check_ledger_log

Stretches = Sequence[tuple[float, float]]
"""From and to, in Unix seconds."""
TOGETHER = 0.75
"""Answers that come within this share of a period belong to one poll."""
AHEAD = 60
"""So many readings are looked through for a poll: more than fall between two undisturbed ones."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the books of one site say."""

    records: int
    readings: int
    values: int
    values_due_per_s: float
    """Values that the meters give together, when each answers every poll whole."""
    batches: int
    anchored: Mapping[str, int]
    """Batches by ledger that its log holds, and of which this gateway has its receipt."""
    answered: int
    """Undisturbed polls of the simulator's log."""
    explained: int
    """Those of them that stand in no reading and that a coverage record or an empty value there admits."""
    flaws: Flaws
    unverified: tuple[str, ...]


@dataclass(slots=True)
class Poll:
    """What one poll of a meter was answered: each point's values, of several if a block was asked again."""

    at_s: float
    told: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))


def verify(
    loaded: Config, logs: Mapping[str, Sequence[bytes]], answers: Path, excused: Mapping[str, Stretches]
) -> Verdict:
    """Everything of one gateway. ``logs``: each ledger's statements; ``excused``: when each meter's answers were
    disturbed, or the gateway was not there to hear them."""
    store, books = Store(loaded.database, read_only=True), Books()
    worst, unverified = Flaws(), []
    try:
        books.look(store, ())
        batches, anchors = store.count_batches(), store.anchors()
    finally:
        store.close()
    for entries in logs.values():
        books.hear(entries)
        worst = worst.worse(books.flaws([]))
    lost, explained, answered = 0, 0, 0
    polls = _polls(answers, {name: meter.every / 1000 for name, meter in loaded.meters.items()}, excused)
    for meter in loaded.meters:
        rows = [record.body for record in books.records.values() if record.meter == meter]
        missing, admitted = match(rows, polls[meter])
        for poll in missing:
            print(
                f"{loaded.gateway_id} {meter}: answered at {poll.at_s:.3f}, in no reading: {poll.told}", file=sys.stderr
            )
        lost += count_uncounted(rows) + len(missing)
        explained, answered = explained + admitted, answered + len(polls[meter])
    checks = [partial(check_books, loaded), partial(check_all_is_sealed, loaded)]
    for entries in logs.values():
        checks.append(partial(check_ledger_log, loaded, entries))
        checks.append(partial(check_each_record_is_sealed_once, loaded, entries))
    for check in checks:
        try:
            check()
        except AssertionError as error:
            unverified.append(f"{loaded.gateway_id}: {error}")
    readings = [record.body for record in books.records.values() if isinstance(record.body, Reading)]
    settled = [anchor.ledger for anchor in anchors if anchor.state == "settled"]
    return Verdict(
        records=len(books.records),
        readings=len(readings),
        values=sum(len(reading.values) for reading in readings),
        values_due_per_s=sum(_most_values(books, name) * 1000 / meter.every for name, meter in loaded.meters.items()),
        batches=batches,
        anchored={name: min(settled.count(name), len(entries)) for name, entries in logs.items()},
        answered=answered,
        explained=explained,
        flaws=worst.plus(Flaws(lost=lost)),
        unverified=tuple(unverified),
    )


def _most_values(books: Books, meter: str) -> int:
    bodies = [record.body for record in books.records.values() if record.meter == meter]
    return max((len(body.values) for body in bodies if isinstance(body, Reading)), default=0)


def _polls(log: Path, periods_s: Mapping[str, float], excused: Mapping[str, Stretches]) -> dict[str, list[Poll]]:
    """The undisturbed polls of each meter that its simulator's log tells of."""
    polls: dict[str, list[Poll]] = defaultdict(list)
    for at_s, meter, values in _answers(log):
        if any(begin <= at_s <= end for begin, end in excused[meter]):
            continue
        mine = polls[meter]
        if not mine or at_s - mine[-1].at_s > TOGETHER * periods_s[meter]:
            mine.append(Poll(at_s))
        for name, value in values.items():
            mine[-1].told[name].append(value)
    return polls


def _answers(log: Path) -> Iterator[tuple[float, str, dict[str, Any]]]:
    with log.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn when the simulator was ended
            if entry["values"] and not entry["faults"] and entry["exception"] is None:
                yield entry["t_ms"] / 1000, entry["meter"], entry["values"]


def count_uncounted(rows: Iterable[object]) -> int:
    """Polls that were due by a coverage record and are neither readings before it nor counted as missed in it."""
    uncounted = readings = 0
    for body in rows:
        if isinstance(body, Reading):
            readings += 1
        elif isinstance(body, Coverage):
            uncounted += max(0, body.due - readings - sum(body.missed.values()))
            readings = 0
    return uncounted


def match(rows: Sequence[object], polls: Sequence[Poll]) -> tuple[list[Poll], int]:
    """Polls that were answered and stand in no reading: those that nothing admits, and how many something does."""
    places = [place for place, body in enumerate(rows) if isinstance(body, Reading)]
    held = [{value.name: value.value for value in rows[place].values} for place in places]  # type: ignore[attr-defined]
    known = {name for values in held for name in values}
    next_, before = 0, -1
    waiting, unadmitted, admitted = list[tuple[Poll, dict[str, list[Any]]]](), list[Poll](), list[Poll]()

    def close(last: int) -> None:
        """What was not found up to here is judged by what stands there instead. Where readings before it show the same
        values, one of these polls was missed and it is not known which: then by what stands there, too."""
        for poll, told in waiting:
            first = before
            while first >= 0 and agrees(told, held[first]):
                first -= 1
            admits = _admits(rows, places[first] if first >= 0 else 0, last)
            (admitted if admits else unadmitted).append(poll)
        waiting.clear()

    all_told = [_named(poll, known) for poll in polls]
    for number, (poll, told) in enumerate(zip(polls, all_told, strict=True)):
        if not told:
            continue  # it was an identity read
        some = range(next_, min(next_ + AHEAD, len(held)))
        around = all_told[max(0, number - 1) : number] + all_told[number + 1 : number + 2]
        found = next((n for n in some if agrees(told, held[n])), None)
        if found is None:
            found = next((n for n in some if any(_parted(told, other, held[n]) for other in around)), None)
        if found is None:
            waiting.append((poll, told))
            continue
        close(places[found])
        next_, before = found + 1, found
    close(len(rows) - 1)
    return unadmitted, len(admitted)


def _named(poll: Poll, known: Collection[str]) -> dict[str, list[Any]]:
    """What a poll was told of the points that readings have; all of it where there are none."""
    return {name: values for name, values in poll.told.items() if name in known or not known}


def _parted(told: Mapping[str, list[Any]], other: Mapping[str, list[Any]], reading: Mapping[str, Any]) -> bool:
    """Is this the reading of a poll that began late, so that a part of its answers was taken for its neighbour's?"""
    both = {name: [*told.get(name, ()), *other.get(name, ())] for name in {*told, *other} & {*reading}}
    own = {name: values for name, values in told.items() if values != other.get(name)}
    return agrees(both, reading) and any(agrees({name: values}, reading) for name, values in own.items())


def _admits(rows: Sequence[object], first: int, last: int) -> bool:
    """Does anything between two readings, or the coverage behind them, say that there was something missed?"""
    end = next((n for n in range(last, len(rows)) if isinstance(rows[n], Coverage)), len(rows) - 1)
    for body in rows[first : end + 1]:
        if isinstance(body, Coverage) and body.missed:
            return True
        if isinstance(body, Reading) and any(value.value is None for value in body.values):
            return True
    return False
