"""Encodings that no part of a bundle may have: one form for each content, in every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.corpus.making import evidence as e
from tests.corpus.making.table import PLAIN_BUNDLE, Made, bad
from tests.corpus.making.wire import (
    Raw,
    Tag,
    backwards,
    decimal,
    encode,
    head,
    indefinite,
    long_head,
    milliseconds,
    nested,
    with_pair,
)

Change = Callable[[e.Map], object]


def cases() -> Iterator[Made]:
    yield from _files()
    yield from _layers()
    yield from _items()
    yield from _envelopes()


def _files() -> Iterator[Made]:
    """What is no bundle at all."""
    for name, data, why in (
        ("empty", b"", "no bytes"),
        ("text", b"a reading\n", "text"),
        ("json", b'{"v": 1}', "JSON"),
        ("null", b"\xf6", "null"),
        ("array", b"\x80", "an array"),
        ("break", b"\xff", "a break that ends nothing"),
        ("reserved-head", b"\x1c", "additional information 28 is reserved"),
        ("huge-length", b"\x5b" + b"\xff" * 8, "a byte string of 2^64 - 1 bytes"),
        ("huge-map", b"\xbb" + b"\xff" * 8, "a map of 2^64 - 1 pairs"),
        ("deep-arrays", b"\x81" * 2_000, "2,000 arrays within each other"),
        ("deep-tags", b"\xd2" * 2_000, "2,000 tags within each other"),
        ("trailing", PLAIN_BUNDLE + b"\0", "a byte behind the bundle"),
        ("twice", PLAIN_BUNDLE * 2, "two bundles in one file"),
        ("truncated", PLAIN_BUNDLE[:-1], "the last byte is missing"),
        ("half", PLAIN_BUNDLE[: len(PLAIN_BUNDLE) // 2], "the second half is missing"),
        ("tagged", b"\xd9\xd9\xf7" + PLAIN_BUNDLE, "behind the tag of self-described CBOR"),
        ("bom", b"\xef\xbb\xbf" + PLAIN_BUNDLE, "behind a byte order mark"),
    ):
        yield bad("parse", f"file-{name}", data, why)
    batch = {"v": 1, "records": [e.record().data], "anchors": [], "statement": e.statement([e.record()])}
    yield bad("parse", "file-batch", encode(batch), "a whole batch, not the proof of one record")
    large = e.bundle(receipts=[bytes(65_536)] * 16)
    assert len(large) > 1 << 20
    yield bad("parse", "file-beyond-1-mib", large, "more than 1,048,576 bytes")


def _bundle(change: Change) -> bytes:
    whole = {
        "v": 1, "record": e.record().data, "anchors": [], "inclusion": [1, 0, []],
        "statement": e.attached(_ENTRY, [e.receipt(_ENTRY)]),
    }  # fmt: skip
    return encode(change(whole))


_ENTRY = e.statement([e.record()])
_HEADER = {1: -8, 3: e.READING, 4: e.METER.kid}
_CLAIMS = {1: e.GATEWAY, 2: e.METER_NAME, 6: e.T0 + 1, "up": 12_345, "seq": 0, "clock": "S", "epoch": e.EPOCH}


def _record_header(change: Change) -> bytes:
    return e.bundle(e.record(header=encode(change({**_HEADER, 15: _CLAIMS}))))


def _record_claims(change: Change) -> bytes:
    return e.bundle(e.record(header=encode({**_HEADER, 15: change(_CLAIMS)})))


def _reading(change: Change) -> bytes:
    """The pack's first entry; what follows it belongs to the payload."""
    (first,) = e.pack(e.VALUES[:1])
    return e.bundle(e.record(encode([change(first)])))


def _coverage(change: Change) -> bytes:
    facts = {"from": (e.T0 - 60) * 1000, "to": e.T0 * 1000, "due": 6, "recorded": 6, "missed": {}}
    return e.bundle(e.record(change(facts), content=e.COVERAGE, time_ms=e.T0 * 1000))


def _event(change: Change) -> bytes:
    return e.bundle(e.event(change({"event": "odd", "a": 1, "b": 2}), seq=0))


def _statement_payload(change: Change) -> bytes:
    only = e.record()
    payload_map = {
        "batch": 0, "root": e.leaf_hash(only.data), "size": 1, "from": only.time_ms, "to": only.time_ms,
        "meters": e.ranges([only]), "config": bytes(32), "software": "meterseal/0.1.0",
    }  # fmt: skip
    return e.bundle(only, payload=encode(change(payload_map)))


def _statement_header(change: Change) -> bytes:
    header = {1: -7, 3: e.BATCH, 4: e.STATEMENT.kid, 15: {1: e.GATEWAY, 2: "batch/0", 6: e.T0 + 2}}
    return e.bundle(header=encode(change(header)))


def _receipt_header(change: Change) -> bytes:
    claims = {1: e.LEDGER, 2: e.statement_id(_ENTRY), 6: e.RECEIPT_S, "size": 4}
    header = {1: -8, 4: e.LEDGER_KEY.kid, 15: claims, 395: 1}
    return e.bundle(receipts=[e.receipt(_ENTRY, header=encode(change(header)))])


_MAPS: Mapping[str, tuple[str, Callable[[Change], bytes], str]] = {
    "bundle": ("parse", _bundle, "anchors"),
    "record-header": ("parse", _record_header, ""),
    "record-claims": ("parse", _record_claims, "up"),
    "reading": ("parse", _reading, ""),
    "coverage": ("parse", _coverage, "due"),
    "event": ("parse", _event, "a"),
    "statement": ("parse", _statement_payload, "size"),
    "statement-header": ("parse", _statement_header, ""),
    "receipt-header": ("receipts", _receipt_header, ""),
}
"""Layer → the step that fails, how a bundle with that map changed is made, and a key that can come twice."""


def _layers() -> Iterator[Made]:
    for layer, (step, build, twice) in _MAPS.items():
        for name, change, why in (
            ("keys-backwards", backwards, "its keys in the opposite order"),
            ("indefinite", indefinite, "a map without a length"),
            ("long-head", long_head, "the head of the map is a byte longer than it need be"),
            ("key-twice", lambda m, key=twice: with_pair(m, key or min(m, key=encode)), "a key comes twice"),
            ("trailing", lambda m: Raw(encode(m) + b"\0"), "a byte behind its end"),
            ("bytes-as-key", lambda m: {**m, b"x": 1}, "a byte string as a key"),
            ("unknown-key", lambda m, key=1 if layer == "event" else "x": {**m, key: 1}, "a key that is not known"),
        ):
            yield bad(step, f"{layer}-{name}", build(change), f"{layer}: {why}")


def _items() -> Iterator[Made]:
    """Single items, each within an event, whose facts may be anything that is deterministic."""

    def holding(item: object) -> bytes:
        return e.bundle(e.event(encode({"a": item, "event": "odd"}), seq=0))

    for name, data, why in (
        ("integer-long", head(0, 1, 1), "1 in two bytes"),
        ("integer-very-long", head(0, 65_535, 8), "65535 in nine bytes"),
        ("negative-long", head(1, 3, 2), "-4 in three bytes"),
        ("bytes-long", head(2, 3, 1) + b"abc", "a length in two bytes"),
        ("text-long", head(3, 3, 1) + b"abc", "a length in two bytes"),
        ("array-long", head(4, 0, 1), "a length in two bytes"),
        ("bytes-indefinite", indefinite(b"abc").data, "a byte string in pieces"),
        ("text-indefinite", indefinite("abc").data, "text in pieces"),
        ("array-indefinite", indefinite([1]).data, "an array without a length"),
        ("map-indefinite", indefinite({"a": 1}).data, "a map without a length"),
        ("bignum", b"\xc2\x49\x01" + bytes(8), "a bignum (tag 2)"),
        ("time-tag", b"\xc1\x1a\x69\xa3\xf5\x00", "a time (tag 1)"),
        ("sign1-tag-inside", b"\xd2\x80", "tag 18 within an item"),
        ("tag-long", b"\xd8\x04\x82\x20\x05", "tag 4 in two bytes"),
        ("decimal-of-three", encode(Tag(4, [-1, 5, 0])), "a decimal fraction of three parts"),
        ("decimal-of-floats", encode(Tag(4, [-1, 0.5])), "a decimal fraction of a float"),
        ("decimal-of-booleans", encode(Tag(4, [-1, True])), "a decimal fraction of a boolean"),
        ("decimal-exponent-65", encode(decimal(65, 1)), "an exponent beyond 64"),
        ("decimal-exponent-minus-65", encode(decimal(-65, 1)), "an exponent beyond -64"),
        ("decimal-bignum", b"\xc4\x82\x20\xc2\x49\x01" + bytes(8), "a mantissa beyond 64 bits"),
        ("float-32-for-16", b"\xfa\x3f\x00\x00\x00", "0.5 in 32 bits"),
        ("float-64-for-16", b"\xfb\x3f\xe0" + bytes(6), "0.5 in 64 bits"),
        ("float-64-for-32", b"\xfb\x40\xef\xfe" + bytes(5), "65520 in 64 bits"),
        ("float-32-subnormal-for-16", b"\xfa\x33\x80\x00\x00", "2^-24 in 32 bits"),
        ("float-nan", b"\xf9\x7e\x00", "NaN is never a value"),
        ("float-infinite", b"\xf9\x7c\x00", "infinity is never a value"),
        ("float-minus-infinite", b"\xfb\xff\xf0" + bytes(6), "nor is -infinity, in whatever size"),
        ("undefined", b"\xf7", "undefined"),
        ("simple", b"\xf0", "simple value 16"),
        ("simple-in-two-bytes", b"\xf8\xff", "simple value 255"),
        ("simple-false-long", b"\xf8\x14", "false in two bytes"),
        ("text-not-utf8", b"\x62\xc3\x28", "text that is not UTF-8"),
        ("text-overlong", b"\x62\xc0\x80", "U+0000 in two bytes"),
        ("text-surrogate", b"\x63\xed\xa0\x80", "a surrogate in UTF-8"),
        ("text-beyond-unicode", b"\x64\xf4\x90\x80\x80", "beyond U+10FFFF"),
        ("keys-twice", b"\xa2\x01\x01\x01\x02", "a key comes twice"),
        ("keys-unsorted", b"\xa2\x02\x01\x01\x02", "keys out of order"),
        ("keys-mixed", encode({24: 1, "a": 2}), "an integer above 23 beside text as keys"),
        ("keys-negative-and-large", encode({-1: 1, 24: 2}), "an integer above 23 beside one below 0 as keys"),
        ("keys-boolean", b"\xa1\xf5\x01", "true as a key"),
        ("keys-bytes", b"\xa1\x41\x61\x01", "a byte string as a key"),
        ("deep", encode(nested(16)), "17 levels"),
        ("reserved", b"\x1e", "additional information 30 is reserved"),
        ("ends-early", b"\x44abc", "a string longer than the payload"),
    ):  # fmt: skip
        yield bad("parse", f"item-{name}", holding(Raw(data)), why)
    yield bad("parse", "item-value-deep", e.bundle(e.record(encode([nested(20)]))), "a reading of 20 levels")


def _envelopes() -> Iterator[Made]:
    """The four parts of a COSE_Sign1 and its tag."""
    good = e.record()
    array, signature = [encode(_HEADER), {}, encode(e.pack()), bytes(64)], bytes(64)
    for name, data, why in (
        ("untagged", good.data[1:], "no tag 18"),
        ("tag-17", e.record(tag=17).data, "tag 17 is COSE_Mac0"),
        ("tag-98", e.record(tag=98).data, "tag 98 is COSE_Sign"),
        ("tag-twice", b"\xd2" + good.data, "tag 18 twice"),
        ("tag-long", b"\xd8\x12" + good.data[1:], "tag 18 in two bytes"),
        ("of-three", encode(Tag(18, array[:3])), "three parts"),
        ("of-five", encode(Tag(18, [*array, b""])), "five parts"),
        (
            "header-as-map",
            encode(Tag(18, [_HEADER, *array[1:]])),
            "the protected header is not wrapped in a byte string",
        ),
        ("header-empty", encode(Tag(18, [b"", *array[1:]])), "no protected header"),
        ("header-of-array", encode(Tag(18, [b"\x80", *array[1:]])), "a protected header that is an array"),
        ("unprotected-null", encode(Tag(18, [array[0], None, *array[2:]])), "no unprotected header"),
        ("unprotected-kid", e.record(header={4: ...}, unprotected={4: e.METER.kid}).data, "the kid is not signed"),
        ("unprotected-more", e.record(unprotected={"x": 1}).data, "something outside of the signature"),
        ("unprotected-both", e.record(unprotected={1: -8}).data, "alg in both headers"),
        ("crit", e.record(header={2: [3]}).data, "crit asks for an extension"),
        ("detached", e.record(detached=True).data, "no payload"),
        ("payload-text", encode(Tag(18, [array[0], {}, "text", signature])), "a payload that is text"),
        ("signature-text", encode(Tag(18, [*array[:3], "text"])), "a signature that is text"),
        ("trailing", good.data + b"\0", "a byte behind the record"),
        ("empty", b"", "no bytes"),
    ):
        yield bad("parse", f"sign1-record-{name}", e.bundle(good, changes={"record": data}), f"record: {why}")
    only = [good]
    for name, data, why in (
        ("untagged", e.statement(only)[1:], "no tag 18"),
        ("tag-17", e.statement(only, tag=17), "tag 17 is COSE_Mac0"),
        ("crit", e.statement(only, header={2: [3]}), "crit asks for an extension"),
        ("detached", e.statement(only, detached=True), "no payload"),
        ("unprotected-more", e.statement(only, unprotected={"x": 1}), "something outside of the signature"),
        ("unprotected-proofs", e.statement(only, unprotected={396: {}}), "proofs in a statement's header"),
        ("receipts-empty", e.statement(only, unprotected={394: []}), "an empty list of receipts"),
        ("receipts-no-list", e.statement(only, unprotected={394: b"x"}), "receipts that are no list"),
        ("receipts-text", e.statement(only, unprotected={394: ["x"]}), "a receipt that is text"),
        ("receipts-17", e.statement(only, unprotected={394: [b"x"] * 17}), "more than 16 receipts"),
        ("unprotected-both", e.statement(only, unprotected={1: -7}), "alg in both headers"),
        ("trailing", e.statement(only) + b"\0", "a byte behind the statement"),
    ):
        yield bad("parse", f"sign1-statement-{name}", e.bundle(good, changes={"statement": data}), f"statement: {why}")
    for name, changes, why in (
        ("version-2", {"v": 2}, "version 2"),
        ("version-true", {"v": True}, "true is not 1"),
        ("version-float", {"v": 1.0}, "1.0 is not 1"),
        ("version-missing", {"v": ...}, "no version"),
        ("record-as-array", {"record": [1]}, "a record that is no byte string"),
        ("record-text", {"record": "x"}, "a record that is text"),
        ("statement-text", {"statement": "x"}, "a statement that is text"),
        ("inclusion-of-two", {"inclusion": [1, 0]}, "a place of two parts"),
        ("inclusion-negative", {"inclusion": [1, -1, []]}, "an index below 0"),
        ("inclusion-decimal", {"inclusion": [1, milliseconds(0), []]}, "an index that is a decimal"),
        ("path-65", {"inclusion": [1, 0, [bytes(32)] * 65]}, "a path of 65 hashes"),
        ("path-hash-31", {"inclusion": [2, 0, [bytes(31)]]}, "a hash of 31 bytes"),
        ("path-hash-text", {"inclusion": [2, 0, ["x" * 32]]}, "a hash that is text"),
        ("anchors-17", {"anchors": [e.locator()] * 17}, "17 locators"),
        ("anchors-map", {"anchors": {}}, "locators that are no list"),
    ):
        yield bad("parse", f"bundle-{name}", e.bundle(changes=changes), f"bundle: {why}")
    for name, more, why in (
        ("type", {"type": "btc"}, "of another kind than evm"),
        ("ledger", {"ledger": "-x"}, "a ledger that has no name"),
        ("contract", {"contract": bytes(19)}, "a contract of 19 bytes"),
        ("tx-missing", {"tx": ...}, "without a transaction"),
        ("more", {"x": 1}, "with a key that is not known"),
        ("inclusion", {"inclusion": [1, 0]}, "with a place of two parts"),
        ("chain", {"chain": -1}, "of a chain below 0"),
    ):
        yield bad("parse", f"locator-{name}", e.bundle(anchors=[e.locator(more)]), f"locator: {why}")
