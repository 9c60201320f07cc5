"""The books of a soaked gateway: its database beside both ledgers' logs, and beside what its meters say they answered.

Record times follow a clock that was set again and again, so answers and readings are matched by their values and order.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.cli.demo.balance import agrees
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading
from tests.campaigns.failures.crash_books import Books, Flaws
from tests.support.books import check_all_is_sealed, check_books, check_each_record_is_sealed_once, check_ledger_log
from tests.support.gateways.apart import audit_findings

NEAR = 10
"""How many answers before and after one may belong to the same poll."""
Stretches = Sequence[tuple[float, float]]
"""From and to, in Unix seconds."""
AGAIN = 0.5
"""An answer may be replaced by another one to the same question within this share of a period: by the second look at a
counter, or when it was asked again."""
AHEAD = 60
"""Readings that are searched for an answer: more than fall between two undisturbed ones."""


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
    """Undisturbed answers of the simulator's log."""
    explained: int
    """Those of them that stand in no reading and that a coverage record or an empty value there admits."""
    flaws: Flaws
    unverified: tuple[str, ...]
    audit_findings: int
    """What an audit of the exports says against them."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of a meter: when, in Unix seconds, its values, and whether nothing kept it from being heard."""

    at_s: float
    values: Mapping[str, Any]
    undisturbed: bool = True


def verify(
    loaded: Config, logs: Mapping[str, Sequence[bytes]], answers: Path, excused: Mapping[str, Stretches]
) -> Verdict:
    """Everything of one gateway. ``logs``: each ledger's statements; ``excused``: when each meter's answers were
    disturbed, or the gateway was not there to hear them."""
    store, books = Database(loaded.database, read_only=True), Books()
    worst, unverified = Flaws(), []
    try:
        books.look(store, ())
        batches, anchors = store.batches.count(), store.anchors.of()
    finally:
        store.close()
    for entries in logs.values():
        books.hear(entries)
        worst = worst.worse(books.flaws([]))
    lost, explained, answered = 0, 0, 0
    given = _logged(answers, excused)
    for name, meter in loaded.meters.items():
        rows = [record.body for record in books.records.values() if record.meter == name]
        missing, admitted = match(rows, given[name], AGAIN * meter.every / 1000)
        for answer in missing:
            words = f"answered at {answer.at_s:.3f}, in no reading: {answer.values}"
            print(f"{loaded.gateway_id} {name}: {words}", file=sys.stderr)
        lost += count_uncounted(rows) + len(missing)
        explained, answered = explained + admitted, answered + sum(t.undisturbed for t in given[name])
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
        audit_findings=audit_findings(loaded),
    )


def _most_values(books: Books, meter: str) -> int:
    bodies = [record.body for record in books.records.values() if record.meter == meter]
    return max((len(body.values) for body in bodies if isinstance(body, Reading)), default=0)


def _logged(log: Path, excused: Mapping[str, Stretches]) -> dict[str, list[Answered]]:
    """The answers of each meter that its simulator's log tells of."""
    found: dict[str, list[Answered]] = defaultdict(list)
    for at_s, meter, values, struck in _answers(log):
        disturbed = struck or any(begin <= at_s <= end for begin, end in excused[meter])
        found[meter].append(Answered(at_s, values, not disturbed))
    return found


def _answers(log: Path) -> Iterator[tuple[float, str, dict[str, Any], bool]]:
    with log.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn when the simulator was ended
            if entry["values"] and entry["exception"] is None:
                yield entry["t_ms"] / 1000, entry["meter"], entry["values"], bool(entry["faults"])


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


def match(rows: Sequence[object], answers: Sequence[Answered], again_s: float) -> tuple[list[Answered], int]:
    """Undisturbed answers that stand in no reading: those that nothing admits, and how many something does. One that
    another answer to the same question replaced within ``again_s`` is neither."""
    places = [place for place, body in enumerate(rows) if isinstance(body, Reading)]
    held = [{value.name: value.value for value in rows[place].values} for place in places]  # type: ignore[attr-defined]
    known = {name for values in held for name in values}
    asked = [{n: [v] for n, v in answer.values.items() if n in known or not known} for answer in answers]
    found = _found(held, answers, asked)
    unadmitted, admitted = list[Answered](), 0
    for number, answer in enumerate(answers):
        if not answer.undisturbed or not asked[number] or found[number] is not None:
            continue  # no names: it was an identity read
        if _replaced(number, answers, found, again_s):
            continue
        first = next((n for n in reversed(found[:number]) if n is not None), -1)
        while first >= 0 and agrees(asked[number], held[first]):
            first -= 1  # readings before it show the same values: it is not known which of these was missed
        end = next((n for n in found[number:] if n is not None), None)
        if _admits(rows, places[first] if first >= 0 else 0, len(rows) - 1 if end is None else places[end]):
            admitted += 1
        else:
            unadmitted.append(answer)
    return unadmitted, admitted


def _found(
    held: Sequence[Mapping[str, Any]], answers: Sequence[Answered], asked: Sequence[Mapping[str, list[Any]]]
) -> list[int | None]:
    """The reading that holds each answer. Undisturbed ones are found first, in their order, and the others between
    them: one of those may look like a later one, for a plant that was started again goes through the same values."""
    found: list[int | None] = [None] * len(answers)
    last = 0
    for number, answer in enumerate(answers):
        if answer.undisturbed and asked[number]:
            some = range(last, min(last + AHEAD, len(held)))
            place = next((n for n in some if agrees(asked[number], held[n])), None)
            found[number], last = place, last if place is None else place
    end = len(held) - 1
    for number in reversed(range(len(answers))):
        if answers[number].undisturbed:
            place = found[number]
            end = end if place is None else place
        elif asked[number]:
            some = range(end, max(end - AHEAD, -1), -1)
            found[number] = next((n for n in some if agrees(asked[number], held[n])), None)
    return found


def _replaced(number: int, answers: Sequence[Answered], found: Sequence[int | None], again_s: float) -> bool:
    """Is another answer with some of the same points, given shortly before or after, in a reading?"""
    near = range(max(0, number - NEAR), min(len(answers), number + NEAR + 1))
    return any(
        found[n] is not None
        and abs(answers[n].at_s - answers[number].at_s) <= again_s
        and not answers[n].values.keys().isdisjoint(answers[number].values)
        for n in near
    )


def _admits(rows: Sequence[object], first: int, last: int) -> bool:
    """Does anything between two readings, or the coverage behind them, say that there was something missed?"""
    end = next((n for n in range(last, len(rows)) if isinstance(rows[n], Coverage)), len(rows) - 1)
    for body in rows[first : end + 1]:
        if isinstance(body, Coverage) and body.missed:
            return True
        if isinstance(body, Reading) and any(value.value is None for value in body.values):
            return True
    return False
