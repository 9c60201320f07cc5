"""Records: what is written is read back as it was, in one form only, and nothing else is read."""

from __future__ import annotations

# not quick: records by chance, 2 s of CPU
import hashlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import BadSignature, EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import EDDSA, ES256, Signer
from ledger_client.formats.record import (
    CONTENT_COVERAGE,
    CONTENT_EVENT,
    CONTENT_READING,
    GATEWAY_ITSELF,
    Body,
    Claims,
    Coverage,
    Event,
    ReadingWriter,
    parse_record,
    record_hash,
    sign_record,
)
from ledger_client.formats.senml import Columns, Quality, Reading, Value, quality_words
from tests.support.evidence import EPOCH, GATEWAY, METER, T0, VALUES, bodies, claims, key, reading
from tests.support.evidence_values import CLAIMS, EVENTS, NAMES, QUALITIES, READINGS, THOROUGH, UNITS, coverages

SIGNER = key("meter")


@THOROUGH
@given(CLAIMS, st.one_of(READINGS, coverages(), EVENTS))
def test_what_is_signed_is_read_back(facts: Claims, body: Body) -> None:
    data = sign_record(facts, body, SIGNER)
    record = parse_record(data)
    record.sign1.verify(SIGNER.public)
    assert (record.claims, record.body, record.kid, record.data) == (facts, body, SIGNER.public.kid, data)
    assert record.id == f"{METER}/{facts.epoch.hex()}/{facts.seq}"


@THOROUGH
@given(CLAIMS, READINGS, st.sampled_from([EDDSA, ES256]))
def test_the_reading_writer_writes_the_bytes_of_sign_record(facts: Claims, body: Reading, alg: int) -> None:
    signer = key("meter", alg)
    assert ReadingWriter(GATEWAY, METER, signer).sign(facts, body) == sign_record(facts, body, signer)


SINGLES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from([0.0, -0.0, 1.0, 65504.0, 65536.0, 3.4028234663852886e38, 1e-45, 0.1, 1e39]),
)


@THOROUGH
@given(
    st.lists(
        st.builds(Value, NAMES, SINGLES, UNITS, st.just(0), st.just(0)),
        min_size=1,
        max_size=12,
        unique_by=lambda value: value.name,
    ).map(tuple),
    st.just(Quality(0)) | QUALITIES,
)
def test_a_reading_of_floats_alone_is_no_other(floats: tuple[Value, ...], quality: Quality) -> None:
    """The writer has a shorter way for 32-bit floats of one moment and one quality."""
    body = reading(values=tuple(value._replace(quality=quality) for value in floats))
    assert ReadingWriter(GATEWAY, METER, SIGNER).sign(claims(), body) == sign_record(claims(), body, SIGNER)


@THOROUGH
@given(READINGS)
def test_values_by_column_are_the_same_values(body: Reading) -> None:
    columns = Columns.of(body.values)
    if columns is None:
        assert any(value.offset_ms or value.quality != body.values[0].quality for value in body.values)
        return
    by_column = replace(body, values=columns)
    assert (by_column, hash(by_column), len(columns)) == (body, hash(body), len(body.values))
    assert body == by_column
    assert (columns[0], columns[:2]) == (body.values[0], body.values[:2])
    assert parse_record(sign_record(claims(), by_column, SIGNER)).body == body
    assert ReadingWriter(GATEWAY, METER, SIGNER).sign(claims(), by_column) == sign_record(claims(), body, SIGNER)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_no_way_is_short_enough_for_what_is_no_number(number: float) -> None:
    body = reading(values=(Value("a", 230.1, "V"), Value("b", number, "V")))
    with pytest.raises(EncodeError, match="is never a value"):
        ReadingWriter(GATEWAY, METER, NeverSigns()).sign(claims(), body)


@THOROUGH
@given(READINGS, READINGS)
def test_the_reading_writer_remembers_no_value(one: Reading, other: Reading) -> None:
    writer = ReadingWriter(GATEWAY, METER, SIGNER)
    first = writer.sign(claims(), one)
    writer.sign(claims(1), other)
    assert writer.sign(claims(), one) == first


@THOROUGH
@given(CLAIMS, READINGS)
def test_header_and_pack_are_canonical_by_cbor2_as_well(facts: Claims, body: Reading) -> None:
    sign1 = parse_record(ReadingWriter(GATEWAY, METER, SIGNER).sign(facts, body)).sign1
    for part in (sign1.protected_bytes, sign1.payload):
        assert part is not None
        assert cbor2.dumps(cbor2.loads(part, tag_hook=lambda _decoder, tag: tag), canonical=True) == part


def test_the_form_of_a_reading_byte_for_byte() -> None:
    body = Reading(1_795_000_000_123, (Value("u1", 230.5, "V"), Value("e", Decimal("12.50"), "kWh", 4, 40)))
    facts = Claims("gw", "m", 1_795_000_001, 5, 0, EPOCH, None, "S", 12)
    record = parse_record(ReadingWriter("gw", "m", SIGNER).sign(facts, body))
    header = [
        "a4 01 27",  # alg EdDSA
        "03 76 6170706c69636174696f6e2f73656e6d6c2b63626f72",  # application/senml+cbor
        "04 5820" + SIGNER.public.kid.hex(),
        "0f a8 01 62 6777 02 61 6d 06 1a 6afd86c1",  # iss, sub, iat
        "62 7570 05 63 657272 0c 63 736571 00 65 636c6f636b 61 53 65 65706f6368 48 0102030405060708",
    ]
    pack = [
        "82 a6 00 62 7531 01 61 56 02 f9 5b34",  # 230.5 in 16 bits
        "20 18 1a 21 65 67772f6d2f 22 c4 82 22 1b 000001a1ee565e7b",  # bver, bn, bt
        "a5 00 61 65 01 63 6b5768 02 c4 82 21 19 04e2 06 c4 82 22 18 28 62 715f 04",
    ]
    assert record.sign1.protected_bytes.hex() == "".join(header).replace(" ", "")
    assert record.sign1.payload is not None
    assert record.sign1.payload.hex() == "".join(pack).replace(" ", "")
    head, body_head = f"d28458{len(record.sign1.protected_bytes):02x}", f"a058{len(record.sign1.payload):02x}"
    parts = [head, *header, body_head, *pack, "5840", record.sign1.signature.hex()]
    assert record.data.hex() == "".join(parts).replace(" ", "")


NUMBERS: list[tuple[int | float | Decimal, str]] = [
    (0, "00"),
    (-1, "20"),
    (2**64 - 1, "1bffffffffffffffff"),
    (-(2**64), "3bffffffffffffffff"),
    (Decimal("2.30"), "c4822118e6"),  # the exponent of the register's scale is kept
    (Decimal("0"), "00"),
    (Decimal("7"), "07"),  # 10⁰: an integer
    (Decimal("7E+3"), "c4820307"),
    (Decimal("-0.05"), "c4822124"),
    (Decimal("1E-12"), "c4822b01"),
    (1.0, "f93c00"),  # an IEEE register is a float, even when whole
    (0.1, "fb3fb999999999999a"),
    (-0.0, "f98000"),
    (3.4028234663852886e38, "fa7f7fffff"),
]


@pytest.mark.parametrize(("number", "encoded"), NUMBERS)
def test_numbers(number: int | float | Decimal, encoded: str) -> None:
    body = reading(values=(Value("x", number),))
    data = ReadingWriter(GATEWAY, METER, SIGNER).sign(claims(), body)
    assert data == sign_record(claims(), body, SIGNER)
    payload = parse_record(data).sign1.payload
    assert payload is not None
    assert payload.hex().startswith("81a400617802" + encoded + "21")
    read = parse_record(data).body
    assert isinstance(read, Reading)
    assert read.values[0].value == number


def test_secondary_units_and_only_they_ask_for_their_version() -> None:
    for unit, version in (("kWh", 26), ("/100", 26), ("ppm", 26), ("J", None), ("%", None), (None, None)):
        payload = parse_record(sign_record(claims(), reading(values=(Value("x", 1, unit),)), SIGNER)).sign1.payload
        assert payload is not None
        assert cbor.decode(payload)[0].get(-1) == version


UNWRITABLE: dict[str, tuple[Claims, Body]] = {
    "no value": (claims(), reading(values=())),
    "a value that is missing and does not say why": (claims(), reading(values=(Value("x", None),))),
    "not a number": (claims(), reading(values=(Value("x", float("nan")),))),
    "infinity": (claims(), reading(values=(Value("x", float("-inf")),))),
    "infinity, flagged": (claims(), reading(values=(Value("x", float("inf"), quality=1),))),
    "decimal infinity": (claims(), reading(values=(Value("x", Decimal("inf")),))),
    "a number of more than 64 bits": (claims(), reading(values=(Value("x", 2**64),))),
    "a decimal of more than 64 bits": (claims(), reading(values=(Value("x", Decimal(2**64).scaleb(-2)),))),
    "a unit that nobody registered": (claims(), reading(values=(Value("x", 1, "MWh"),))),
    "empty text that was measured": (claims(), reading(values=(VALUES[0], Value("x", "")))),
    "one point twice": (claims(), reading(values=(Value("x", 1.5), Value("y", 1.5), Value("x", 2.5)))),
    "one point twice, flagged": (claims(), reading(values=(Value("x", 1), Value("x", None, quality=1)))),
    "one point twice, later": (claims(), reading(values=(Value("x", 1, offset_ms=7), Value("x", "a", offset_ms=7)))),
    "no unit, but an empty one": (claims(), reading(values=(Value("x", 1, ""),))),
    "a point name with a slash": (claims(), reading(values=(Value("a/b", 1),))),
    "an empty point name": (claims(), reading(values=(VALUES[0], Value("", 1)))),
    "a time before 1970": (claims(), reading(-1)),
    "a time after 9999": (claims(), reading(253_402_300_800_000)),
    "a block before the first": (claims(), reading(values=(VALUES[0], Value("x", 1, offset_ms=-1)))),
    "a negative quality": (claims(), reading(values=(Value("x", 1, quality=-1),))),
    "text that UTF-8 cannot hold": (claims(), reading(values=(Value("x", "\udc00"),))),
    "a record of more than 64 KiB": (claims(), reading(values=(Value("x", "y" * 65_400),))),
    "a value of no kind": (claims(), reading(values=(Value("x", b"raw"),))),  # type: ignore[arg-type]
    "a gateway that is no name": (claims(gateway="a b"), reading()),
    "a meter that is no name": (claims(meter="é"), reading()),
    "a meter called gateway": (claims(meter=GATEWAY_ITSELF), reading()),
    "coverage of the gateway itself": (claims(meter=GATEWAY_ITSELF), bodies()[1]),
    "a negative sequence number": (claims(-1), reading()),
    "a sequence number of 65 bits": (claims(2**64), reading()),
    "a short epoch": (claims(epoch=bytes(7)), reading()),
    "a short prev": (claims(prev=bytes(31)), reading()),
    "a clock of another letter": (claims(clock="X"), reading()),
    "a negative error bound": (claims(err_ms=-1), reading()),
    "a negative uptime": (claims(up_ms=-1), reading()),
    "a signing time after 9999": (claims(iat=253_402_300_800), reading()),
    "a short salt": (claims(salt=bytes(15)), reading()),
    "coverage that does not add up": (claims(), Coverage(0, 1, 3, 1, {"timeout": 1})),
    "coverage that ends before it starts": (claims(), Coverage(2, 1, 0, 0, {})),
    "coverage with another reason": (claims(), Coverage(0, 1, 1, 0, {"holiday": 1})),
    "coverage with a negative count": (claims(), Coverage(0, 1, 0, 1, {"timeout": -1})),
    "an event without a name": (claims(), Event("", {})),
    "an event that names itself again": (claims(), Event("x", {"event": "y"})),
    "an event with a number as key": (claims(), Event("x", {1: 2})),  # type: ignore[dict-item]
    "an event with a set": (claims(), Event("x", {"a": {1}})),
    "an event with NaN": (claims(), Event("x", {"a": float("nan")})),
}


class NeverSigns:
    """A signer that must not be reached: nothing that a reader would refuse is ever signed."""

    public = SIGNER.public

    def sign(self, message: bytes) -> bytes:
        raise AssertionError("signed")


@pytest.mark.parametrize("what", UNWRITABLE)
def test_unwritable(what: str) -> None:
    facts, body = UNWRITABLE[what]
    signer: Signer = SIGNER if "64 KiB" in what else NeverSigns()
    with pytest.raises(EncodeError):
        sign_record(facts, body, signer)
    if isinstance(body, Reading) and facts.meter != GATEWAY_ITSELF:
        with pytest.raises(EncodeError):
            ReadingWriter(GATEWAY, METER, signer).sign(facts, body)


@pytest.mark.parametrize(("gateway", "meter"), [("a b", "m"), ("g", ""), ("g", "gateway")])
def test_no_writer_for_what_is_no_meter(gateway: str, meter: str) -> None:
    with pytest.raises(EncodeError):
        ReadingWriter(gateway, meter, SIGNER)


def test_a_writer_signs_for_its_own_meter_only() -> None:
    with pytest.raises(EncodeError, match="for the writer of"):
        ReadingWriter(GATEWAY, METER, NeverSigns()).sign(claims(meter="another"), reading())


def test_empty_text_with_a_flag_is_no_value() -> None:
    body = reading(values=(Value("x", "", quality=2), Value("y", "z")))
    read = parse_record(sign_record(claims(), body, SIGNER)).body
    assert read == reading(values=(Value("x", None, quality=2), Value("y", "z")))


def test_one_point_may_have_values_of_several_times() -> None:
    body = reading(values=(Value("x", 1), Value("x", 2, offset_ms=5), Value("x", 3, offset_ms=6)))
    assert parse_record(sign_record(claims(), body, SIGNER)).body == body


def resign(change: Callable[[dict[Any, Any], list[Any] | dict[Any, Any]], object], body: Body | None = None) -> bytes:
    """A record whose header and payload were changed before signing, as only a hostile writer would."""
    sign1 = parse_record(sign_record(claims(prev=bytes(32), salt=bytes(16)), body or reading(), SIGNER)).sign1
    assert sign1.payload is not None
    header, payload = cbor.decode(sign1.protected_bytes), cbor.decode(sign1.payload)
    change(header, payload)
    return cose.sign1(header, cbor.encode(payload), SIGNER)


def test_resign_changes_nothing_by_itself() -> None:
    for body in bodies():
        parse_record(resign(lambda _header, _payload: None, body))


HEADER_CHANGES: dict[str, Callable[[dict[Any, Any], Any], object]] = {
    "an unknown header label": lambda h, p: h.update({5: b""}),
    "a header label in text": lambda h, p: h.update({33: b""}),
    "no content type": lambda h, p: h.pop(3),
    "no claims": lambda h, p: h.pop(15),
    "crit": lambda h, p: h.update({2: [4]}),
    "another alg": lambda h, p: h.update({1: -35}),
    "alg as text": lambda h, p: h.update({1: "EdDSA"}),
    "alg as a float": lambda h, p: h.update({1: -8.0}),
    "a short kid": lambda h, p: h.update({4: bytes(31)}),
    "an unknown claim": lambda h, p: h[15].update({"who": "me"}),
    "claim exp": lambda h, p: h[15].update({4: 1}),
    "no iss": lambda h, p: h[15].pop(1),
    "no seq": lambda h, p: h[15].pop("seq"),
    "seq as text": lambda h, p: h[15].update({"seq": "0"}),
    "seq as a float": lambda h, p: h[15].update({"seq": 0.0}),
    "seq as a boolean": lambda h, p: h[15].update({"seq": False}),
    "a negative seq": lambda h, p: h[15].update({"seq": -1}),
    "iss with a space": lambda h, p: h[15].update({1: "a b"}),
    "a short epoch": lambda h, p: h[15].update({"epoch": bytes(7)}),
    "epoch as text": lambda h, p: h[15].update({"epoch": "12345678"}),
    "a short prev": lambda h, p: h[15].update({"prev": bytes(31)}),
    "prev null": lambda h, p: h[15].update({"prev": None}),
    "clock in two letters": lambda h, p: h[15].update({"clock": "SS"}),
    "clock as a number": lambda h, p: h[15].update({"clock": 1}),
    "clock as an array": lambda h, p: h[15].update({"clock": ["S"]}),
    "a negative err": lambda h, p: h[15].update({"err": -1}),
    "a short salt": lambda h, p: h[15].update({"salt": bytes(15)}),
    "iat as a float": lambda h, p: h[15].update({6: 1.5}),
    "iat after 9999": lambda h, p: h[15].update({6: 2**40}),
}
PACK_CHANGES: dict[str, Callable[[dict[Any, Any], Any], object]] = {
    "no entry": lambda h, p: p.clear(),
    "an entry that is no map": lambda h, p: p.append(1),
    "a first entry that is no map": lambda h, p: p.insert(0, 1),
    "an unknown label": lambda h, p: p[1].update({7: 1}),
    "an unknown text label": lambda h, p: p[1].update({"x_": 1}),
    "a sum": lambda h, p: p[1].update({5: 1}),
    "a base unit": lambda h, p: p[0].update({-4: "V"}),
    "a base value": lambda h, p: p[0].update({-5: 1}),
    "a base name again": lambda h, p: p[1].update({-2: f"{GATEWAY}/{METER}/"}),
    "no base time": lambda h, p: p[0].pop(-3),
    "a base time in seconds": lambda h, p: p[0].update({-3: T0}),
    "a base time in hundredths": lambda h, p: p[0].update({-3: Decimal("1.00")}),
    "a base time before 1970": lambda h, p: p[0].update({-3: Decimal("-0.001")}),
    "no version": lambda h, p: p[0].pop(-1),
    "another version": lambda h, p: p[0].update({-1: 10}),
    "a version that is a float": lambda h, p: p[0].update({-1: 26.0}),
    "a version that is null, and no unit": lambda h, p: [e.pop(1, None) for e in p] and p[0].update({-1: None}),
    "no name": lambda h, p: p[1].pop(0),
    "a name with a slash": lambda h, p: p[1].update({0: "a/b"}),
    "an unregistered unit": lambda h, p: p[1].update({1: "MWh"}),
    "empty text without a flag": lambda h, p: p[4].update({3: ""}) or p[4].pop("q_", None),
    "one point twice with one time": lambda h, p: p.append(dict(p[1])),
    "one point twice, with another unit": lambda h, p: p.append({0: p[1][0], 1: "A", 2: 5}),
    "an empty unit": lambda h, p: p[1].update({1: ""}),
    "a unit that is null": lambda h, p: p[1].update({1: None}),
    "two values": lambda h, p: p[1].update({3: "x"}),
    "no value": lambda h, p: p[1].pop(2),
    "a value that is text": lambda h, p: p[1].update({2: "x"}),
    "a value that is null": lambda h, p: p[1].update({2: None}),
    "a value that is a boolean": lambda h, p: p[1].update({2: True}),
    "a decimal that is an integer": lambda h, p: p[1].update({2: Decimal("7")}),
    "text that is bytes": lambda h, p: p[4].update({3: b""}),
    "a boolean that is 1": lambda h, p: p[5].update({4: 1}),
    "a time that is now": lambda h, p: p[1].update({6: Decimal("0.000")}),
    "a time in seconds": lambda h, p: p[1].update({6: 1}),
    "a time before the first": lambda h, p: p[1].update({6: Decimal("-0.001")}),
    "a quality that is good": lambda h, p: p[1].update({"q_": 0}),
    "a negative quality": lambda h, p: p[1].update({"q_": -1}),
    "a quality in words": lambda h, p: p[1].update({"q_": "good"}),
}
COVERAGE_CHANGES: dict[str, Callable[[dict[Any, Any], Any], object]] = {
    "an unknown key": lambda h, p: p.update(note="x"),
    "no due": lambda h, p: p.pop("due"),
    "due that does not add up": lambda h, p: p.update(due=p["due"] + 1),
    "an unknown reason": lambda h, p: p["missed"].update({"holiday": 0}),
    "a negative count": lambda h, p: p["missed"].update({"timeout": -1}),
    "missed that is no map": lambda h, p: p.update(missed=[]),
    "times the wrong way round": lambda h, p: p.update({"from": p["to"] + 1}),
    "a time as text": lambda h, p: p.update(to="now"),
    "a reading's content type": lambda h, p: h.update({3: CONTENT_READING}),
    "an event's content type": lambda h, p: h.update({3: CONTENT_EVENT}),
}
EVENT_CHANGES: dict[str, Callable[[dict[Any, Any], Any], object]] = {
    "no name": lambda h, p: p.pop("event"),
    "a number as key": lambda h, p: p.update({1: 2}),
    "a name that is none": lambda h, p: p.update(event="a b"),
    "a coverage's content type": lambda h, p: h.update({3: CONTENT_COVERAGE}),
}
CHANGES = {
    **{f"header: {what}": (change, 0) for what, change in HEADER_CHANGES.items()},
    **{f"pack: {what}": (change, 0) for what, change in PACK_CHANGES.items()},
    **{f"coverage: {what}": (change, 1) for what, change in COVERAGE_CHANGES.items()},
    **{f"event: {what}": (change, 2) for what, change in EVENT_CHANGES.items()},
}


@pytest.mark.parametrize("what", CHANGES)
def test_refused(what: str) -> None:
    change, body = CHANGES[what]
    with pytest.raises(Malformed) as caught:
        parse_record(resign(change, bodies()[body]))
    assert caught.value.step == 1


AT_STEP_2: dict[str, tuple[Callable[[dict[Any, Any], Any], object], int]] = {
    "another gateway's base name": (lambda h, p: p[0].update({-2: f"other/{METER}/"}), 0),
    "another meter's base name": (lambda h, p: p[0].update({-2: f"{GATEWAY}/other/"}), 0),
    "another content type": (lambda h, p: h.update({3: "application/senml+json"}), 0),
    "a content type as a number": (lambda h, p: h.update({3: 112}), 0),
    "coverage of the gateway itself": (lambda h, p: h[15].update({2: GATEWAY_ITSELF}), 1),
}


@pytest.mark.parametrize("what", AT_STEP_2)
def test_what_belongs_to_step_2(what: str) -> None:
    change, body = AT_STEP_2[what]
    with pytest.raises(Malformed) as caught:
        parse_record(resign(change, bodies()[body]))
    assert caught.value.step == 2


def test_an_unprotected_header_is_refused() -> None:
    sign1 = parse_record(sign_record(claims(), reading(), SIGNER)).sign1
    extras: list[dict[int | str, object]] = [{5: b""}, {394: []}, {"x": 1}]
    for unprotected in extras:
        with pytest.raises(Malformed, match="unknown key"):
            parse_record(replace(sign1, unprotected=unprotected).encode())


def test_a_detached_payload_is_refused() -> None:
    sign1 = parse_record(sign_record(claims(), reading(), SIGNER)).sign1
    with pytest.raises(Malformed, match="no payload"):
        parse_record(replace(sign1, payload=None).encode())


def test_the_cap_of_a_record() -> None:
    with pytest.raises(Malformed, match="the cap is 65536"):
        parse_record(bytes(65537))


@pytest.mark.parametrize("alg", [EDDSA, ES256])
def test_the_other_name_of_the_algorithm_is_read(alg: int) -> None:
    signer = key("meter", alg)
    sign1 = parse_record(sign_record(claims(), reading(), signer)).sign1
    header = {**sign1.protected, cose.ALG: {EDDSA: -19, ES256: -9}[alg]}
    assert sign1.payload is not None
    parse_record(cose.sign1(header, sign1.payload, signer)).sign1.verify(signer.public)
    mixed = cose.sign1({**header, cose.ALG: {EDDSA: -7, ES256: -8}[alg]}, sign1.payload, signer)
    with pytest.raises(BadSignature, match="does not match the type of the key"):
        parse_record(mixed).sign1.verify(signer.public)


def test_prev_is_the_hash_of_the_whole_record() -> None:
    data = sign_record(claims(), reading(), SIGNER)
    assert record_hash(data).hex() == hashlib.sha256(data).hexdigest()


def test_times_of_the_three_kinds() -> None:
    times = [parse_record(sign_record(claims(), body, SIGNER)).time_ms for body in bodies()]
    assert times == [T0 * 1000 + 123, T0 * 1000, (T0 + 1) * 1000]
    kinds = [parse_record(sign_record(claims(), body, SIGNER)).kind for body in bodies()]
    assert kinds == ["reading", "coverage", "event"]


def test_an_event_of_the_gateway_itself_is_written() -> None:
    record = parse_record(sign_record(claims(meter=GATEWAY_ITSELF), Event("software", {"version": "0.1.0"}), SIGNER))
    assert record.id == f"gateway/{EPOCH.hex()}/0"


@THOROUGH
@given(QUALITIES)
def test_quality_words_name_every_bit(flags: int) -> None:
    words = quality_words(flags)
    assert len(words) == flags.bit_count()
    assert sum(1 << int(w[4:]) if w.startswith("BIT_") else Quality[w] for w in words) == flags


def test_the_bits_of_quality_never_move() -> None:
    assert {bit.name: int(bit).bit_length() - 1 for bit in Quality} == {
        "COMM_FAIL": 0, "DECODE_ERR": 1, "NOT_FOUND": 2, "DEVICE_FAULT": 3, "STALE": 4, "FROZEN": 5, "RANGE_HIGH": 6,
        "RANGE_LOW": 7, "CAL_RANGE": 8, "MAINTENANCE": 9, "CALIBRATING": 10, "STOPPED": 11, "MANUAL": 12,
        "SUBSTITUTED": 13, "OUT_OF_CONTROL": 14, "CAL_OVERDUE": 15, "ROLLOVER": 16, "COUNTER_RESET": 17,
        "METER_EXCHANGED": 18, "TAMPER": 19, "IMPLAUSIBLE": 20, "CLOCK_UNSYNC": 21, "CLOCK_STEP": 22, "LATE": 23,
        "CACHED": 24, "SHARED_LINE": 25, "IDENTITY_UNPROVEN": 26, "CONFIG_CHANGED": 27, "BLOCKED": 28,
        "NOT_ASKED": 29,
    }  # fmt: skip
