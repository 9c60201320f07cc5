"""The books of a site after its disk has failed, opened on a sound one: what is broken, lost, doubled, forked, untiled.

The reference is the report of the process that died or went on: each line a fact that was reported to it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record, record_hash
from ledger_client.formats.statement import Statement, parse_statement, statement_id
from tests.campaigns.failures.torn_work import EVENT
from tests.support.books import check_books


@dataclass(slots=True)
class Report:
    """What processes reported: records as committed, statements as sealed, events to be kept, and how they fared."""

    records: dict[str, str] = field(default_factory=dict)
    """Hash by record id."""
    prevs: dict[str, str | None] = field(default_factory=dict)
    statements: list[bytes] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    twice: int = 0
    """Records of one id with different contents."""
    refused: int = 0
    """Statements that the ledger did not take."""
    resumed: bool | None = None
    ended: bool = False
    troubles: Counter[str] = field(default_factory=Counter)


def read_report(path: Path) -> Report:
    """The lines of a report, as far as they are whole; a torn last line is left out."""
    report = Report()
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            fact = json.loads(line)
        except ValueError:
            continue
        if name := fact.get("record"):
            report.twice += report.records.get(name, fact["hash"]) != fact["hash"]
            report.records[name], report.prevs[name] = fact["hash"], fact["prev"]
        elif "sealed" in fact:
            report.statements.append(bytes.fromhex(fact["sealed"]))
        elif "refused" in fact:
            report.refused += 1
        elif "event" in fact:
            report.events.append(json.dumps(fact["event"], sort_keys=True))
        elif "in vain" in fact:
            report.events.clear()  # the recorder ended while the disk took nothing
        elif "trouble" in fact:
            report.troubles[fact["reason"]] += 1
        elif "resumed" in fact:
            report.resumed = fact["resumed"]
        report.ended = report.ended or "ended" in fact
    return report


@dataclass(slots=True)
class Findings:
    """What the books of one site say; all of it empty is well."""

    broken: list[str] = field(default_factory=list)
    untiled: list[str] = field(default_factory=list)
    forked: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Records that were reported as committed, and events that were handed over to a process that ended in order."""
    lost_statements: list[bytes] = field(default_factory=list)


def examine(loaded: Config, report: Report) -> Findings:
    """Open the books of a site. Reads only."""
    found = Findings()
    if integrity := _integrity(loaded.database):
        found.broken.append(integrity)
    try:
        check_books(loaded)
    except AssertionError as error:
        _classify(found, str(error))
    except (StoreError, ValueError, sqlite3.Error) as error:
        found.broken.append(f"{type(error).__name__}: {error}")
    try:
        _compare(loaded, report, found)
    except StoreError as error:
        found.broken.append(str(error))
    return found


def _integrity(database: Path) -> str:
    """What SQLite itself says against the database; empty if nothing."""
    try:
        db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            answer = db.execute("PRAGMA integrity_check").fetchall()
        finally:
            db.close()
    except sqlite3.Error as error:
        return str(error)
    return "" if answer == [("ok",)] else str(answer)


def _classify(found: Findings, problem: str) -> None:
    """A failed check of the books by what it says."""
    if any(word in problem for word in ("has a hole", "by schedule otherwise", "does not add up", "the chain holds")):
        found.untiled.append(problem)
    elif any(word in problem for word in ("chain broken", "sequence broken", "epoch")):
        found.forked.append(problem)
    else:
        found.broken.append(problem or "a batch or a receipt does not hold")


def _compare(loaded: Config, report: Report, found: Findings) -> None:
    store = Database(loaded.database, read_only=True)
    try:
        rows = store.records.rows(1, 1 << 60)
        sealed = {batch.statement_id for batch in store.batches.all()}
        gone, thinned = _pruned(store, report.statements)
    finally:
        store.close()
    records = [(row.id, record_hash(row.data).hex(), parse_record(row.data)) for row in rows]
    there = {name: hashed for name, hashed, _ in records}
    found.duplicated += _twice(name for name, _, _ in records)
    found.forked += _twice(f"{r.claims.meter} after {r.claims.prev.hex()}" for _, _, r in records if r.claims.prev)
    found.forked += [name for name, hashed in report.records.items() if there.get(name, hashed) != hashed]
    found.lost += [name for name in report.records if name not in there and not any(map(_holds(name), thinned))]
    found.lost_statements += [e for e in report.statements if statement_id(e) not in sealed and e not in gone]
    events = Counter(
        json.dumps(dict(r.body.fields), sort_keys=True)
        for _, _, r in records
        if isinstance(r.body, Event) and r.body.name == EVENT
    )
    found.duplicated += [event for event, count in events.items() if count > 1]
    if report.ended:
        found.lost += [event for event in report.events if event not in events]


def _pruned(store: Database, entries: Iterable[bytes]) -> tuple[set[bytes], list[Statement]]:
    """The statements that pruning has taken away, as many as the database says; and all whose records it has taken."""
    first, (to_id, _) = store.batches.first(), store.records.pruned()
    if first is None or to_id == 0:
        return set(), []
    older = {entry for entry in entries if parse_statement(entry).statement.batch < first.batch}
    if len(older) != store.batches.count() - len(store.batches.all()):
        return set(), []  # more are missing than were pruned: then all count as lost
    begun = [first.entry] if first.first_id <= to_id else []
    return older, [parse_statement(entry).statement for entry in [*older, *begun]]


def _holds(name: str) -> Callable[[Statement], bool]:
    """Whether a statement holds the record of this id."""
    meter, epoch, seq = name.split("/")
    return lambda statement: any(
        stretch.epoch.hex() == epoch and stretch.first <= int(seq) <= stretch.last
        for stretch in statement.meters.get(meter, ())
    )


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
