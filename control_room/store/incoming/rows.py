"""Rows of records in the binary format of COPY, into a temporary table of the session.

The format is PostgreSQL's (its manual, COPY, "Binary Format"); a row costs a few microseconds, where a general encoder
takes tens of them for an array of thirty numbers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, LiteralString

from control_room.judged import JudgedRecord
from control_room.store.names import Chain
from control_room.store.shapes import Shapes
from control_room.store.values import Row
from ledger_client.formats.record import Reading

TABLE: Final[LiteralString] = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS incoming (n int NOT NULL, time timestamptz NOT NULL, seq bigint NOT NULL, "
    'place bigint, meter int NOT NULL, epoch int NOT NULL, kind "char" NOT NULL, hash bytea NOT NULL, '
    "bytes bytea NOT NULL, shape int, quality bigint[], num float8[], rest jsonb) ON COMMIT DELETE ROWS"
)
COPY: Final[LiteralString] = "COPY incoming FROM STDIN (FORMAT binary)"
BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
_FIELDS: Final = 13
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01, from which PostgreSQL counts
_BEFORE_PLACE, _PLACE = struct.Struct(">hiiiqiq").pack, struct.Struct(">iq").pack
_AFTER_PLACE: Final = struct.Struct(">iiiiici32si").pack
_SHAPE: Final = struct.Struct(">ii").pack
_ARRAY, _FLOAT8, _INT8 = struct.Struct(">iiiiii"), 701, 20
_ELEMENT_FLOAT, _ELEMENT_INT = struct.Struct(">id").pack, struct.Struct(">iq").pack
_KINDS: Final = {"reading": b"r", "coverage": b"c", "event": b"e"}


def row(n: int, chain: Chain, record: JudgedRecord, shapes: Shapes) -> bytes:
    """One record as row ``n``, with the columns of its values where it is a reading."""
    head = _BEFORE_PLACE(_FIELDS, 4, n, 8, (record.time_ms - _EPOCH_MS) * 1000, 8, record.seq)
    place = _NULL if record.place is None else _PLACE(8, record.place)
    kind, data = _KINDS[record.kind], record.data
    ids = _AFTER_PLACE(4, chain.meter, 4, chain.epoch, 1, kind, 32, record.hash, len(data))
    body = record.body
    return b"".join((head, place, ids, data, _columns(shapes.row(body)) if isinstance(body, Reading) else _NULL * 4))


def _columns(found: Row) -> bytes:
    quality = _NULL if found.quality is None else _array(_INT8, [_ELEMENT_INT(8, q) for q in found.quality], 0)
    rest = _NULL if found.rest is None else _jsonb(json.dumps(found.rest).encode())
    return b"".join((_SHAPE(4, found.shape), quality, _numbers(found.num), rest))


def _numbers(num: Sequence[float | None]) -> bytes:
    count = len(num)
    if None not in num:
        flat: list[float | None] = [8] * (2 * count)
        flat[1::2] = num
        return _floats(count).pack(20 + 12 * count, 1, 0, _FLOAT8, count, 1, *flat)
    return _array(_FLOAT8, [_NULL if x is None else _ELEMENT_FLOAT(8, x) for x in num], 1)


@cache
def _floats(count: int) -> struct.Struct:
    return struct.Struct(">iiiiii" + "id" * count)


def _array(kind: int, elements: Sequence[bytes], has_null: int) -> bytes:
    body = b"".join(elements)
    return _ARRAY.pack(20 + len(body), 1, has_null, kind, len(elements), 1) + body


def _jsonb(text: bytes) -> bytes:
    return struct.pack(">ib", len(text) + 1, 1) + text


def portion(rows: Sequence[bytes]) -> Iterator[bytes]:
    """A whole COPY, in parts of a size that sockets like."""
    part, size = [BEGIN], 0
    for each in rows:
        part.append(each)
        size += len(each)
        if size > 100_000:
            yield b"".join(part)
            part, size = [], 0
    part.append(END)
    yield b"".join(part)
