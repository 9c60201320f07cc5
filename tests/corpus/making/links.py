"""Steps 2 to 5: signatures, paths, what a statement says of itself, and whether it counts the record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.corpus.making import evidence as e
from tests.corpus.making import points
from tests.corpus.making.keys import Key, N, beyond_l, high_s, key, with_identity_as_r
from tests.corpus.making.table import Made, bad, good
from tests.corpus.making.trust_text import ledger, meter, statement, trust

ED, P256 = key("meter"), key("meter-p256", "P-256")
ED_STATEMENT = key("statement-ed")
P256_LEDGER = key("ledger-p256", "P-256")


def cases() -> Iterator[Made]:
    yield from _signatures()
    yield from _mixed_points()
    yield from _algorithms()
    yield from _paths()
    yield from _statements()
    yield from _sequence()


Forge = Callable[[Key, bytes], bytes]


def _flip(signer: Key, message: bytes) -> bytes:
    signature = signer.sign(message)
    return signature[:40] + bytes((signature[40] ^ 1,)) + signature[41:]


_BOTH: dict[str, tuple[Forge, str]] = {
    "one-bit": (_flip, "one bit is another"),
    "63-bytes": (lambda k, m: k.sign(m)[:63], "63 bytes"),
    "65-bytes": (lambda k, m: k.sign(m) + b"\0", "65 bytes"),
    "empty": (lambda k, m: b"", "no signature"),
    "zeros": (lambda k, m: bytes(64), "64 zeros"),
    "other-key": (lambda k, m: key("thief", k.curve).sign(m), "by a key that is not known"),
    "other-context": (lambda k, m: k.sign(m.replace(b"Signature1", b"Signature2")), "over another context string"),
    "payload-alone": (lambda k, m: k.sign(m[-100:]), "over something else"),
    "swapped": (lambda k, m: k.sign(m)[32:] + k.sign(m)[:32], "its halves are swapped"),
}
_EDWARDS: dict[str, tuple[Forge, str]] = {
    "s-plus-l": (lambda k, m: beyond_l(k.sign(m)), "S is L higher"),
    "s-is-l": (
        lambda k, m: k.sign(m)[:32] + (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little"),
        "S is L",
    ),
    "r-identity": (with_identity_as_r, "R is of order 1, and the equation holds"),
    "r-zero": (lambda k, m: bytes(32) + k.sign(m)[32:], "R is of order 4"),
    "r-not-canonical": (lambda k, m: (2**255 - 18).to_bytes(32, "little") + k.sign(m)[32:], "R is 1 as 1 + p"),
}
_WEIERSTRASS: dict[str, tuple[Forge, str]] = {
    "high-s": (lambda k, m: high_s(k.sign(m)), "s is above n/2"),
    "s-zero": (lambda k, m: k.sign(m)[:32] + bytes(32), "s is 0"),
    "r-zero": (lambda k, m: bytes(32) + k.sign(m)[32:], "r is 0"),
    "r-is-n": (lambda k, m: N.to_bytes(32, "big") + k.sign(m)[32:], "r is n"),
    "s-plus-n": (lambda k, m: k.sign(m)[:32] + (2**256 - 1).to_bytes(32, "big"), "s is beyond n"),
    "der": (lambda k, m: b"\x30\x44\x02\x20" + k.sign(m)[:32] + b"\x02\x20" + k.sign(m)[32:60], "in the form of DER"),
}


def _signatures() -> Iterator[Made]:
    p256_meter = trust(keys={"meter": meter(public=P256)})
    ed_statement = trust(keys={"statement": statement(public=ED_STATEMENT)})
    p256_ledger = trust(keys={e.LEDGER: ledger(public=P256_LEDGER)})
    plain = trust()
    for curve, forms in (("ed25519", _BOTH | _EDWARDS), ("p256", _BOTH | _WEIERSTRASS)):
        ed = curve == "ed25519"
        signers = (ED, ED_STATEMENT, e.LEDGER_KEY) if ed else (P256, e.STATEMENT, P256_LEDGER)
        trusts = (plain, ed_statement, plain) if ed else (p256_meter, plain, p256_ledger)
        for name, (forge, why) in forms.items():

            def by(signer: Key, forge: Forge = forge) -> dict[str, Any]:
                return {"signer": signer, "signature": lambda message: forge(signer, message)}

            of_record = e.bundle(e.record(**by(signers[0])))
            yield bad("record", f"signature-record-{curve}-{name}", of_record, f"record: {why}", trusts[0])
            of_statement = e.bundle(**by(signers[1]))
            yield bad("statement", f"signature-statement-{curve}-{name}", of_statement, f"statement: {why}", trusts[1])
            if name != "high-s":
                given = [partial(e.receipt, **by(signers[2]))]
                yield bad(
                    "receipts",
                    f"signature-receipt-{curve}-{name}",
                    e.bundle(receipts=given),
                    f"receipt: {why}",
                    trusts[2],
                )


def _mixed_points() -> Iterator[Made]:
    odd = points.mixed(ED)
    trusted = trust(keys={"meter": meter(public=odd)})

    def by(signature: Callable[[bytes], bytes], signer: Key = odd) -> bytes:
        return e.bundle(e.record(signer=signer, signature=signature))

    both = by(partial(points.sign_mixed, odd, exact=True))
    yield good("point-mixed-key", both, "a key with a part of order 8, and a signature by both equations", trusted)
    loose = by(partial(points.sign_mixed, odd, exact=False))
    why = "a key with a part of order 8: the equation with the cofactor alone holds"
    yield bad("record", "point-mixed-key-cofactor", loose, why, trusted)
    why = "an R with a part of order 8: the equation with the cofactor alone holds"
    yield bad("record", "point-mixed-r-cofactor", by(partial(points.sign_with_torsion, ED), ED), why)


def _algorithms() -> Iterator[Made]:
    p256 = trust(keys={"meter": meter(public=P256)})
    yield bad("record", "alg-es256-by-ed25519", e.bundle(e.record(header={1: -7})), "ES256, by a key of Ed25519")
    yield bad("record", "alg-minus-9-by-ed25519", e.bundle(e.record(header={1: -9})), "-9, by a key of Ed25519")
    of_p256 = e.record(signer=P256, header={1: -8})
    yield bad("record", "alg-eddsa-by-p256", e.bundle(of_p256), "EdDSA, by a key of P-256", p256)
    yield bad(
        "record",
        "alg-minus-19-by-p256",
        e.bundle(e.record(signer=P256, header={1: -19})),
        "-19, by a key of P-256",
        p256,
    )
    yield bad("statement", "alg-statement", e.bundle(header={1: -8}), "statement: EdDSA, by a key of P-256")
    for alg in (-7, -35):
        given = [lambda entry, alg=alg: e.receipt(entry, header={1: alg})]
        yield bad("receipts", f"alg-receipt{alg}", e.bundle(receipts=given), f"receipt: alg {alg}, by a key of Ed25519")


def _paths() -> Iterator[Made]:
    batch = e.chained(5)
    leaves = [e.leaf_hash(each.data) for each in batch]
    path = e.path_of(2, leaves)
    for name, place, why in (
        ("hash", [5, 2, [bytes(32), *path[1:]]], "a hash is another"),
        ("short", [5, 2, path[:-1]], "the last hash is missing"),
        ("none", [5, 2, []], "no hashes"),
        ("long", [5, 2, [*path, bytes(32)]], "a hash too many"),
        ("64", [5, 2, [bytes(32)] * 64], "64 hashes"),
        ("reversed", [5, 2, path[::-1]], "the hashes backwards"),
        ("index", [5, 3, path], "the place of the neighbour"),
        ("index-is-size", [5, 5, path], "an index that is the size"),
        ("index-largest", [5, 2**64 - 1, path], "an index of 64 bits"),
        ("size", [6, 2, path], "another size than the statement says"),
        ("size-0", [0, 0, []], "a tree without a leaf"),
        ("size-largest", [2**64 - 1, 2, path], "a size of 64 bits"),
    ):
        yield bad("inclusion", f"path-{name}", e.bundle(batch, 2, place=place), why)
    other = e.record(seq=2, claims={"up": 1})
    yield bad(
        "inclusion",
        "path-other-record",
        e.bundle(batch, 2, changes={"record": other.data}),
        "a record that is not in the batch",
    )
    yield bad(
        "inclusion",
        "path-neighbour",
        e.bundle(batch, 2, changes={"record": batch[3].data}),
        "another record of the batch",
    )
    one = e.bundle(fields={"root": hashlib.sha256(b"\1" + e.record().data).digest()})
    yield bad("inclusion", "path-root-as-node", one, "the root is hashed as a node is")
    bare = e.bundle(fields={"root": hashlib.sha256(e.record().data).digest()})
    yield bad("inclusion", "path-root-without-prefix", bare, "the root is hashed without a prefix")
    odd = e.chained(3)
    three = [e.leaf_hash(each.data) for each in odd]
    doubled = e.node_hash(e.node_hash(three[0], three[1]), e.node_hash(three[2], three[2]))
    place = [3, 2, [three[2], e.node_hash(three[0], three[1])]]
    yield bad(
        "inclusion",
        "path-doubled-leaf",
        e.bundle(odd, 2, fields={"root": doubled}, place=place),
        "the odd leaf is doubled",
    )
    yield bad(
        "inclusion", "size-of-statement-0", e.bundle(fields={"size": 0}, place=[0, 0, []]), "a batch of no records"
    )


def _statements() -> Iterator[Made]:
    away = e.bundle(claims={1: "other-gateway"})
    yield bad("statement", "statement-of-other-gateway", away, "statement: of another gateway than the record")
    yield bad(
        "statement", "statement-kid-unknown", e.bundle(header={4: bytes(32)}), "statement: a kid that is not known"
    )
    by_meter = e.bundle(signer=e.METER)
    yield bad("statement", "statement-by-meter-key", by_meter, "statement: by the meter's key")
    none = trust(keys={"statement": ""})
    yield bad("statement", "no-statement-key", e.bundle(), "a trust file without a statement key", none)
    elsewhere = trust(keys={"statement": statement(gateway="other-gateway")})
    yield bad("statement", "statement-key-of-other-gateway", e.bundle(), "the key is another gateway's", elsewhere)
    big = 2**63
    for name, fields, why in (
        (
            "sum-short",
            {"size": 1, "meters": {e.METER_NAME: [[e.EPOCH, 0, 1]]}},
            "its ranges hold two records, its size is 1",
        ),
        ("meters-empty", {"meters": {}}, "its ranges hold nothing"),
        ("sum-beyond-64-bits", {"meters": {e.METER_NAME: [[e.EPOCH, 0, 2**64 - 1]]}}, "its ranges hold 2^64 records"),
        (
            "sum-overflows-to-1",
            {"meters": {"a": [[e.EPOCH, 0, big - 1]], e.METER_NAME: [[e.EPOCH, 0, big]]}},
            "its ranges hold 2^64 + 1 records",
        ),
        ("prev-in-batch-0", {"prev": bytes(32)}, "batch 0 has none before it"),
        ("prev-missing", {"batch": 1}, "batch 1 names none before it"),
        ("from-after-to", {"from": e.T0_MS + 1}, "it begins after it ends"),
        ("ends-before-record", {"from": e.T0_MS - 2, "to": e.T0_MS - 1}, "the record is later than its end"),
        ("begins-after-record", {"from": e.T0_MS + 1, "to": e.T0_MS + 1}, "the record is before its beginning"),
        ("signed-before", {"to": (e.T0 + 2) * 1000 + 2001}, "to is 2.001 s ahead of iat"),
    ):
        yield bad("statement", f"statement-{name}", e.bundle(fields=fields), f"statement: {why}")
    for name, sub in (
        ("other", "batch/1"),
        ("zeros", "batch/00"),
        ("plus", "batch/+0"),
        ("text", "x"),
        ("space", "batch/0 "),
    ):
        yield bad("statement", f"statement-sub-{name}", e.bundle(claims={2: sub}), f"statement: sub {sub!r} of batch 0")


def _sequence() -> Iterator[Made]:
    for name, meters, why in (
        ("number", {e.METER_NAME: [[e.EPOCH, 1, 1]]}, "another number"),
        ("epoch", {e.METER_NAME: [[bytes(8), 0, 0]]}, "another epoch"),
        ("meter", {"import-main": [[e.EPOCH, 0, 0]]}, "another meter"),
        ("case", {e.METER_NAME.upper(): [[e.EPOCH, 0, 0]]}, "a meter in capitals"),
    ):
        yield bad("sequence", f"sequence-{name}", e.bundle(fields={"meters": meters}), f"the statement counts {why}")
    between = [e.record(seq=0), e.record(seq=2), e.record(seq=3)]
    counted = {"meters": {e.METER_NAME: [[e.EPOCH, 0, 0], [e.EPOCH, 3, 4]]}}
    yield bad("sequence", "sequence-between", e.bundle(between, 1, fields=counted), "it counts numbers on both sides")
    of_gateway = e.event({"event": "start"}, signer=e.STATEMENT, meter="gateway", seq=0)
    missing = {"meters": {e.METER_NAME: [[e.EPOCH, 0, 0]]}}
    yield bad(
        "sequence",
        "sequence-gateway",
        e.bundle(of_gateway, fields=missing),
        "an event of the gateway that is not counted",
    )
