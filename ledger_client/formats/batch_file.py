"""Batch files (``.mbatch``): a whole batch with its statement and receipts. Never a source of trust.

One deterministic CBOR map: ``{"v": 1, "anchors": [locator …], "records": [bstr …], "statement": bstr}``, the records in
the order of the tree's leaves, the statement with its receipts in header 394. The order of the keys is such that a
file can be written and read in one pass, record by record.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ledger_client.errors import EncodeError, FileError, Malformed
from ledger_client.formats import cbor, checks
from ledger_client.formats.bundle import Bundle, Locator, locator_map, parse_locator
from ledger_client.formats.checks import MAX_BUNDLE, MAX_RECEIPTS, MAX_RECORD
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.record import Record, parse_record
from ledger_client.formats.statement import attach_receipts, detach_receipts, parse_statement

VERSION: Final = 1
SUFFIX: Final = ".mbatch"
_BSTR, _ARRAY = 2, 4
_BEGIN: Final = b"\xa4\x61v"
_ANCHORS, _RECORDS, _STATEMENT = b"\x67anchors", b"\x67records", b"\x69statement"
_WINDOW: Final = 64 * 1024


def is_batch(data: bytes) -> bool:
    """Whether a file that begins with this is meant to be a batch file, sound or not: a bundle has five keys."""
    return data.startswith(_BEGIN)


def is_batch_file(path: Path) -> bool:
    """The same of a file. Raises OSError."""
    with path.open("rb") as file:
        return is_batch(file.read(len(_BEGIN)))


def write_batch(
    file: IO[bytes],
    records: Iterable[bytes],
    entry: bytes,
    receipts: Sequence[bytes],
    anchors: Sequence[Locator] = (),
) -> int:
    """Write a batch file, record by record, and return its size; ``EncodeError`` unless the records are those of the
    statement."""
    statement = parse_statement(entry).statement
    locators = [locator_map(locator) for locator in anchors]
    begin = _BEGIN + bytes((VERSION,)) + _ANCHORS + cbor.encode(locators)
    size = file.write(begin + _RECORDS + cbor.head_bytes(_ARRAY, statement.size))
    leaves = []
    for record in records:
        size += file.write(cbor.head_bytes(_BSTR, len(record)) + record)
        leaves.append(leaf_hash(record))
    if len(leaves) != statement.size or Tree(leaves).root != statement.root:
        raise EncodeError(
            f"batch {statement.batch}: these {len(leaves)} records are not the {statement.size} that its statement "
            "was signed over"
        )
    attached = attach_receipts(entry, receipts)
    return size + file.write(_STATEMENT + cbor.head_bytes(_BSTR, len(attached)) + attached)


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A batch file whose frame was read: the statement's entry, its receipts, the locators, and where each record
    begins and ends. The records are read from the file when they are asked for; nothing of them is checked yet."""

    path: Path
    entry: bytes
    receipts: tuple[bytes, ...]
    anchors: tuple[Locator, ...]
    starts: array[int]
    ends: array[int]

    @classmethod
    def open(cls, path: Path) -> BatchFile:
        """Read the frame strictly; ``Malformed`` for anything else, ``FileError`` where there is nothing to read."""
        with _reading(path) as file:
            return cls(path, *_frame(_Scan(file)))

    def __len__(self) -> int:
        return len(self.starts)

    def records(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """The records ``first`` … ``last`` (not included; None: to the end), one by one."""
        yield from read_records(self.path, self.starts[first:last], self.ends[first:last])

    def find(self, name: str) -> int:
        """The index of a record ``METER/EPOCH/SEQ``, or of a meter's newest reading; ``FileError`` if there is none."""
        found = None
        for index, data in enumerate(self.records()):
            record = parse_record(data)
            if record.id == name or (record.claims.meter == name and record.kind == "reading"):
                found = index
        if found is None:
            raise FileError(
                f"{self.path}: holds no record {name}", "give METER/EPOCH/SEQ, or the name of a meter in it"
            )
        return found

    def prove(self, index: int) -> tuple[Record, bytes]:
        """One record, and its proof bundle."""
        ((record, bundle),) = self.proofs([index])
        return parse_record(record), bundle

    def proofs(self, indexes: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
        """Records, each with its proof bundle; the tree is made once."""
        tree = Tree(leaf_hash(data) for data in self.records())
        for index in indexes:
            (record,) = self.records(index, index + 1)
            path = tuple(tree.path(index))
            yield record, Bundle(record, self.anchors, tree.size, index, path, self.entry, self.receipts).encode()


def read_records(path: Path, starts: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
    """The records of a file that begin and end there."""
    with _reading(path) as file:
        for start, end in zip(starts, ends, strict=True):
            file.seek(start)
            yield file.read(end - start)


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", f"give the path of a {SUFFIX} file that may be read") from None


class _Scan:
    """A file from its beginning to its end: what is read must be there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.at = file, 0
        self.size = os.fstat(file.fileno()).st_size

    def ahead(self, most: int) -> bytes:
        """What comes next, without passing over it."""
        self._file.seek(self.at)
        return self._file.read(most)

    def expect(self, data: bytes, what: str) -> None:
        if self.ahead(len(data)) != data:
            raise Malformed(f"byte {self.at}: {what} is expected here; this is no batch file, or a damaged one")
        self.at += len(data)

    def head(self, major: int) -> int:
        argument, size = cbor.head(self.ahead(9), major)
        self.at += size
        return argument

    def blob(self, most: int, what: str) -> tuple[int, int]:
        """Where the next byte string begins and ends; it is passed over."""
        length = self.head(_BSTR)
        if length > most:
            raise Malformed(f"byte {self.at}: {what} has {length} bytes, the cap is {most}")
        start, self.at = self.at, self.at + length
        if self.at > self.size:
            raise Malformed(f"byte {start}: {what} of {length} bytes, and {self.size - start} are left of the file")
        return start, self.at


_Frame = tuple[bytes, tuple[bytes, ...], tuple[Locator, ...], "array[int]", "array[int]"]


def _frame(scan: _Scan) -> _Frame:
    scan.expect(_BEGIN, "a map of four keys that begins with its version")
    version = scan.head(0)
    if version != VERSION:
        raise Malformed(f"batch file version {version}; this program reads version {VERSION}")
    scan.expect(_ANCHORS, "the key anchors")
    locators, length = cbor.decode_first(scan.ahead(_WINDOW))
    anchors = tuple(parse_locator(value) for value in checks.array(locators, "anchors", 0, MAX_RECEIPTS))
    scan.at += length
    scan.expect(_RECORDS, "the key records")
    starts, ends = array("Q"), array("Q")
    for _ in range(scan.head(_ARRAY)):
        start, end = scan.blob(MAX_RECORD, f"record {len(starts)}")
        starts.append(start)
        ends.append(end)
    scan.expect(_STATEMENT, "the key statement")
    start, end = scan.blob(MAX_BUNDLE, "the statement")
    scan.at = start
    entry, receipts = detach_receipts(scan.ahead(end - start))
    if end != scan.size:
        raise Malformed(f"{scan.size - end} bytes after the end of the batch file")
    return entry, receipts, anchors, starts, ends
