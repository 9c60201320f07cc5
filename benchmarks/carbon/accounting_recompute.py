"""What a recomputation costs beside the audit that it holds: both on the same batches, in one process, in turns."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ledger_client.audit.run import Wanted, audit
from ledger_client.recompute.run import recompute
from tests.support.accounted import QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import EVERY_MS, trusted
from tests.support.evidence import NOW

BATCHES = 5


def run(polls: int, runs: int) -> dict[str, object]:
    """``polls`` of one meter, recomputed ``runs`` times; its quarters of an hour are stated."""
    with TemporaryDirectory() as name:
        site = Accounted(Path(name))
        from_ms = site.from_ms
        site.publish(plan_fields(from_ms))
        for _ in range(BATCHES):
            site.polls(polls // BATCHES)
            site.seal()
        quarters = polls * EVERY_MS // QUARTER_MS - 2
        _, rows = site.state(from_ms, from_ms + quarters * QUARTER_MS, (0, BATCHES - 1))
        site.polls(2)
        site.seal()
        audits, recomputed = [], []
        for _ in range(runs):
            begin = time.perf_counter()
            found = audit(site.files, trusted(), NOW, wanted=Wanted(allow_resume=True), processes=1)
            middle = time.perf_counter()
            result = recompute(site.files, trusted(), NOW, rows=(rows,), processes=1)
            recomputed.append(time.perf_counter() - middle)
            audits.append(middle - begin)
            assert not found.findings
            assert result.equal
    return {
        "audit_s": median(audits), "recompute_s": median(recomputed),
        "recompute_ratio": median(audits) / median(recomputed), "recompute_records": len(site.all),
    }  # fmt: skip
