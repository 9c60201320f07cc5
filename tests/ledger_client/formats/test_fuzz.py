"""Whatever the bytes are: a fact, or a VerificationError, and never another exception."""

from __future__ import annotations

# not quick: items by chance, 2 s of CPU
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_client.errors import EncodeError, VerificationError
from ledger_client.formats import cbor, cose
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import ES256, PrivateKey, PublicKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.record import parse_record
from ledger_client.formats.statement import detach_receipts, parse_statement
from ledger_client.verification.as_json import verified_json
from ledger_client.verification.explain import facts_in_words
from ledger_client.verification.verify import verify
from ledger_client.verification.vouching import check_receipt
from tests.support.evidence import NOW, Site, key, receipt_for, records, trust
from tests.support.evidence_values import ITEMS, THOROUGH

MANY = settings(THOROUGH, max_examples=250)
ENTRY = Site().entry()
TRUST = trust()
STATEMENT_KEY = key("statement", ES256)
PARSERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "bundle": (lambda data: verify(data, TRUST, NOW), [Site().build(index) for index in range(3)]),
    "record": (lambda data: parse_record(data).sign1.verify(key("meter").public), records()),
    "statement": (parse_statement, [ENTRY]),
    "attached": (detach_receipts, [Bundle.parse(Site().build()).statement]),
    "receipt": (lambda data: check_receipt(ENTRY, data, TRUST, NOW), [receipt_for(ENTRY)]),
    "any receipt": (parse_receipt, [receipt_for(ENTRY)]),
    "sign1": (lambda data: cose.Sign1.parse(data, foreign=True).verify(key("meter").public), [ENTRY]),
    "key": (PublicKey.from_cose_key, [key("meter").public.cose_key]),
}


@pytest.mark.parametrize("parser", PARSERS)
@MANY
@given(st.binary(max_size=300))
def test_random_bytes(parser: str, data: bytes) -> None:
    with contextlib.suppress(VerificationError):
        PARSERS[parser][0](data)


@pytest.mark.parametrize("parser", PARSERS)
@MANY
@given(st.data())
def test_damaged_evidence(parser: str, data: st.DataObject) -> None:
    parse, samples = PARSERS[parser]
    changed = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(start, min(len(changed), start + 8)))
        changed[start:end] = data.draw(st.binary(max_size=8))
    with contextlib.suppress(VerificationError):
        parse(bytes(changed))


@st.composite
def rebuilt(draw: st.DrawFn, sample: Any) -> Any:
    """The same structure with one node anywhere replaced by any other item."""
    if not draw(st.integers(0, 5)):
        return draw(ITEMS)
    if isinstance(sample, cbor2.CBORTag):
        return cbor2.CBORTag(sample.tag, draw(rebuilt(sample.value)))
    if isinstance(sample, dict) and sample:
        chosen = draw(st.sampled_from(list(sample)))
        action = draw(st.sampled_from(["change", "drop", "add"]))
        if action == "drop":
            return {k: v for k, v in sample.items() if k != chosen}
        if action == "add":
            return {**sample, draw(st.one_of(st.integers(-10, 400), st.text(max_size=3))): draw(ITEMS)}
        return {**sample, chosen: draw(rebuilt(sample[chosen]))}
    if isinstance(sample, list) and sample:
        position = draw(st.integers(0, len(sample) - 1))
        return [draw(rebuilt(item)) if n == position else item for n, item in enumerate(sample)]
    if isinstance(sample, bytes) and len(sample) > 2:
        with contextlib.suppress(cbor2.CBORError):
            inner = cbor2.loads(sample, tag_hook=lambda _decoder, tag: tag)
            return cbor2.dumps(draw(rebuilt(inner)), canonical=True)
    return draw(ITEMS)


@MANY
@given(st.data())
def test_well_formed_but_wrong_and_signed_with_the_right_keys(data: st.DataObject) -> None:
    """Who has the keys may sign anything: it is refused as evidence is, or it can be shown, on one line each."""
    index = data.draw(st.integers(0, 2))
    batch = records()
    batch[index] = resigned(data, batch[index], key("meter"))
    parts = Site(records()).bundle(index)
    tree = Tree([leaf_hash(record) for record in batch])
    entry = cose.Sign1.parse(ENTRY)
    assert entry.payload is not None
    true = cose.sign1(entry.protected, cbor.encode(cbor.decode(entry.payload) | {"root": tree.root}), STATEMENT_KEY)
    entries = [true, resigned(data, true, STATEMENT_KEY)]
    for signed in entries:
        place, receipts = tuple(tree.path(index)), (receipt_for(signed),)
        try:
            bundle = replace(parts, record=batch[index], path=place, statement=signed, receipts=receipts).encode()
        except EncodeError:
            continue
        with contextlib.suppress(VerificationError):
            proven = verify(bundle, TRUST, NOW)
            json.dumps(verified_json(proven), allow_nan=False)
            assert all(map(str.isprintable, facts_in_words(proven)))


def resigned(data: st.DataObject, signed: bytes, signer: PrivateKey) -> bytes:
    """The same with one thing in its header or its payload replaced, and the signature made again."""
    sign1 = cose.Sign1.parse(signed)
    assert sign1.payload is not None
    header, payload = cbor.decode(sign1.protected_bytes), cbor.decode(sign1.payload)
    if data.draw(st.booleans()):
        header = data.draw(rebuilt(header))
    else:
        payload = data.draw(rebuilt(payload))
    try:
        plain, content = cbor.encode(header), cbor.encode(payload)
    except EncodeError:
        return signed
    signature = signer.sign(cose.sig_structure(plain, content))
    return replace(sign1, protected_bytes=plain, payload=content, signature=signature).encode()


@pytest.mark.parametrize("parser", PARSERS)
@MANY
@given(st.data())
def test_well_formed_but_wrong(parser: str, data: st.DataObject) -> None:
    parse, samples = PARSERS[parser]
    sample = cbor2.loads(data.draw(st.sampled_from(samples)), tag_hook=lambda _decoder, tag: tag)
    try:
        changed = cbor2.dumps(data.draw(rebuilt(sample)), canonical=True)
    except cbor2.CBOREncodeError:
        return
    with contextlib.suppress(VerificationError):
        parse(changed)
