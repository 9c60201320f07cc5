"""Batch files: written and read back, in one pass, and nothing else is taken for one."""

from __future__ import annotations

# not quick: every byte of a file, 6 s of CPU
import random
from pathlib import Path

import pytest

from ledger_client.errors import EncodeError, FileError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.batch_file import BatchFile, write_batch
from ledger_client.verification.verify import verify
from tests.ledger_client.formats.test_cddl import LOCATORS, schema
from tests.support.audit_batches import Gateway, audited, trusted
from tests.support.evidence import EPOCH, METER, NOW, receipt_for

RANDOM = random.Random(7807)


def test_it_is_one_deterministic_map_and_reads_back(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    records = gateway.usual()
    entry = gateway.entry(records)
    path = tmp_path / "x.mbatch"
    with path.open("wb") as file:
        write_batch(file, records, entry, [receipt_for(entry)], LOCATORS)
    data = path.read_bytes()
    plain = cbor.decode(data)
    assert list(plain) == ["v", "anchors", "records", "statement"]
    assert cbor.encode(plain) == data
    schema("batch-file").validate_cbor(data)
    batch = BatchFile.open(path)
    assert (list(batch.records()), batch.entry, batch.anchors) == (records, entry, LOCATORS)
    assert (batch.receipts, len(batch)) == ((receipt_for(entry),), len(records))
    assert list(batch.records(2, 4)) == records[2:4]


def test_a_proof_comes_out_of_it(tmp_path: Path) -> None:
    batch = BatchFile.open(Gateway(tmp_path).write())
    for index in range(len(batch)):
        record, bundle = batch.prove(index)
        proven = verify(bundle, trusted(), NOW)
        assert (proven.meter, proven.seq) == (record.claims.meter, record.claims.seq)
        assert batch.find(record.id) == index
    newest, _ = batch.prove(batch.find(METER))
    assert newest.id == f"{METER}/{EPOCH.hex()}/3"
    with pytest.raises(FileError, match="holds no record nobody"):
        batch.find("nobody")


def test_records_that_are_not_the_statements_are_not_written(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    records = gateway.usual()
    entry = gateway.entry(records)
    for wrong in (records[:-1], records[::-1], [*records, records[0]]):
        with (tmp_path / "x").open("wb") as file, pytest.raises(EncodeError, match="are not the 11"):
            write_batch(file, wrong, entry, [])


def test_every_byte_of_a_file_counts(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    path = gateway.write(gateway.usual(1))
    data, known = path.read_bytes(), trusted()
    assert audited(path).sound
    steps: set[str] = set()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << RANDOM.randrange(8)
        path.write_bytes(changed)
        result = audited(path, by=known)
        assert not result.sound, f"byte {position}"
        steps |= {finding.step for finding in result.findings}
    assert {"parse", "record", "inclusion", "statement", "receipts"} <= steps


def test_bytes_cut_off_or_added_are_noticed(tmp_path: Path) -> None:
    path = Gateway(tmp_path).write()
    data = path.read_bytes()
    for changed in (*(data[:end] for end in range(0, len(data), 7)), data + b"\0", b"\0" + data, data[1:], data + data):
        path.write_bytes(changed)
        with pytest.raises(Malformed):
            BatchFile.open(path)
        assert not audited(path).sound


def test_noise_is_no_batch_file(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    data = Gateway(tmp_path).write().read_bytes()
    for _ in range(500):
        begin = RANDOM.randrange(len(data))
        path.write_bytes(
            data[:begin] + RANDOM.randbytes(RANDOM.randrange(1, 200)) + data[begin + RANDOM.randrange(200) :]
        )
        assert not audited(path).sound


def test_another_version_and_a_missing_file_are_said_plainly(tmp_path: Path) -> None:
    path = Gateway(tmp_path).write()
    path.write_bytes(path.read_bytes().replace(b"\xa4\x61v\x01", b"\xa4\x61v\x02", 1))
    with pytest.raises(Malformed, match="version 2; this program reads version 1"):
        BatchFile.open(path)
    with pytest.raises(FileError, match="No such file"):
        BatchFile.open(tmp_path / "none")
