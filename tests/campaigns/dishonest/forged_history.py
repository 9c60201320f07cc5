"""A gateway's history as whoever holds its keys can write it: batches of records before they are signed, to be changed.

It begins as what the real journal has recorded. What is changed is signed anew: names and hashes of predecessors, roots
and ranges fit together again unless a case says otherwise, as with an owner who knows the formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats import cose
from ledger_client.formats.batch_file import write_batch
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import EDDSA, PrivateKey, Signer
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.record import (
    CONTENT_READING,
    GATEWAY_ITSELF,
    Body,
    Claims,
    Coverage,
    Event,
    claims_map,
    parse_record,
    record_hash,
    sign_record,
)
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import Range, Statement, parse_statement, sign_statement, statement_id


class Unsigned(NamedTuple):
    """A record as it is to be signed; its ``prev`` follows from what stands before it."""

    claims: Claims
    body: Body
    signer: Signer | None = None
    """Another key than that of its meter."""
    payload: bytes | None = None
    """What is signed in place of its body, which our own writer would refuse."""

    @property
    def meter(self) -> str:
        """Whose it is."""
        return self.claims.meter

    @property
    def time_ms(self) -> int:
        """The record's time, as a statement counts it."""
        if isinstance(self.body, Reading):
            return self.body.time_ms
        return self.body.to_ms if isinstance(self.body, Coverage) else self.claims.iat * 1000

    def at(self, **claims: Any) -> Unsigned:
        """With other claims."""
        return self._replace(claims=self.claims._replace(**claims))

    def saying(self, **facts: Any) -> Unsigned:
        """With other facts in its body; of an event, other fields."""
        if isinstance(self.body, Event):
            return self._replace(body=Event(self.body.name, {**self.body.fields, **facts}))
        return self._replace(body=replace(self.body, **facts))


@dataclass
class Batch:
    """One batch: its records in the order of its leaves, and what its statement says besides."""

    records: list[Unsigned]
    iat: int
    config: bytes
    software: str
    resume: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    """What its statement says instead of what is true of the records."""
    behind: int | None = None
    """Its records follow those of that batch, as in a database that was put back; None: those of the one before."""

    @property
    def to_ms(self) -> int:
        """The latest time of its records."""
        return max(record.time_ms for record in self.records)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch that was signed."""

    number: int
    entry: bytes
    records: Sequence[bytes]

    @property
    def id(self) -> bytes:
        """The statement's."""
        return statement_id(self.entry)

    def proof(self, index: int, receipts: Sequence[bytes]) -> bytes:
        """The bundle of one of its records."""
        tree = Tree([leaf_hash(record) for record in self.records])
        path = tuple(tree.path(index))
        return Bundle(self.records[index], (), tree.size, index, path, self.entry, tuple(receipts)).encode()

    def file(self, path: Path, receipts: Sequence[bytes]) -> Path:
        """Write its batch file."""
        with path.open("wb") as file:
            write_batch(file, self.records, self.entry, receipts)
        return path


Changed = Unsigned | None


@dataclass
class History:
    """What one gateway tells of its meters. ``keys``: of its meters, and of the gateway itself, under that name."""

    gateway: str
    keys: dict[str, Signer]
    batches: list[Batch]
    first: int = 0
    """The number of its first batch."""
    before: bytes | None = None
    """The statement that this one follows."""

    @classmethod
    def recorded(cls, loaded: Config) -> History:
        """What stands sealed in a gateway's database."""
        store, keys = Database(loaded.database, read_only=True), load_keys(loaded)
        batches = []
        for batch in store.batches.all():
            statement = parse_statement(batch.entry).statement
            rows = [parse_record(row.data) for row in store.batches.leaves(batch.first_id, batch.last_id)]
            records = [Unsigned(row.claims, row.body) for row in rows]
            batches.append(Batch(records, statement.iat, statement.config, statement.software))
        store.close()
        return cls(loaded.gateway_id, {**keys.meters, GATEWAY_ITSELF: keys.statement}, batches)

    def under(self, gateway: str) -> History:
        """The same of another gateway, with keys of its own."""
        keys = {owner: PrivateKey.generate(EDDSA) for owner in self.keys}
        kids = {old.public.kid: keys[owner].public.kid for owner, old in self.keys.items()}

        def moved(record: Unsigned) -> Unsigned:
            body = record.body
            if isinstance(body, Event):
                body = Event(body.name, _swapped(body.fields, kids))
            return Unsigned(record.claims._replace(gateway=gateway), body)

        batches = [replace(b, records=[moved(r) for r in b.records], changes={}) for b in self.batches]
        return History(gateway, dict(keys), batches)

    # — to look at —

    @property
    def meters(self) -> list[str]:
        """Its meters."""
        return sorted(set(self.keys) - {GATEWAY_ITSELF})

    @property
    def from_ms(self) -> int:
        """Its earliest record's time."""
        return min(record.time_ms for record in self.records())

    @property
    def to_ms(self) -> int:
        """Its latest record's time."""
        return max(record.time_ms for record in self.records())

    def records(self) -> Iterator[Unsigned]:
        """All records, in order."""
        for batch in self.batches:
            yield from batch.records

    def places(self, kind: type[Body], meter: str | None = None) -> list[tuple[int, int]]:
        """Batch and index of every record of this kind, of one meter."""
        return [
            (number, index)
            for number, batch in enumerate(self.batches)
            for index, record in enumerate(batch.records)
            if isinstance(record.body, kind) and meter in (None, record.meter)
        ]

    def events(self, name: str) -> list[tuple[int, int]]:
        """Batch and index of every event of this name."""
        return [(b, i) for b, i in self.places(Event) if self.at(b, i).body.name == name]  # type: ignore[union-attr]

    def at(self, batch: int, index: int) -> Unsigned:
        """The record there."""
        return self.batches[batch].records[index]

    # — to change —

    def put(self, place: tuple[int, int], record: Unsigned) -> None:
        """Another record there."""
        self.batches[place[0]].records[place[1]] = record

    def each(self, change: Callable[[Unsigned], Changed]) -> None:
        """Change every record, or drop it, and number them anew."""
        for batch in self.batches:
            batch.records = [new for record in batch.records if (new := change(record)) is not None]
        self.number()

    def number(self, *owners: str) -> None:
        """Number the records of these, or of all, anew, in each epoch from 0 on."""
        last: dict[tuple[str, bytes], int] = {}
        for batch in self.batches:
            for index, record in enumerate(batch.records):
                if not owners or record.meter in owners:
                    chain = record.meter, record.claims.epoch
                    last[chain] = last.get(chain, -1) + 1
                    batch.records[index] = record.at(seq=last[chain])

    def recount(self, due: Callable[[Coverage, int], int]) -> None:
        """Each coverage record counts the readings that there are; ``due(body, recorded)`` says what was due, and what
        is over was a timeout."""
        since: dict[str, int] = {}
        for batch in self.batches:
            for index, record in enumerate(batch.records):
                if isinstance(record.body, Reading):
                    since[record.meter] = since.get(record.meter, 0) + 1
                elif isinstance(record.body, Coverage):
                    there = since.pop(record.meter, 0)
                    total = due(record.body, there)
                    missed = {"timeout": total - there} if total > there else {}
                    batch.records[index] = record.saying(due=total, recorded=there, missed=missed)

    # — to sign —

    def sealed(self) -> list[Sealed]:
        """Sign every record and every statement."""
        ends: dict[str, bytes] = {}
        found: list[Sealed] = []
        ended: list[dict[str, bytes]] = []
        for batch in self.batches:
            data = []
            ends = dict(ends if batch.behind is None else ended[batch.behind])
            for record in batch.records:
                claims = record.claims._replace(prev=ends.get(record.meter))
                data.append(_signed(record, claims, record.signer or self.keys[record.meter]))
                ends[record.meter] = record_hash(data[-1])
            statement = self._statement(batch, data, found[-1] if found else None)
            found.append(Sealed(statement.batch, sign_statement(statement, self.keys[GATEWAY_ITSELF]), data))
            ended.append(ends)
        return found

    def _statement(self, batch: Batch, data: Sequence[bytes], last: Sealed | None) -> Statement:
        times = [record.time_ms for record in batch.records]
        true = Statement(
            gateway=self.gateway,
            batch=last.number + 1 if last else self.first,
            iat=batch.iat,
            prev=last.id if last else self.before,
            root=Tree([leaf_hash(record) for record in data]).root,
            size=len(data),
            from_ms=min(times),
            to_ms=max(times),
            meters=ranges(batch.records),
            config=batch.config,
            software=batch.software,
            resume=batch.resume,
        )
        stated = replace(true, **batch.changes)
        if "iat" in batch.changes:
            return stated
        return replace(stated, iat=max(stated.iat, -(-stated.to_ms // 1000)))  # signed behind its last record


def _signed(record: Unsigned, claims: Claims, signer: Signer) -> bytes:
    if record.payload is None:
        return sign_record(claims, record.body, signer)
    header = {cose.CONTENT_TYPE: CONTENT_READING, cose.CWT_CLAIMS: claims_map(claims)}
    return cose.sign1(header, record.payload, signer)


def ranges(records: Iterable[Unsigned]) -> Mapping[str, tuple[Range, ...]]:
    """What a statement says of the numbers of its records."""
    seqs: dict[str, dict[bytes, list[int]]] = {}
    for record in records:
        seqs.setdefault(record.meter, {}).setdefault(record.claims.epoch, []).append(record.claims.seq)
    return {
        meter: tuple(sorted(r for epoch, numbers in epochs.items() for r in _stretches(epoch, sorted(set(numbers)))))
        for meter, epochs in seqs.items()
    }


def _stretches(epoch: bytes, numbers: Sequence[int]) -> Iterator[Range]:
    first = numbers[0]
    for before, after in zip(numbers, [*numbers[1:], -1], strict=True):
        if after != before + 1:
            yield Range(epoch, first, before)
            first = after


def _swapped(value: Any, kids: Mapping[bytes, bytes]) -> Any:
    if isinstance(value, Mapping):
        return {key: _swapped(item, kids) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_swapped(item, kids) for item in value]
    return kids.get(value, value) if isinstance(value, bytes) else value
