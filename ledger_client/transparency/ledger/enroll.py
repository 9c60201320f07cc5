"""Enrolment of a gateway at a ledger or a chain bridge: a proposal from its request, then the change.

``propose`` looks and changes nothing, so that somebody can be asked; ``let_in`` does it, if nothing has changed since.
A request speaks for one gateway. One that would give a known gateway another statement key must be signed by a key
that the gateway has, or be meant (``add_key``): else whoever writes another's name into his request would take over
the other's order of batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ledger_client.enrolment.request import Enrolment, parse_request
from ledger_client.enrolment.trust_entries import in_words, requested
from ledger_client.errors import LedgerClientError, VerificationError
from ledger_client.formats.checks import MAX_BUNDLE
from ledger_client.formats.cose_key import base64url
from ledger_client.times import rfc3339
from ledger_client.transparency.ledger.committed_policy import changing
from ledger_client.transparency.ledger.directory import LOG, policy_of
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.policy.policy_file import Policy, add_keys, flaw_at, load_policy
from ledger_client.verification.trust import TrustKey


class EnrollError(LedgerClientError):
    """The request cannot be enrolled: what, and the way out."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What enrolling a request would do: keys that are new, keys that are known, as they stand in the policy, those of
    them that get an identity, and what to think about first."""

    enrolment: Enrolment
    new: tuple[TrustKey, ...]
    known: tuple[TrustKey, ...]
    identities: Mapping[TrustKey, str]
    warnings: tuple[str, ...]
    at: int
    """When it was made, Unix seconds: new keys count from the request's time on, or from then where that is ahead."""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.new or self.identities)

    def in_words(self) -> list[str]:
        """One line for the gateway, one a key, one a warning."""
        lines = [f"gateway {self.enrolment.gateway}, by its request of {rfc3339(self.enrolment.time)}"]
        lines += [f"  {in_words(key)}: new" for key in self.new]
        lines += [f"  {in_words(key)}: {self._state(key)}" for key in self.known]
        return lines + [f"warning: {warning}" for warning in self.warnings]

    def _state(self, key: TrustKey) -> str:
        identity = self.identities.get(key)
        return "enrolled already, left as it is" if identity is None else f"enrolled already, its device is {identity}"


def enroll(folder: Path, file: Path, *, add_key: bool = False) -> Proposal:
    """Enrol the request in ``file`` without a question; for programs. Raises as ``propose`` and ``let_in``."""
    proposal = propose(folder, file, add_key=add_key)
    let_in(folder, proposal, add_key=add_key)
    return proposal


def propose(folder: Path, file: Path, *, add_key: bool = False) -> Proposal:
    """What enrolling the request in ``file`` would do at the ledger in ``folder``.

    Raises ``EnrollError``: the file is no signed request, or asks for what is not its gateway's; ``TrustFileError``:
    the policy is not in order.
    """
    policy_of(folder)
    return _proposal(folder, _request(file), add_key, int(time.time()))


def let_in(folder: Path, proposal: Proposal, *, add_key: bool = False) -> None:
    """Enrol what was proposed, durably. Raises ``EnrollError`` where the policy is another one by now."""
    with changing(folder) as register:
        if _proposal(folder, proposal.enrolment, add_key, proposal.at) != proposal:
            raise EnrollError(
                f"{policy_of(folder)}: has changed meanwhile", "nothing was enrolled; check it and enrol again"
            )
        if proposal.changes:
            add_keys(policy_of(folder), proposal.new, proposal.identities)
            register()


def _request(file: Path) -> Enrolment:
    try:
        with file.open("rb") as stream:
            data = stream.read(2 * MAX_BUNDLE)
    except OSError as error:
        raise EnrollError(
            f"{file}: cannot be read ({error.strerror})", "give the path of a gateway.enrol file"
        ) from None
    try:
        return parse_request(data)
    except VerificationError as error:
        make = "have the gateway's operator make one: meterseal keys enrol-request CONFIG -o gateway.enrol"
        raise EnrollError(f"{file}: is no signed enrolment request ({error.detail})", make) from None


def _proposal(folder: Path, request: Enrolment, add_key: bool, at: int) -> Proposal:
    policy = load_policy(policy_of(folder))
    _demand_own(folder, request, policy, add_key, int(time.time()))
    keys = list(requested(request, at))
    found = [(key, policy.find(request.gateway, key.kid, key.meter)) for key in keys]
    new = tuple(key for key, there in found if there is None)
    known = tuple(there for _, there in found if there is not None)
    identities = {
        there: key.identity for key, there in found if there and key.identity is not None and there.identity is None
    }
    return Proposal(request, new, known, identities, tuple(_warnings(request, policy)), at)


def _demand_own(folder: Path, request: Enrolment, policy: Policy, add_key: bool, now: int) -> None:
    """Raises ``EnrollError`` unless the request is the gateway's own, as far as that can be known here."""
    gateway = request.gateway
    enrolled = policy.find(gateway, request.statement.kid)
    if enrolled is not None:
        if flaw := flaw_at(enrolled, max(now, enrolled.valid_from)):
            raise EnrollError(f"statement key {base64url(enrolled.kid)} of gateway {gateway} {flaw}", "use a new key")
        return
    counting = {key.kid for key in policy.statement_keys(gateway) if flaw_at(key, now) is None}
    if add_key or (request.before is not None and request.before.kid in counting):
        return
    if policy.statement_keys(gateway) or _has_statements(folder, gateway):
        problem = f"gateway {gateway} is known here by another statement key, and that key has not signed this request"
        way_out = (
            "have its operator make the request with --old-key OLD.pem, or, if it is certain that this is the same "
            "gateway and its old key is lost, give --add-key"
        )
        raise EnrollError(problem, way_out)


def _has_statements(folder: Path, gateway: str) -> bool:
    if not (folder / LOG).exists():  # a bridge to a chain has none
        return False
    with closing(Log.open(folder / LOG, read_only=True)) as log, log.read() as entries:
        return entries.last(gateway) is not None


def _warnings(request: Enrolment, policy: Policy) -> Iterator[str]:
    for key in policy.keys:
        if key.revoked is not None:
            continue
        for meter, facts in sorted(request.meters.items()):
            if (key.gateway, key.meter) == (request.gateway, meter):
                if facts.key.kid == key.kid and facts.identity and key.identity and facts.identity != key.identity:
                    yield f"meter {meter} is enrolled as {key.identity}, which stays; the request says {facts.identity}"
                continue
            if facts.identity is not None and facts.identity == key.identity:
                yield f"meter {meter} is {facts.identity}, and so is meter {key.meter} of gateway {key.gateway}"
            if facts.key.kid == key.kid:
                yield f"the key of meter {meter} is also that of meter {key.meter} of gateway {key.gateway}"
        mine = request.meters.get(key.meter or "")
        if key.gateway == request.gateway and mine is not None and mine.key.kid != key.kid:
            yield f"meter {key.meter} has the key {base64url(key.kid)} already; revoke it if it is used no more"
        if key.kid == request.statement.kid and key.gateway != request.gateway:
            yield f"its statement key is also that of gateway {key.gateway}"
