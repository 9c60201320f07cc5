"""What was refused for its key, while another trust file comes into force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg.types.json import Jsonb

from control_room.judged import Refusal
from control_room.store.connection import Database


class RefusedRow(NamedTuple):
    """A message that may be judged again."""

    id: int
    topic: str
    data: bytes


def for_key(db: Database, after: int, most: int) -> list[RefusedRow]:
    """Messages that were refused for their key and are whole, with an id above ``after``, in its order."""
    rows = db.all(
        "SELECT id, topic, bytes FROM refused WHERE kid IS NOT NULL AND id > %s ORDER BY id LIMIT %s", after, most
    )
    return [RefusedRow(number, topic, bytes(data)) for number, topic, data in rows]


def otherwise(db: Database, number: int, refusal: Refusal) -> None:
    """It has its key now, and is refused for something else."""
    db.run(
        "UPDATE refused SET step = %s, why = %s, kid = NULL WHERE id = %s",
        refusal.step, Jsonb(refusal.why.to_fields()), number,
    )  # fmt: skip


def forget(db: Database, numbers: Sequence[int]) -> None:
    """These hold now."""
    db.run("DELETE FROM refused WHERE id = ANY(%s)", list(numbers))
