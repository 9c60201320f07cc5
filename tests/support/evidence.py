"""One gateway, its meters and its ledgers, with fixed keys: whole bundles, or ones with a part replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ledger_client.errors import STEPS, LedgerClientError, VerificationError
from ledger_client.formats.bundle import Bundle, Locator
from ledger_client.formats.cose_key import EDDSA, ES256, PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import Body, Claims, Coverage, Event, Record, parse_record, record_hash, sign_record
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.formats.statement import Range, Statement, id_text, sign_statement, statement_id
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify

T0 = 1_795_000_000  # 2026-11-18T11:06:40Z: when the records below were made
NOW = T0 + 86_400
VALID_FROM = T0 - 86_400
EPOCH = bytes.fromhex("0102030405060708")
GATEWAY = "yunnan-hydro-07"
METER = "export-main"
LEDGER = "demo-ledger"


@cache
def key(name: str, alg: int = EDDSA) -> PrivateKey:
    """The private key of that name: always the same one."""
    seed = hashlib.sha256(name.encode()).digest()
    if alg == ES256:
        return PrivateKey(ec.derive_private_key(int.from_bytes(seed, "big") >> 1, ec.SECP256R1()))
    return PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))


VALUES = (
    Value("voltage_l1", 230.5, "V"),
    Value("power_active", Decimal("18.250"), "kW"),
    Value("energy_export", 123456789, "Wh", offset_ms=40),
    Value("co2", None, "ppm", quality=Quality.COMM_FAIL, offset_ms=40),
    Value("state", "running", quality=Quality.LATE),
    Value("breaker_closed", True),
)


def claims(seq: int = 0, **changes: Any) -> Claims:
    usual = Claims(GATEWAY, METER, T0 + 1, 12_345, seq, EPOCH, None, "S", 12)
    return usual._replace(**changes)


def reading(time_ms: int = T0 * 1000 + 123, values: tuple[Value, ...] = VALUES) -> Reading:
    return Reading(time_ms, values)


def bodies() -> tuple[Body, Body, Body]:
    """The three kinds of record that a batch of one meter may hold."""
    coverage = Coverage((T0 - 60) * 1000, T0 * 1000, 6, 5, {"timeout": 1})
    return reading(), coverage, Event("meter-exchanged", {"serial": "A-77", "old": [b"\x01", {"n": Decimal("0.5")}]})


def records(signer: PrivateKey | None = None) -> list[bytes]:
    """A reading, a coverage and an event, chained."""
    signer = signer or key("meter")
    chain: list[bytes] = []
    for seq, body in enumerate(bodies()):
        prev = record_hash(chain[-1]) if chain else None
        chain.append(sign_record(claims(seq, prev=prev), body, signer))
    return chain


def statement_of(batch: Sequence[bytes], **changes: Any) -> Statement:
    """The true statement of a batch of records, but for what is changed."""
    parsed = [parse_record(data) for data in batch]
    times = [record.time_ms for record in parsed]
    usual = Statement(
        GATEWAY,
        0,
        max(T0 + 2, max(times) // 1000),
        None,
        Tree([leaf_hash(data) for data in batch]).root,
        len(batch),
        min(times),
        max(times),
        ranges_of(parsed),
        hashlib.sha256(b"configuration").digest(),
        "meterseal/0.1.0",
    )
    return replace(usual, **changes)


def ranges_of(parsed: Sequence[Record]) -> Mapping[str, tuple[Range, ...]]:
    spans: dict[str, dict[bytes, list[int]]] = {}
    for record in parsed:
        spans.setdefault(record.claims.meter, {}).setdefault(record.claims.epoch, []).append(record.claims.seq)
    return {
        meter: tuple(sorted(Range(epoch, min(seqs), max(seqs)) for epoch, seqs in epochs.items()))
        for meter, epochs in spans.items()
    }


def parts_of(batch: Sequence[bytes]) -> Mapping[str, tuple[Range, ...]]:
    """The ranges of a batch in which numbers are left out."""
    stretches: dict[str, list[Range]] = {}
    for record in map(parse_record, batch):
        meter, epoch, seq = record.claims.meter, record.claims.epoch, record.claims.seq
        mine = stretches.setdefault(meter, [])
        if mine and mine[-1].epoch == epoch and mine[-1].last == seq - 1:
            mine[-1] = Range(epoch, mine[-1].first, seq)
        else:
            mine.append(Range(epoch, seq, seq))
    return {meter: tuple(sorted(ranges)) for meter, ranges in stretches.items()}


def receipt_for(entry: bytes, ledger: str = LEDGER, *, iat: int = T0 + 5, signer: PrivateKey | None = None) -> bytes:
    """A ledger's receipt for an entry that is the third of four in its log."""
    tree = Tree([leaf_hash(data) for data in (b"policy", b"another", entry, b"later")])
    signer = signer or key(ledger)
    return sign_receipt(ledger, id_text(statement_id(entry)), iat, tree.size, 2, tree.path(2), tree.root, signer)


@dataclass(frozen=True)
class Site:
    """What makes a bundle; ``replace`` a part and build again."""

    batch: list[bytes] = field(default_factory=records)
    statement: Statement | None = None
    statement_signer: PrivateKey = field(default_factory=lambda: key("statement", ES256))
    ledgers: tuple[str, ...] = (LEDGER,)
    receipts: tuple[bytes, ...] | None = None
    anchors: tuple[Locator, ...] = ()

    def entry(self) -> bytes:
        return sign_statement(self.statement or statement_of(self.batch), self.statement_signer)

    def bundle(self, index: int = 0, **changes: Any) -> Bundle:
        tree = Tree([leaf_hash(data) for data in self.batch])
        entry = self.entry()
        receipts = self.receipts
        if receipts is None:
            receipts = tuple(receipt_for(entry, ledger) for ledger in self.ledgers)
        path = tuple(tree.path(index))
        return replace(Bundle(self.batch[index], self.anchors, tree.size, index, path, entry, receipts), **changes)

    def build(self, index: int = 0, **changes: Any) -> bytes:
        return self.bundle(index, **changes).encode()


def trust_text(
    *,
    receipts: int = 1,
    ledgers: tuple[str, ...] = (LEDGER,),
    keys: Mapping[str, str] | None = None,
    extra: str = "",
    policy: str = "",
    valid_from: int = VALID_FROM,
) -> str:
    """The trust file of someone who knows the site; ``keys`` replaces entries, each named by whose it is."""
    entries = {
        "meter": key_entry("meter", key("meter").public, valid_from, gateway=GATEWAY, meter=METER),
        "statement": key_entry("statement", key("statement", ES256).public, valid_from, gateway=GATEWAY),
        **{name: key_entry("ledger", key(name).public, valid_from, ledger=name) for name in ledgers},
    }
    entries |= keys or {}
    listed = ", ".join(f'"{name}"' for name in ledgers)
    return f"[policy]\nreceipts = {receipts}\nledgers = [{listed}]\n{policy}" + "".join(entries.values()) + extra


def trust(**changes: Any) -> Trust:
    """The same, read."""
    return parse_trust(trust_text(**changes), "trust.toml")


def moment(seconds: int) -> str:
    """A time as the trust file writes it."""
    return key_entry("meter", key("meter").public, seconds).splitlines()[-1].split(" = ")[1]


def limited(role: str, *lines: str, valid_from: int = VALID_FROM, valid_to: int | None = None) -> Trust:
    """The trust file with further lines in the entry of one key."""
    owner: dict[str, dict[str, Any]] = {
        "meter": {"key": key("meter").public, "gateway": GATEWAY, "meter": METER},
        "statement": {"key": key("statement", ES256).public, "gateway": GATEWAY},
        LEDGER: {"key": key(LEDGER).public, "ledger": LEDGER},
    }
    entry = key_entry(
        "ledger" if role == LEDGER else role, valid_from=valid_from, valid_to=valid_to, **owner[role]
    ) + "".join(line + "\n" for line in lines)
    return trust(keys={role: entry})


def code(error: BaseException) -> str:
    """The code of the message that an error is made of."""
    assert isinstance(error, LedgerClientError)
    assert not isinstance(error.what, str)
    return error.what.code


def refused(error: type[VerificationError], step: int, bundle: bytes, trusted: Trust | None = None, **more: Any) -> str:
    """The detail of the refusal, which must be of this kind and step."""
    return refusal(error, step, bundle, trusted, **more).detail


def refusal(
    error: type[VerificationError], step: int, bundle: bytes, trusted: Trust | None = None, **more: Any
) -> VerificationError:
    """The refusal, which must be of this kind and step."""
    with pytest.raises(VerificationError) as caught:
        verify(bundle, trusted or trust(), more.pop("now", NOW), **more)
    assert (type(caught.value), caught.value.step) == (error, step), caught.value
    assert str(caught.value) == f"step {step} ({STEPS[step]}): {caught.value.detail}"
    return caught.value
