"""Steps 6 and 8: which ledgers have the statement, and whether they are enough."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.corpus.making import evidence as e
from tests.corpus.making.keys import key, text_of
from tests.corpus.making.table import Made, bad, good, rows
from tests.corpus.making.trust_text import foreign, ledger, moment, trust
from tests.corpus.making.wire import Raw, Tag, encode, indefinite, long_head

A, B, C = ABC = ("ledger-a", "ledger-b", "ledger-c")
FOREIGN_TRUST = trust(ledgers=(e.FOREIGN,))


def cases() -> Iterator[Made]:
    yield from _ours()
    yield from _foreign()
    yield from _several()
    yield from _junk()
    yield from _locators()


def _by(**parts: Any) -> e.Receipts:
    return [partial(e.receipt, **parts)]


def _ours() -> Iterator[Made]:
    """Receipts in Meterseal's own form: they bear the claim "size", and are read strictly."""
    for name, claims, why in rows(
        ("sub-other", {2: text_of(bytes(32))}, "sub is another statement's id"),
        ("sub-path", {2: "batch/0"}, "sub is the statement's own sub"),
        ("sub-missing", {2: ...}, "no sub"),
        ("sub-padded", {2: text_of(bytes(32)) + "="}, "sub with padding"),
        ("iat-missing", {6: ...}, "no time"),
        ("iat-float", {6: float(e.RECEIPT_S)}, "a time that is a float"),
        ("iss-script", {1: "<script>"}, "a ledger whose name is none"),
        ("iss-uri", {1: e.FOREIGN}, "a ledger that is a URI"),
        ("size-5", {"size": 5}, "it signs another size than that of its path"),
        ("size-text", {"size": "4"}, "a size that is text"),
        ("claims-more", {7: b"x"}, "a claim that is not known"),
    ):  # fmt: skip
        yield bad("receipts", f"receipt-{name}", e.bundle(receipts=_by(claims=claims)), f"receipt: {why}")
    for name, header, why in rows(
        ("kid-unknown", {4: bytes(32)}, "a kid that the trust file does not have"),
        ("kid-missing", {4: ...}, "no kid"),
        ("kid-empty", {4: b""}, "an empty kid"),
        ("kid-257", {4: bytes(257)}, "a kid of 257 bytes"),
        ("vds-missing", {395: ...}, "it does not say over which structure it is"),
        ("vds-2", {395: 2}, "over another structure than an RFC 9162 tree"),
        ("alg-missing", {1: ...}, "no alg"),
        ("alg-text", {1: "EdDSA"}, "an alg that is text"),
        ("crit", {2: [395]}, "crit asks for an extension"),
        ("header-more", {33: b"x"}, "a header that is not known"),
        ("claims-missing", {15: ...}, "no claims"),
    ):
        yield bad("receipts", f"receipt-{name}", e.bundle(receipts=_by(header=header)), f"receipt: {why}")
    path = [bytes(32), bytes(32)]
    for name, proof, why in rows(
        ("path-other", [4, 2, path], "a path that leads elsewhere"),
        ("path-short", [4, 2, path[:1]], "a path that is too short"),
        ("path-empty", [4, 2, []], "a path of no hashes"),
        ("path-long", [4, 2, [*path, *path]], "a path that is too long"),
        ("path-65", [4, 2, [bytes(32)] * 65], "a path of 65 hashes"),
        ("index-4", [4, 4, path], "an index that is the size"),
        ("size-0", [0, 0, path], "a tree without a leaf"),
        ("proof-of-two", [4, 2], "a proof of two parts"),
        ("proof-map", {}, "a proof that is a map"),
        ("proof-long-head", encode([Raw(b"\x18\x04"), 2, path]), "a size that is not in its shortest form"),
        ("proof-trailing", encode([4, 2, path]) + b"\0", "a byte behind the proof"),
    ):
        yield bad("receipts", f"receipt-{name}", e.bundle(receipts=_by(proof=proof)), f"receipt: {why}")
    one = encode([4, 2, path])
    for name, parts, why in rows(
        ("proofs-none", {"proofs": {}}, "no proof of inclusion"),
        ("proofs-two", {"proofs": {-1: [one, one]}}, "two proofs of inclusion"),
        ("proofs-more", {"proofs": {-1: [one], -2: [one]}}, "a proof of consistency beside it"),
        ("proofs-array", {"proofs": [one]}, "proofs that are no map"),
        ("proof-not-wrapped", {"proofs": {-1: [[4, 2, path]]}}, "a proof that is no byte string"),
        ("unprotected-empty", {"unprotected": {}}, "no proofs at all"),
        ("unprotected-more", {"unprotected": {396: {-1: [one]}, "x": 1}}, "something else outside of the signature"),
        ("payload", {"detached": False}, "it bears its root as a payload"),
        ("tag-17", {"tag": 17}, "tag 17 is COSE_Mac0"),
        ("key-of-meter", {"signer": e.METER}, "by the meter's key"),
        (
            "by-thief",
            {"signer": key("thief"), "header": {4: e.LEDGER_KEY.kid}},
            "by another key, under the ledger's kid",
        ),
        ("log-of-one", {"log": []}, "RFC 9942 has no form for a tree of one leaf"),
    ):
        yield bad("receipts", f"receipt-{name}", e.bundle(receipts=_by(**parts)), f"receipt: {why}")
    other = e.statement([e.record()], claims={6: e.T0 + 3})
    yield bad(
        "receipts",
        "receipt-of-other-statement",
        e.bundle(receipts=[e.receipt(other)]),
        "the receipt of another statement",
    )
    entry = e.statement([e.record()])
    claimed = {2: e.statement_id(entry)}
    lie = e.bundle(entry=entry, receipts=[e.receipt(other, claims=claimed)])
    yield bad("receipts", "receipt-of-other-leaf", lie, "it names this statement, and its path begins with another")
    whole = e.receipt(e.attached(entry, [b"x"]), claims=claimed)
    yield bad(
        "receipts",
        "receipt-of-attached",
        e.bundle(entry=entry, receipts=[whole]),
        "its leaf is the statement with receipts",
    )
    foreign_name = [lambda entry: e.receipt(entry, e.FOREIGN, signer=e.FOREIGN_KEY, claims={"size": ...})]
    yield bad(
        "receipts",
        "receipt-kid-thumbprint",
        e.bundle(receipts=foreign_name),
        "that ledger's kid is another",
        FOREIGN_TRUST,
    )


def _foreign() -> Iterator[Made]:
    """Receipts without the claim "size": as RFC 9942 allows them."""

    def by(claims: e.Map | None = None, **parts: Any) -> bytes:
        return e.bundle(receipts=[partial(e.foreign, claims=claims, **parts)])

    yield good("foreign", by(), "a foreign ledger's receipt", FOREIGN_TRUST)
    for name, claims, why in rows(
        ("sub-missing", {2: ...}, "it names no entry"),
        ("claims-more", {"region": "<b>", 7: b"x", -5: [1]}, "claims of its own"),
        ("time-float", {6: e.RECEIPT_S - 0.5}, "a time in half seconds, rounded up"),
        ("time-tagged", {6: Tag(1, e.RECEIPT_S)}, "a time in tag 1"),
        ("time-long", {6: Raw(b"\x1b" + e.RECEIPT_S.to_bytes(8, "big"))}, "a time in nine bytes"),
    ):
        yield good(f"foreign-{name}", by(claims), f"foreign receipt: {why}", FOREIGN_TRUST)
    ours = {"kid": trust(ledgers=(e.FOREIGN,), keys={e.FOREIGN: ledger(name=e.FOREIGN, public=e.FOREIGN_KEY)})}
    yield good("foreign-kid-thumbprint", by(header={4: e.FOREIGN_KEY.kid}), "its kid is the thumbprint", ours["kid"])
    longest = trust(ledgers=(e.FOREIGN,), keys={e.FOREIGN: foreign(kid=b"k" * 256)})
    yield good("foreign-kid-256", by(header={4: b"k" * 256}), "a kid of 256 bytes", longest)
    yield good("foreign-header-more", by(header={"x": [1], 33: b"cert"}), "headers of its own", FOREIGN_TRUST)
    yield good(
        "foreign-header-long", by(header={395: Raw(b"\x18\x01")}), "an integer not in its shortest form", FOREIGN_TRUST
    )
    yield good(
        "foreign-unprotected-more", e.bundle(receipts=[_unprotected]), "more outside of the signature", FOREIGN_TRUST
    )
    p256 = key("foreign-p256", "P-256")
    curve = trust(ledgers=(e.FOREIGN,), keys={e.FOREIGN: foreign(public=p256)})
    yield good("foreign-p256", by(signer=p256), "by a key of P-256", curve)
    named = trust(ledgers=(e.LEDGER,), keys={e.LEDGER: ledger()})
    plain = e.bundle(receipts=_by(claims={"size": ..., 2: "x"}))
    yield good("foreign-by-our-name", plain, "no claim size: another form, whatever the ledger is called", named)
    for name, (claims, step), why in rows(
        ("iss-missing", ({1: ...}, "receipts"), "it names no ledger"),
        ("iss-number", ({1: 7}, "receipts"), "a ledger that is a number"),
        ("iss-unknown", ({1: "https://other.example"}, "receipts"), "a ledger that the trust file does not have"),
        ("sub-number", ({2: 7}, "receipts"), "a sub that is a number"),
        ("time-missing", ({6: ...}, "validity"), "no time"),
        ("time-text", ({6: "2026-03-01T08:00:05Z"}, "receipts"), "a time that is text"),
        ("time-negative", ({6: -1}, "receipts"), "a time before 1970"),
        ("time-nan", ({6: Raw(b"\xf9\x7e\x00")}, "receipts"), "a time that is no number"),
        ("time-infinite", ({6: Raw(b"\xf9\x7c\x00")}, "receipts"), "a time without end"),
        ("time-null", ({6: None}, "receipts"), "a time that is null"),
        ("claims-indefinite", (indefinite({1: e.FOREIGN}), "receipts"), "claims without a length"),
    ):  # fmt: skip
        file = by(claims) if isinstance(claims, dict) else by(header={15: claims})
        yield bad(step, f"foreign-{name}", file, f"foreign receipt: {why}", FOREIGN_TRUST)
    for name, header, why in rows(
        ("vds-missing", {395: ...}, "it does not say over which structure it is"),
        ("vds-2", {395: 2}, "over another structure than an RFC 9162 tree"),
        ("vds-long-2", {395: long_head(2)}, "over another structure, its number not in its shortest form"),
        ("kid-other", {4: b"key-2"}, "another kid"),
        ("kid-text", {4: "key-1"}, "a kid that is text"),
        ("crit", {2: [1]}, "crit asks for an extension"),
    ):
        yield bad("receipts", f"foreign-{name}", by(header=header), f"foreign receipt: {why}", FOREIGN_TRUST)
    twice = encode(
        Raw(
            b"\xa5\x01\x27\x01\x27"
            + encode(4)
            + encode(b"key-1")
            + b"\x0f"
            + encode({1: e.FOREIGN, 6: e.RECEIPT_S})
            + encode(395)
            + b"\x01"
        )
    )
    yield bad(
        "receipts",
        "foreign-key-twice",
        e.bundle(receipts=[lambda entry: e.receipt(entry, e.FOREIGN, signer=e.FOREIGN_KEY, header=twice)]),
        "foreign receipt: a key comes twice",
        FOREIGN_TRUST,
    )
    tail = e.bundle(receipts=[lambda entry: e.foreign(entry) + b"\0"])
    yield bad("receipts", "foreign-trailing", tail, "foreign receipt: a byte behind it", FOREIGN_TRUST)
    deep = by({"deep": Raw(b"\x81" * 20 + b"\x80")})
    yield bad("receipts", "foreign-deep", deep, "foreign receipt: 20 levels", FOREIGN_TRUST)


def _unprotected(entry: bytes) -> bytes:
    leaves = list(map(e.leaf_hash, (b"policy", b"another", entry, b"later")))
    proof = encode([4, 2, e.path_of(2, leaves)])
    return e.foreign(entry, unprotected={396: {-1: [proof], -2: [b"x"]}, 33: b"cert"})


def _several() -> Iterator[Made]:
    def at(*times: tuple[str, int]) -> bytes:
        return e.bundle(receipts=[partial(e.receipt, ledger=name, iat=t) for name, t in times])

    t = e.RECEIPT_S
    three = at((C, t + 20), (A, t + 10), (B, t))
    for k in (1, 2, 3):
        yield good(f"policy-{k}-of-3", three, f"{k} of three ledgers must have it", trust(receipts=k, ledgers=ABC))
    yield good("policy-2-of-3-without-one", at((A, t), (B, t)), "two of three have it", trust(receipts=2, ledgers=ABC))
    twice = at((A, t), (A, t + 1))
    yield bad(
        "policy", "policy-one-ledger-twice", twice, "two receipts of one ledger are one", trust(receipts=2, ledgers=ABC)
    )
    yield good(
        "policy-twice-for-one", twice, "two receipts of one ledger are one, and one is enough", trust(ledgers=ABC)
    )
    yield bad("policy", "policy-1-of-2", at((A, t)), "one has it, two are asked for", trust(receipts=2, ledgers=ABC))
    yield bad("policy", "policy-none", e.bundle(receipts=[]), "no receipt at all")
    yield bad(
        "receipts",
        "policy-not-listed",
        at((A, t)),
        "a ledger with a key that the policy does not list",
        trust(extra="\n" + ledger(name=A)),
    )
    yield bad("receipts", "policy-unknown", at(("elsewhere", t)), "a ledger without a key in the trust file")
    mixed = e.bundle(receipts=[e.receipt, lambda entry: e.receipt(entry, "elsewhere")])
    yield good("policy-unknown-beside", mixed, "a receipt of an unknown ledger beside one that counts")
    sixteen = e.bundle(receipts=[e.receipt, *(partial(e.receipt, ledger=f"elsewhere-{n}") for n in range(15))])
    yield good("policy-16-receipts", sixteen, "sixteen receipts, one of which counts")
    forged: dict[str, Any] = {"signer": key("thief"), "header": {4: key(B).kid}}
    lost = e.bundle(receipts=[lambda entry: e.receipt(entry, B, **forged), lambda entry: e.receipt(entry, A)])
    yield good("policy-forged-beside", lost, "a forged receipt beside one that counts", trust(ledgers=ABC))
    yield bad(
        "receipts",
        "policy-forged-decides",
        lost,
        "with the forged one there would be two",
        trust(receipts=2, ledgers=ABC),
    )
    yield bad(
        "policy",
        "policy-forged-does-not",
        lost,
        "with the forged one there would be two of three",
        trust(receipts=3, ledgers=ABC),
    )
    again = e.bundle(receipts=[lambda entry: e.receipt(entry, A, **forged), lambda entry: e.receipt(entry, A)])
    yield bad(
        "policy",
        "policy-forged-of-same",
        again,
        "a forged receipt of a ledger that counts adds none",
        trust(receipts=2, ledgers=ABC),
    )
    future = [lambda entry: e.receipt(entry, A, iat=e.NOW + 301), lambda entry: e.receipt(entry, B, **forged)]
    order = e.bundle(receipts=future)
    yield bad(
        "validity", "policy-first-failure-validity", order, "of two that fail the first says why", trust(ledgers=ABC)
    )
    yield bad(
        "receipts",
        "policy-first-failure-receipts",
        e.bundle(receipts=future[::-1]),
        "of two that fail the first says why",
        trust(ledgers=ABC),
    )
    behind = e.bundle(receipts=[future[0], b"junk"])
    yield bad(
        "receipts",
        "policy-junk-is-named-first",
        behind,
        "what is no receipt is found before any receipt is checked",
        trust(ledgers=ABC),
    )
    both = e.bundle(receipts=[e.receipt, lambda entry: e.foreign(entry)])
    yield good("policy-foreign-and-ours", both, "one of each form", trust(receipts=2, ledgers=(e.LEDGER, e.FOREIGN)))
    old = key("ledger-old")
    older = trust(
        keys={e.LEDGER: ledger(f"valid_to = {moment(t + 100)}", public=old), "new": ledger(valid_from=t + 100)}
    )
    yield good("ledger-older-key", e.bundle(receipts=_by(signer=old)), "a receipt by the ledger's older key", older)
    yield bad("validity", "ledger-newer-key-early", e.bundle(), "a receipt by its newer key, before that counts", older)


def _junk() -> Iterator[Made]:
    for name, data, why in rows(
        ("text", b"junk", "text"),
        ("empty", b"", "no bytes"),
        ("null", b"\xf6", "null"),
        ("zeros", bytes(1000), "zeros"),
        ("deep-tags", b"\xd2" * 2000, "2,000 tags within each other"),
        ("deep-arrays", b"\x81" * 2000, "2,000 arrays within each other"),
        ("record", e.record().data, "a record"),
        ("locator", encode(e.locator()), "a locator"),
    ):
        yield good(f"junk-{name}-before", e.bundle(receipts=[data, e.receipt]), f"{why}, beside a receipt that counts")
        yield bad("receipts", f"junk-{name}", e.bundle(receipts=[data]), f"{why}, in a receipt's place")
    yield good("junk-behind", e.bundle(receipts=[e.receipt, b"junk"]), "text behind a receipt that counts")
    yield good("junk-15", e.bundle(receipts=[e.receipt, *[b"junk"] * 15]), "fifteen times text")
    two = trust(receipts=2, ledgers=(e.LEDGER, A, B))
    beside = e.bundle(receipts=[e.receipt, b"junk"])
    yield bad("receipts", "junk-decides", beside, "were it a receipt, it might be the second ledger's", two)
    three = trust(receipts=3, ledgers=(e.LEDGER, A, B))
    yield bad("policy", "junk-does-not-decide", beside, "one receipt more were not enough", three)
    yield bad(
        "receipts",
        "junk-twice-decides",
        e.bundle(receipts=[b"junk", b"junk", e.receipt]),
        "each may be a ledger's",
        three,
    )


def _locators() -> Iterator[Made]:
    place = {"inclusion": [2, 1, [bytes(32)]]}
    for name, anchors, why in rows(
        ("one", [e.locator()], "a locator"),
        ("shared", [e.locator(place)], "a locator under a root of several"),
        ("sixteen", [e.locator({"block": n}) for n in range(16)], "sixteen locators"),
        ("same", [e.locator()] * 2, "twice the same locator"),
        ("largest", [e.locator({"chain": 2**64 - 1, "block": 2**64 - 1})], "numbers of 64 bits"),
    ):
        yield good(f"locator-{name}-beside", e.bundle(anchors=anchors), f"{why} beside a receipt that counts")
    chain = '\n[[chain]]\nledger = "chain"\nchain_id = 31337\n'
    chain += f'contract = "0x{bytes(20).hex()}"\nsender = "0x{bytes(range(20)).hex()}"\n'
    trusted = trust(ledgers=("chain",), keys={"chain": ""}, extra=chain)
    alone = e.bundle(anchors=[e.locator()], receipts=[])
    yield bad("policy", "locator-alone", alone, "a locator counts online only", trusted)
    both = trust(receipts=2, ledgers=(e.LEDGER, "chain"), keys={"chain": ""}, extra=chain)
    yield bad("policy", "locator-as-second", e.bundle(anchors=[e.locator()]), "a locator counts online only", both)
    yield good(
        "locator-not-needed",
        e.bundle(anchors=[e.locator()]),
        "the receipt is enough",
        both.replace("receipts = 2", "receipts = 1"),
    )
