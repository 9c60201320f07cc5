"""docs/evidence.cddl describes what we write: every layer of real output fits its rule, and wrong types do not.

The validator overlooks some of what the rules say (unknown keys of maps inside of arrays, the ends of a .regexp); our
own reader does not, see the tests of each format.
"""

from __future__ import annotations

# not quick: readings by chance, 1 s of CPU
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from pycddl import Schema, ValidationError

from ledger_client.enrolment.party_request import PartyEnrolment, sign_party
from ledger_client.enrolment.request import Enrolment, MeterKey, RetiredKey, sign_request
from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.bundle import Bundle, Locator
from ledger_client.formats.consistency import sign_consistency
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.log_head import LogHead, sign_head
from ledger_client.formats.record import (
    GATEWAY_ITSELF,
    Claims,
    Coverage,
    Event,
    ReadingWriter,
    parse_record,
    sign_record,
)
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import parse_statement
from ledger_client.transparency.policy.key_entries import Change, sign_change
from ledger_client.transparency.policy.key_list import Count, Shown, encode_page, sign_count
from ledger_client.transparency.policy.ledger_keys import sign_key, sign_rules
from ledger_client.verification.trust import Held, TrustKey
from tests.support.evidence import EPOCH, GATEWAY, LEDGER, METER, T0, Site, claims, key, receipt_for, records
from tests.support.evidence_values import CLAIMS, EVENTS, READINGS, THOROUGH, coverages
from tests.support.witnesses.heads import cosigned_head, log_key

CDDL = (Path(__file__).parents[3] / "docs" / "evidence.cddl").read_text()
LAYERS = [
    "envelope", "protected", "pack", "coverage", "event", "statement", "receipt", "bundle", "batch-file", "consistency",
    "head", "ledger-key", "policy", "key-change", "key-list", "key-count", "enrol-request",
]  # fmt: skip
INNER = [
    "receipt-header", "receipt-proof", "statement-header", "record-header", "attached", "locator", "consistency-header",
    "consistency-proof", "head-header", "ledger-key-header", "enrolment", "party-enrolment", "enrol-proof",
    "enrol-proof-header",
    "own-header", "alarm", "commissioned", "meter-exchange",
]  # fmt: skip


@cache
def schema(rule: str) -> Schema:
    return Schema(f"start = {rule}\n{CDDL}")


def fits(rule: str, data: bytes) -> bool:
    try:
        schema(rule).validate_cbor(data)
    except ValidationError:
        return False
    return True


def payload(data: bytes) -> bytes:
    content = cose.Sign1.parse(data).payload
    assert content is not None
    return content


def protected(data: bytes) -> bytes:
    return cose.Sign1.parse(data).protected_bytes


LOCATORS = (
    Locator("consortium", 31337, bytes(20), bytes(32), 7, bytes(32)),
    Locator("consortium", 31337, bytes(20), bytes(32), 7, bytes(32), (3, 1, (bytes(32),))),
)
BATCH = [*records(), sign_record(claims(meter=GATEWAY_ITSELF), Event("software", {}), key("statement", ES256))]
ENTRY = Site(BATCH).entry()
RECEIPT = receipt_for(ENTRY)
CONSISTENCY = sign_consistency(LEDGER, T0, 2, 3, [bytes(32)], bytes(32), key(LEDGER))
HEAD = sign_head(LogHead(LEDGER, 3, bytes(32), T0), key(LEDGER))
NEW_KEY = sign_key(LEDGER, T0, key("next").public, key(LEDGER))
RULES = sign_rules(LEDGER, T0, ["a rule"], key(LEDGER))
WITH_LOG = sign_rules(LEDGER, T0, ["a rule"], key(LEDGER), log_key().vkey)
LET_IN = TrustKey("meter", key("meter").public, GATEWAY, METER, None, bytes(32), 5, 9, None, None, "serial=4711")
SHUT_OUT = replace(LET_IN, revoked=T0, revoked_reason="stolen")
ATTESTED = replace(LET_IN, held=Held(None, None, "certificate of the token seen"))
CHANGES = [
    sign_change(LEDGER, Change(f"gateway/{GATEWAY}", T0, False, (ATTESTED,), number=1), key(LEDGER)),
    sign_change(LEDGER, Change(f"gateway/{GATEWAY}", T0, False, (LET_IN,), number=1), key(LEDGER)),
    sign_change(
        LEDGER, Change(f"gateway/{GATEWAY}", T0, True, (SHUT_OUT,), frozenset([SHUT_OUT.place]), 2), key(LEDGER)
    ),
]
ISSUER = TrustKey("issuer", key("reg").public, None, None, None, bytes(32), 5, 9, None, None, None, "reg")
BARRED = replace(ISSUER, revoked=T0, revoked_reason="stolen")
OF_PARTIES = [
    sign_change(LEDGER, Change("party/reg", T0, False, (ISSUER,), number=1), key(LEDGER)),
    sign_change(LEDGER, Change("party/reg", T0, True, (BARRED,), frozenset([BARRED.place]), 2), key(LEDGER)),
]
PARTIES = sign_count(Count(LEDGER, "parties", 1, 2, bytes(32), T0), key(LEDGER))
COUNT = sign_count(Count(LEDGER, f"gateway/{GATEWAY}", 1, 2, bytes(32), T0), key(LEDGER))
SHOWN = encode_page(COUNT, [Shown(1, CHANGES[0], (bytes(32),), RECEIPT), Shown(0, RULES, (), None)])
METERS = {METER: MeterKey(key("meter").public, "serial=4711", key("old meter").public)}
RETIRED = (RetiredKey(bytes(32), T0, "planned"),)
ASKED = Enrolment(GATEWAY, T0, key("statement", ES256).public, METERS, key("old").public, RETIRED)
SIGNING = (key("statement", ES256), key("meter"), key("old"), key("old meter"))
REQUEST = sign_request(ASKED, {k.public.kid: k for k in SIGNING})
PROOFS = cbor.decode(REQUEST)["proofs"]
OF_PARTY = sign_party(
    PartyEnrolment("reg", "issuer", T0, key("reg").public, key("old").public),
    {k.public.kid: k for k in (key("reg"), key("old"))},
)
BUNDLES = [Site(BATCH, anchors=LOCATORS).build(index) for index in range(len(BATCH))]
BUNDLES.append(Site(BATCH).build(witnessed=(cosigned_head(ENTRY), cosigned_head(ENTRY))))
ATTACHED = cbor.decode(BUNDLES[0])["statement"]
BATCH_FILE = {"v": 1, "anchors": cbor.decode(BUNDLES[0])["anchors"], "records": BATCH, "statement": ATTACHED}
MESSAGE = {"message": "errno-eio", "facts": {}}
SPOKEN = {
    "code": "line-down", "line": "bus", "text": "no port", "raised": True, "since": 5, "message": "line-port-failed",
    "facts": {"why": MESSAGE, "n": -1, "sure": False, "lines": ["a", MESSAGE]},
}  # fmt: skip
ALARMS = [
    sign_record(claims(), Event("alarm", fields), key("meter"))
    for fields in (SPOKEN, {"code": "disk", "line": "store", "text": "", "raised": False, "meter": METER})
]
COMPARED = {
    "at": T0 * 1000, "unit": "Wh", "point": "energy_import", "value": Decimal("1234567.8"), "display": "1234.56 kWh",
    "request": b"\x01\x03\x00\x00\x00\x02\xc4\x0b", "answer": b"\x01\x03\x04\x00\x00\x00\x00\xfa\x33",
    "verdict": "agrees",
}  # fmt: skip
COMMISSIONING = {
    "at": T0 * 1000, "by": "somebody", "role": "export", "plate": "4711", "seals": ["A 1"], "ratios": {"ct": "200/5"},
    "photos": [{"name": "a.jpg", "size": 1, "sha256": bytes(32)}], "profile": "generic-3p", "remarks": "a\nb",
    "reversed": False, "identity": "serial_number=4711", "position": "cabinet 2", "comparisons": [COMPARED],
    "reversed-phase": "an inverter on L2",
    "settings": {"address": 7, "bus": "rs485", "baudrate": 2400, "word_order": "little"}, "profile-hash": bytes(32),
}  # fmt: skip
PUT_INTO_SERVICE = [
    sign_record(claims(), Event("commissioned", fields), key("meter"))
    for fields in (
        COMMISSIONING,
        {"identity": "serial_number=4711"},
        {key: COMMISSIONING[key] for key in ("at", "by", "role", "profile", "reversed", "settings", "profile-hash")},
    )
]
EXCHANGE = {
    "by": "somebody", "old": "serial_number=1", "identity": "serial_number=2", "last": {"energy_import": 81234.5},
    "first": {"energy_import": 0, "model": "a"}, "seals": ["A 1"], "reason": "lightning", "user": "installer",
    "registers": {"energy_import": {"unit": "kWh", "final": Decimal("81234.6"), "initial": 0, "quality": 4096}},
}  # fmt: skip
EXCHANGES = [
    sign_record(claims(), Event("meter-exchange", fields), key("meter"))
    for fields in (
        {**EXCHANGE, "by-hand": True, "plate": "4712", "since": T0 * 1000},
        EXCHANGE,
        {name: EXCHANGE[name] for name in ("old", "identity", "last", "first")} | {"identity": "", "by-hand": True},
    )
]
REAL: dict[str, list[bytes]] = {
    "envelope": [*BATCH, ENTRY, HEAD, NEW_KEY, RULES, *CHANGES, COUNT],
    "protected": [protected(data) for data in (*BATCH, ENTRY, HEAD, NEW_KEY)],
    "record-header": [protected(data) for data in BATCH],
    "statement-header": [protected(ENTRY)],
    "pack": [payload(BATCH[0])],
    "coverage": [payload(BATCH[1])],
    "event": [payload(BATCH[2]), payload(BATCH[3])],
    "alarm": [payload(data) for data in ALARMS],
    "commissioned": [payload(data) for data in PUT_INTO_SERVICE],
    "meter-exchange": [payload(data) for data in EXCHANGES],
    "statement": [payload(ENTRY)],
    "attached": [ATTACHED],
    "receipt": [RECEIPT],
    "receipt-header": [protected(RECEIPT)],
    "receipt-proof": [cose.Sign1.parse(RECEIPT).unprotected[396][-1][0]],
    "consistency": [CONSISTENCY],
    "consistency-header": [protected(CONSISTENCY)],
    "consistency-proof": [cose.Sign1.parse(CONSISTENCY).unprotected[396][-2][0]],
    "head": [payload(HEAD)],
    "head-header": [protected(HEAD)],
    "ledger-key": [payload(NEW_KEY)],
    "ledger-key-header": [protected(NEW_KEY)],
    "policy": [payload(RULES), payload(WITH_LOG)],
    "key-change": [payload(entry) for entry in (*CHANGES, *OF_PARTIES)],
    "key-list": [SHOWN],
    "key-count": [payload(COUNT)],
    "own-header": [protected(entry) for entry in (RULES, *CHANGES, COUNT, *OF_PARTIES, PARTIES)],
    "enrol-request": [REQUEST, OF_PARTY],
    "party-enrolment": [cbor.decode(OF_PARTY)["request"]],
    "enrolment": [cbor.decode(REQUEST)["request"]],
    "enrol-proof": PROOFS,
    "enrol-proof-header": [protected(proof) for proof in PROOFS],
    "bundle": BUNDLES,
    "batch-file": [cbor.encode(BATCH_FILE)],
    "locator": [cbor.encode(locator) for locator in cbor.decode(BUNDLES[0])["anchors"]],
}


@pytest.mark.parametrize("rule", [*LAYERS, *INNER])
def test_real_output_fits(rule: str) -> None:
    for data in REAL[rule]:
        schema(rule).validate_cbor(data)


@THOROUGH
@given(CLAIMS, READINGS)
def test_every_reading_fits(facts: Claims, body: Reading) -> None:
    data = ReadingWriter(GATEWAY, METER, key("meter")).sign(facts, body)
    for rule, part in (("envelope", data), ("protected", protected(data)), ("pack", payload(data))):
        schema(rule).validate_cbor(part)


@THOROUGH
@given(coverages())
def test_every_coverage_fits(body: Coverage) -> None:
    schema("coverage").validate_cbor(payload(sign_record(claims(), body, key("meter"))))


@THOROUGH
@given(EVENTS.filter(lambda event: "event" not in event.fields))
def test_every_event_fits(body: Event) -> None:
    schema("event").validate_cbor(payload(sign_record(claims(), body, key("meter"))))


def change(data: bytes, path: list[Any], value: object) -> bytes:
    """The item with the node at ``path`` replaced; through a tag without a step of its own."""
    item = cbor.decode(data)
    node = item.value if isinstance(item, cbor2.CBORTag) else item
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return cbor2.dumps(item, canonical=True)


WRONG: dict[str, list[tuple[list[Any], object]]] = {
    "envelope": [([0], "text"), ([2], None), ([3], bytes(63)), ([3], "text")],
    "protected": [
        ([1], -35),
        ([1], "EdDSA"),
        ([3], 112),
        ([3], "application/json"),
        ([4], bytes(31)),
        ([15, 2], 1),
        ([15, 6], 1.5),
        ([15, "seq"], -1),
        ([15, "clock"], "X"),
        ([15, "epoch"], bytes(7)),
        ([15, "prev"], "text"),
        ([15, "err"], -1),
        ([15, "who"], "me"),
        ([33], b""),
    ],
    "pack": [
        ([0, -2], "no slash"),
        ([0, -3], 1795000000),
        ([0, -1], 10),
        ([1, 0], 5),
        ([1, 1], 5),
        ([1, 2], "text"),
        ([1, 6], 5),
        ([1, "q_"], 0),
        ([1, "q_"], "good"),
        ([1], "text"),
    ],
    "coverage": [
        (["to"], "now"),
        (["from"], -1),
        (["due"], 1.5),
        (["recorded"], None),
        (["missed"], []),
        (["missed", "holiday"], 1),
        (["missed", "timeout"], -1),
        (["note"], 1),
    ],
    "event": [(["event"], 1), ([1], "a fact")],
    "alarm": [
        (["raised"], 1),
        (["text"], None),
        (["code"], ""),
        (["message"], "_"),
        (["facts"], []),
        (["facts", "n"], 1.5),
        (["facts", "why", "message"], None),
        (["facts", "why", "note"], 1),
        (["note"], 1),
    ],
    "meter-exchange": [
        (["event"], "alarm"),
        (["old"], None),
        (["identity"], None),
        (["last"], []),
        (["first"], None),
        (["seals"], []),
        (["seals", 0], ""),
        (["by"], ""),
        (["by-hand"], False),
        (["by-hand"], 1),
        (["plate"], ""),
        (["since"], -1),
        (["reason"], None),
        (["registers"], {}),
        (["registers", "energy_import", "final"], "1"),
        (["registers", "energy_import", "initial"], None),
        (["registers", "energy_import", "unit"], None),
        (["registers", "energy_import", "quality"], -1),
    ],
    "commissioned": [
        (["at"], "now"),
        (["by"], ""),
        (["role"], None),
        (["event"], "alarm"),
        (["profile"], None),
        (["profile-hash"], bytes(31)),
        (["reversed"], 0),
        (["reversed-phase"], ""),
        (["reversed-phase"], True),
        (["identity"], ""),
        (["settings"], []),
        (["settings", "address"], 1.5),
        (["ratios"], {}),
        (["ratios", "ct"], None),
        (["plate"], ""),
        (["seals"], []),
        (["seals", 0], ""),
        (["position"], ""),
        (["photos", 0, "sha256"], bytes(31)),
        (["photos", 0, "size"], -1),
        (["remarks"], ""),
        (["comparisons"], []),
        (["comparisons", 0, "point"], 1),
        (["comparisons", 0, "value"], None),
        (["comparisons", 0, "display"], None),
        (["comparisons", 0, "request"], b""),
        (["comparisons", 0, "answer"], 1.5),
        (["comparisons", 0, "at"], -1),
        (["comparisons", 0, "verdict"], None),
        (["note"], 1),
    ],
    "statement": [
        (["root"], bytes(31)),
        (["root"], "text"),
        (["prev"], 0),
        (["size"], 0),
        (["batch"], -1),
        (["to"], 1.5),
        (["config"], bytes(33)),
        (["software"], "meterseal"),
        (["meters"], []),
        (["meters", METER], []),
        (["meters", METER], [[EPOCH, 0]]),
        (["meters", METER], [[EPOCH, 0, -1]]),
        (["resume"], ""),
        (["note"], 1),
    ],
    "receipt": [([0], 1), ([1], {}), ([1, 396], {}), ([1, 396, -1], b""), ([2], bytes(32)), ([3], b"")],
    "receipt-header": [([395], 2), ([15, "size"], "4"), ([15, 6], -1), ([4], bytes(31)), ([1], -35)],
    "receipt-proof": [([0], -1), ([1], "0"), ([2], []), ([2, 0], bytes(31)), ([2, 0], "hash")],
    "consistency": [([0], 1), ([1, 396], {-1: [b""]}), ([2], bytes(32)), ([3], b"")],
    "consistency-header": [([395], 2), ([15, "size"], 0), ([15, 2], "batch/0"), ([1], -35)],
    "consistency-proof": [([0], 0), ([1], 0), ([2], []), ([2, 0], bytes(31))],
    "head": [(["size"], 0), (["root"], bytes(31)), (["note"], 1)],
    "head-header": [([3], "application/cbor"), ([15, 2], "head"), ([15, "size"], 1)],
    "ledger-key": [(["v"], 2), (["new"], "text"), (["note"], 1)],
    "ledger-key-header": [([3], "application/cbor"), ([15, 2], "log"), ([4], bytes(31))],
    "policy": [(["v"], 2), (["rules"], []), (["rules"], [1]), (["note"], 1)],
    "key-change": [
        (["v"], 2),
        (["keys"], []),
        (["keys", 0, "role"], "ledger"),
        (["keys", 0, "public"], "text"),
        (["keys", 0, "valid_from"], -1),
        (["keys", 0, "identity"], ""),
        (["number"], 0),
        (["note"], 1),
    ],
    "key-list": [
        (["list"], "text"),
        (["entries", 0, 0], -1),
        (["entries", 0, 1], None),
        (["entries", 0, 2], ["text"]),
        (["entries", 0, 3], "text"),
        (["note"], 1),
    ],
    "key-count": [(["size"], 0), (["count"], -1), (["root"], bytes(31)), (["note"], 1)],
    "own-header": [([15, 2], "claim/0"), ([3], "application/cbor"), ([15, 6], -1), ([4], bytes(31)), ([15, "size"], 1)],
    "enrol-request": [(["v"], 2), (["proofs"], []), (["proofs", 0], "text"), (["request"], "text"), (["note"], 1)],
    "enrolment": [
        (["time"], -1),
        (["before"], "text"),
        (["gateway"], 1),
        (["statement"], None),
        (["meters"], []),
        (["meters", METER], {"identity": "x"}),
        (["meters", METER, "identity"], ""),
        (["meters", METER, "key"], "text"),
        (["meters", METER, "before"], "text"),
        (["retired"], []),
        (["retired", 0, "kid"], bytes(31)),
        (["retired", 0, "reason"], ""),
        (["note"], 1),
    ],
    "party-enrolment": [
        (["time"], -1),
        (["before"], "text"),
        (["party"], 1),
        (["role"], "statement"),
        (["key"], None),
        (["note"], 1),
    ],
    "enrol-proof": [([0], 1), ([2], b"payload"), ([3], bytes(63))],
    "enrol-proof-header": [([1], -35), ([3], "application/cbor"), ([4], bytes(31)), ([15], {})],
    "statement-header": [([3], "application/cbor"), ([15, 2], 0), ([15, 1], 1), ([15, "seq"], 1)],
    "record-header": [([3], "application/vnd.meterseal.batch+cbor")],
    "attached": [([1], {394: []}), ([1], {394: [1]}), ([3], bytes(65))],
    "bundle": [
        (["v"], 2),
        (["v"], "1"),
        (["record"], "text"),
        (["record"], b"\x00"),
        (["statement"], b"\x00"),
        (["anchors"], {}),
        (["anchors"], [1]),
        (["inclusion"], [1, 0]),
        (["inclusion"], [1, 0, [bytes(31)]]),
        (["inclusion"], [1, -1, []]),
        (["key"], b"trust me"),
    ],
    "batch-file": [
        (["v"], 2),
        (["records"], []),
        (["records", 0], "text"),
        (["statement"], b"\x00"),
        (["anchors"], [1]),
        (["key"], b"trust me"),
    ],
    "locator": [
        (["type"], "btc"),
        (["chain"], "1"),
        (["contract"], bytes(32)),
        (["tx"], "0x00"),
        (["block"], -1),
        (["note"], 1),
        (["inclusion"], [1]),
    ],
}
CASES = [(rule, path, value) for rule, changes in WRONG.items() for path, value in changes]


def test_every_layer_has_its_wrong_types() -> None:
    assert set(WRONG) == set(LAYERS) | set(INNER)


@pytest.mark.parametrize(("rule", "path", "value"), CASES)
def test_a_wrong_type_does_not_fit(rule: str, path: list[Any], value: object) -> None:
    assert fits(rule, REAL[rule][0])
    assert not fits(rule, change(REAL[rule][0], path, value))


@pytest.mark.parametrize("rule", ["pack", "coverage", "event", "statement"])
def test_what_does_not_fit_is_not_read_either(rule: str) -> None:
    """The same changes, signed, and given to our own reader."""
    sources: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        "pack": (BATCH[0], parse_record),
        "coverage": (BATCH[1], parse_record),
        "event": (BATCH[2], parse_record),
        "statement": (ENTRY, parse_statement),
    }
    data, parse = sources[rule]
    sign1 = cose.Sign1.parse(data)
    parse(cose.sign1(sign1.protected, payload(data), key("meter")))
    for path, value in WRONG[rule]:
        with pytest.raises(Malformed):
            parse(cose.sign1(sign1.protected, change(payload(data), path, value), key("meter")))


@pytest.mark.parametrize("data", BUNDLES)
def test_a_bundle_is_made_of_the_other_layers(data: bytes) -> None:
    parts = Bundle.parse(data)
    schema("envelope").validate_cbor(parts.record)
    schema("envelope").validate_cbor(parts.statement)
    for receipt in parts.receipts:
        schema("receipt").validate_cbor(receipt)
