"""Claims of a certificate file: whether each counts, by key, receipt and time; what they make of a slice (V1.2, V1.3).

A registry takes a claim once, so that one receipt of that registry makes it count; the policy's list and number of
ledgers are of batches. Keys are looked up with the role that a claim needs. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ledger_client.certificates.mcert.steps import CLAIMS, STATE, CertificateError, at
from ledger_client.claims.attestation import Opinion
from ledger_client.claims.certificate import Certificate, certificate_of
from ledger_client.claims.claim import Attest, Balance, Deed, Issue, Part, Retire, SignedClaim, Withdraw, parse_claim
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import ISSUER, PARTY, VERIFIER, Roles, apply
from ledger_client.errors import OutOfRange, PolicyNotMet, UnknownKey, UnknownLedger, VerificationError
from ledger_client.formats.cose_key import base64url
from ledger_client.messages import Message
from ledger_client.times import rfc3339
from ledger_client.verification.online_facts import OnlineFacts
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import (
    TOLERANCE_S,
    check_parsed,
    count_places,
    demand_valid,
    earliest,
    read_receipts,
)

_ROLE_OF: Final[dict[type, str]] = {Issue: ISSUER, Withdraw: ISSUER, Attest: VERIFIER}
"""The role of who may claim so; else a party."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A claim that counts: since when its registry has it (Unix seconds), as which entry of its log (None: on a chain),
    and what of its receipts does not count."""

    signed: SignedClaim
    time_s: int
    entry: int | None
    unconfirmed: tuple[str, ...]

    @property
    def deed(self) -> Deed:
        """What it does."""
        return self.signed.claim.deed

    @property
    def opinion(self) -> Opinion | None:
        """What a verifier attests by it; None: it is another claim."""
        claim = self.signed.claim
        return Opinion(claim.party, self.time_s, claim.number, claim.deed) if isinstance(claim.deed, Attest) else None


def counted(given: GivenClaim, trust: Trust, now: int, facts: OnlineFacts) -> Counted:
    """A claim whose signature, receipt and time hold. Raises VerificationError."""
    signed = parse_claim(given.entry)
    claim = signed.claim
    role = _ROLE_OF.get(type(claim.deed), PARTY)
    key = trust.find(role, party=claim.party, kid=signed.kid)
    if key is None:
        kid = base64url(signed.kid)
        raise UnknownKey(f"the trust file names no key {kid} of {claim.party} as {role}", step=6)
    signed.sign1.verify(key.key)
    receipts, failures = read_receipts(given.receipts)
    vouching: dict[str, int] = {}
    places = list[int]()
    for receipt in receipts:
        try:
            if receipt.ledger != claim.registry:
                raise UnknownLedger(f"{receipt.ledger}: is not the registry of this claim", step=6)
            _, time_s = check_parsed(given.entry, receipt, trust, now)
        except VerificationError as error:
            failures.append((receipt.ledger, error))
        else:
            vouching[claim.registry] = min(time_s, vouching.get(claim.registry, time_s))
            places.append(receipt.index)
    unplaced: list[str] = []
    if given.locator is not None:
        by_registry = replace(trust, ledgers=(claim.registry,))
        on_chain, misplaced, unplaced = count_places([given.locator], signed.id, facts, by_registry, now)
        vouching, failures = earliest(vouching, on_chain), [*failures, *misplaced]
    if claim.registry not in vouching:
        why = "; ".join([error.detail for _, error in failures] + unplaced) or "it bears none"
        raise PolicyNotMet(f"no receipt of its registry {claim.registry} counts: {why}", step=6)
    time_s = vouching[claim.registry]
    demand_valid(key, time_s, Message("verify-key-of-party", party=claim.party))
    if claim.iat > time_s + TOLERANCE_S:
        problem = f"it was signed at {rfc3339(claim.iat)}, after its registry had it at {rfc3339(time_s)}"
        raise OutOfRange(problem, step=7)
    unconfirmed = (*(error.detail for _, error in failures), *unplaced)
    return Counted(signed, time_s, min(places, default=None), unconfirmed)


def all_counted(given: Sequence[GivenClaim], trust: Trust, now: int, facts: OnlineFacts) -> list[Counted]:
    """Step 2 of all claims of a file, in their order. Raises CertificateError."""
    found = []
    for number, claim in enumerate(given, 1):
        with at(CLAIMS, f"claim {number} of {len(given)}", "C1"):
            found.append(counted(claim, trust, now, facts))
    return found


@dataclass(frozen=True, slots=True)
class Traced:
    """What claims make of units [a, b) of the certificate that the first of them issues."""

    certificate: Certificate
    issue: Issue
    registry: str
    part: Part
    status: str
    holder: str
    last: Counted
    attests: tuple[Counted, ...]


def traced(claims: Sequence[Counted], trust: Trust) -> Traced:
    """Step 3: the registry's rules, claim after claim (R1). Raises CertificateError."""
    first = claims[0].signed.claim
    if not isinstance(first.deed, Issue):
        raise CertificateError("the first claim issues nothing", step=STATE, rule="V1")
    made, state, role_of = certificate_of(first, first.deed), MemoryState(), _roles(trust)
    moves = [claim for claim in claims if not isinstance(claim.deed, Attest)]
    _demand_order(moves)
    for number, one in enumerate(moves):
        claim = one.signed.claim
        if number and isinstance(claim.deed, Issue | Balance):
            problem = f"claim {claim.number} of {claim.party} is of another certificate, or of none"
            raise CertificateError(problem, step=STATE, rule="V1")
        if isinstance(claim.deed, Retire):
            _demand_not_expired(first.deed, one)
        # claims of the party about other certificates are not in the file; none of these may come before an earlier one
        state.numbers[claim.party] = max(claim.number, state.next_number(claim.party))
        with at(STATE, f"claim {claim.number} of {claim.party}"):
            apply(state, claim, role_of, first.registry)
    part = part_of(moves[-1].deed, made)
    now = state.slices(made.id, part)
    attests = tuple(claim for claim in claims if isinstance(claim.deed, Attest))
    return Traced(made, first.deed, first.registry, part, now[0].status, now[0].holder, moves[-1], attests)


def part_of(deed: Deed, made: Certificate) -> Part:
    """The units of a certificate that a claim about it moves: all, where it issues or withdraws it."""
    return made.whole if isinstance(deed, Issue | Withdraw | Attest | Balance) else deed.part


def _roles(trust: Trust) -> Roles:
    """By the trust file; a receiver that it does not name has signed nothing here, and may well be a party."""
    roles = {key.party: key.role for key in trust.keys if key.party is not None}
    return lambda party: roles.get(party, PARTY)


def _demand_order(moves: Sequence[Counted]) -> None:
    """They stand as in the registry's log, and none stands twice."""
    last = -1
    for entry in (one.entry for one in moves if one.entry is not None):
        if entry <= last:
            problem = f"entry {entry} of the registry's log stands behind entry {last}"
            raise CertificateError(problem, step=STATE, rule="R1")
        last = entry


def _demand_not_expired(issue: Issue, one: Counted) -> None:
    if issue.expires_ms is not None and one.time_s * 1000 >= issue.expires_ms:
        problem = f"units were retired at {rfc3339(one.time_s)}, and the certificate expired at "
        problem += rfc3339(issue.expires_ms // 1000)
        way_out = "a retirement so late counts for nobody: take units that have not expired"
        raise CertificateError(problem, step=STATE, rule="R6", way_out=way_out)


def notes(claims: Sequence[Counted]) -> Iterator[str]:
    """What of receipts and locators does not count, by claim."""
    for one in claims:
        claim = one.signed.claim
        yield from (f"claim {claim.number} of {claim.party}: {line}" for line in one.unconfirmed)
