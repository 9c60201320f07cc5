"""Signed claims as calls of a contract ClaimRegistry, and whether an event says what a signed claim says (R8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from ledger_client.claims.certificate import Certificate, certificate_of, digest
from ledger_client.claims.claim import DAY_MS, Deed, Export, Issue, Retire, SignedClaim, Transfer, Withdraw
from ledger_client.claims.registry import MALFORMED
from ledger_client.contracts.claim_registry import (
    CONTRACT,
    MOST_INTERVALS,
    Event,
    Exported,
    Issued,
    Retired,
    Transferred,
    Withdrawn,
)
from ledger_client.errors import Refused

Value = bytes | int | str
Values = dict[str, Value]

_INTERVAL: Final = ("begin", "end", "units", "period", "row", "holder", "claim")
_CALLS: Final[dict[type[Event], tuple[str, tuple[str, ...]]]] = {
    Transferred: ("transfer", ("number", "cert", "start", "a", "b", "to", "claim")),
    Retired: (
        "retire",
        ("number", "cert", "start", "a", "b", "purpose", "begin", "end", "beneficiary", "claim"),
    ),
    Exported: ("export", ("number", "cert", "start", "a", "b", "into", "reference", "claim")),
    Withdrawn: (
        "withdraw",
        ("number", "device", "begin", "end", "units", "period", "row", "holder", "reason", "claim"),
    ),
}
"""Method of the contract, and its arguments by the names that they have in the event."""


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """What a signed claim says, by the names of the event that a contract writes of it. The event says more: where a
    slice began, of what certificate units were withdrawn, and which account wrote it."""

    signed: SignedClaim
    event: type[Event]
    values: Mapping[str, Value]

    @property
    def id(self) -> bytes:
        """SHA-256 of the signed claim: what the contract keeps of it."""
        return self.signed.id


def expected_event(signed: SignedClaim) -> ExpectedEvent:
    """What a contract is to write of a claim. Raises Refused for what no contract takes."""
    claim, deed = signed.claim, signed.claim.deed
    both: Values = {"number": claim.number, "claim": signed.id}
    whose: Values = {"party": digest(claim.party)}
    match deed:
        case Issue():
            return ExpectedEvent(signed, Issued, both | parts_of(certificate_of(claim, deed)))
        case Transfer(cert, (a, b), to):
            return ExpectedEvent(signed, Transferred, both | whose | {"cert": cert, "a": a, "b": b, "to": digest(to)})
        case Retire(cert, (a, b), purpose, from_ms, to_ms, beneficiary):
            period: Values = {"begin": _seconds(from_ms), "end": _seconds(to_ms)}
            use: Values = {"cert": cert, "a": a, "b": b, "purpose": purpose, "beneficiary": beneficiary or bytes(32)}
            return ExpectedEvent(signed, Retired, both | whose | use | period)
        case Export(cert, (a, b), registry, reference):
            what: Values = {"cert": cert, "a": a, "b": b, "into": registry, "reference": reference}
            return ExpectedEvent(signed, Exported, both | whose | what)
        case Withdraw(cert, reason):
            return ExpectedEvent(
                signed, Withdrawn, both | {"cert": cert, "issuer": digest(claim.party), "reason": reason}
            )
    _malformed("attestations and balances are for the log of an embedded ledger: give its address as --registry")


def parts_of(made: Certificate) -> Values:
    """A certificate by the names of an event; parties and device as hashes, times in seconds."""
    return {
        "cert": made.id, "issuer": digest(made.issuer), "holder": digest(made.holder), "device": made.device,
        "begin": made.from_ms // 1000, "end": made.to_ms // 1000, "units": made.units, "period": made.period,
        "row": made.row,
    }  # fmt: skip


def call(one: ExpectedEvent, more: Mapping[str, Value]) -> bytes:
    """Call data of any claim but an issue; ``more``: what the claim does not say."""
    method, names = _CALLS[one.event]
    return CONTRACT.call(method, *({**one.values, **more}[name] for name in names))


def issue_call(many: Sequence[ExpectedEvent]) -> bytes:
    """Call data of claims to issue that go together (``groups``)."""
    first = many[0].values
    intervals = [tuple(_word(one.values[name]) for name in _INTERVAL) for one in many]
    return CONTRACT.call("issue", first["number"], first["device"], intervals)


def groups(many: Sequence[ExpectedEvent]) -> Iterator[list[ExpectedEvent]]:
    """Claims of one party in their order, those together that one call can make: issues for one device and UTC day
    under numbers that follow each other, as many as the contract takes at once."""
    group: list[ExpectedEvent] = []
    for one in many:
        if group and not (len(group) < MOST_INTERVALS and _together(group[-1], one)):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def difference(one: ExpectedEvent, event: Event) -> str | None:
    """What an event says otherwise than the signed claim, in words; None: nothing."""
    if type(event) is not one.event:
        return f"the event is {type(event).__name__}, the signed claim is of another kind"
    for name, value in one.values.items():
        if (found := getattr(event, name)) != value:
            return f"{name} is {_shown(found)} in the event, {_shown(value)} in the signed claim"
    return None


def claim_id(event: Event) -> bytes | None:
    """SHA-256 of the signed claim that an event belongs to; None: it belongs to none."""
    found = getattr(event, "claim", None)
    return found if isinstance(found, bytes) else None


def _together(one: ExpectedEvent, other: ExpectedEvent) -> bool:
    deeds = one.signed.claim.deed, other.signed.claim.deed
    if not all(isinstance(deed, Issue) for deed in deeds):
        return False
    days = [_day(deed) for deed in deeds]
    follows = other.signed.claim.number == one.signed.claim.number + 1
    return follows and days[0] == days[1] and one.values["device"] == other.values["device"]


def _day(deed: Deed) -> int:
    assert isinstance(deed, Issue)
    return deed.origin.from_ms // DAY_MS


def _word(value: Value) -> bytes | int:
    assert not isinstance(value, str)
    return value


def _seconds(time_ms: int) -> int:
    if time_ms % 1000:
        _malformed(f"the period has {time_ms} ms, and the contract keeps whole seconds: give whole seconds")
    return time_ms // 1000


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _malformed(detail: str) -> NoReturn:
    raise Refused(MALFORMED, detail)
