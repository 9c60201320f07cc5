"""Database schema: the tables, made by one migration; those of later versions will follow it.

A database knows its version (``PRAGMA user_version``). The store refuses one that is newer, and one of a build before
the first release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.process.failpoints import failpoint

if TYPE_CHECKING:
    from sqlite_utils.db import Database

FIRST = VERSION = 10
"""Of release 0.1.0, the first one, and of this one. Builds before it had 1 to 9; nobody was given one."""


def migrate(db: Database) -> None:
    """Make what an empty database, or one of an older release, lacks. A step and its note are one transaction; the
    version is written behind them, so that a kill between leaves steps that are noted and not made again."""
    from sqlite_utils import Migrations

    migrations = Migrations("meterseal")
    migrations()(_0010_first_release)
    migrations.apply(db)
    failpoint("migrate")
    db.execute(f"PRAGMA user_version = {VERSION}")


def _0010_first_release(db: Database) -> None:
    """The tables of release 0.1.0."""
    for make in (_records, _sealing, _append_only, _repairs, _views, _registers_and_heard, _keys):
        make(db)


def _records(db: Database) -> None:
    """Records in commit order; batches as ranges of it; one anchor a batch and ledger (``message``: of a refusal,
    as JSON, beside its English text); each batch in the order in which it was sealed and got its receipts; each epoch's
    schedule."""
    db["records"].create(  # type: ignore[union-attr]
        {"id": int, "meter": str, "epoch": bytes, "seq": int, "kind": str, "time_ms": int, "data": bytes},
        pk="id",
        not_null={"meter", "epoch", "seq", "kind", "time_ms", "data"},
    )
    db.execute("CREATE UNIQUE INDEX records_by_name ON records (epoch, meter, seq)")
    db.execute("CREATE INDEX records_by_meter ON records (meter)")
    db.execute("CREATE INDEX coverage_by_meter ON records (meter) WHERE kind = 'coverage'")
    db.execute("CREATE INDEX events_by_meter ON records (meter) WHERE kind = 'event'")
    db["batches"].create(  # type: ignore[union-attr]
        {
            "batch": int, "statement_id": bytes, "entry": bytes,
            "first_id": int, "last_id": int, "size": int, "sealed_ms": int,
        },
        pk="batch",
        not_null={"statement_id", "entry", "first_id", "last_id", "size", "sealed_ms"},
    )  # fmt: skip
    db.execute("CREATE UNIQUE INDEX batches_by_last ON batches (last_id)")
    db["anchors"].create(  # type: ignore[union-attr]
        {"batch": int, "ledger": str, "state": str, "receipt": bytes, "detail": str, "updated_ms": int, "message": str},
        pk=("batch", "ledger"),
        not_null={"state", "updated_ms"},
    )
    db.execute("CREATE INDEX anchors_open ON anchors (ledger, batch) WHERE state <> 'settled'")
    # its ids are never given twice: a feed may have published up to one whose row is gone
    db.execute("CREATE TABLE batch_changes (id INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER NOT NULL)")
    db["schedules"].create(  # type: ignore[union-attr]
        {"id": int, "meter": str, "epoch": bytes, "anchor_ms": int, "period_ms": int},
        pk="id",
        not_null={"meter", "epoch", "anchor_ms", "period_ms"},
    )
    db.execute("CREATE INDEX schedules_by_meter ON schedules (meter)")


def _sealing(db: Database) -> None:
    """``cuts``: where batches end that are not sealed yet; ``elsewhere``: what is sealed in a batch that only a ledger
    knows; ``known``, ``conflicts``: what ledgers reported; ``notes``: what the driver of a ledger must still know after
    a crash, one a statement until the ledger settles it; ``totals``: counts for the status; ``pruned``: up to where."""
    db["cuts"].create({"last_id": int}, pk="last_id")  # type: ignore[union-attr]
    db["elsewhere"].create({"id": int, "statement_id": bytes}, pk="id", not_null={"statement_id"})  # type: ignore[union-attr]
    db["known"].create(  # type: ignore[union-attr]
        {"batch": int, "statement_id": bytes, "ledger": str, "reason": str, "found_ms": int},
        pk="batch",
        not_null={"statement_id", "ledger", "reason", "found_ms"},
    )
    db["conflicts"].create(  # type: ignore[union-attr]
        {"batch": int, "ledger": str, "statement_id": bytes, "found_ms": int},
        pk=("batch", "ledger"),
        not_null={"statement_id", "found_ms"},
    )
    db["totals"].create({"kind": str, "count": int}, pk="kind", not_null={"count"})  # type: ignore[union-attr]
    counts = {"to_id": int, "records": int, "batches": int, "receipts": int}
    db["pruned"].create(counts, not_null=set(counts))  # type: ignore[union-attr]
    db.execute("INSERT INTO pruned VALUES (0, 0, 0, 0)")
    db["notes"].create(  # type: ignore[union-attr]
        {"ledger": str, "statement_id": bytes, "note": bytes}, pk=("ledger", "statement_id"), not_null={"note"}
    )


def _append_only(db: Database) -> None:
    """Nothing written ever changes, and only pruning takes it away: the database itself holds to that."""
    for name, guard in GUARDS.items():
        db.execute(f"CREATE TRIGGER {name} BEFORE {guard}")


def _repairs(db: Database) -> None:
    """What became of a damaged database: each repair, and what is known to be lost by name and by place."""
    db["repairs"].create(  # type: ignore[union-attr]
        {
            "id": int, "repaired_ms": int, "file": str, "why": str, "records": int, "lost": int, "batches": int,
            "lost_batches": int, "last_id": int, "last_batch": int, "sealed_to": int, "told": int,
        },
        pk="id",
        not_null={
            "repaired_ms", "file", "why", "records", "lost", "batches", "lost_batches", "last_id", "last_batch",
            "sealed_to",
        },
    )  # fmt: skip
    db["lost_records"].create(  # type: ignore[union-attr]
        {"meter": str, "epoch": bytes, "first": int, "last": int},
        pk=("epoch", "meter", "first"),
        not_null={"last"},
    )
    db["lost_places"].create({"first_id": int, "last_id": int}, pk="first_id", not_null={"last_id"})  # type: ignore[union-attr]


def _views(db: Database) -> None:
    """What is shown and is no evidence: summaries of readings, polls by the hour, the states of alarms, how far each
    feed has come, which alarms have been notified to whom. ``polls_counted``: up to which record of a meter, and to
    which moment, polls are counted."""
    db.execute(
        "CREATE TABLE summaries (meter TEXT NOT NULL, span INTEGER NOT NULL, start_ms INTEGER NOT NULL, "
        "data BLOB NOT NULL, PRIMARY KEY (meter, span, start_ms)) WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE poll_hours (meter TEXT NOT NULL, start_ms INTEGER NOT NULL, due INTEGER NOT NULL, "
        "recorded INTEGER NOT NULL, asleep INTEGER NOT NULL, gap_from_ms INTEGER, gap_to_ms INTEGER, "
        "PRIMARY KEY (meter, start_ms)) WITHOUT ROWID"
    )
    db["polls_counted"].create(  # type: ignore[union-attr]
        {"meter": str, "last_id": int, "from_ms": int, "to_ms": int, "answered_ms": int},
        pk="meter",
        not_null={"last_id", "from_ms", "to_ms", "answered_ms"},
    )
    db["summary_forms"].create({"id": int, "points": str}, pk="id", not_null={"points"})  # type: ignore[union-attr]
    db["alarms"].create(  # type: ignore[union-attr]
        {
            "id": int, "source": str, "code": str, "line": str, "text": str, "since_ms": int, "raised_ms": int,
            "cleared_ms": int, "acked_ms": int, "acked_by": str, "shelved_until_ms": int, "shelved_by": str,
            "shelved_why": str, "times": int, "open": int, "acked_note": str, "message": str,
        },
        pk="id",
        not_null={"source", "code", "line", "text", "since_ms", "raised_ms", "times", "open"},
    )  # fmt: skip
    db.execute("CREATE INDEX alarms_open ON alarms (id) WHERE open = 1")
    db["cursors"].create({"feed": str, "last_id": int}, pk="feed", not_null={"last_id"})  # type: ignore[union-attr]
    gap = {"feed": str, "first_id": int, "last_id": int}
    db["gaps"].create(gap, pk=("feed", "first_id"), not_null={"last_id"})  # type: ignore[union-attr]
    db["notices"].create(  # type: ignore[union-attr]
        {
            "receiver": str, "alarm": int, "raised_ms": int, "change": str, "data": str, "message": str,
            "made_ms": int, "digest": int, "done_ms": int, "outcome": str,
        },
        pk=("receiver", "alarm", "raised_ms", "change"),
        not_null={"data", "digest"},
    )  # fmt: skip


def _registers_and_heard(db: Database) -> None:
    """``marks``: the readings that matter for registers; ``marked``: from where on that is known of a counter, older
    ones are read whole. ``heard``: by which token each recorded message that was sent unasked is known; its ``id`` is
    the place of its record."""
    db["marks"].create({"id": int}, pk="id")  # type: ignore[union-attr]
    db["marked"].create(  # type: ignore[union-attr]
        {"meter": str, "point": str, "from_id": int}, pk=("meter", "point"), not_null={"from_id"}
    )
    db["heard"].create(  # type: ignore[union-attr]
        {"id": int, "meter": str, "label": str, "part": int, "digest": bytes},
        pk="id",
        not_null={"meter", "label", "part", "digest"},
    )
    db.execute("CREATE UNIQUE INDEX heard_by_token ON heard (meter, label, part, digest)")


def _keys(db: Database) -> None:
    """Which keys were replaced: whose each was, and when another one took its place. ``unsigned_events``: events of the
    gateway that wait for its key, in order."""
    row = {"owner": str, "kid": bytes, "replaced_ms": int}
    db["replaced_keys"].create(row, pk=("owner", "kid"), not_null={"replaced_ms"})  # type: ignore[union-attr]
    event = {"id": int, "event": str, "data": bytes}
    db["unsigned_events"].create(event, pk="id", not_null={"event", "data"})  # type: ignore[union-attr]


def _refuse(why: str) -> str:
    return f"BEGIN SELECT RAISE(ABORT, '{why}'); END"


GUARDS = {
    "records_stay": f"UPDATE ON records {_refuse('a record never changes')}",
    "records_leave_by_pruning": (
        f"DELETE ON records WHEN OLD.id > (SELECT to_id FROM pruned) {_refuse('only pruning takes a record away')}"
    ),
    "batches_stay": f"UPDATE ON batches {_refuse('a sealed batch never changes')}",
    "batches_leave_by_pruning": (
        f"DELETE ON batches WHEN OLD.last_id > (SELECT to_id FROM pruned) {_refuse('only pruning takes a batch away')}"
    ),
    "receipts_stay": f"UPDATE ON anchors WHEN OLD.state = 'settled' {_refuse('a receipt never changes')}",
    "pruning_follows_receipts": (
        "UPDATE OF to_id ON pruned WHEN NEW.to_id > OLD.to_id AND NOT EXISTS ("
        "SELECT 1 FROM batches JOIN anchors USING (batch) WHERE state = 'settled' "
        "AND batch = (SELECT min(batch) FROM batches) AND last_id >= NEW.to_id) "
        f"{_refuse('only what a receipted batch holds may be pruned')}"
    ),
    "pruning_never_returns": f"UPDATE OF to_id ON pruned WHEN NEW.to_id < OLD.to_id {_refuse('pruned is pruned')}",
    "pruning_is_noted": f"DELETE ON pruned {_refuse('what was pruned stays noted')}",
}

NAMES = frozenset(GUARDS) | {
    "records", "batches", "anchors", "batch_changes", "schedules", "cuts", "elsewhere", "known", "conflicts", "totals",
    "pruned", "notes", "repairs", "lost_records", "lost_places", "records_by_name", "records_by_meter",
    "coverage_by_meter", "events_by_meter", "batches_by_last", "anchors_open", "schedules_by_meter", "summaries",
    "summary_forms", "alarms", "alarms_open", "cursors", "gaps", "notices", "marks", "marked",
    "heard", "heard_by_token", "replaced_keys", "unsigned_events", "poll_hours", "polls_counted",
}  # fmt: skip
"""What a database of today's version holds."""
