"""A second verifier of proofs (``.mseal``), written from docs/verifier.md, docs/formats.md, docs/evidence.cddl alone.

It shares no line with ``ledger_client``: only cbor2 (to write), cryptography (Ed25519, P-256) and tomllib. ``judge``
gives the verdict of the corpus: ``good``, ``bad`` with the step that failed, or ``trust``: the trust file itself is not
accepted. What it stands on is in verifier_cose.py and verifier_trust.py. Sections in brackets are those of
docs/verifier.md, names of shapes those of evidence.cddl.

    python -m tests.oracle.verifier CORPUS   judges each case of a folder, one JSON object a line
    python -m tests.oracle.verifier          judges each line of standard input: {"proof": hex, "trust": hex, "now": s}
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from tests.oracle.verifier_cose import (
    ALG,
    EPOCH,
    HASH,
    KID,
    LEDGER,
    MAX_S,
    MAX_UINT,
    MS,
    NAME,
    NAME_PATTERN,
    POSITIVE,
    SECONDS,
    UINT,
    Bad,
    Sign1,
    Tag,
    any_value,
    array,
    decimal,
    decode,
    demand,
    each,
    exactly,
    group,
    integer,
    leaf,
    listed,
    milliseconds,
    octets,
    root,
    sign1,
    table,
    text,
)
from tests.oracle.verifier_notes import note, witnesses_of
from tests.oracle.verifier_trust import Key, NotTrusted, Trust, trust_file

STEPS = ("parse", "record", "inclusion", "statement", "sequence", "receipts", "validity", "policy")
BUNDLE_CAP, RECORD_CAP = 1 << 20, 1 << 16
TOLERANCE_S, SEALED_BEHIND_MS = 300, 2000
RFC9162 = 1


class Failed(Exception):
    """The proof does not hold, and this is the step."""

    def __init__(self, step: int, why: str) -> None:
        super().__init__(why)
        self.step = step


class Verdict(NamedTuple):
    verdict: str
    step: str | None
    why: str


# ---- the shapes of the layers


RECORD_TYPES = READING, COVERAGE, EVENT = (
    "application/senml+cbor", "application/vnd.meterseal.coverage+cbor", "application/vnd.meterseal.event+cbor",
)  # fmt: skip

RECORD_HEADER = table({
    1: ALG, 3: any_value, 4: KID,
    15: table(
        {1: NAME, 2: NAME, 6: SECONDS, "up": UINT, "seq": UINT, "clock": exactly("U", "I", "S", "R"), "epoch": EPOCH},
        {"err": UINT, "prev": HASH, "salt": octets(16)},
    ),
})  # fmt: skip
STATEMENT_HEADER = table({
    1: ALG, 3: exactly("application/vnd.meterseal.batch+cbor"), 4: KID,
    15: table({1: NAME, 2: text(".{1,256}"), 6: SECONDS}),
})  # fmt: skip
BYTES = octets(0, BUNDLE_CAP)
RECEIPT_HEADER = table({
    1: integer, 4: KID, 15: table({1: NAME, 2: text(".{1,256}"), 6: SECONDS, "size": UINT}), 395: integer,
})  # fmt: skip
RECEIPT_OUTSIDE = table({396: any_value})
RECEIPT_PROOFS = table({-1: array(BYTES, 1, 1)})
RECEIPT_PROOF = group(UINT, UINT, array(HASH, 1, 64))
PLACE = group(UINT, UINT, array(HASH, 0, 64))
LOCATOR = table(
    {
        "tx": HASH, "type": exactly("evm"), "block": UINT, "chain": UINT, "ledger": LEDGER, "contract": octets(20),
        "block_hash": HASH,
    },
    {"inclusion": PLACE},
)  # fmt: skip
WITNESSED = table({"note": octets(1, 65536), "place": PLACE})
BUNDLE = table(
    {"v": exactly(1), "record": BYTES, "anchors": array(LOCATOR, 0, 16), "inclusion": PLACE, "statement": BYTES},
    {"witnessed": array(WITNESSED, 1, 16)},
)
STATEMENT = table(
    {
        "to": MS, "from": MS, "root": HASH, "size": UINT, "batch": UINT, "config": HASH,
        "meters": each(NAME, array(group(EPOCH, UINT, UINT), 1)),
        "software": text(NAME_PATTERN + r"/[A-Za-z0-9][A-Za-z0-9._+!\-]{0,63}"),
    },
    {"prev": HASH, "resume": text(r".{1,256}")},
)  # fmt: skip
REASONS = (
    "timeout", "refused", "line-down", "backoff", "skipped", "no-shape", "stopped", "disk-full", "disk-error", "asleep",
    "exchanged", "shared",
)  # fmt: skip
COVERAGE_BODY = table(
    {"to": MS, "due": UINT, "from": MS, "missed": table({}, dict.fromkeys(REASONS, UINT)), "recorded": UINT}
)
PRIMARY_UNITS = """
m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 cd/m2
bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m B VA VAs var vars J/m kg/m3 deg NTU
"""
SECONDARY_UNITS = """
ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 mm/h m/h ppm /100 /1000
hPa mm cm km km/h ppb ppt VAh mg/l ug/l g/l
"""
PRIMARY, SECONDARY = PRIMARY_UNITS.split(), SECONDARY_UNITS.split()
ENTRY = table(
    {0: NAME},
    {
        1: exactly(*PRIMARY, *SECONDARY), 2: lambda v: type(v) in (int, float) or (decimal(v) and v.value[0] != 0),
        3: text(r".{0,65536}"), 4: exactly(False, True), 6: lambda v: milliseconds(v) and v.value[1] > 0,
        "q_": POSITIVE,
    },
)  # fmt: skip


# ---- the layers of a proof


class Record(NamedTuple):
    message: Sign1
    data: bytes
    base_name: Any
    """Whose the body says it is: ``GATEWAY/METER/``."""
    time_ms: int
    """The record's time: of a reading bt, of coverage its end, of an event iat."""
    latest_ms: int
    """The latest time that it speaks of."""


def record_of(data: bytes) -> Record:
    demand(len(data) <= RECORD_CAP, "a record of more than 64 KiB")
    message = sign1(data)
    demand(
        message.payload is not None and message.unprotected == {}, "a record with headers outside, or without a body"
    )
    demand(RECORD_HEADER(message.header), "the header of a record")
    claims, kind = message.claims, message.header[3]
    if not exactly(*RECORD_TYPES)(kind):
        raise Failed(2, "no content type of a record")
    body = decode(message.payload or b"")
    base_name: Any = f"{claims[1]}/{claims[2]}/"
    time_ms = claims[6] * 1000
    if kind == READING:
        base_name, time_ms, last_ms = reading(body)
        return Record(message, data, base_name, time_ms, max(last_ms, claims[6] * 1000))
    if kind == EVENT:
        demand(each(text(".*"), any_value)(body) and NAME(body.get("event")), "an event")
        return Record(message, data, base_name, time_ms, time_ms)
    demand(COVERAGE_BODY(body) and body["from"] <= body["to"], "a coverage record")
    demand(body["due"] == body["recorded"] + sum(body["missed"].values()), "due is not recorded and missed")
    return Record(message, data, base_name, body["to"], max(body["to"], time_ms))


def reading(pack: Any) -> tuple[Any, int, int]:
    """Base name, time, and the time of the last value."""
    demand(listed(pack, 1, MAX_UINT) and all(type(entry) is dict for entry in pack), "a pack")
    base = {key: pack[0].pop(key) for key in (-1, -2, -3) if key in pack[0]}
    demand(table({-2: any_value, -3: milliseconds}, {-1: exactly(26)})(base), "bn, bt or bver")
    seen = set()
    for entry in pack:
        demand(ENTRY(entry) and len(entry.keys() & {2, 3, 4}) == 1, "an entry of a pack")
        demand(entry.get(3) != "" or "q_" in entry, "no value, and no quality that says why")
        seen.add((entry[0], entry[6].value[1] if 6 in entry else 0))
    demand(len(seen) == len(pack), "two values of one point at one time")
    demand(
        (-1 in base) == any(entry.get(1) in SECONDARY for entry in pack), "bver without, or not with, a secondary unit"
    )
    begin = base[-3].value[1]
    return base[-2], begin, begin + max(offset for _, offset in seen)


class Statement(NamedTuple):
    message: Sign1
    body: dict[str, Any]
    entry: bytes
    """As a ledger logs it: with an empty unprotected header."""
    receipts: list[bytes]


def statement_of(data: bytes) -> Statement:
    message = sign1(data)
    demand(message.payload is not None, "a statement without a payload")
    demand(table({}, {394: array(BYTES, 1, 16)})(message.unprotected), "the unprotected header of a statement")
    demand(STATEMENT_HEADER(message.header), "the header of a statement")
    body = decode(message.payload or b"")
    demand(STATEMENT(body), "a statement")
    for ranges in body["meters"].values():
        before: tuple[bytes, int] | None = None
        for epoch, first, last in ranges:
            demand(
                first <= last and (before is None or before < (epoch, first)), "ranges that are not sorted and disjoint"
            )
            before = (epoch, last)
    entry = cbor2.dumps(cbor2.CBORTag(18, [message.protected, {}, message.payload, message.signature]))
    return Statement(message, body, entry, message.unprotected.get(394, []))


# ---- receipts [Receipts]


class Receipt(NamedTuple):
    message: Sign1
    proof: list[Any]
    ledger: str
    sub: str | None
    size: int | None
    """Signed by the ledger; absent in a foreign one."""
    iat: int | None


def receipt_of(data: bytes) -> Receipt:
    """Meterseal's own form, which signs ``size``, to the letter; a foreign one as RFC 9942 allows.

    Of another structure than RFC 9162's nothing is known, and nothing but its name is read.
    """
    message = sign1(data, strict=False)
    claims: Any = message.header.get(15)
    demand(type(claims) is dict, "a receipt without claims")
    ours = "size" in claims
    if ours:
        message = sign1(data)
        demand(RECEIPT_HEADER(message.header) and RECEIPT_OUTSIDE(message.unprotected), "the header of a receipt")
    issuer = text(r".{1,8192}")
    demand(issuer(claims.get(1)) and (2 not in claims or issuer(claims[2])), "iss or sub of a receipt")
    demand(type(message.header.get(1)) is int and octets(1, 256)(message.header.get(4)), "no alg, or no kid")
    demand(message.payload is None and type(message.header.get(395)) is int, "a root beside the proof, or no 395")
    iat = whole_time(claims[6]) if 6 in claims else None
    proof = [0, 0, []]
    if message.header[395] == RFC9162:
        proofs: Any = message.unprotected.get(396)
        demand(type(proofs) is dict and array(BYTES, 1, 1)(proofs.get(-1)), "not one inclusion proof")
        demand(not ours or RECEIPT_PROOFS(proofs), "another proof beside it")
        proof = decode(proofs[-1][0], strict=ours)
        demand(RECEIPT_PROOF(proof), "an inclusion proof")
    return Receipt(message, proof, claims[1], claims.get(2), claims.get("size"), iat)


def whole_time(value: Any) -> int:
    """Seconds; a fraction is rounded up, since a receipt of a later moment proves less."""
    if type(value) is Tag and value.number == 1:
        value = value.value
    demand(type(value) in (int, float) and math.isfinite(value), "iat")
    whole: int = math.ceil(value)
    demand(0 <= whole <= MAX_S, "iat")
    return whole


def demand_receipt(receipt: Receipt, statement: Statement, trust: Trust) -> Key:
    """Step 6: the ledger's key, once the receipt is proven to be that ledger's of this statement."""
    message = receipt.message
    key = trust.key("ledger", (receipt.ledger,), message.header[4])
    demand(message.header[395] == RFC9162, "not a tree of RFC 9162")
    size, index, path = receipt.proof
    key.public.check(message, root(leaf(statement.entry), size, index, path), low_s=False)
    if receipt.size is not None:
        statement_id = base64.urlsafe_b64encode(hashlib.sha256(statement.entry).digest()).decode().rstrip("=")
        demand(receipt.sub == statement_id and receipt.size == size, "a receipt of another statement, or another size")
    return key


def demand_receipt_time(receipt: Receipt, key: Key, now: int) -> int:
    """Step 7, of the receipt alone: its time."""
    demand(key.revoked is None, "a ledger's key that was revoked, at whatever time")
    if receipt.iat is None:
        raise Bad("a receipt without a time")
    key.demand_valid(receipt.iat)
    demand(receipt.iat <= now + TOLERANCE_S, "a receipt of the future")
    return receipt.iat


# ---- the eight steps


def verify(proof: bytes, trust: Trust, now: int) -> None:
    """Raises ``Failed`` with the first step that does not hold."""
    step = 1
    try:
        demand(len(proof) <= BUNDLE_CAP, "a proof of more than 1 MiB")
        bundle = decode(proof)
        demand(BUNDLE(bundle), "a bundle")
        statement, record = statement_of(bundle["statement"]), record_of(bundle["record"])
        gateway, meter = record.message.claims[1], record.message.claims[2]
        body, sealed_at = statement.body, statement.message.claims[6]

        step = 2
        demand(record.base_name == f"{gateway}/{meter}/", "the pack is of another meter than the claims")
        demand(meter != "gateway" or record.message.header[3] == EVENT, "the gateway itself signs events only")
        role, owner = ("statement", (gateway,)) if meter == "gateway" else ("meter", (gateway, meter))
        record_key = trust.key(role, owner, record.message.header[4])
        record_key.public.check(record.message, record.message.payload or b"")

        step = 3
        size, index, path = bundle["inclusion"]
        demand(size == body["size"], "a path for another number of records")
        demand(root(leaf(record.data), size, index, path) == body["root"], "the path leads to another root")

        step = 4
        demand(statement.message.claims[1] == gateway, "the statement of another gateway")
        statement_key = trust.key("statement", (gateway,), statement.message.header[4])
        statement_key.public.check(statement.message, statement.message.payload or b"")
        demand(statement.message.claims[2] == f"batch/{body['batch']}", "sub is not that of the batch")
        demand(("prev" in body) == (body["batch"] > 0), "prev is absent in batch 0, and only there")
        demand(body["from"] <= body["to"], "from is after to")
        ranges = [one for of_meter in body["meters"].values() for one in of_meter]
        demand(body["size"] == sum(last - first + 1 for _, first, last in ranges), "size is not the sum of the ranges")
        demand(body["from"] <= record.time_ms <= body["to"], "the record's time is outside of the batch")
        demand(body["to"] - SEALED_BEHIND_MS <= sealed_at * 1000, "signed before its last record")

        step = 5
        epoch, number = record.message.claims["epoch"], record.message.claims["seq"]
        places = body["meters"].get(meter, [])
        demand(
            any(one == epoch and first <= number <= last for one, first, last in places), "a number that is in no range"
        )

        times = ledgers_times(statement, trust, now)
        notes = bundle.get("witnessed", [])
        counted = sorted(time for ledger, time in times.items() if is_witnessed(ledger, notes, statement, trust))
        if len(counted) < trust.receipts:
            raise Failed(8, "too few ledgers with a witnessed state of their log")
        no_later = counted[trust.receipts - 1]

        step = 7
        record_key.demand_valid(no_later)
        statement_key.demand_valid(no_later)
        latest_ms = (no_later + TOLERANCE_S) * 1000
        demand(record.latest_ms <= latest_ms and sealed_at * 1000 <= latest_ms, "a time after the ledgers had it")
        delay_ms = no_later * 1000 - record.time_ms
        demand(trust.max_delay_s is None or delay_ms <= trust.max_delay_s * 1000, "held back for longer than max_delay")
    except Bad as error:
        raise Failed(step, str(error)) from None


def is_witnessed(ledger: str, notes: list[dict[str, Any]], statement: Statement, trust: Trust) -> bool:
    """Whether a note by itself shows a state of the ledger's log with the statement that enough witnesses cosigned."""
    if not trust.witnesses_needed:
        return True
    for one in notes:
        try:
            found = note(one["note"])
            size, index, path = one["place"]
            demand(size == found.size and root(leaf(statement.entry), size, index, path) == found.root, "another state")
            if witnesses_of(found, trust.logs.get(ledger, []), trust.witnesses) >= trust.witnesses_needed:
                return True
        except Bad:
            continue
    return False


def ledgers_times(statement: Statement, trust: Trust, now: int) -> dict[str, int]:
    """Steps 6 and 8, but for witnesses: the time from which each ledger that counts had the statement.

    Of a ledger its earliest receipt that counts. Where there are too few: the first failure among the ledgers that
    would make it enough, what is no receipt at all being first and a ledger each; else step 8.
    """
    times: dict[str, int] = {}
    junk: list[tuple[object, Failed]] = []
    failures: list[tuple[object, Failed]] = []
    for data in statement.receipts:
        try:
            receipt = receipt_of(data)
        except Bad as error:
            junk.append((object(), Failed(6, str(error))))
            continue
        step = 6
        try:
            key = demand_receipt(receipt, statement, trust)
            step = 7
            at = demand_receipt_time(receipt, key, now)
            step = 6
            demand(receipt.ledger in trust.ledgers, "a ledger that is not in policy.ledgers")
            times[receipt.ledger] = min(at, times.get(receipt.ledger, at))
        except Bad as error:
            failures.append((receipt.ledger, Failed(step, str(error))))
    if len(times) < trust.receipts:
        lost = [(ledger, error) for ledger, error in junk + failures if ledger not in times]
        if lost and len(times) + len({ledger for ledger, _ in lost}) >= trust.receipts:
            raise lost[0][1]
        raise Failed(8, f"{trust.receipts} ledgers must have it, {len(times)} do")
    return times


def judge(proof: bytes, trust: bytes, now: int) -> Verdict:
    try:
        trusted = trust_file(trust)
        if trusted.expires is not None and now >= trusted.expires:
            raise NotTrusted("expired")
        verify(proof, trusted, now)
    except NotTrusted as error:
        return Verdict("trust", None, str(error))
    except Failed as error:
        return Verdict("bad", STEPS[error.step - 1], str(error))
    return Verdict("good", None, "")


def corpus(folder: Path) -> Iterable[dict[str, Any]]:
    """Each case of the corpus in ``folder``: its name, what it expects, what was found."""
    for path in sorted((folder / "cases").glob("*.json")):
        case = json.loads(path.read_bytes())
        now = int(datetime.fromisoformat(case["now"]).timestamp())
        found = judge((folder / case["file"]).read_bytes(), (folder / case["trust"]).read_bytes(), now)
        expected = [case["verdict"], case["step"]]
        yield {"case": path.stem, "expected": expected, "found": [found.verdict, found.step], "why": found.why}


def main(arguments: list[str]) -> None:
    if arguments:
        for answer in corpus(Path(arguments[0])):
            print(json.dumps(answer))
        return
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(judge(bytes.fromhex(question["proof"]), bytes.fromhex(question["trust"]), question["now"])))


if __name__ == "__main__":
    main(sys.argv[1:])
