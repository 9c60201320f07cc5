"""Exported batches (``.mbatch``) brought in by hand, by the checks of what gateways send: each record and the statement
are judged, stored in portions, and then the batch is looked at. The file itself is believed nothing.

Its records bear the places that they have in the file, which is their order in the batch; so where a gateway has sent
other ones, those of the file count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from control_room.completeness.rounds import Rounds
from control_room.judged import Judged, Refusal, Stored
from control_room.judging.judge import judge
from control_room.store.connection import Database
from control_room.store.incoming import portions
from ledger_client.formats import feed_messages
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.statement import read_statement
from ledger_client.messages import Message
from ledger_client.verification.trust import Trust

PORTION: Final = 500
"""Records stored in one transaction."""


class Loaded(NamedTuple):
    """What became of a file: whose batch it is, what its records came to, the first refusal, and the batch as it stands
    then. ``state`` is None where its statement was refused."""

    gateway: str
    batch: int
    stored: Stored
    refusal: Refusal | None
    state: str | None
    why: Message | None


def load(db: Database, rounds: Rounds, path: Path, trust: Trust, now_ms: int) -> Loaded:
    """Bring in one file. Raises VerificationError where it is no batch file, FileError where it cannot be read,
    DatabaseError, ArchiveError; what was stored until then stays."""
    file = BatchFile.open(path)
    statement = read_statement(file.entry).statement
    total, first = Stored(), None
    for portion in _portions(_judged(file, statement.gateway, trust, now_ms // 1000)):
        stored = portions.store(db, portion, now_ms)
        total = Stored(*(one + other for one, other in zip(total, stored, strict=True)))
        first = first or next((refusal for judged in portion for refusal in judged.refusals), None)
    found = rounds.look(statement.gateway, statement.batch, trust, now_ms)
    state, why = found.get(read_statement(file.entry).id, (None, None))
    return Loaded(statement.gateway, statement.batch, total, first, state, why)


def _judged(file: BatchFile, gateway: str, trust: Trust, now_s: int) -> Iterator[Judged]:
    """The messages that a gateway would have sent: the records, and last the statement."""
    topic = feed_messages.topic(gateway, feed_messages.RECORDS)
    for places, records in _messages(file):
        yield judge(topic, feed_messages.encode_records(places, records), trust, now_s)
    topic = feed_messages.topic(gateway, feed_messages.BATCHES)
    yield judge(topic, feed_messages.encode_batches(file.entry, file.receipts, file.anchors), trust, now_s)


def _messages(file: BatchFile) -> Iterator[tuple[list[int], list[bytes]]]:
    places: list[int] = []
    records: list[bytes] = []
    size = 0
    for place, record in enumerate(file.records()):
        more = feed_messages.record_size(place, record)
        if records and size + more > feed_messages.TOGETHER - feed_messages.FRAME:
            yield places, records
            places, records, size = [], [], 0
        places.append(place)
        records.append(record)
        size += more
    if records:
        yield places, records


def _portions(messages: Iterator[Judged]) -> Iterator[list[Judged]]:
    portion: list[Judged] = []
    size = 0
    for judged in messages:
        portion.append(judged)
        size += len(judged.records)
        if size >= PORTION:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
