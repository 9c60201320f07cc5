"""Enrolment of a gateway or a party at a ledger or a chain bridge: a proposal from its request, then the change.

``propose`` looks and changes nothing, so that somebody can be asked; ``let_in`` does it, if nothing has changed since.
A request speaks for one gateway or party. One that would give a known one another key to sign with must be signed by a
key that it has, or be meant (``add_key``): else whoever writes another's name into his request would take over the
other's order of batches, or what the other holds.

A key that the request calls retired counts until the time that it gives, if the key that took its place counted by then
and this ledger has registered nothing of it since: else an owner could have what he has signed become worthless, and a
thief of an old key retire the one that replaced it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ledger_client.enrolment.party_request import PartyEnrolment, parse_any
from ledger_client.enrolment.request import Enrolment
from ledger_client.enrolment.trust_entries import in_words, requested
from ledger_client.errors import LedgerClientError, VerificationError
from ledger_client.formats.checks import MAX_BUNDLE
from ledger_client.formats.cose_key import PublicKey, base64url
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.statement import parse_statement
from ledger_client.times import rfc3339
from ledger_client.transparency.ledger.committed_policy import changing
from ledger_client.transparency.ledger.directory import has_log, open_log, policy_of
from ledger_client.transparency.policy.key_entries import changes_of, owner
from ledger_client.transparency.policy.policy_file import MAX_TEXT, End, Policy, add_keys, flaw_at, load_policy
from ledger_client.verification.key_storage import held_in_words
from ledger_client.verification.trust import Held, TrustKey

_REVOKE: Final = (
    "ask its operator; if somebody else has the key, say until when it counted: "
    "meterseal-ledger revoke LDIR GATEWAY --kid KID --at TIME"
)


class EnrollError(LedgerClientError):
    """The request cannot be enrolled: what, and the way out."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What enrolling a request would do: keys that are new, keys that are known, as they stand in the policy, those of
    them that get an identity, known keys that end, and what to think about first."""

    enrolment: Enrolment | PartyEnrolment
    whose: str
    """Whom the request speaks for: "gateway hydro-07", "party works"."""
    new: tuple[TrustKey, ...]
    known: tuple[TrustKey, ...]
    identities: Mapping[TrustKey, str]
    ends: Mapping[TrustKey, End]
    """Of known keys that the request calls retired."""
    hardware: Mapping[str, str]
    """By kid (base64url): what the operator has looked at of the keys that he says are in hardware."""
    attested: Mapping[TrustKey, Held | None]
    """Known keys of which he says otherwise than before; None: that nobody answers for hardware any more."""
    warnings: tuple[str, ...]
    at: int
    """When it was made, Unix seconds: new keys count from the request's time on, or from then where that is ahead."""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.new or self.identities or self.ends or self.attested)

    def in_words(self) -> list[str]:
        """One line for the gateway or the party, one a key, one a warning."""
        lines = [f"{self.whose}, by its request of {rfc3339(self.enrolment.time)}"]
        lines += [f"  {in_words(key)}: new{_held(key.held)}" for key in self.new]
        lines += [f"  {in_words(key)}: {self._state(key)}" for key in self.known]
        lines += [
            f"  {in_words(key)}: retired ({end.reason}), counts until {rfc3339(end.valid_to)}"
            for key, end in self.ends.items()
        ]
        return lines + [f"warning: {warning}" for warning in self.warnings]

    def _state(self, key: TrustKey) -> str:
        identity, held = self.identities.get(key), self.attested.get(key)
        states = [] if identity is None else [f"its device is {identity}"]
        if held is not None:
            states.append(f"now{_held(held)}")
        elif key in self.attested:
            states.append("NO LONGER attested to be in hardware; --hardware and --evidence again keep that")
        return f"enrolled already, {'; '.join(states) or 'left as it is'}"


def _held(held: Held | None) -> str:
    return "" if held is None else f" in {held_in_words(held)}: “{held.evidence}”"


def enroll(
    folder: Path, file: Path, *, add_key: bool = False, hardware: Mapping[str, str] = MappingProxyType({})
) -> Proposal:
    """Enrol the request in ``file`` without a question; for programs. Raises as ``propose`` and ``let_in``."""
    proposal = propose(folder, file, add_key=add_key, hardware=hardware)
    let_in(folder, proposal, add_key=add_key)
    return proposal


def propose(
    folder: Path, file: Path, *, add_key: bool = False, hardware: Mapping[str, str] = MappingProxyType({})
) -> Proposal:
    """What enrolling the request in ``file`` would do at the ledger in ``folder``; ``hardware`` as in ``Proposal``.

    Raises ``EnrollError``: the file is no signed request, or asks for what is not its own; ``TrustFileError``:
    the policy is not in order.
    """
    policy_of(folder)
    return _proposal(folder, _request(file), add_key, int(time.time()), hardware)


def let_in(folder: Path, proposal: Proposal, *, add_key: bool = False) -> None:
    """Enrol what was proposed, durably. Raises ``EnrollError`` where the policy is another one by now."""
    with changing(folder) as register:
        if _proposal(folder, proposal.enrolment, add_key, proposal.at, proposal.hardware) != proposal:
            raise EnrollError(
                f"{policy_of(folder)}: has changed meanwhile", "nothing was enrolled; check it and enrol again"
            )
        if proposal.changes:
            add_keys(policy_of(folder), proposal.new, proposal.identities, proposal.ends, proposal.attested)
            register()


def _request(file: Path) -> Enrolment | PartyEnrolment:
    try:
        with file.open("rb") as stream:
            data = stream.read(2 * MAX_BUNDLE)
    except OSError as error:
        way_out = "give the path of a gateway.enrol file, or of a party's NAME.enrol"
        raise EnrollError(f"{file}: cannot be read ({error.strerror})", way_out) from None
    try:
        return parse_any(data)
    except VerificationError as error:
        make = (
            "have the gateway's operator make one: meterseal keys enrol-request CONFIG -o gateway.enrol; "
            "a party's comes from meterseal-ledger party new NAME"
        )
        raise EnrollError(f"{file}: is no signed enrolment request ({error.detail})", make) from None


def _proposal(
    folder: Path, request: Enrolment | PartyEnrolment, add_key: bool, at: int, hardware: Mapping[str, str]
) -> Proposal:
    policy = load_policy(policy_of(folder))
    there = {key.place: key for key in policy.keys}
    keys = [_attested(key, hardware) for key in requested(request, at)]
    _demand_attestable(folder, keys, hardware)
    if isinstance(request, PartyEnrolment):
        _demand_one_role(folder, keys[0], policy)
    _demand_own(folder, keys[0], request.before, policy, add_key, int(time.time()))
    new = tuple(key for key in keys if key.place not in there)
    known = tuple(there[key.place] for key in keys if key.place in there)
    identities = {
        there[key.place]: key.identity
        for key in keys
        if key.identity is not None and key.place in there and there[key.place].identity is None
    }
    attested = {there[key.place]: key.held for key in keys if key.place in there and there[key.place].held != key.held}
    ends = {} if isinstance(request, PartyEnrolment) else dict(_ends(folder, request, policy, keys))
    warnings = () if isinstance(request, PartyEnrolment) else tuple(_warnings(request, policy, ends))
    return Proposal(request, _words(keys[0]), new, known, identities, ends, hardware, attested, warnings, at)


def _ends(folder: Path, request: Enrolment, policy: Policy, keys: Sequence[TrustKey]) -> Iterator[tuple[TrustKey, End]]:
    """The known keys of the gateway that the request calls retired and that have no end yet. Raises ``EnrollError``."""
    enrolled = {key.kid: key for key in policy.keys if key.gateway == request.gateway}
    for retired in request.retired:
        key = enrolled.get(retired.kid)
        if key is None or key.revoked is not None or key.valid_to is not None:
            continue
        successor = next((one for one in keys if (one.role, one.meter) == (key.role, key.meter)), None)
        known = None if successor is None else enrolled.get(successor.kid)
        claim = f"{in_words(key)} is said to be retired at {rfc3339(retired.time)}"
        if known is not None and known.valid_from < key.valid_from:
            raise EnrollError(f"{claim}, by a key that was enrolled before it", _REVOKE)
        since = key.valid_from if known is None else known.valid_from
        if retired.time < since:
            raise EnrollError(f"{claim}, and the key in its place counts from {rfc3339(since)} on", _REVOKE)
        if (at := _registered_behind(folder, key, known, retired.time)) is not None:
            raise EnrollError(f"{claim}, and has signed what was registered here at {rfc3339(at)}", _REVOKE)
        yield key, End(retired.time, retired.reason)


def _registered_behind(folder: Path, key: TrustKey, successor: TrustKey | None, time_s: int) -> int | None:
    """When the last statement was registered here that a key has signed behind a time; None: there is none. Who has
    signed the records of a meter is not known here: there it is any statement, unless the next key was known."""
    if not has_log(folder) or key.gateway is None or (key.role == "meter" and successor is not None):
        return None
    with closing(open_log(folder, read_only=True)) as log, log.read() as entries:
        for entry, receipt in entries.newest(key.gateway):
            at = None if receipt is None else parse_receipt(receipt).iat
            if at is not None and at <= time_s:
                return None
            if key.role == "meter" or parse_statement(entry).kid == key.kid:
                return at or int(time.time())
    return None


def _attested(key: TrustKey, hardware: Mapping[str, str]) -> TrustKey:
    evidence = hardware.get(base64url(key.kid))
    return key if evidence is None else replace(key, held=Held(None, None, evidence))


def _demand_attestable(folder: Path, keys: Sequence[TrustKey], hardware: Mapping[str, str]) -> None:
    """Raises ``EnrollError`` where what is said to be in hardware is not a gateway's key of the request, or nobody
    could read it."""
    if not hardware:
        return
    if keys[0].party is not None:
        raise EnrollError("--hardware is for keys of a gateway, and this is a party's request", "leave it out")
    if not has_log(folder):
        problem = "a bridge to a chain has no log to tell that a key is in hardware"
        raise EnrollError(problem, "attest it at a ledger, or by hand in the trust files")
    listed = [base64url(key.kid) for key in keys]
    for kid, evidence in hardware.items():
        if kid not in listed:
            raise EnrollError(f"--hardware {kid}: no key of this request", f"give one of {', '.join(listed)}")
        if not 0 < len(evidence) <= MAX_TEXT or not evidence.isprintable():
            problem = f"--evidence for {kid} is not one line of 1 to {MAX_TEXT} characters"
            raise EnrollError(problem, "write in a sentence what you have looked at")


def _words(key: TrustKey) -> str:
    return owner(key).replace("/", " ")


def _demand_one_role(folder: Path, key: TrustKey, policy: Policy) -> None:
    """Raises ``EnrollError`` where a party's name has another role here, or its key is another's."""
    for other in (*policy.keys, *_registered(folder, key)):
        if other.party == key.party and other.role != key.role:
            problem = f"{_words(key)} is known here as {other.role}, and a name has one role"
            raise EnrollError(problem, f"use another name for the {key.role}: meterseal-ledger party new NAME")
        if other.kid == key.kid and other.place != key.place:
            problem = f"the key {base64url(key.kid)} of {_words(key)} is also the {other.role} key of {_words(other)}"
            raise EnrollError(problem, "a party needs a key of its own: meterseal-ledger party new NAME")


def _demand_own(folder: Path, key: TrustKey, before: PublicKey | None, policy: Policy, add_key: bool, now: int) -> None:
    """Raises ``EnrollError`` unless the request for ``key``, which signs what is to be registered, is its owner's own,
    as far as that can be known here."""
    whose, kind = _words(key), "key" if key.gateway is None else "statement key"
    fellows = [other for other in policy.keys if (other.role, owner(other)) == (key.role, owner(key))]
    enrolled = next((other for other in fellows if other.kid == key.kid), None)
    if enrolled is not None:
        if flaw := flaw_at(enrolled, max(now, enrolled.valid_from)):
            raise EnrollError(f"{kind} {base64url(enrolled.kid)} of {whose} {flaw}", "use a new key")
        return
    counting = {other.kid for other in fellows if flaw_at(other, now) is None}
    if add_key or (before is not None and before.kid in counting):
        return
    known = bool(_registered(folder, key)) if key.gateway is None else _has_statements(folder, key.gateway)
    if fellows or known:
        problem = f"{whose} is known here by another {kind}, and that key has not signed this request"
        way = (
            "with --old-key OLD.pem" if key.gateway is not None else "in its folder: meterseal-ledger party rotate DIR"
        )
        way_out = (
            f"have its operator make the request {way}, or, if it is certain that this is the same "
            f"{whose.partition(' ')[0]} and its old key is lost, give --add-key"
        )
        raise EnrollError(problem, way_out)


def _registered(folder: Path, key: TrustKey) -> list[TrustKey]:
    """All keys of a key's owner that the log has ever registered; none of a bridge to a chain, which has no log."""
    if not has_log(folder):
        return []
    with closing(open_log(folder, read_only=True)) as log, log.read() as entries:
        changes = changes_of((number, entry) for number, entry, _ in entries.own_entries())
    return [registered for change in changes if change.about == owner(key) for registered in change.keys]


def _has_statements(folder: Path, gateway: str) -> bool:
    if not has_log(folder):  # a bridge to a chain has none
        return False
    with closing(open_log(folder, read_only=True)) as log, log.read() as entries:
        return entries.last(gateway) is not None


def _warnings(request: Enrolment, policy: Policy, ends: Mapping[TrustKey, End]) -> Iterator[str]:
    for key in policy.keys:
        if key.revoked is not None or key.valid_to is not None or key in ends:
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
        known = () if mine is None else (mine.key, mine.before)
        if key.gateway == request.gateway and known and key.kid not in [one.kid for one in known if one is not None]:
            yield f"meter {key.meter} has the key {base64url(key.kid)} already; revoke it if it is used no more"
        if key.kid == request.statement.kid and key.gateway != request.gateway:
            yield f"its statement key is also that of gateway {key.gateway}"
