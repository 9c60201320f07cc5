"""Exported batches: a note in the data folder of those that `meterseal export` has written to files, whole and durable.

Ranges of batch numbers, each with the id of its last statement, which binds all before it: a note that another database
left, or this one before it was restored, says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gateway.process.failpoints import failpoint
from gateway.process.file_owner import as_its_folder
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from ledger_client.durable_files import alone, write_text

NAME = "exported"
"""Name of the file, beside the database."""


class Range(NamedTuple):
    """Batches ``first`` to ``last``; ``statement_id``: of the last."""

    first: int
    last: int
    statement_id: bytes


def noted(store: Database) -> list[Range]:
    """What the note has of this database. One that cannot be read has nothing."""
    return [each for each in _ranges(store.path.with_name(NAME)) if _is_of(store, each)]


def is_exported(store: Database, batch: Batch) -> bool:
    """Whether the note has a batch."""
    return any(each.first <= batch.batch <= each.last for each in noted(store))


def note(store: Database, batches: Iterable[Batch]) -> None:
    """Note batches whose files are on disk, durably. What no batch of this database follows leaves the note. Raises
    OSError."""
    path = store.path.with_name(NAME)
    with alone(path.parent):
        known = noted(store) + [Range(batch.batch, batch.batch, batch.statement_id) for batch in batches]
        joined = [[each.first, each.last, each.statement_id.hex()] for each in _joined(known)]
        failpoint("exported")
        write_text(path, json.dumps(joined) + "\n")
        as_its_folder(path)


def _joined(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for each in sorted(ranges):
        if found and each.first <= found[-1].last + 1:
            newest = max(found[-1], each, key=lambda one: one.last)
            found[-1] = newest._replace(first=found[-1].first)
        else:
            found.append(each)
    return found


def _is_of(store: Database, each: Range) -> bool:
    last = store.batches.numbered(each.last)
    return last is not None and last.statement_id == each.statement_id


def _ranges(path: Path) -> list[Range]:
    try:
        return [Range(int(first), int(last), bytes.fromhex(statement_id)) for first, last, statement_id in _list(path)]
    except (OSError, ValueError, TypeError):
        return []


def _list(path: Path) -> list[Any]:
    read = json.loads(path.read_text(encoding="utf-8"))
    return read if isinstance(read, list) else []
