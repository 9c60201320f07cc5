"""Doctor checks of the database: soundness, and the forecast of its space."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.anchoring.ledger_comparison import conflict_text
from gateway.doctor.finding import CheckContext, Finding
from gateway.errors import Damaged, Unfinished
from gateway.storage.capacity.forecast import horizon as foretell
from gateway.storage.database import RECOVER
from gateway.storage.files import log_path
from ledger_client.message_formats import size

QUICK_S = 10.0
LARGE_LOG = 256 * 1024 * 1024
SOON_S, VERY_SOON_S = 7 * 86_400, 86_400


def database(case: CheckContext) -> Iterator[Finding]:
    """Whether it opens, is sound, and holds nothing that stops the gateway."""
    name, path = "database", case.config.database
    if case.store_trouble is not None:
        yield Finding(name, "bad", case.store_trouble.problem, case.store_trouble.way_out)
        return
    if case.store is None:
        yield Finding(name, "ok", f"{path} is not there yet: the first start makes it")
        return
    how = "wholly checked" if case.full else "checked"
    try:
        flaws = case.store.flaws(whole=case.full, within_s=None if case.full else QUICK_S)
    except Unfinished:
        flaws, how = [], f"looked through for {QUICK_S:g} s, and nothing wrong in that part (--full checks it all)"
    except Damaged as error:
        flaws = [error.problem]
    if flaws:
        text = f"{path} is damaged: {'; '.join(flaws[:3])}"
        yield Finding(name, "bad", text, RECOVER, {"flaws": flaws})
        return
    totals = case.store.totals()
    holds = f"{totals['records']} records, {totals['batches']} batches, {totals['receipts']} receipts"
    yield Finding(name, "ok", f"{path}: {holds}; {how}", facts=totals)
    for conflict in case.store.anchors.conflicts():
        text, _, way_out = conflict_text(case.config.gateway_id, conflict, str(path)).partition(" Way out: ")
        yield Finding(name, "bad", text, way_out)
    log = log_path(path)
    if log.exists() and (length := log.stat().st_size) > LARGE_LOG:
        text = f"its write-ahead log has grown to {size(length)}: something reads the database without an end"
        yield Finding(name, "warn", text, "end a backup or an export that hangs", {"log": length})


def horizon(case: CheckContext) -> Iterator[Finding]:
    """How long there is room at the present rate."""
    if case.store is None:
        return
    ahead = foretell(case.config, case.store, case.now_ms, running=case.pid is not None)
    facts = ahead.as_json()
    if ahead.for_ever or ahead.seconds is None or ahead.seconds > SOON_S:
        yield Finding("horizon", "ok", ahead.text, facts=facts)
    else:
        result = "bad" if ahead.seconds < VERY_SOON_S else "warn"
        way_out = "look at the ledgers; then more room: raise max_size, lower keep, or use a larger disk"
        yield Finding("horizon", "bad" if result == "bad" else "warn", ahead.text, way_out, facts)
