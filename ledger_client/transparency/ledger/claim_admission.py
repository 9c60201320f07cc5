"""Admission of a claim to a ledger: form, key and signature, then the registry's rules (docs/claims.md)."""

from __future__ import annotations

from ledger_client.claims.claim import SignedClaim, parse_claim
from ledger_client.claims.registry import MALFORMED, Roles
from ledger_client.errors import BadSignature, Refused, VerificationError
from ledger_client.transparency.ledger.admission import (
    BAD_SIGNATURE,
    FUTURE_S,
    KEY_NOT_VALID,
    NOT_YET,
    UNKNOWN_KEY,
    time_text,
)
from ledger_client.transparency.policy.policy_file import Policy, flaw_at
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import TrustKey


def admitted_claim(entry: bytes, policy: Policy, now: int) -> SignedClaim:
    """A claim that is well formed and signed by a key that is enrolled and valid; raises ``Refused``."""
    try:
        signed = parse_claim(entry)
    except VerificationError as error:
        raise Refused(MALFORMED, error.detail) from error
    key = enrolled_party(signed.claim.party, signed.kid, policy, now)
    try:
        signed.sign1.verify(key.key)
    except BadSignature as error:
        raise Refused(BAD_SIGNATURE, error.detail) from error
    if signed.claim.iat > now + FUTURE_S:
        at = signed.claim.iat - FUTURE_S
        detail = f"it was signed at {time_text(signed.claim.iat * 1000)}; it is taken from {time_text(at * 1000)} on"
        raise Refused(NOT_YET, detail, {"at": at, "now": now})
    return signed


def enrolled_party(party: str, kid: bytes, policy: Policy, now: int) -> TrustKey:
    """The party's key of this kid, enrolled and valid at ``now`` (Unix seconds); raises ``Refused``."""
    key = policy.party(party, kid)
    if key is None:
        raise Refused(
            UNKNOWN_KEY,
            f"no key {id_to_text(kid)} is enrolled for party {party}; `meterseal-ledger enroll` takes {party}.enrol",
        )
    if (flaw := flaw_at(key, now)) is not None:
        raise Refused(KEY_NOT_VALID, f"key {id_to_text(kid)} of party {party} {flaw}")
    return key


def roles_of(policy: Policy, now: int) -> Roles:
    """The role of a party at ``now`` (Unix seconds), by those of its keys that count then."""

    def role_of(party: str) -> str | None:
        return next((key.role for key in policy.party_keys(party) if flaw_at(key, now) is None), None)

    return role_of
