"""Doctor checks of the database: soundness, and the forecast of its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.accounting.statements.retention import Retention
from gateway.anchoring.ledger_comparison import equivocation
from gateway.doctor.check import CheckContext, Finding, error_message
from gateway.errors import Damaged, Unfinished
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from gateway.storage.capacity.forecast import horizon as foretell
from gateway.storage.files import log_path
from ledger_client import messages

QUICK_S = 10.0
LARGE_LOG = 256 * 1024 * 1024
SOON_S, VERY_SOON_S = 7 * 86_400, 86_400


def database(case: CheckContext) -> Iterator[Finding]:
    """Check that the database opens, is sound and holds no conflict with a ledger."""
    name, path = "database", case.config.database
    if case.store_trouble is not None:
        yield Finding(name, "bad", error_message(case.store_trouble))
        return
    if case.store is None:
        yield Finding(name, "ok", Message("database-not-created", path=str(path)))
        return
    flaws: list[messages.Sentence] = []
    finished = True
    try:
        flaws += case.store.flaws(whole=case.full, within_s=None if case.full else QUICK_S)
    except Unfinished:
        finished = False
    except Damaged as error:
        flaws = [error.sentence]
    if flaws:
        message = Message("database-damaged", path=str(path), flaws=tuple(flaws[:3]))
        yield Finding(name, "bad", message, {"flaws": [in_language(flaw, "en") for flaw in flaws]})
        return
    totals = case.store.totals()
    yield Finding(name, "ok", _sound(str(path), totals, full=case.full, finished=finished), totals)
    for conflict in case.store.anchors.conflicts():
        yield Finding(name, "bad", equivocation(case.config.gateway_id, conflict, str(path)))
    log = log_path(path)
    if log.exists() and (length := log.stat().st_size) > LARGE_LOG:
        yield Finding(name, "warn", Message("database-log-large", log_bytes=length), {"log": length})


def _sound(path: str, totals: Mapping[str, int], *, full: bool, finished: bool) -> Message:
    records, batches, receipts = totals["records"], totals["batches"], totals["receipts"]
    if not finished:
        return Message(
            "database-sound-part",
            path=path, records=records, batches=batches, receipts=receipts, limit_s=round(QUICK_S),
        )  # fmt: skip
    if full:
        return Message("database-sound-full", path=path, records=records, batches=batches, receipts=receipts)
    return Message("database-sound", path=path, records=records, batches=batches, receipts=receipts)


def horizon(case: CheckContext) -> Iterator[Finding]:
    """Check how long the space lasts at the present rate."""
    if case.store is None:
        return
    ahead = foretell(case.config, case.store, case.now_ms, Retention().waits, running=case.pid is not None)
    facts = ahead.as_json()
    if ahead.for_ever or ahead.seconds is None or ahead.seconds > SOON_S:
        yield Finding("horizon", "ok", ahead.message, facts)
    else:
        message = Message("horizon-short", horizon=ahead.message)
        yield Finding("horizon", "bad" if ahead.seconds < VERY_SOON_S else "warn", message, facts)
