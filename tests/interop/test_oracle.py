"""pycose and cwt, which are not ours, accept what we sign; and we accept what cwt signs in our form."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import EDDSA, ES256, PrivateKey
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.record import parse_record
from ledger_client.formats.statement import attach_receipts, parse_statement
from tests.support.evidence import LEDGER, Site, key, receipt_for, records

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "interop" / "oracle" / "verify_sign1.py"


def ask(check: list[dict[str, str]], sign: list[dict[str, str]] | None = None) -> dict[str, list[Any]]:
    """Run the script with the oracle's own Python."""
    python = Path(os.environ.get("METERSEAL_ORACLE_PYTHON", ROOT / ".venv-oracle" / "bin" / "python"))
    if not python.exists():
        pytest.fail(f"{python} is missing: scripts/test makes the environment of pycose and cwt")
    question = json.dumps({"check": check, "sign": sign or []})
    done = subprocess.run([python, SCRIPT], input=question, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[Any]] = json.loads(done.stdout)
    return answer


def case(message: bytes, signer: PrivateKey, payload: bytes | None = None) -> dict[str, str]:
    usual = {"message": message.hex(), "key": signer.public.cose_key.hex()}
    return usual if payload is None else {**usual, "payload": payload.hex()}


def damaged(message: bytes) -> bytes:
    return message[:-1] + bytes([message[-1] ^ 1])


def test_pycose_and_cwt_accept_our_records_and_statements() -> None:
    meters = [key("meter", EDDSA), key("meter", ES256)]
    signers = [key("statement", ES256), key("statement", EDDSA)]
    signed = [(data, meter) for meter in meters for data in records(meter)]
    signed += [(Site(statement_signer=signer).entry(), signer) for signer in signers]
    entry = Site().entry()
    signed.append((attach_receipts(entry, [receipt_for(entry)]), signers[0]))
    answers = ask([case(data, signer) for data, signer in signed])["check"]
    for (data, _), answer in zip(signed, answers, strict=True):
        ours = cose.Sign1.parse(data)
        for library in ("pycose", "cwt"):
            assert answer[library]["verified"] is True, answer
            assert answer[library]["payload"] == (ours.payload or b"").hex()
        assert answer["pycose"]["protected"] == ours.protected_bytes.hex()
        assert cbor.decode(bytes.fromhex(answer["cwt"]["protected"]), foreign=True) == ours.protected


def test_pycose_and_cwt_accept_our_receipts() -> None:
    entry = Site().entry()
    receipt = parse_receipt(receipt_for(entry))
    root = root_from_path(leaf_hash(entry), receipt.size, receipt.index, receipt.path)
    good, bad = ask([case(receipt.data, key(LEDGER), root), case(receipt.data, key(LEDGER), bytes(32))])["check"]
    assert good["pycose"]["verified"] is True, good
    assert good["cwt"]["verified"] is True, good
    assert not bad["pycose"]["verified"]
    assert not bad["cwt"]["verified"]


def test_pycose_and_cwt_refuse_what_we_refuse() -> None:
    data, entry = records()[0], Site().entry()
    wrong = [
        case(damaged(data), key("meter")),
        case(data, key("thief")),
        case(damaged(entry), key("statement", ES256)),
    ]
    for answer in ask(wrong)["check"]:
        assert not answer["pycose"]["verified"]
        assert not answer["cwt"]["verified"]


def private_cose_key(signer: PrivateKey) -> bytes:
    """The COSE_Key with its private part, for the oracle to sign with."""
    private = serialization.load_pem_private_key(signer.to_pem(), None)
    if hasattr(private, "private_bytes_raw"):
        secret = private.private_bytes_raw()
    else:
        secret = private.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    return cbor.encode(cbor.decode(signer.public.cose_key) | {2: signer.public.kid, -4: secret})


def test_we_accept_what_cwt_signs_in_our_form() -> None:
    meter, signer = key("meter"), key("statement")
    originals = [(records(meter)[0], meter), (Site(statement_signer=signer).entry(), signer)]
    questions = []
    for data, owner in originals:
        sign1 = cose.Sign1.parse(data)
        parts = {"payload": sign1.payload or b"", "protected": sign1.protected_bytes, "key": private_cose_key(owner)}
        questions.append({name: part.hex() for name, part in parts.items()})
    record, entry = (bytes.fromhex(data) for data in ask([], questions)["sign"])
    assert (record, entry) == (originals[0][0], originals[1][0])  # Ed25519 has one signature: the very bytes
    parse_record(record).sign1.verify(meter.public)
    parse_statement(entry).sign1.verify(signer.public)
