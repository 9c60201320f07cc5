"""Registry: the one function by which a claim changes who holds what, for ledgers, replays and verifiers alike (R1).

Ledgers admit claims by ``apply``, auditors replay a log by it, a ``.mcert`` is verified by it, and the contract
ClaimRegistry is tested against it. That they agree rests on these rules:

1. State changes by ``apply`` alone, claim after claim in the order of the log. The same claims give the same state, so
   a replay shows each claim that the registry should have refused.
2. It judges in one order: the registry's name, the sender, its number, then the deed. Of units [a, b) the first one
   that cannot move decides the refusal. The contract keeps this order too; otherwise both would refuse one claim for
   different reasons, and neither could be checked by the other.
3. All judging comes before all writing. A claim that is refused changes nothing, not even its sender's number.
4. Numbers of a party go 0, 1, 2 … without a gap (R5): a claim cannot be taken twice, and none can be left out of a
   replay unnoticed.
5. Slices of a certificate partition [0, units) and are never joined (R1). ``_move`` puts slices in the place of others
   with the same units, so units neither appear nor vanish after the issue.
6. HELD is the only status that units leave. Retired, exported and withdrawn units stay so; otherwise a
   unit could be used twice.
7. A quarter of an hour of a device has at most one certificate, and a certificate's id is never issued again (R2). A
   withdrawal, which needs all units in the hands of the first holder, frees the quarters (R4).
8. A role is that of the moment: ``role_of`` answers by the keys that count when the claim is judged. Whoever replays
   must ask about the same place in the log.

Pure: what is known of certificates is behind ``State``, and a ``State`` writes together with the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, NoReturn, Protocol

from ledger_client.claims.certificate import (
    EXPORTED,
    HELD,
    RETIRED,
    WITHDRAWN,
    Certificate,
    Slice,
    certificate_of,
)
from ledger_client.claims.claim import (
    Attest,
    Balance,
    Claim,
    Export,
    Issue,
    Offset,
    Part,
    Retire,
    Transfer,
    Withdraw,
)
from ledger_client.errors import Refused
from ledger_client.times import rfc3339_ms

MALFORMED: Final = "Malformed claim"
UNKNOWN_PARTY: Final = "Unknown party"
NOT_THE_ISSUER: Final = "Not the issuer"
ORIGIN_TAKEN: Final = "Origin taken"
NOT_THE_HOLDER: Final = "Not the holder"
NOT_THIS_SLICE: Final = "Not this slice"
FINAL: Final = "Final"
NUMBER_TAKEN: Final = "Claim number taken"
OUT_OF_ORDER: Final = "Out of order"

PARTY: Final = "party"
ISSUER: Final = "issuer"
VERIFIER: Final = "verifier"
ROLES: Final = (PARTY, ISSUER, VERIFIER)

Roles = Callable[[str], str | None]
"""The role of a party; None: it is not enrolled, or its keys count no more."""


class Books(NamedTuple):
    """Whose balance, of [from, to) in ms."""

    party: str
    from_ms: int
    to_ms: int

    def covers(self, other: Books) -> bool:
        """Whether another balance lies wholly in this one, which takes its place then (R2)."""
        return self.party == other.party and self.from_ms <= other.from_ms and other.to_ms <= self.to_ms

    def overlaps(self, other: Books) -> bool:
        """Whether another balance of the party has some of its time."""
        return self.party == other.party and self.from_ms < other.to_ms and other.from_ms < self.to_ms


def standing(balances: Iterable[Books]) -> list[Books]:
    """The balances in whose place no later one has come, of balances in the order of the log."""
    left: list[Books] = []
    for books in balances:
        left = [other for other in left if not books.covers(other)] + [books]
    return left


class State(Protocol):
    """What a registry knows. Writes are durable together with the claim that they follow from."""

    def next_number(self, party: str) -> int:
        """How many claims of a party were taken: the number of its next one."""
        ...

    def certificate(self, cert: bytes) -> Certificate | None:
        """What was issued under an id, withdrawn or not."""
        ...

    def slices(self, cert: bytes, part: Part) -> Sequence[Slice]:
        """The slices of a certificate that have units of [a, b), in order."""
        ...

    def taken(self, device: bytes, quarters: range) -> bytes | None:
        """The certificate that has one of these quarters of an hour of a device, if any has."""
        ...

    def serial(self, offset: Offset, books: Books) -> tuple[str, int] | None:
        """(party, serial) of the first of these serials that stands in a balance that ``books`` does not cover."""
        ...

    def balances(self, party: str) -> Sequence[Books]:
        """The balances of a party that stand."""
        ...

    def count(self, party: str) -> None:
        """One claim more of a party was taken."""
        ...

    def issue(self, certificate: Certificate) -> None:
        """A new certificate: all of its units are held by its first holder, its quarters are taken."""
        ...

    def replace(self, cert: bytes, old: Sequence[Slice], new: Sequence[Slice]) -> None:
        """Slices in the place of others that had the same units."""
        ...

    def free(self, certificate: Certificate) -> None:
        """Its quarters may be issued again (R4)."""
        ...

    def use(self, books: Books, offsets: Iterable[Offset]) -> None:
        """A balance stands with these serials, in place of those that it covers (R2)."""
        ...


def apply(state: State, claim: Claim, role_of: Roles, registry: str) -> None:
    """Take a claim into the state of the registry of this name, or raise Refused with one of the titles above."""
    if claim.registry != registry:
        _refuse(MALFORMED, f"it is for the registry {claim.registry}, this is {registry} (P8)")
    role = role_of(claim.party)
    if role is None:
        _refuse(UNKNOWN_PARTY, f"{claim.party} is not enrolled here")
    _check_number(state, claim)
    match claim.deed:
        case Issue() as deed:
            _issue(state, claim, deed, role, role_of)
        case Transfer(cert, part, to):
            _demand(role, PARTY, claim)
            moved = _movable(state, cert, part, claim.party)
            if role_of(to) != PARTY:
                _refuse(UNKNOWN_PARTY, f"{to} is no party that is enrolled here (R3)")
            _move(state, cert, part, moved, HELD, to)
        case Retire(cert, part):
            _demand(role, PARTY, claim)
            _move(state, cert, part, _movable(state, cert, part, claim.party), RETIRED, claim.party)
        case Export(cert, part):
            _demand(role, PARTY, claim)
            _move(state, cert, part, _movable(state, cert, part, claim.party), EXPORTED, claim.party)
        case Withdraw(cert):
            _withdraw(state, claim, cert, role)
        case Attest():
            _demand(role, VERIFIER, claim)
        case Balance() as deed:
            _demand(role, PARTY, claim)
            _balance(state, claim.party, deed)
    state.count(claim.party)


def _check_number(state: State, claim: Claim) -> None:
    following = state.next_number(claim.party)
    if claim.number < following:
        _refuse(NUMBER_TAKEN, f"claim {claim.number} of {claim.party} is another one; {following} is next (R5)")
    if claim.number > following:
        _refuse(OUT_OF_ORDER, f"claim {following} of {claim.party} is next; {claim.number} was offered (R5)")


def _issue(state: State, claim: Claim, deed: Issue, role: str, role_of: Roles) -> None:
    if role != ISSUER:
        _refuse(NOT_THE_ISSUER, f"{claim.party} is a {role}, and only an issuer issues (R2)")
    if role_of(deed.to) != PARTY:
        _refuse(UNKNOWN_PARTY, f"{deed.to} is no party that is enrolled here (R2)")
    made = certificate_of(claim, deed)
    if state.certificate(made.id) is not None:
        if state.slices(made.id, (0, 1))[0].status == WITHDRAWN:
            _refuse(FINAL, f"certificate {made.id.hex()} was withdrawn; its id is never issued again (R2)")
        _refuse(ORIGIN_TAKEN, f"certificate {made.id.hex()} is issued already (R2)")
    if (other := state.taken(made.device, made.quarters)) is not None:
        _refuse(ORIGIN_TAKEN, f"a quarter hour of device {deed.origin.device} has certificate {other.hex()} (R2)")
    state.issue(made)


def _withdraw(state: State, claim: Claim, cert: bytes, role: str) -> None:
    known = state.certificate(cert)
    if role != ISSUER or known is None or known.issuer != claim.party:
        _refuse(NOT_THE_ISSUER, f"{claim.party} has not issued certificate {cert.hex()} here (R4)")
    _move(state, cert, known.whole, _movable(state, cert, known.whole, known.holder), WITHDRAWN, known.holder)
    state.free(known)


def _movable(state: State, cert: bytes, part: Part, holder: str) -> list[Slice]:
    """The slices that have the units of a part, all of them held by ``holder``. Raises Refused for the first unit that
    is not."""
    begin, end = part
    found = list(state.slices(cert, part))
    for one in found:
        if one.status != HELD:
            _refuse(FINAL, f"units from {max(begin, one.begin)} on are {one.status} (R3)")
        if one.holder != holder:
            _refuse(NOT_THE_HOLDER, f"{holder} does not hold unit {max(begin, one.begin)} of {cert.hex()} (R3)")
    if not found or found[-1].end < end:
        units = found[-1].end if found else 0
        _refuse(NOT_THIS_SLICE, f"certificate {cert.hex()} has {units or 'no'} units as far as [{begin}, {end}) (R1)")
    return found


def _move(state: State, cert: bytes, part: Part, old: Sequence[Slice], status: str, holder: str) -> None:
    """The units of a part get a status and a holder; slices are split where it begins and ends, and never joined."""
    begin, end = part
    new = []
    for one in old:
        if one.begin < begin:
            new.append(Slice(one.begin, begin, one.status, one.holder))
        new.append(Slice(max(one.begin, begin), min(one.end, end), status, holder))
        if end < one.end:
            new.append(Slice(end, one.end, one.status, one.holder))
    state.replace(cert, old, new)


def _balance(state: State, party: str, deed: Balance) -> None:
    """It covers every balance of the party that it overlaps, and no serial of it stands in another balance."""
    books = Books(party, deed.from_ms, deed.to_ms)
    for standing_one in state.balances(party):
        if books.overlaps(standing_one) and not books.covers(standing_one):
            times = f"{rfc3339_ms(standing_one.from_ms)} to {rfc3339_ms(standing_one.to_ms)}"
            _refuse(FINAL, f"{party} has a balance of {times}, and this one does not cover all of it (R2)")
    for offset in deed.offsets:
        if (other := state.serial(offset, books)) is not None:
            _refuse(NOT_THE_HOLDER, f"serial {other[1]} of {offset.project} stands in a balance of {other[0]} (R2)")
    state.use(books, deed.offsets)


def _demand(role: str, wanted: str, claim: Claim) -> None:
    if role != wanted:
        _refuse(UNKNOWN_PARTY, f"{claim.party} is enrolled as {role}, and this is for a {wanted} (C1)")


def _refuse(title: str, detail: str) -> NoReturn:
    raise Refused(title, detail)
