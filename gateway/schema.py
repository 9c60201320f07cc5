"""The tables of the gateway's database, as migrations in the order in which they came.

A database knows its version (``PRAGMA user_version``): older ones are brought up here, newer ones the store refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils.db import Database

VERSION = 1


def migrate(db: Database) -> None:
    """Bring an older or empty database to ``VERSION``; each step and its note in the database are one transaction."""
    from sqlite_utils import Migrations

    migrations = Migrations("meterseal")
    migrations()(_0001_records_batches_anchors)
    migrations.apply(db)
    db.execute(f"PRAGMA user_version = {VERSION}")


def _0001_records_batches_anchors(db: Database) -> None:
    """Records in commit order; batches as ranges of it; one anchor a batch and ledger; each epoch's schedule."""
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
        {"batch": int, "ledger": str, "state": str, "receipt": bytes, "detail": str, "updated_ms": int},
        pk=("batch", "ledger"),
        not_null={"state", "updated_ms"},
    )
    db.execute("CREATE INDEX anchors_open ON anchors (ledger, batch) WHERE state <> 'settled'")
    db["schedules"].create(  # type: ignore[union-attr]
        {"id": int, "meter": str, "epoch": bytes, "anchor_ms": int, "period_ms": int},
        pk="id",
        not_null={"meter", "epoch", "anchor_ms", "period_ms"},
    )
    db.execute("CREATE INDEX schedules_by_meter ON schedules (meter)")
