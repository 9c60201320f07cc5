"""Proof bundles (``.mseal``): one record with its proof, statement, receipts, perhaps cosigned heads. Not a source of
trust."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import (
    MAX_BUNDLE,
    MAX_PATH,
    MAX_RECEIPTS,
    MAX_RECORD,
    array,
    blob,
    is_ledger_name,
    proof,
    table,
    uint,
    within,
    writing,
)
from ledger_client.formats.cose import bstr_head
from ledger_client.formats.notes import MAX_NOTE
from ledger_client.formats.statement import (
    SignedStatement,
    attach_receipts,
    detach_receipts,
    read_statement,
    usual_parts,
    usual_statement,
)

VERSION: Final = 1
_MAP: Final = 5  # CBOR major type
_LOCATOR: Final = {"tx", "type", "block", "chain", "ledger", "contract", "block_hash"}

Proof = tuple[int, int, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Locator:
    """Where on an EVM ledger the statement id was written: a hint, never a proof by itself.

    ``inclusion`` (size, index, path) where a bridge anchored many ids under one root.
    """

    ledger: str
    chain: int
    contract: bytes
    tx: bytes
    block: int
    block_hash: bytes
    inclusion: Proof | None = None


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A note of a log's head with the cosignatures of witnesses, and the place of the statement (entry) in the log of
    that size. The note is unread bytes."""

    note: bytes
    place: Proof


@dataclass(frozen=True, slots=True)
class Bundle:
    """A record, its place in the batch's tree, the batch's statement (entry) and the receipts for it."""

    record: bytes
    anchors: tuple[Locator, ...]
    size: int
    index: int
    path: tuple[bytes, ...]
    statement: bytes
    receipts: tuple[bytes, ...]
    witnessed: tuple[Witnessed, ...] = ()
    _signed: SignedStatement | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def signed(self) -> SignedStatement:
        """The statement, read without asking whether it agrees with itself; ``Malformed``."""
        return read_statement(self.statement) if self._signed is None else self._signed

    def encode(self) -> bytes:
        """The file; ``EncodeError`` for what ``parse`` would refuse."""
        fields: dict[str, object] = {
            "v": VERSION,
            "record": self.record,
            "anchors": [locator_map(locator) for locator in self.anchors],
            "inclusion": [self.size, self.index, list(self.path)],
            "statement": self._statement(),
        }
        if self.witnessed:
            fields["witnessed"] = [{"note": one.note, "place": _plain(one.place)} for one in self.witnessed]
        data = cbor.encode(fields)
        with writing("bundle"):
            self.parse(data)
        return data

    def _statement(self) -> bytes:
        try:
            return attach_receipts(self.statement, self.receipts)
        except Malformed as error:
            raise EncodeError(f"bundle: {error.detail}") from None

    @classmethod
    def parse(cls, data: bytes) -> Bundle:
        """Read a file strictly; ``Malformed`` for anything else. Record, statement and receipts stay unread bytes."""
        with suppress(Exception):  # what follows says what is wrong
            if (usual := usual_bundle(data)) is not None:
                return usual
        return cls.parse_strictly(data)

    @classmethod
    def parse_strictly(cls, data: bytes) -> Bundle:
        """The same of any file, byte by byte, and the only judge of what is none."""
        bundle = cbor.decode(within(data, MAX_BUNDLE, "the bundle"))
        fields = table(bundle, "bundle", {"v", "record", "anchors", "inclusion", "statement"}, {"witnessed"})
        if type(fields["v"]) is not int or fields["v"] != VERSION:
            raise Malformed(f"bundle version {fields['v']!r}; this program reads version {VERSION}")
        if type(fields["record"]) is not bytes or type(fields["statement"]) is not bytes:
            raise Malformed("the bundle's record or statement is not a byte string")
        size, index, path = proof(fields["inclusion"], "inclusion", 0)
        entry, receipts = detach_receipts(fields["statement"])
        anchors = tuple(parse_locator(value) for value in array(fields["anchors"], "anchors", 0, MAX_RECEIPTS))
        record = within(fields["record"], MAX_RECORD, "the record")
        notes = array(fields["witnessed"], "witnessed", 1, MAX_RECEIPTS) if "witnessed" in fields else ()
        witnessed = tuple(map(_witnessed, notes))
        return cls(record, anchors, size, index, path, entry, receipts, witnessed)


def usual_bundle(data: bytes) -> Bundle | None:
    """A bundle of a record and receipts alone, known by writing again what was read; raises whatever is wrong."""
    fields = cbor.untagged(data)
    record, statement, (size, index, path) = fields["record"], fields["statement"], fields["inclusion"]
    parts = [b"\xa5\x61v\x01\x66record", bstr_head(record), record, b"\x67anchors\x80\x69inclusion\x83"]
    parts += (cbor.head_bytes(0, size), cbor.head_bytes(0, index), cbor.head_bytes(4, len(path)))
    for sibling in path:
        parts += (b"\x58\x20", sibling)
    parts += (b"\x69statement", bstr_head(statement), statement)
    if b"".join(parts) != data or len(path) > MAX_PATH or (attached := usual_parts(statement)) is None:
        return None
    if (signed := usual_statement(attached[0])) is None:
        return None
    bundle = Bundle(record, (), size, index, tuple(path), *attached)
    object.__setattr__(bundle, "_signed", signed)
    return bundle


def _witnessed(value: Any) -> Witnessed:
    fields = table(value, "witnessed", {"note", "place"})
    note = fields["note"]
    if type(note) is not bytes or not 0 < len(note) <= MAX_NOTE:
        raise Malformed(f"the note of a log's head is not 1 to {MAX_NOTE} bytes")
    return Witnessed(note, proof(fields["place"], "place in the log", 0))


def _plain(place: Proof) -> list[object]:
    size, index, path = place
    return [size, index, list(path)]


def is_bundle(path: Path) -> bool:
    """Whether a file is a proof bundle. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_BUNDLE + 1)
    try:
        Bundle.parse(data)
    except Malformed:
        return False
    return True


def encode_locator(locator: Locator) -> bytes:
    """A locator by itself, as a ledger driver hands it over in a receipt's place; ``EncodeError`` for what
    ``decode_locator`` would refuse."""
    data = cbor.encode(locator_map(locator))
    with writing("locator"):
        decode_locator(data)
    return data


def decode_locator(data: bytes) -> Locator:
    """Read a lone locator strictly; ``Malformed`` for anything else."""
    return parse_locator(cbor.decode(within(data, MAX_BUNDLE, "the locator")))


def is_locator(data: bytes) -> bool:
    """True for a locator, False for a receipt: one is a map, the other a tagged array (first byte, RFC 8949 §3.1)."""
    return len(data) > 0 and data[0] >> 5 == _MAP


def locator_map(locator: Locator) -> dict[str, object]:
    """A locator as it is written."""
    plain: dict[str, object] = {
        "type": "evm",
        "ledger": locator.ledger,
        "chain": locator.chain,
        "contract": locator.contract,
        "tx": locator.tx,
        "block": locator.block,
        "block_hash": locator.block_hash,
    }
    if locator.inclusion is not None:
        plain["inclusion"] = locator.inclusion
    return plain


def parse_locator(value: Any) -> Locator:
    """Read a decoded locator; ``Malformed`` for anything else."""
    fields = table(value, "locator", _LOCATOR, {"inclusion"})
    if fields["type"] != "evm":
        raise Malformed(f"locator type {fields['type']!r} is not evm")
    if not is_ledger_name(fields["ledger"]):
        raise Malformed(f"locator: {fields['ledger']!r} is not a ledger name")
    return Locator(
        fields["ledger"],
        uint(fields["chain"], "locator chain"),
        blob(fields["contract"], "locator contract", 20),
        blob(fields["tx"], "locator tx", 32),
        uint(fields["block"], "locator block"),
        blob(fields["block_hash"], "locator block_hash", 32),
        proof(fields["inclusion"], "locator inclusion", 0) if "inclusion" in fields else None,
    )
