"""Enrolment requests: every key in one has signed it, and nothing else is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.enrolment.proofs import CONTENT_REQUEST, is_request, to_text
from ledger_client.enrolment.request import Enrolment, MeterKey, RetiredKey, parse_request, sign_request
from ledger_client.errors import BadSignature, EncodeError, Malformed, VerificationError
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import ES256, PrivateKey

STATEMENT, OLD, ONE, TWO = PrivateKey.generate(ES256), *(PrivateKey.generate() for _ in range(3))
SIGNERS = {key.public.kid: key for key in (STATEMENT, OLD, ONE, TWO)}
METERS = {"export-main": MeterKey(ONE.public, "serial_number=4711"), "co2": MeterKey(TWO.public)}
ASKED = Enrolment("hydro-07", 1_795_000_000, STATEMENT.public, METERS, OLD.public)
REQUEST = sign_request(ASKED, SIGNERS)
RETIRED = RetiredKey(bytes(32), 1_795_000_000, "planned")
ROTATED = Enrolment(
    "g", 0, STATEMENT.public, {"co2": MeterKey(TWO.public, None, ONE.public)}, OLD.public, retired=(RETIRED,)
)


def test_what_is_written_is_read() -> None:
    for asked in (ASKED, ROTATED, Enrolment("g", 0, STATEMENT.public), Enrolment("g", 0, STATEMENT.public, METERS)):
        request = sign_request(asked, SIGNERS)
        assert parse_request(request) == asked
        assert parse_request(f"  {to_text(request)}\n".encode()) == asked


def test_every_key_signs() -> None:
    proofs = cbor.decode(REQUEST)["proofs"]
    kids = [cose.Sign1.parse(proof).protected[cose.KID] for proof in proofs]
    assert kids == [STATEMENT.public.kid, TWO.public.kid, ONE.public.kid, OLD.public.kid]
    proofs = cbor.decode(sign_request(ROTATED, SIGNERS))["proofs"]
    kids = [cose.Sign1.parse(proof).protected[cose.KID] for proof in proofs]
    assert kids == [STATEMENT.public.kid, TWO.public.kid, OLD.public.kid, ONE.public.kid]
    with pytest.raises(EncodeError, match="cannot sign"):
        sign_request(ASKED, {STATEMENT.public.kid: STATEMENT})


def rebuilt(**changes: object) -> bytes:
    return cbor.encode({**cbor.decode(REQUEST), **changes})


def request_with(**changes: object) -> bytes:
    """The request with other contents, signed by all."""
    request = cbor.encode({**cbor.decode(cbor.decode(REQUEST)["request"]), **changes})
    header = {cose.CONTENT_TYPE: CONTENT_REQUEST}
    keys = (STATEMENT, TWO, ONE, OLD)
    return rebuilt(request=request, proofs=[cose.sign1(header, request, key, detached=True) for key in keys])


def test_a_key_that_did_not_sign_is_not_asked_for() -> None:
    proofs = cbor.decode(REQUEST)["proofs"]
    request, header = cbor.decode(REQUEST)["request"], {cose.CONTENT_TYPE: CONTENT_REQUEST}
    other = cose.sign1(header, b"another request", ONE, detached=True)
    thief = cose.sign1(header, request, OLD, detached=True)
    record = cose.sign1({cose.CONTENT_TYPE: "application/senml+cbor"}, request, ONE, detached=True)
    whole = cose.sign1(header, request, ONE)
    more = cose.sign1({**header, cose.CWT_CLAIMS: {}}, request, ONE, detached=True)
    for proof, error in (
        (other, BadSignature), (thief, BadSignature), (record, Malformed), (whole, Malformed), (more, Malformed),
    ):  # fmt: skip
        with pytest.raises(error):
            parse_request(rebuilt(proofs=[*proofs[:2], proof, proofs[3]]))
    for some in (proofs[:3], proofs[1:], [*proofs, proofs[0]], [*proofs[:3], "text"], []):
        with pytest.raises(Malformed):
            parse_request(rebuilt(proofs=some))


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway": "no name"}, {"time": -1}, {"statement": "text"}, {"note": 1}, {"meters": []},
        {"meters": {"gateway": {"key": ONE.public.cose_key}}},
        {"meters": {"m": {"key": ONE.public.cose_key, "identity": "a\nb"}}},
        {"meters": {"m": {"key": ONE.public.cose_key, "identity": "x" * 257}}},
        {"meters": {"a": {"key": ONE.public.cose_key}, "b": {"key": ONE.public.cose_key}}},
        {"before": STATEMENT.public.cose_key},
        {"retired": []},
        {"retired": [{"kid": bytes(31), "time": 0, "reason": "x"}]},
        {"retired": [{"kid": bytes(32), "time": 0, "reason": "a\nb"}]},
        {"retired": [{"kid": bytes(32), "time": 0, "reason": "x"}] * 2},
        {"retired": [{"kid": OLD.public.kid, "time": 0, "reason": "it signs"}]},
        {"meters": {"m": {"key": ONE.public.cose_key, "before": ONE.public.cose_key}}},
    ],
)  # fmt: skip
def test_contents_that_cannot_be(changes: dict[str, object]) -> None:
    assert parse_request(request_with()) == ASKED
    with pytest.raises(Malformed):
        parse_request(request_with(**changes))


def test_what_is_no_request() -> None:
    plain = b'[[key]]\nrole = "statement"\n'
    for data in (b"", plain, REQUEST[:-1], REQUEST + b"\0", rebuilt(v=2), b"meterseal-enrol:!", REQUEST + bytes(2**20)):
        with pytest.raises(VerificationError):
            parse_request(data)


@given(st.integers(0, len(REQUEST) - 1), st.integers(1, 255))
def test_no_byte_of_it_may_change(at: int, by: int) -> None:
    changed = bytearray(REQUEST)
    changed[at] ^= by
    with pytest.raises(VerificationError):
        parse_request(bytes(changed))


def test_a_file_is_known_by_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data, known in ((REQUEST, True), (to_text(REQUEST).encode(), True), (b"[[key]]", False), (b"", False)):
        path.write_bytes(data)
        assert is_request(path) is known
