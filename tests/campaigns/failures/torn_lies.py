"""A disk that lies: most of its fsyncs say that they are done and do nothing, until its power is cut.

Each kill stops the gateway within one call to its files, chosen by chance; then everything since the last honoured
sync is taken back, and the site starts again. A ledger, whose own disk is sound, is given every statement at once. An
unsealed tail may be lost; a sealed batch may be lost here, and then the comparison with the ledger that every start
makes names it, in a signed event of its database; no two records ever bear one name or, in one database, one prev.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.records import GATEWAY, ROLLBACK
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import parse_statement, statement_id
from tests.campaigns.failures.torn_books import Report, examine, read_report
from tests.campaigns.failures.torn_cases import Bench, bench
from tests.campaigns.failures.torn_work import Life, Request
from tests.contract.memory import NearLedger
from tests.system.disk.torn_disk import ANY, CACHE_OF_DISK, FAULTS, roll_back

KILLS_A_SITE = 15
MOST_CALLS = 600
HONOURED_PERCENT = 12


def named(loaded: Config, ledger: Path, folder: Path, number: int) -> set[bytes]:
    """Which statements does the gateway itself say that it has lost? Their ids; found by the life of that number.

    It is started on copies of its site and its ledger, so that they stay as the power cut has left them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(loaded.path.parent, folder / "site")
    shutil.copytree(ledger, folder / "ledger")
    copy = load_config(folder / "site" / "gateway.toml")
    life = Life(copy, folder / "report", number, folder / "ledger")
    assert life.open()
    life.stop()
    life.close()
    store = Database(copy.database, read_only=True)
    try:
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == GATEWAY]
    finally:
        store.close()
    rollbacks = [body.fields for body in bodies if isinstance(body, Event) and body.name == ROLLBACK]
    lost = [range(int(str(fields.get("ours", -1))) + 1, int(str(fields["theirs"])) + 1) for fields in rollbacks]
    return {
        statement_id(e) for e in held_by(ledger) if any(parse_statement(e).statement.batch in part for part in lost)
    }


def held_by(ledger: Path) -> list[bytes]:
    """Every statement of the bench's gateway that a ledger holds."""
    near = NearLedger(ledger)
    try:
        return near.statements("torn", -1)
    finally:
        near.close()


def lies(library: Path, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """``kills`` under a lying disk, on a new site after every ``KILLS_A_SITE``."""
    chance, found = random.Random(seed), Counter[str]()
    with bench(library, folder) as site:
        for first in range(0, kills, KILLS_A_SITE):
            _site(site, folder / f"ledger-{first}", min(KILLS_A_SITE, kills - first), chance, found)
    names = (
        "kills", "records", "syncs_honoured", "syncs_denied", "changes_taken_back", "lost_unsealed", "sealed_then_lost",
        "sealed_then_lost_unnamed", "named_and_there", "refused", "conflicts", "broken", "untiled", "forked",
        "duplicated", "not_resumed", "prev_told_twice",
    )  # fmt: skip
    return {f"lying_{name}": found[name] for name in names}


def _site(site: Bench, ledger: Path, kills: int, chance: random.Random, found: Counter[str]) -> None:
    place, report_path = site.fresh("append")
    shutil.copytree(place / "ledger", ledger)
    loaded = load_config(place / "gateway.toml")
    _give(ledger, read_report(report_path).statements)
    for number in range(1, kills + 1):
        site.control.set(
            armed=0, fault=FAULTS.index("kill"), kinds=ANY, at=chance.randint(1, MOST_CALLS), sticky=0,
            cache=CACHE_OF_DISK, honour=HONOURED_PERCENT, chance=chance.getrandbits(63) | 1,
        )  # fmt: skip
        site.ask(Request(str(place), str(report_path), 2 * number - 1, "live", ledger=str(ledger)))
        found["kills"] += 1
        found["syncs_honoured"] += site.control.get("honoured")
        found["syncs_denied"] += site.control.get("denied")
        found["changes_taken_back"] += roll_back(site.folder / "sites", site.journal)
        _judge(loaded, read_report(report_path), named(loaded, ledger, site.folder / "look", 2 * number), found)
        if chance.random() < 0.5:  # else the next life begins on the lying disk
            again, books = site.examine(Report(), 2 * number, ledger)
            found["not_resumed"] += not again
            found["broken"] += len(books.broken)
    report, books = read_report(report_path), examine(loaded, read_report(report_path))
    found["records"] += len(report.records)
    found["lost_unsealed"] += len(_unsealed(report) & set(books.lost))
    found["sealed_then_lost"] += len(books.lost_statements)
    found["refused"] += report.refused
    prevs = Counter((name.partition("/")[0], prev) for name, prev in report.prevs.items() if prev)
    found["prev_told_twice"] += sum(count - 1 for count in prevs.values())


def _give(ledger: Path, entries: Sequence[bytes]) -> None:
    near = NearLedger(ledger)
    try:
        for entry in entries:
            near.submit(entry)
    finally:
        near.close()


def _judge(loaded: Config, report: Report, named_lost: set[bytes], found: Counter[str]) -> None:
    """The books as the power cut has left them, and whether what was sealed is there or named."""
    books = examine(loaded, report)
    found["broken"] += len(books.broken)
    found["untiled"] += len(books.untiled)
    found["forked"] += len(books.forked) + report.twice
    found["duplicated"] += len(books.duplicated)
    lost = {statement_id(entry) for entry in books.lost_statements}
    found["sealed_then_lost_unnamed"] += len(lost - named_lost)
    store = Database(loaded.database, read_only=True)
    try:
        found["named_and_there"] += len(named_lost & {batch.statement_id for batch in store.batches.all()})
        found["conflicts"] += len(store.anchors.conflicts())
    finally:
        store.close()


def _unsealed(report: Report) -> set[str]:
    """Records that were reported as committed and that the ranges of no reported statement hold."""
    sealed = set()
    for entry in report.statements:
        for meter, ranges in parse_statement(entry).statement.meters.items():
            sealed |= {f"{meter}/{r.epoch.hex()}/{seq}" for r in ranges for seq in range(r.first, r.last + 1)}
    return set(report.records) - sealed
