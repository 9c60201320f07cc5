"""Batch files of a small site with fixed keys: true ones, and ones in which something does not hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ledger_client.audit import Audit, audit
from ledger_client.batch_file import write_batch
from ledger_client.cose_key import ES256, PrivateKey
from ledger_client.record import Body, Coverage, Event, Reading, Value, record_hash, sign_record
from ledger_client.statement import Statement, sign_statement, statement_id
from ledger_client.trust import Trust, key_entry
from tests.ledger_client.evidence import (
    EPOCH,
    GATEWAY,
    METER,
    NOW,
    T0,
    VALID_FROM,
    claims,
    key,
    receipt_for,
    statement_of,
    trust,
)

OTHER = "stack-co2"
EVERY_MS = 10_000


def trusted(**changes: Any) -> Trust:
    """A trust file that names both meters."""
    other = key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)
    return trust(extra=other, **changes)


def signer_of(meter: str) -> PrivateKey:
    return {METER: key("meter"), "gateway": key("statement", ES256)}.get(meter) or key(meter)


@dataclass
class Chain:
    """One meter's records as a gateway would sign them."""

    meter: str = METER
    epoch: bytes = EPOCH
    seq: int = 0
    prev: bytes | None = None
    covered_to_ms: int = (T0 - 6000) * 1000
    since: int = 0

    def add(self, body: Body, **changes: Any) -> bytes:
        facts = claims(self.seq, meter=self.meter, epoch=self.epoch, prev=self.prev)._replace(**changes)
        data = sign_record(facts, body, signer_of(self.meter))
        self.seq, self.prev = facts.seq + 1, record_hash(data)
        return data

    def reading(self, value: int = 1) -> bytes:
        self.since += 1
        return self.add(Reading(self.covered_to_ms + self.since * EVERY_MS, (Value("count", value, "count"),)))

    def coverage(self, missed: int = 0, **changes: Any) -> bytes:
        facts: dict[str, Any] = {
            "from_ms": self.covered_to_ms,
            "to_ms": self.covered_to_ms + (self.since + missed + 1) * EVERY_MS,
            "due": self.since + missed,
            "recorded": self.since,
            "missed": {"timeout": missed} if missed else {},
        } | changes
        body = Coverage(**facts)
        self.covered_to_ms, self.since = body.to_ms, 0
        return self.add(body)

    def event(self, name: str = "commissioned") -> bytes:
        return self.add(Event(name, {}))

    def new_epoch(self, number: int) -> None:
        self.epoch, self.seq = hashlib.sha256(bytes((number,))).digest()[:8], 0


@dataclass
class Gateway:
    """Batches one after the other; ``write`` gives the file of the next."""

    folder: Path
    chains: dict[str, Chain] = field(default_factory=lambda: {m: Chain(m) for m in (METER, OTHER)})
    batch: int = 0
    prev: bytes | None = None

    def usual(self, readings: int = 3) -> list[bytes]:
        """So many readings of every meter, then their coverage."""
        chains = self.chains.values()
        rows = [chain.reading(n) for n in range(readings) for chain in chains]
        return [*rows, *(chain.coverage(missed=1) for chain in chains)]

    def entry(self, records: Sequence[bytes], **changes: Any) -> bytes:
        usual: dict[str, Any] = {"batch": self.batch, "prev": self.prev}
        statement: Statement = replace(statement_of(records), **{**usual, **changes})
        entry = sign_statement(statement, key("statement", ES256))
        self.batch, self.prev = statement.batch + 1, statement_id(entry)
        return entry

    def write(
        self, records: Sequence[bytes] | None = None, receipts: Sequence[bytes] | None = None, **changes: Any
    ) -> Path:
        """The file of a batch; ``changes`` of its statement."""
        records = self.usual() if records is None else records
        entry = self.entry(records, **changes)
        path = self.folder / f"{self.batch - 1}.mbatch"
        with path.open("wb") as file:
            write_batch(file, records, entry, [receipt_for(entry)] if receipts is None else receipts)
        return path


def audited(*paths: Path, by: Trust | None = None, **options: Any) -> Audit:
    """The audit of some files."""
    return audit(paths, by or trusted(), NOW, **options)


def findings(result: Audit) -> list[tuple[int | None, str | None, str]]:
    """(batch, record, step) of every finding."""
    assert result.findings_total == len(result.findings)
    return [(f.batch, f.record, f.step) for f in result.findings]
