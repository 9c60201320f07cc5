"""Cases that hold: every kind of record, value, key, receipt and tree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tests.corpus.making import evidence as e
from tests.corpus.making.keys import high_s, key, text_of
from tests.corpus.making.table import Made, good
from tests.corpus.making.trust_text import ledger, meter, statement, trust
from tests.corpus.making.wire import Raw, decimal, encode, milliseconds, nested

ABC = ("ledger-a", "ledger-b", "ledger-c")
TEXTS = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "bidi": "\u202e\u2066 07-ordyh\u2069 ‏‎",
    "null": "a\0b\x1b[31m\x7f\n",
    "astral": "𝟙 😀 é e\u0301 \ufeff 电表",
}


def cases() -> Iterator[Made]:
    yield good("good-reading", e.bundle(), "a reading of five values")
    yield from _values()
    yield from _records()
    yield from _trees()
    yield from _statements()
    yield from _keys()


def _one(value: e.Map) -> bytes:
    return e.bundle(e.record(e.pack((value,))))


def _values() -> Iterator[Made]:
    numbers = {
        "decimal-beyond-doubles": (decimal(-2, 123_456_789_012_345_678), "1234567890123456.78 has no double"),
        "decimal-trailing-zeros": (decimal(-3, 18_250), "18.250 keeps its zero"),
        "decimal-exponent-64": (decimal(64, 1), "the largest exponent"),
        "decimal-exponent-minus-64": (decimal(-64, -(2**64)), "the smallest exponent, the largest mantissa below 0"),
        "decimal-zero": (decimal(-2, 0), "0.00"),
        "integer-largest": (2**64 - 1, "the largest integer of CBOR's major type 0"),
        "integer-smallest": (-(2**64), "the smallest integer of CBOR's major type 1"),
        "integer-beyond-doubles": (2**53 + 1, "the first integer that no double holds"),
        "float-half": (0.5, "a float of 16 bits"),
        "float-half-subnormal": (2.0**-24, "the smallest float of 16 bits"),
        "float-half-largest": (65504.0, "the largest float of 16 bits"),
        "float-single": (65520.0, "one that needs 32 bits"),
        "float-single-subnormal": (2.0**-149, "the smallest float of 32 bits"),
        "float-double": (0.1, "one that needs 64 bits"),
        "float-minus-zero": (-0.0, "zero with a sign"),
        "float-whole": (230.0, "a float without a fraction stays a float"),
    }
    for name, (number, why) in numbers.items():
        yield good(f"value-{name}", _one({0: "a", 2: number}), why)
    for name, text in TEXTS.items():
        yield good(f"value-text-{name}", _one({0: "a", 3: text}), f"text with {name} characters is text")
    yield good("value-true", _one({0: "a", 4: True}), "a boolean")
    yield good("value-false", _one({0: "a", 4: False}), "a boolean")
    yield good("value-empty", _one({0: "a", 3: "", "q_": 1}), "no value, and the quality bit that says why")
    yield good("value-quality-unknown", _one({0: "a", 2: 1, "q_": 2**63}), "a quality bit that nobody knows yet")
    same = ({0: "a", 2: 1}, {0: "a", 2: 2, 6: milliseconds(1)})
    yield good("value-two-times", e.bundle(e.record(e.pack(same))), "one point at two times")
    late = ({0: "a", 2: 1}, {0: "b", 2: 2, 6: milliseconds(304_877)})
    yield good("value-offset-last", e.bundle(e.record(e.pack(late))), "read 300 s after the receipt, to the ms")
    many = tuple({0: f"point-{n}", 2: n} for n in range(300))
    yield good("value-three-hundred", e.bundle(e.record(e.pack(many))), "300 values")


def _records() -> Iterator[Made]:
    batch = [e.record(), e.coverage(), e.event()]
    for index, kind in enumerate(("reading", "coverage", "event")):
        yield good(f"record-{kind}", e.bundle(batch, index), f"a record of kind {kind} in a batch of three")
    of_gateway = e.event({"event": "start"}, signer=e.STATEMENT, meter="gateway")
    yield good("record-gateway-event", e.bundle(of_gateway), "an event of the gateway itself, by its statement key")
    facts = {
        "event": "odd",
        "numbers": {1: "a", "1": "b", "#1": "c"},
        "none": None,
        "deep": nested(13),
        **{t: t for t in TEXTS.values()},
    }
    yield good("record-event-odd-facts", e.bundle(e.event(facts)), "whatever deterministic CBOR holds, 16 levels deep")
    big = {"event": "odd", "numbers": {2**64 - 1: 0, 24: 1}}
    yield good("record-event-large-keys", e.bundle(e.event(big)), "a map with integers from 0 on as its keys")
    for clock in "UIR":
        yield good(
            f"record-clock-{clock}", e.bundle(e.record(claims={"clock": clock})), f"a clock in the state {clock}"
        )
    yield good("record-without-error", e.bundle(e.record(claims={"err": ...})), "a clock whose error is not known")
    more = {"prev": bytes(32), "salt": bytes(16)}
    yield good("record-prev-and-salt", e.bundle(e.record(claims=more)), "both optional claims")
    largest = {"up": 2**64 - 1, "err": 2**64 - 1}
    yield good("record-largest-numbers", e.bundle(e.record(seq=2**64 - 1, claims=largest)), "integers of 64 bits")
    yield good("record-iat-last", e.bundle(e.record(claims={6: e.RECEIPT_S + 300})), "signed 300 s after the receipt")
    just = (e.RECEIPT_S + 300) * 1000
    ahead = e.record(e.pack(e.VALUES[:1], time=milliseconds(just)), time_ms=just)
    yield good("record-time-last", e.bundle(ahead, claims={6: just // 1000}), "made 300 s after the receipt, to the ms")
    none = e.coverage({"missed": {}, "recorded": 6, "from": e.T0 * 1000}, seq=0)
    yield good("coverage-of-a-moment", e.bundle(none), "coverage may begin where it ends, and miss nothing")


def _trees() -> Iterator[Made]:
    for size, index in ((2, 0), (2, 1), (3, 2), (5, 4), (7, 3), (7, 6), (33, 32), (100, 57)):
        why = f"leaf {index} of {size}"
        yield good(f"tree-{size}-leaf-{index}", e.bundle(e.chained(size), index), why)
    path = [hashlib.sha256(bytes((n,))).digest() for n in range(63)]
    only = e.record()
    root = e.leaf_hash(only.data)
    for sibling in path:
        root = e.node_hash(root, sibling)
    counted = {"size": 2**63, "root": root, "meters": {e.METER_NAME: [[e.EPOCH, 0, 2**63 - 1]]}}
    huge = e.bundle(only, fields=counted, place=[2**63, 0, path])
    yield good("tree-of-2-to-63", huge, "a batch as large as its path of 63 hashes says")
    for number in (1, 6):
        log = [b"entry %d" % n for n in range(number)]
        given = [lambda entry, log=log: e.receipt(entry, log=log)]
        yield good(f"log-of-{number + 1}", e.bundle(receipts=given), f"the last of {number + 1} entries of a log")


def _statements() -> Iterator[Made]:
    later = {"batch": 5, "prev": bytes(32)}
    yield good("statement-later", e.bundle(fields=later), "batch 5 names the statement before it")
    yield good("statement-resume", e.bundle(fields={**later, "resume": "restored"}), "it goes on after a loss")
    astral = {**later, "resume": "😀" * 256}
    yield good("statement-resume-256", e.bundle(fields=astral), "256 characters, of four bytes each")
    largest = {"batch": 2**64 - 1, "prev": bytes(32)}
    yield good("statement-largest-batch", e.bundle(fields=largest), "a number of 64 bits")
    other = [e.record(), e.record(meter="import-main"), e.record(epoch=bytes(8), seq=7)]
    yield good("statement-many-ranges", e.bundle(other, 2), "two meters, and two epochs of one")
    split = {"size": 1, "meters": {e.METER_NAME: [[e.EPOCH, 0, 0]]}}
    yield good("statement-one-range", e.bundle(fields=split), "a range of one number")
    pair = e.chained(2)
    parts = {"meters": {e.METER_NAME: [[e.EPOCH, 0, 0], [e.EPOCH, 1, 1]]}}
    yield good("statement-ranges-that-touch", e.bundle(pair, 1, fields=parts), "two ranges that follow each other")
    before = {"to": (e.T0 + 2) * 1000 + 2000}
    yield good("statement-signed-2-s-before", e.bundle(fields=before), "to may be 2 s ahead of iat")
    last = {6: e.RECEIPT_S + 300}
    yield good("statement-iat-last", e.bundle(claims=last), "signed 300 s after the receipt, by its own clock")


def _keys() -> Iterator[Made]:
    p256, ed = key("meter-p256", "P-256"), key("statement-ed")
    trusted = trust(keys={"meter": meter(public=p256)})
    yield good("keys-all-p256-but-ledger", e.bundle(e.record(signer=p256)), "the meter's key is P-256", trusted)
    curves = trust(keys={"statement": statement(public=ed)})
    yield good("keys-all-ed25519", e.bundle(signer=ed), "three keys of Ed25519", curves)
    chain = key("ledger-p256", "P-256")
    three = trust(keys={"meter": meter(public=p256), e.LEDGER: ledger(public=chain)})
    given = [lambda entry: e.receipt(entry, signer=chain)]
    yield good("keys-all-p256", e.bundle(e.record(signer=p256), receipts=given), "three keys of P-256", three)
    twin = [lambda entry: e.receipt(entry, signer=chain, signature=lambda message: high_s(chain.sign(message)))]
    why = "of a receipt either s is accepted: nothing hashes it"
    yield good("receipt-high-s", e.bundle(e.record(signer=p256), receipts=twin), why, three)
    yield good("alg-minus-19", e.bundle(e.record(header={1: -19})), "Ed25519 by its own number (RFC 9864)")
    yield good("alg-minus-9", e.bundle(header={1: -9}), "ES256 by its own number (RFC 9864)")
    of_gateway = [lambda entry: e.receipt(entry, header={1: -19})]
    yield good("alg-minus-19-receipt", e.bundle(receipts=of_gateway), "a receipt by -19")
    other = encode(e.METER.fields)
    loose = encode(Raw(b"\xa5" + other[1:] + encode(2) + encode(b"name") + encode(4) + encode([2])))
    spread = trust(keys={"meter": meter(public=text_of(loose))})
    yield good("key-with-kid-and-ops", e.bundle(), "a COSE_Key with kid and key_ops, keys in any order", spread)
    yield good(
        "key-alg-minus-19",
        e.bundle(),
        "a COSE_Key that says -19",
        trust(keys={"meter": meter(public=text_of(encode({**e.METER.fields, 3: -19})))}),
    )
    bare = trust(keys={"meter": meter(public=text_of(encode(e.METER.fields)))})
    yield good("key-without-alg", e.bundle(), "a COSE_Key without alg has its curve's", bare)
