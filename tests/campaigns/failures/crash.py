"""A gateway that is killed again and again (SIGKILL), at every station of its work and at any moment. Nothing is lost.

Most kills strike a light gateway: the shipped recorder, journal, store and uplink with scripted meters, which write
down every poll before they hand it over; ``whole_kills`` of them strike `meterseal run` beside the simulator. Periods
are short; the light one also prunes, migrates, and is given an older copy of its database. The ledger is the embedded
one, behind a wire that breaks a quarter of the requests: half of these never reach it, the other half is done and the
answer is lost. After each kill every record, chain, interval, batch and receipt is verified, and these are counted,
over all that was ever seen of a site:

``lost``: polls of the meters' log that neither a record nor a count of missed polls knows of; recorded polls before
    which another one of the same epoch is missing; records that were there after an earlier kill and are gone, other
    than by pruning, or behind a copy that was put back.
``duplicated``: names (meter, epoch, number), answers and places in batches that occur twice, batches that the ledger
    holds twice, records that stand in two of its statements.
``forked``: records that name the same predecessor as another one, records and batches that changed, statements on the
    ledger that are not the gateway's own under that number.
``untiled``: coverage records that do not begin where the one before ended, or whose numbers are not those of the
    schedule.
``unverified``: states that the tests' own check of the books finds fault with.
``audit_findings``: what `meterseal-ledger audit` finds in the exports, which are made at the end and before each life
    that prunes; of the light ones, whose database is put back, with ``--allow-resume``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from gateway.process.failpoints import STATIONS
from tests.campaigns.failures.crash_site import Outcome, light, whole

A_SITE, A_WHOLE_SITE = 24, 10
"""Kills after which a new site begins, so that no database grows long to verify."""
SMALLEST = ({"kills": 26, "whole_kills": 2},)


def run(kills: int = 1000, whole_kills: int = 60, seed: int = 20261125, jobs: int = 2) -> dict[str, object]:
    """``kills``, of which ``whole_kills`` strike `meterseal run`; ``jobs``: sites that are worked on side by side."""
    out, began = Outcome(), time.monotonic()
    works = [(whole, n) for n in _portions(whole_kills, A_WHOLE_SITE)]
    works += [(light, n) for n in _portions(kills - whole_kills, A_SITE)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as workers:
        sites = [
            workers.submit(partial(work, Path(name) / f"site-{number}", n, seed + number))
            for number, (work, n) in enumerate(works)
        ]
        for site in sites:
            out.add(site.result())
            print(f"{out.kills.total()} kills, {out.records} records, {out.flaws}", file=sys.stderr)
    for fault in out.unverified:
        print(fault, file=sys.stderr)
    return {
        "kills": out.kills.total(),
        "kills_of_meterseal_run": out.whole_kills,
        "kills_by_point": dict(out.kills.most_common()),
        "points_not_hit": [name for name in STATIONS if not out.kills[name]],
        "records": out.records,
        "statements": out.statements,
        **asdict(out.flaws),
        "unverified": len(out.unverified),
        "audit_findings": out.audit_findings,
        "sites": len(works),
        "seed": seed,
        "seconds": time.monotonic() - began,
    }


def _portions(total: int, most: int) -> Iterator[int]:
    while total > 0:
        yield min(total, most)
        total -= most
