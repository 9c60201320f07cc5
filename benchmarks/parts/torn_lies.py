"""A disk that lies: most of its fsyncs say that they are done and do nothing, until its power is cut.

Each kill stops the gateway within one call to its files, chosen by chance; then everything since the last honoured
sync is taken back, and the site starts again. An unsealed tail may be lost; a sealed batch may be lost here, and the
comparison with what a ledger was given then names it; no two records ever bear one name or, in one database, one prev.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.parts.torn_books import Told, examine, read_told
from benchmarks.parts.torn_cases import Bench, bench
from benchmarks.parts.torn_work import Request
from gateway import config
from gateway.config import Config
from gateway.store import Store
from ledger_client.statement import parse_statement, statement_id
from tests.disk.torn_disk import ANY, CACHE_OF_DISK, FAULTS, roll_back

KILLS_A_SITE = 15
MOST_CALLS = 600
HONOURED_PERCENT = 12

Compare = Callable[[Config, Sequence[bytes]], set[bytes]]
"""Which statements that a ledger was given does the site's database not hold? Their ids."""


def not_held(loaded: Config, given: Sequence[bytes]) -> set[bytes]:
    """The plain comparison: ids of given statements that no batch of the database has."""
    store = Store(loaded.database, read_only=True)
    try:
        held = {batch.statement_id for batch in store.batches()}
    finally:
        store.close()
    return {statement_id(entry) for entry in given} - held


def lies(library: Path, folder: Path, kills: int, seed: int, compare: Compare = not_held) -> dict[str, Any]:
    """So many kills, on a new site after every ``KILLS_A_SITE``."""
    chance, found = random.Random(seed), Counter[str]()
    with bench(library, folder) as site:
        for first in range(0, kills, KILLS_A_SITE):
            _site(site, min(KILLS_A_SITE, kills - first), chance, compare, found)
    names = (
        "kills", "records", "syncs_honoured", "syncs_denied", "changes_taken_back", "lost_unsealed", "sealed_then_lost",
        "sealed_then_lost_unnamed", "broken", "untiled", "forked", "duplicated", "not_resumed", "prev_told_twice",
    )  # fmt: skip
    return {f"lying_{name}": found[name] for name in names}


def _site(site: Bench, kills: int, chance: random.Random, compare: Compare, found: Counter[str]) -> None:
    place, told_path = site.fresh("append")
    loaded = config.load(place / "gateway.toml")
    for number in range(1, kills + 1):
        site.control.set(
            armed=0, fault=FAULTS.index("kill"), kinds=ANY, at=chance.randint(1, MOST_CALLS), sticky=0,
            cache=CACHE_OF_DISK, honour=HONOURED_PERCENT, chance=chance.getrandbits(63) | 1,
        )  # fmt: skip
        site.ask(Request(str(place), str(told_path), 2 * number - 1, "live"))
        found["kills"] += 1
        found["syncs_honoured"] += site.control.get("honoured")
        found["syncs_denied"] += site.control.get("denied")
        found["changes_taken_back"] += roll_back(site.folder / "sites", site.journal)
        _judge(loaded, read_told(told_path), compare, found)
        if chance.random() < 0.5:  # else the next life begins on the lying disk
            again, books = site.examine(Told(), 2 * number)
            found["not_resumed"] += not again
            found["broken"] += len(books.broken)
    told = read_told(told_path)
    found["records"] += len(told.records)
    found["lost_unsealed"] += len(_unsealed(told) & set(examine(loaded, told).lost))
    found["sealed_then_lost"] += len(not_held(loaded, told.statements))
    prevs = Counter((name.partition("/")[0], prev) for name, prev in told.prevs.items() if prev)
    found["prev_told_twice"] += sum(count - 1 for count in prevs.values())


def _judge(loaded: Config, told: Told, compare: Compare, found: Counter[str]) -> None:
    """The books as the power cut has left them, and whether what was sealed is there or named."""
    books = examine(loaded, told)
    found["broken"] += len(books.broken)
    found["untiled"] += len(books.untiled)
    found["forked"] += len(books.forked) + told.twice
    found["duplicated"] += len(books.duplicated)
    lost = {statement_id(entry) for entry in books.lost_statements}
    found["sealed_then_lost_unnamed"] += len(lost - compare(loaded, told.statements))


def _unsealed(told: Told) -> set[str]:
    """Records that were told to be committed and that no told statement's ranges hold."""
    sealed = set()
    for entry in told.statements:
        for meter, ranges in parse_statement(entry).statement.meters.items():
            sealed |= {f"{meter}/{r.epoch.hex()}/{seq}" for r in ranges for seq in range(r.first, r.last + 1)}
    return set(told.records) - sealed
