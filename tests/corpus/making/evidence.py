"""A gateway, its meters and its ledgers: records, statements, receipts and bundles, with any part replaced.

What is handed over as ``bytes`` in the place of a header, a payload or a signature stands there as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.corpus.making.keys import Key, key, text_of
from tests.corpus.making.wire import Tag, decimal, encode, milliseconds

T0: Final = 1_772_352_000  # 2026-03-01T08:00:00Z: when the readings below were made
T0_MS: Final = T0 * 1000 + 123
RECEIPT_S: Final = T0 + 5
NOW: Final = T0 + 86_400
VALID_FROM: Final = T0 - 86_400
EPOCH: Final = bytes.fromhex("0102030405060708")
GATEWAY: Final = "yunnan-hydro-07"
METER_NAME: Final = "export-main"
LEDGER: Final = "demo-ledger"
METER, STATEMENT, LEDGER_KEY = key("meter"), key("statement", "P-256"), key("demo-ledger")

READING: Final = "application/senml+cbor"
COVERAGE: Final = "application/vnd.meterseal.coverage+cbor"
EVENT: Final = "application/vnd.meterseal.event+cbor"
BATCH: Final = "application/vnd.meterseal.batch+cbor"

Map = dict[Any, Any]
VALUES: Final[tuple[Map, ...]] = (
    {0: "voltage_l1", 1: "V", 2: 230.5},
    {0: "power_active", 1: "kW", 2: decimal(-3, 18_250)},
    {0: "energy_export", 1: "Wh", 2: 123_456_789, 6: milliseconds(40)},
    {0: "co2", 1: "ppm", 3: "", 6: milliseconds(40), "q_": 1},
    {0: "breaker_closed", 4: True},
)


def statement_id(entry: bytes) -> str:
    """The id of a statement, as a receipt's sub has it."""
    return text_of(hashlib.sha256(entry).digest())


def changed(map_: Map, changes: Mapping[Any, Any]) -> Map:
    """The map with these pairs; a key whose value is ``...`` is out."""
    merged = {**map_, **changes}
    return {name: value for name, value in merged.items() if value is not ...}


def sign1(
    header: Map | bytes, payload: bytes | None, signer: Key, *, unprotected: object = None, detached: bool = False,
    signature: bytes | Callable[[bytes], bytes] | None = None, tag: int = 18,
) -> bytes:  # fmt: skip
    """A COSE_Sign1; ``signature`` replaces the key's, or is made of what is signed."""
    protected = header if isinstance(header, bytes) else encode(header)
    message = encode(["Signature1", protected, b"", payload if payload is not None else b""])
    if not isinstance(signature, bytes):
        signature = (signature or signer.sign)(message)
    unprotected = {} if unprotected is None else unprotected
    return encode(Tag(tag, [protected, unprotected, None if detached else payload, signature]))


@dataclass(frozen=True)
class Rec:
    """A record and what a statement counts of it."""

    data: bytes
    meter: str = METER_NAME
    epoch: bytes = EPOCH
    seq: int = 0
    time_ms: int = T0_MS


def pack(
    values: Sequence[Map] = VALUES,
    *,
    time: object = None,
    name: object = f"{GATEWAY}/{METER_NAME}/",
    version: object = None,
) -> list[Map]:
    """A reading's SenML; ``version`` None: as its units ask for, ``...``: none."""
    secondary = {"kW", "ppm", "Wh", "kWh", "VAh"}
    if version is None:
        version = 26 if any(value.get(1) in secondary for value in values) else ...
    base = {-1: version, -2: name, -3: milliseconds(T0_MS) if time is None else time}
    return [changed(base, values[0]), *values[1:]]


def record(
    payload: object = None, *, content: object = READING, signer: Key = METER, claims: Mapping[Any, Any] | None = None,
    header: Mapping[Any, Any] | bytes | None = None, time_ms: int = T0_MS, seq: int = 0, meter: str = METER_NAME,
    epoch: bytes = EPOCH, **parts: Any,
) -> Rec:  # fmt: skip
    """A record of the meter; ``claims`` and ``header`` change what is in them, ``parts`` are those of ``sign1``."""
    usual = {1: GATEWAY, 2: meter, 6: T0 + 1, "up": 12_345, "seq": seq, "clock": "S", "epoch": epoch, "err": 12}
    protected: Map | bytes
    if isinstance(header, bytes):
        protected = header
    else:
        whole = {1: signer.alg, 3: content, 4: signer.kid, 15: changed(usual, claims or {})}
        protected = changed(whole, header or {})
    if payload is None:
        payload = pack(time=milliseconds(time_ms), name=f"{GATEWAY}/{meter}/")
    body = payload if isinstance(payload, bytes) else encode(payload)
    return Rec(sign1(protected, body, signer, **parts), meter, epoch, seq, time_ms)


def coverage(changes: Mapping[Any, Any] | None = None, **more: Any) -> Rec:
    """What was due in the minute before."""
    facts = {"from": (T0 - 60) * 1000, "to": T0 * 1000, "due": 6, "recorded": 5, "missed": {"timeout": 1}}
    return record(changed(facts, changes or {}), **{"content": COVERAGE, "seq": 1, "time_ms": T0 * 1000, **more})


def event(facts: object = None, **more: Any) -> Rec:
    """Something that happened to the meter; its time is its iat."""
    facts = (
        {"event": "meter-exchanged", "serial": "A-77", "old": [b"\x01", {"n": decimal(-1, 5)}]}
        if facts is None
        else facts
    )
    return record(facts, **{"content": EVENT, "seq": 2, "time_ms": (T0 + 1) * 1000, **more})


# ---- the tree of RFC 9162 ----


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """MTH of leaf hashes (RFC 9162 §2.1.1), by its recursion."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:half]), root_of(leaves[half:]))


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of a leaf (RFC 9162 §2.1.3.1), by its recursion."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path_of(index, leaves[:half]), root_of(leaves[half:])]
    return [*path_of(index - half, leaves[half:]), root_of(leaves[:half])]


# ---- statements and receipts ----


def ranges(records: Sequence[Rec]) -> dict[str, list[list[object]]]:
    """Of each meter, the stretches of numbers of each epoch."""
    found: dict[str, list[list[Any]]] = {}
    for each in sorted(records, key=lambda r: (r.meter, r.epoch, r.seq)):
        mine = found.setdefault(each.meter, [])
        if mine and mine[-1][0] == each.epoch and mine[-1][2] == each.seq - 1:
            mine[-1][2] = each.seq
        else:
            mine.append([each.epoch, each.seq, each.seq])
    return found


def statement(
    records: Sequence[Rec], fields: Mapping[Any, Any] | None = None, *, signer: Key = STATEMENT,
    claims: Mapping[Any, Any] | None = None, header: Mapping[Any, Any] | bytes | None = None,
    payload: bytes | None = None, **parts: Any,
) -> bytes:  # fmt: skip
    """The entry of a batch of these records."""
    times = [each.time_ms for each in records]
    usual = {
        "batch": 0, "root": root_of([leaf_hash(each.data) for each in records]), "size": len(records),
        "from": min(times), "to": max(times), "meters": ranges(records),
        "config": hashlib.sha256(b"configuration").digest(), "software": "meterseal/0.1.0",
    }  # fmt: skip
    facts = changed(usual, fields or {})
    protected: Map | bytes
    if isinstance(header, bytes):
        protected = header
    else:
        owner = changed({1: GATEWAY, 2: f"batch/{facts.get('batch')}", 6: T0 + 2}, claims or {})
        protected = changed({1: signer.alg, 3: BATCH, 4: signer.kid, 15: owner}, header or {})
    return sign1(protected, encode(facts) if payload is None else payload, signer, **parts)


def receipt(
    entry: bytes, ledger: str = LEDGER, *, signer: Key | None = None, iat: object = RECEIPT_S,
    claims: Mapping[Any, Any] | None = None, header: Mapping[Any, Any] | bytes | None = None,
    proof: object = None, proofs: object = None, unprotected: object = None, log: Sequence[bytes] | None = None,
    **parts: Any,
) -> bytes:  # fmt: skip
    """A ledger's receipt of an entry that is the third of four in its log, or the last of ``log``."""
    signer = signer or key(ledger)
    leaves = list(map(leaf_hash, (b"policy", b"another", entry, b"later") if log is None else (*log, entry)))
    index = 2 if log is None else len(leaves) - 1
    owner = {1: ledger, 2: statement_id(entry), 6: iat, "size": len(leaves)}
    protected: Map | bytes
    if isinstance(header, bytes):
        protected = header
    else:
        whole = {1: signer.alg, 4: signer.kid, 15: changed(owner, claims or {}), 395: 1}
        protected = changed(whole, header or {})
    if proof is None:
        proof = [len(leaves), index, path_of(index, leaves)]
    if proofs is None:
        proofs = {-1: [proof if isinstance(proof, bytes) else encode(proof)]}
    outside = {396: proofs} if unprotected is None else unprotected
    return sign1(protected, root_of(leaves), signer, unprotected=outside, **{"detached": True, **parts})


FOREIGN: Final = "https://ledger.example"
FOREIGN_KEY: Final = key("foreign")


def foreign(entry: bytes, claims: Mapping[Any, Any] | None = None, **parts: Any) -> bytes:
    """A receipt that is not in our own form: no claim "size", a kid of its ledger's own."""
    parts = {"signer": FOREIGN_KEY, **parts}
    header = {4: b"key-1", **parts.pop("header", {})}
    owner = {2: "statement/4711", "size": ..., **(claims or {})}
    return receipt(entry, FOREIGN, claims=owner, header=header, **parts)


def locator(changes: Mapping[Any, Any] | None = None) -> Map:
    """Where a chain is facts to hold the statement."""
    place = {
        "type": "evm", "ledger": "chain", "chain": 31337, "contract": bytes(20), "tx": bytes(32), "block": 7,
        "block_hash": bytes(32),
    }  # fmt: skip
    return changed(place, changes or {})


# ---- bundles ----

Receipts = Sequence[bytes | Callable[[bytes], bytes]]


def attached(entry: bytes, receipts: object) -> bytes:
    """The entry with what stands in its header 394; None: nothing does."""
    if receipts is None:
        return entry
    assert entry[:3] == b"\xd2\x84\x58"
    empty = 4 + entry[3]  # where the empty unprotected header stands, behind the protected one
    assert entry[empty] == 0xA0
    return entry[:empty] + encode({394: receipts}) + entry[empty + 1 :]


def bundle(
    records: Rec | Sequence[Rec] | None = None, index: int = 0, *, entry: bytes | None = None,
    fields: Mapping[Any, Any] | None = None, receipts: Receipts | None = None, anchors: object = (),
    place: object = None, changes: Mapping[Any, Any] | None = None, **statement_parts: Any,
) -> bytes:  # fmt: skip
    """A proof of one of the records; ``fields`` and ``statement_parts`` change its statement, ``changes`` itself."""
    batch = [record()] if records is None else [records] if isinstance(records, Rec) else list(records)
    leaves = [leaf_hash(each.data) for each in batch]
    signed = statement(batch, fields, **statement_parts) if entry is None else entry
    given = [receipt] if receipts is None else receipts
    made = [each if isinstance(each, bytes) else each(signed) for each in given]
    whole = {
        "v": 1, "record": batch[index].data, "anchors": list(anchors) if isinstance(anchors, Sequence) else anchors,
        "inclusion": [len(batch), index, path_of(index, leaves)] if place is None else place,
        "statement": attached(signed, made or None),
    }  # fmt: skip
    return encode(changed(whole, changes or {}))


def chained(count: int, *, signer: Key = METER, first: int = 0) -> list[Rec]:
    """Readings of one meter, a second apart, each with the hash of the one before."""
    batch: list[Rec] = []
    for seq in range(first, first + count):
        at = T0_MS - 1000 * (first + count - 1 - seq)
        prev = hashlib.sha256(batch[-1].data).digest() if batch else ...
        body = pack(({0: "energy_export", 1: "Wh", 2: 1_000 + seq},), time=milliseconds(at))
        batch.append(record(body, signer=signer, seq=seq, time_ms=at, claims={"prev": prev, 6: at // 1000 + 1}))
    return batch
