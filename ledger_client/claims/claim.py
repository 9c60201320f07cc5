"""Claims: what a party signs of certificates, statements and balances, and how it reads on the wire.

A claim is a COSE_Sign1 like a batch statement (formats/statement.py): its *entry* has an empty unprotected header, its
*id* is the SHA-256 of that. ``iss`` is the party, ``sub`` "claim/<n>" with n = 0, 1, 2 … of this party on a registry,
``aud`` that registry. The rules that a registry admits them by are in registry.py. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import (
    array,
    blob,
    is_ledger_name,
    name,
    table,
    text,
    time_ms,
    time_s,
    uint,
    within,
    writing,
)
from ledger_client.formats.cose_key import Signer

CONTENT_CLAIM: Final = "application/vnd.meterseal.claim+cbor"
AUD: Final = 3
"""The CWT claim ``aud`` (RFC 8392 §3.1.3): the registry."""
MAX_CLAIM: Final = 256 * 1024  # bytes of an entry
MAX_NUMBER: Final = 2**63 - 1  # SQLite's integers
QUARTER_MS: Final = 900_000
HOUR_MS: Final = 4 * QUARTER_MS
DAY_MS: Final = 24 * HOUR_MS
MOST_TEXT: Final = 1024
SHORT_TEXT: Final = 64
"""Bytes of a purpose and of a foreign registry's name: what the contract takes too."""
MIDDLE_TEXT: Final = 128
"""Bytes of a reference and of a reason: what the contract takes too."""
_SUB: Final = re.compile(r"claim/(0|[1-9][0-9]{0,18})")

Part = tuple[int, int]
"""Units [a, b) of a certificate."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the energy of a certificate was made: a node of a gateway's plan, its device, [from, to) in ms."""

    gateway: str
    node: str
    device: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Issue:
    """A certificate of ``units`` Wh begins to exist, held by ``to``. ``period``: the statement's record hash; ``row``:
    the leaf of its row; ``expires_ms``: no retirement from then on."""

    origin: Origin
    units: int
    to: str
    period: bytes
    row: bytes
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A part goes to another party."""

    cert: bytes
    part: Part
    to: str


@dataclass(frozen=True, slots=True)
class Retire:
    """A part is used: ``purpose``, the period of the use in ms, and for whom: SHA-256(salt ‖ name) (Z3)."""

    cert: bytes
    part: Part
    purpose: str
    from_ms: int
    to_ms: int
    beneficiary: bytes | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """A part leaves for another registry, under that one's reference."""

    cert: bytes
    part: Part
    registry: str
    reference: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The issuer takes a certificate back."""

    cert: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Attest:
    """A verifier's verdict (attestation.py) of a statement, ``period`` its record hash, or of a balance, ``period`` its
    claim's id; ``report``: SHA-256 of its document."""

    period: bytes
    level: str
    verdict: str
    report: bytes


@dataclass(frozen=True, slots=True)
class Offset:
    """Serials first … last, both included, of a project's vintage, retired at its own registry; ``document``: the hash
    of its proof."""

    registry: str
    project: str
    vintage: int
    first: int
    last: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Balance:
    """A party's balance of [from, to) in ms: what it cites, and its totals. ``slices``: size and root of the tree over
    the leaves [cert, a, b]."""

    from_ms: int
    to_ms: int
    boundary: str
    exclusions: tuple[str, ...]
    periods: tuple[bytes, ...]
    factors: tuple[str, ...]
    slices: tuple[int, bytes]
    offsets: tuple[Offset, ...]
    totals: Mapping[str, Decimal]


def overlap(one: Offset, other: Offset) -> bool:
    """Whether two ranges of serials have one in common."""
    same = (one.registry, one.project, one.vintage) == (other.registry, other.project, other.vintage)
    return same and one.first <= other.last and other.first <= one.last


Deed = Issue | Transfer | Retire | Export | Withdraw | Attest | Balance
"""What a claim does."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims, under which number, at which registry, when (Unix seconds), and what."""

    party: str
    number: int
    registry: str
    iat: int
    deed: Deed


@dataclass(frozen=True, slots=True)
class SignedClaim:
    """A claim that was read: well-formed, its signature not yet checked (``sign1.verify(key)``)."""

    claim: Claim
    kid: bytes
    sign1: cose.Sign1
    entry: bytes
    id: bytes


def is_claim(entry: bytes) -> bool:
    """Whether an entry means to be a claim, by its content type. Raises Malformed where it is no COSE_Sign1."""
    return cose.Sign1.parse(entry).protected.get(cose.CONTENT_TYPE) == CONTENT_CLAIM


def sign_claim(claim: Claim, signer: Signer) -> bytes:
    """Write and sign a claim; its entry. ``EncodeError`` (nothing signed) for what a reader would refuse."""
    payload = cbor.encode(_plain(claim.deed))
    claims = {cose.ISS: claim.party, cose.SUB: f"claim/{claim.number}", AUD: claim.registry, cose.IAT: claim.iat}
    with writing(f"claim {claim.number} of {claim.party}"):
        _claim(claims, cbor.decode(payload))
        protected = {cose.CONTENT_TYPE: CONTENT_CLAIM, cose.CWT_CLAIMS: claims}
        return within(cose.sign1(protected, payload, signer), MAX_CLAIM, "the claim")


def parse_claim(entry: bytes) -> SignedClaim:
    """Read an entry strictly. Raises Malformed."""
    sign1 = cose.Sign1.parse(within(entry, MAX_CLAIM, "the claim"))
    table(sign1.unprotected, "the claim's unprotected header", set())
    header = cose.entry_header(sign1.protected, "the claim")
    claim = _claim(header[cose.CWT_CLAIMS], cose.entry_payload(sign1, CONTENT_CLAIM, "the claim"))
    kid = blob(header[cose.KID], "kid", 32)
    return SignedClaim(claim, kid, sign1, bytes(entry), hashlib.sha256(entry).digest())


def _claim(claims: object, payload: object) -> Claim:
    claim = table(claims, "the claim's CWT claims", {cose.ISS, cose.SUB, AUD, cose.IAT})
    sub = text(claim[cose.SUB], "sub")
    found = _SUB.fullmatch(sub)
    if found is None:
        raise Malformed(f"sub is {sub!r}, not claim/<number>")
    number = uint(int(found[1]), "the claim's number", MAX_NUMBER)
    return Claim(
        name(claim[cose.ISS], "iss"),
        number,
        _registry(claim[AUD], "aud"),
        time_s(claim[cose.IAT], "iat"),
        _deed(payload),
    )


def _deed(payload: object) -> Deed:
    op = payload.get("op") if type(payload) is dict else None
    if type(op) is not str or op not in _READERS:
        raise Malformed(f"op is {op!r}, not one of {', '.join(_READERS)}")
    required, optional, read = _READERS[op]
    return read(table(payload, f"the claim {op}", {"op", *required}, optional))


def _issue(fields: Mapping[str, Any]) -> Issue:
    origin = table(fields["origin"], "origin", {"gateway", "node", "device", "from", "to"})
    begin, end = time_ms(origin["from"], "origin.from"), time_ms(origin["to"], "origin.to")
    if (
        begin % QUARTER_MS
        or end % QUARTER_MS
        or not 0 < end - begin <= HOUR_MS
        or begin // DAY_MS != (end - 1) // DAY_MS
    ):
        raise Malformed("origin: from and to are no interval of 1 to 4 quarters of an hour within one UTC day (C2)")
    where = Origin(
        name(origin["gateway"], "origin.gateway"), name(origin["node"], "origin.node"),
        text(origin["device"], "origin.device", MOST_TEXT), begin, end,
    )  # fmt: skip
    expires = time_ms(fields["expires"], "expires") if "expires" in fields else None
    return Issue(
        where, _positive(fields["units"], "units"), name(fields["to"], "to"), blob(fields["period"], "period", 32),
        blob(fields["row"], "row", 32), expires,
    )  # fmt: skip


def _transfer(fields: Mapping[str, Any]) -> Transfer:
    return Transfer(blob(fields["cert"], "cert", 32), _part(fields["slice"]), name(fields["to"], "to"))


def _retire(fields: Mapping[str, Any]) -> Retire:
    begin, end = (time_ms(ms, "period") for ms in array(fields["period"], "period", 2, 2))
    if begin >= end:
        raise Malformed("period: it ends before it begins")
    purpose = _short(fields["purpose"], "purpose", SHORT_TEXT)
    beneficiary = blob(fields["for"], "for", 32) if "for" in fields else None
    return Retire(blob(fields["cert"], "cert", 32), _part(fields["slice"]), purpose, begin, end, beneficiary)


def _export(fields: Mapping[str, Any]) -> Export:
    return Export(
        blob(fields["cert"], "cert", 32), _part(fields["slice"]), _short(fields["registry"], "registry", SHORT_TEXT),
        _short(fields["reference"], "reference", MIDDLE_TEXT),
    )  # fmt: skip


def _withdraw(fields: Mapping[str, Any]) -> Withdraw:
    return Withdraw(blob(fields["cert"], "cert", 32), _short(fields["reason"], "reason", MIDDLE_TEXT))


def _attest(fields: Mapping[str, Any]) -> Attest:
    return Attest(
        blob(fields["period"], "period", 32), text(fields["level"], "level"), text(fields["verdict"], "verdict"),
        blob(fields["report"], "report", 32),
    )  # fmt: skip


def _balance(fields: Mapping[str, Any]) -> Balance:
    begin, end = time_ms(fields["from"], "from"), time_ms(fields["to"], "to")
    if begin >= end:
        raise Malformed("balance: it ends before it begins")
    size, root = array(fields["slices"], "slices", 2, 2)
    totals = fields["totals"]
    if type(totals) is not dict or not totals:
        raise Malformed("totals are not a map of one or more")
    for key, total in totals.items():
        if not isinstance(total, Decimal):
            raise Malformed(f"totals: {key!r} is {total!r}, not a decimal fraction (N5)")
    offsets = tuple(_offset(one) for one in array(fields["offsets"], "offsets"))
    for number, offset in enumerate(offsets):
        if any(overlap(offset, other) for other in offsets[:number]):
            raise Malformed(f"serials {offset.first} to {offset.last} of {offset.project} stand in it twice (C4)")
    return Balance(
        begin, end, text(fields["boundary"], "boundary", MOST_TEXT),
        tuple(text(one, "an exclusion", MOST_TEXT) for one in array(fields["exclusions"], "exclusions")),
        tuple(blob(one, "a statement's hash", 32) for one in array(fields["periods"], "periods", 1)),
        tuple(text(one, "a factor", MOST_TEXT) for one in array(fields["factors"], "factors")),
        (uint(size, "slices size"), blob(root, "slices root", 32)), offsets,
        {text(key, "a total"): cast(Decimal, total) for key, total in totals.items()},
    )  # fmt: skip


def _offset(value: object) -> Offset:
    registry, project, vintage, first, last, document = array(value, "an offset", 6, 6)
    numbers = uint(first, "first serial", MAX_NUMBER), uint(last, "last serial", MAX_NUMBER)
    if numbers[0] > numbers[1]:
        raise Malformed(f"serials {first} to {last}: the last is before the first")
    return Offset(
        text(registry, "an offset's registry", MOST_TEXT), text(project, "an offset's project", MOST_TEXT),
        uint(vintage, "vintage", 9999), *numbers, blob(document, "document", 32),
    )  # fmt: skip


_READERS: Final[dict[str, tuple[set[str], set[str], Callable[[Mapping[str, Any]], Deed]]]] = {
    "issue": ({"origin", "units", "to", "period", "row"}, {"expires"}, _issue),
    "transfer": ({"cert", "slice", "to"}, set(), _transfer),
    "retire": ({"cert", "slice", "purpose", "period"}, {"for"}, _retire),
    "export": ({"cert", "slice", "registry", "reference"}, set(), _export),
    "withdraw": ({"cert", "reason"}, set(), _withdraw),
    "attest": ({"period", "level", "verdict", "report"}, set(), _attest),
    "balance": (
        {"from", "to", "boundary", "exclusions", "periods", "factors", "slices", "offsets", "totals"}, set(), _balance,
    ),
}  # fmt: skip
"""op → required keys, optional keys, reader."""


def _plain(deed: Deed) -> dict[str, object]:
    match deed:
        case Issue(origin, units, to, period, row, expires_ms):
            where = {
                "gateway": origin.gateway, "node": origin.node, "device": origin.device,
                "from": origin.from_ms, "to": origin.to_ms,
            }  # fmt: skip
            fields = {"op": "issue", "origin": where, "units": units, "to": to, "period": period, "row": row}
            return fields | ({} if expires_ms is None else {"expires": expires_ms})
        case Transfer(cert, part, to):
            return {"op": "transfer", "cert": cert, "slice": list(part), "to": to}
        case Retire(cert, part, purpose, from_ms, to_ms, beneficiary):
            fields = {"op": "retire", "cert": cert, "slice": list(part), "purpose": purpose, "period": [from_ms, to_ms]}
            return fields | ({} if beneficiary is None else {"for": beneficiary})
        case Export(cert, part, registry, reference):
            return {"op": "export", "cert": cert, "slice": list(part), "registry": registry, "reference": reference}
        case Withdraw(cert, reason):
            return {"op": "withdraw", "cert": cert, "reason": reason}
        case Attest(period, level, verdict, report):
            return {"op": "attest", "period": period, "level": level, "verdict": verdict, "report": report}
        case Balance():
            offsets = [[o.registry, o.project, o.vintage, o.first, o.last, o.document] for o in deed.offsets]
            return {
                "op": "balance", "from": deed.from_ms, "to": deed.to_ms, "boundary": deed.boundary,
                "exclusions": list(deed.exclusions), "periods": list(deed.periods), "factors": list(deed.factors),
                "slices": list(deed.slices), "offsets": offsets, "totals": dict(deed.totals),
            }  # fmt: skip


def _registry(value: object, what: str) -> str:
    if not is_ledger_name(value):
        raise Malformed(f"{what} is {value!r}, not the name of a registry")
    return str(value)


def _positive(value: object, what: str) -> int:
    if uint(value, what, MAX_NUMBER) == 0:
        raise Malformed(f"{what} is 0")
    return int(cast(int, value))


def _part(value: object) -> Part:
    begin, end = array(value, "slice", 2, 2)
    if uint(begin, "slice begin", MAX_NUMBER) >= uint(end, "slice end", MAX_NUMBER):
        raise Malformed(f"slice [{begin}, {end}) has no unit")
    return begin, end


def _short(value: object, what: str, most: int) -> str:
    if len(text(value, what, most).encode()) > most:
        raise Malformed(f"{what} has more than {most} bytes")
    return str(value)
