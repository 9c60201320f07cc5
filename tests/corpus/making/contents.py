"""Records and statements that are well encoded, and say what none may say."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.making import evidence as e
from tests.corpus.making.keys import key
from tests.corpus.making.table import Made, bad, rows
from tests.corpus.making.trust_text import meter, trust
from tests.corpus.making.wire import decimal, encode, milliseconds


def cases() -> Iterator[Made]:
    yield from _headers()
    yield from _packs()
    yield from _others()
    yield from _owners()
    yield from _statements()


def _headers() -> Iterator[Made]:
    for name, header, why in rows(
        ("alg-missing", {1: ...}, "no alg"),
        ("alg-text", {1: "EdDSA"}, "an alg that is text"),
        ("alg-es384", {1: -35}, "an alg that is none of the four"),
        ("alg-hmac", {1: 5}, "an alg of a MAC"),
        ("alg-none", {1: 0}, "alg 0"),
        ("kid-missing", {4: ...}, "no kid"),
        ("kid-31", {4: e.METER.kid[:31]}, "a kid of 31 bytes"),
        ("kid-33", {4: e.METER.kid + b"\0"}, "a kid of 33 bytes"),
        ("kid-text", {4: "x" * 32}, "a kid that is text"),
        ("claims-missing", {15: ...}, "no claims"),
        ("claims-array", {15: []}, "claims that are no map"),
        ("content-missing", {3: ...}, "no content type"),
    ):
        yield bad("parse", f"header-{name}", e.bundle(e.record(header=header)), f"record: {why}")
        if name != "claims-array":
            yield bad("parse", f"statement-{name}", e.bundle(header=header), f"statement: {why}")
    yield bad(
        "parse", "statement-content-record", e.bundle(header={3: e.READING}), "statement: a record's content type"
    )
    for name, claims, why in rows(
        ("iss-missing", {1: ...}, "no gateway"),
        ("iss-script", {1: "<script>"}, "a gateway whose name is none"),
        ("iss-64", {1: "g" * 65}, "a gateway with a name of 65 characters"),
        ("iss-newline", {1: e.GATEWAY + "\n"}, "a line break behind the gateway's name"),
        ("sub-empty", {2: ""}, "a meter without a name"),
        ("sub-bidi", {2: "\u202emain"}, "a meter's name with a control character"),
        ("sub-dot", {2: ".main"}, "a meter's name that begins with a dot"),
        ("sub-digits", {2: "١"}, "a meter's name of other digits than 0 to 9"),
        ("sub-number", {2: 7}, "a meter that is a number"),
        ("iat-float", {6: float(e.T0 + 1)}, "a time that is a float"),
        ("iat-negative", {6: -1}, "a time before 1970"),
        ("iat-year-10000", {6: 253_402_300_800}, "a time that no calendar of four digits holds"),
        ("seq-negative", {"seq": -1}, "a number below 0"),
        ("seq-null", {"seq": None}, "a number that is null"),
        ("seq-true", {"seq": True}, "a number that is true"),
        ("up-float", {"up": 1.0}, "an uptime that is a float"),
        ("epoch-7", {"epoch": bytes(7)}, "an epoch of 7 bytes"),
        ("epoch-text", {"epoch": "12345678"}, "an epoch that is text"),
        ("prev-31", {"prev": bytes(31)}, "a hash of 31 bytes"),
        ("prev-null", {"prev": None}, "no hash is left out, not null"),
        ("salt-15", {"salt": bytes(15)}, "a salt of 15 bytes"),
        ("clock-x", {"clock": "X"}, "a clock in a state that there is not"),
        ("clock-two", {"clock": "US"}, "a clock in two states"),
        ("clock-empty", {"clock": ""}, "a clock in no state"),
        ("err-null", {"err": None}, "an unknown error is left out, not null"),
        ("nonce", {10: b"x"}, "a claim that is not known"),
    ):
        yield bad("parse", f"claims-{name}", e.bundle(e.record(claims=claims)), f"record: {why}")


def _packs() -> Iterator[Made]:
    one = {0: "a", 2: 1}
    for name, payload, why in rows(
        ("empty", [], "no entries"),
        ("map", {}, "a map in place of the entries"),
        ("of-numbers", [1], "an entry that is no map"),
        ("of-base-alone", e.pack(({},)), "a first entry without a value"),
        ("bn-missing", e.pack((one,), name=...), "no base name"),
        ("bt-missing", e.pack((one,), time=...), "no base time"),
        ("bt-integer", e.pack((one,), time=e.T0), "a time in seconds"),
        ("bt-float", e.pack((one,), time=e.T0 + 0.125), "a time that is a float"),
        ("bt-hundredths", e.pack((one,), time=decimal(-2, e.T0 * 100)), "a time in hundredths of seconds"),
        ("bt-negative", e.pack((one,), time=milliseconds(-1)), "a time before 1970"),
        ("bt-year-10000", e.pack((one,), time=milliseconds(253_402_300_800_000)), "a time beyond 9999"),
        ("bver-missing", e.pack(({0: "a", 1: "kWh", 2: 1},), version=...), "a secondary unit needs bver 26"),
        ("bver-without-need", e.pack(({0: "a", 1: "V", 2: 1},), version=26), "bver 26 without a secondary unit"),
        ("bver-10", e.pack((one,), version=10), "bver 10"),
        ("base-in-second", [*e.pack((one,)), {0: "b", 2: 1, -3: milliseconds(0)}], "a base time in the second entry"),
        ("name-missing", e.pack(({2: 1},)), "a value without a point"),
        ("name-empty", e.pack(({0: "", 2: 1},)), "a point without a name"),
        ("name-script", e.pack(({0: "<script>", 2: 1},)), "a point whose name is markup"),
        ("name-65", e.pack(({0: "a" * 65, 2: 1},)), "a name of 65 characters"),
        ("name-slash", e.pack(({0: "a/b", 2: 1},)), "a slash in a point's name"),
        ("unit-unknown", e.pack(({0: "a", 1: "furlong", 2: 1},)), "a unit of no registry"),
        ("unit-empty", e.pack(({0: "a", 1: "", 2: 1},)), "no unit is left out"),
        ("unit-case", e.pack(({0: "a", 1: "kwh", 2: 1},)), "units have upper and lower case"),
        ("unit-number", e.pack(({0: "a", 1: 7, 2: 1},)), "a unit that is a number"),
        ("value-missing", e.pack(({0: "a"},)), "a point without a value"),
        ("value-two", e.pack(({0: "a", 2: 1, 3: "x"},)), "a number and text"),
        ("value-null", e.pack(({0: "a", 2: None},)), "a number that is null"),
        ("value-true", e.pack(({0: "a", 2: True},)), "a number that is true"),
        ("value-text", e.pack(({0: "a", 2: "1"},)), "a number that is text"),
        ("value-bytes", e.pack(({0: "a", 8: b"x"},)), "data (vd) is not used"),
        ("value-decimal-whole", e.pack(({0: "a", 2: decimal(0, 5)},)), "an integer written as a decimal fraction"),
        ("value-boolean-number", e.pack(({0: "a", 4: 1},)), "a boolean that is 1"),
        ("value-sum", e.pack(({0: "a", 5: 1},)), "a sum (s) is not used"),
        ("text-empty", e.pack(({0: "a", 3: ""},)), "no value, and no quality bit that says why"),
        ("text-number", e.pack(({0: "a", 3: 1},)), "text that is a number"),
        ("quality-zero", e.pack(({0: "a", 2: 1, "q_": 0},)), "a good quality is left out"),
        ("quality-negative", e.pack(({0: "a", 2: 1, "q_": -1},)), "a quality below 0"),
        ("quality-text", e.pack(({0: "a", 2: 1, "q_": "good"},)), "a quality in words"),
        ("offset-zero", e.pack(({0: "a", 2: 1, 6: milliseconds(0)},)), "no offset is left out"),
        ("offset-negative", e.pack(({0: "a", 2: 1, 6: milliseconds(-1)},)), "an offset below 0"),
        ("offset-integer", e.pack(({0: "a", 2: 1, 6: 1},)), "an offset in seconds"),
        ("point-twice", e.pack((one, {0: "a", 2: 2})), "two values of one point at one time"),
        ("point-twice-late", e.pack((one, {0: "b", 2: 1, 6: milliseconds(5)}, {0: "b", 4: True, 6: milliseconds(5)})),
         "two values of one point at one time, of two types"),
        ("update-time", e.pack(({0: "a", 2: 1, 7: 60},)), "an update time (ut) is not used"),
    ):  # fmt: skip
        yield bad("parse", f"pack-{name}", e.bundle(e.record(payload)), f"reading: {why}")


def _others() -> Iterator[Made]:
    for name, facts, why in rows(
        ("sum", {"due": 7}, "7 due are not 5 recorded and 1 missed"),
        ("backwards", {"from": e.T0 * 1000 + 1}, "it ends before it begins"),
        ("reason", {"missed": {"luck": 1}}, "a reason that there is not"),
        ("negative", {"recorded": 7, "missed": {"timeout": -1}}, "less than none missed"),
        ("missed-array", {"missed": [1]}, "reasons that are no map"),
        ("float", {"due": 6.0}, "a count that is a float"),
        ("to-missing", {"to": ...}, "no end"),
        ("to-year-10000", {"to": 253_402_300_800_000}, "an end beyond 9999"),
    ):
        yield bad("parse", f"coverage-{name}", e.bundle(e.coverage(facts, seq=0)), f"coverage: {why}")
    for name, facts, why in rows(
        ("no-name", {"serial": "A-77"}, "an event without a name"),
        ("name-script", {"event": "<script>"}, "an event whose name is markup"),
        ("name-number", {"event": 7}, "an event whose name is a number"),
        ("array", ["event"], "an event that is no map"),
    ):
        yield bad("parse", f"event-{name}", e.bundle(e.event(facts, seq=0)), f"event: {why}")
    long = e.record(e.pack(({0: "a", 3: "x" * 65_400},)))
    yield bad("parse", "record-beyond-64-kib", e.bundle(long), "a record of more than 65,536 bytes")


def _owners() -> Iterator[Made]:
    """Step 2: well-formed, and by or of somebody else than it says."""
    yield bad(
        "record", "content-statement", e.bundle(e.record(content=e.BATCH)), "a statement's content type in a record"
    )
    yield bad("record", "content-number", e.bundle(e.record(content=60)), "a content type that is a number")
    other = e.record(e.pack(name=f"{e.GATEWAY}/import-main/"))
    yield bad("record", "pack-of-other-meter", e.bundle(other), "the pack is of another meter than the claims")
    far = e.record(e.pack(name=f"other/{e.METER_NAME}/"))
    yield bad("record", "pack-of-other-gateway", e.bundle(far), "the pack is of another gateway than the claims")
    of_gateway = e.record(meter="gateway", signer=e.STATEMENT)
    yield bad("record", "gateway-reading", e.bundle(of_gateway), "the gateway itself signs events only")
    by_meter = e.event({"event": "start"}, meter="gateway", seq=0)
    yield bad("record", "gateway-event-by-meter", e.bundle(by_meter), "an event of the gateway by a meter's key")
    by_gateway = e.record(signer=e.STATEMENT)
    yield bad("record", "reading-by-statement-key", e.bundle(by_gateway), "a reading by the statement key")
    second = key("second-meter")
    two = trust(extra="\n" + meter(public=second, name="import-main"))
    yield bad(
        "record", "reading-by-other-meter", e.bundle(e.record(signer=second)), "a reading by another meter's key", two
    )
    yield bad(
        "record", "kid-unknown", e.bundle(e.record(header={4: bytes(32)})), "a kid that the trust file does not have"
    )
    yield bad(
        "record", "meter-unknown", e.bundle(e.record(meter="unknown")), "a meter that the trust file does not have"
    )
    missing = trust(keys={"meter": ""})
    yield bad("record", "no-meter-key", e.bundle(), "a trust file without a key of a meter", missing)
    away = trust(keys={"meter": meter(gateway="other-gateway")})
    yield bad("record", "key-of-other-gateway", e.bundle(), "the key is of that meter at another gateway", away)


def _statements() -> Iterator[Made]:
    for name, fields, why in rows(
        ("root-31", {"root": bytes(31)}, "a root of 31 bytes"),
        ("root-missing", {"root": ...}, "no root"),
        ("size-negative", {"size": -1}, "a size below 0"),
        ("from-float", {"from": float(e.T0_MS)}, "a time that is a float"),
        ("to-year-10000", {"to": 253_402_300_800_000}, "a time beyond 9999"),
        ("meters-array", {"meters": []}, "meters that are no map"),
        ("meters-name", {"meters": {"<b>": [[e.EPOCH, 0, 0]]}}, "a meter whose name is markup"),
        ("ranges-empty", {"meters": {e.METER_NAME: []}}, "a meter without a range"),
        ("range-backwards", {"meters": {e.METER_NAME: [[e.EPOCH, 1, 0]]}}, "a range that ends before it begins"),
        ("range-of-two", {"meters": {e.METER_NAME: [[e.EPOCH, 0]]}}, "a range of two parts"),
        ("range-epoch", {"meters": {e.METER_NAME: [[bytes(7), 0, 0]]}}, "an epoch of 7 bytes"),
        ("ranges-overlap", {"meters": {e.METER_NAME: [[e.EPOCH, 0, 1], [e.EPOCH, 1, 2]]}}, "a number counted twice"),
        ("ranges-twice", {"meters": {e.METER_NAME: [[e.EPOCH, 0, 0], [e.EPOCH, 0, 0]]}}, "a range counted twice"),
        ("ranges-unsorted", {"meters": {e.METER_NAME: [[e.EPOCH, 5, 5], [e.EPOCH, 0, 0]]}}, "ranges out of order"),
        ("epochs-unsorted", {"meters": {e.METER_NAME: [[e.EPOCH, 0, 0], [bytes(8), 0, 0]]}}, "epochs out of order"),
        ("config-missing", {"config": ...}, "no hash of the configuration"),
        ("software-space", {"software": "meterseal 0.1.0"}, "software that is not name/version"),
        ("software-bidi", {"software": "meterseal/0.1\u202e"}, "a version with a control character"),
        ("resume-empty", {"resume": ""}, "no reason is left out"),
        ("resume-257", {"resume": "x" * 257}, "a reason of 257 characters"),
        ("prev-31", {"batch": 1, "prev": bytes(31)}, "a hash of 31 bytes"),
        ("prev-null", {"prev": None}, "no hash is left out, not null"),
    ):  # fmt: skip
        yield bad("parse", f"statement-{name}", e.bundle(fields=fields), f"statement: {why}")
    for name, claims, why in rows(
        ("iss-name", {1: "a gateway"}, "a gateway whose name is none"),
        ("sub-missing", {2: ...}, "no sub"),
        ("sub-number", {2: 0}, "a sub that is a number"),
        ("sub-empty", {2: ""}, "an empty sub"),
        ("iat-missing", {6: ...}, "no time"),
        ("iat-year-10000", {6: 253_402_300_800}, "a time beyond 9999"),
        ("claims-more", {7: b"x"}, "a claim that is not known"),
    ):
        yield bad("parse", f"statement-{name}", e.bundle(claims=claims), f"statement: {why}")
    short = e.bundle(payload=encode({"batch": 0}))
    yield bad("parse", "statement-payload-short", short, "statement: nothing but a number")
    yield bad("parse", "statement-payload-array", e.bundle(payload=b"\x80"), "statement: an array")
