"""Enrolment requests of parties: the key in one has signed it, so has the key before, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.enrolment.party_request import PartyEnrolment, parse_any, sign_party
from ledger_client.enrolment.proofs import CONTENT_REQUEST, to_text
from ledger_client.enrolment.request import Enrolment, parse_request, sign_request
from ledger_client.errors import BadSignature, EncodeError, Malformed, VerificationError
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import ES256, PrivateKey
from ledger_client.verification.trust import PARTY_ROLES

KEY, OLD, THIEF = PrivateKey.generate(ES256), PrivateKey.generate(), PrivateKey.generate()
SIGNERS = {key.public.kid: key for key in (KEY, OLD, THIEF)}
ASKED = PartyEnrolment("works", "issuer", 1_795_000_000, KEY.public, OLD.public)
REQUEST = sign_party(ASKED, SIGNERS)


def test_what_is_written_is_read() -> None:
    first = [PartyEnrolment("works", role, 0, KEY.public) for role in PARTY_ROLES]
    for asked in (ASKED, *first):
        request = sign_party(asked, SIGNERS)
        assert parse_any(request) == asked
        assert parse_any(f"  {to_text(request)}\n".encode()) == asked


def test_a_gateways_request_is_read_by_the_same_door_and_a_partys_by_no_other() -> None:
    gateway = Enrolment("hydro-07", 5, KEY.public)
    assert parse_any(sign_request(gateway, SIGNERS)) == gateway
    with pytest.raises(Malformed, match="enrolment"):
        parse_request(REQUEST)


def rebuilt(**changes: object) -> bytes:
    return cbor.encode({**cbor.decode(REQUEST), **changes})


def request_with(**changes: object) -> bytes:
    """The request with other contents, signed by both."""
    request = cbor.encode({**cbor.decode(cbor.decode(REQUEST)["request"]), **changes})
    header = {cose.CONTENT_TYPE: CONTENT_REQUEST}
    return rebuilt(request=request, proofs=[cose.sign1(header, request, key, detached=True) for key in (KEY, OLD)])


def test_a_key_that_did_not_sign_is_not_asked_for() -> None:
    header, request = {cose.CONTENT_TYPE: CONTENT_REQUEST}, cbor.decode(REQUEST)["request"]
    new, before = cbor.decode(REQUEST)["proofs"]
    thief = cose.sign1(header, request, THIEF, detached=True)
    other = cose.sign1(header, b"another request", KEY, detached=True)
    for proofs in ([thief, before], [new, thief], [other, before], [before, new]):
        with pytest.raises(BadSignature):
            parse_any(rebuilt(proofs=proofs))
    for proofs in ([new], [before], [new, before, new], []):
        with pytest.raises(Malformed):
            parse_any(rebuilt(proofs=proofs))
    with pytest.raises(EncodeError, match="cannot sign"):
        sign_party(ASKED, {KEY.public.kid: KEY})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"party": "no name"}, "party"),
        ({"role": "statement"}, "role is 'statement', not one of party, issuer, verifier"),
        ({"role": 1}, "role"),
        ({"time": -1}, "time"),
        ({"key": "text"}, "key is not a byte string"),
        ({"before": KEY.public.cose_key}, "the key before is the key itself"),
        ({"gateway": "works"}, "gateway"),
        ({"note": 1}, "note"),
    ],
)
def test_contents_that_cannot_be(changes: dict[str, object], says: str) -> None:
    assert parse_any(request_with()) == ASKED
    with pytest.raises(Malformed, match=says):
        parse_any(request_with(**changes))


def test_what_a_reader_refuses_is_not_written() -> None:
    for asked in (PartyEnrolment("no name", "party", 0, KEY.public), PartyEnrolment("a", "meter", 0, KEY.public)):
        with pytest.raises(EncodeError):
            sign_party(asked, SIGNERS)


@given(st.integers(0, len(REQUEST) - 1), st.integers(1, 255))
def test_no_byte_of_it_may_change(at: int, by: int) -> None:
    changed = bytearray(REQUEST)
    changed[at] ^= by
    with pytest.raises(VerificationError):
        parse_any(bytes(changed))
