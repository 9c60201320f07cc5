"""Log entries about gateways: keys enrolled and keys revoked (RFC 9943 §6.3). Pure.

Each is of one gateway and signed by the key that signs at its place. Read in order they give the policy: what the last
one says of a key holds. A key that was taken out of policy.toml stands in a revocation that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import array, name, table, text, time_s, uint
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.transparency.policy.ledger_keys import CONTENT_ENROLLED, CONTENT_REVOKED
from ledger_client.transparency.policy.policy_file import MAX_TEXT
from ledger_client.verification.trust import TrustKey

SUB_PREFIX: Final = "gateway/"
_MOST_KEYS: Final = 500  # in one entry
_TEXTS: Final = {"reason": "revoked_reason", "identity": "identity"}

Place = tuple[str, str, bytes]
"""Whose a key is: gateway, meter ("" for the statement key), kid."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one entry says: ``keys`` of ``gateway`` as they are from ``iat`` (Unix seconds) on.

    ``revoked``: they count no more, each from its ``revoked`` time on; those of ``removed`` are out of the policy.
    ``number`` is the entry's own in the log, so that none can be put there a second time.
    """

    gateway: str
    iat: int
    revoked: bool
    keys: tuple[TrustKey, ...]
    removed: frozenset[Place] = frozenset()
    number: int = 0


def place_of(key: TrustKey) -> Place:
    """Whose a key is."""
    return key.gateway or "", key.meter or "", key.kid


def sign_change(ledger: str, change: Change, signer: Signer) -> bytes:
    """The entry, signed by the present key of the ledger."""
    content = CONTENT_REVOKED if change.revoked else CONTENT_ENROLLED
    claims = {cose.ISS: ledger, cose.SUB: SUB_PREFIX + change.gateway, cose.IAT: change.iat}
    keys = [_fields(key, place_of(key) in change.removed) for key in change.keys]
    payload = cbor.encode({"v": 1, "keys": keys, "number": change.number})
    return cose.sign1({cose.CONTENT_TYPE: content, cose.CWT_CLAIMS: claims}, payload, signer)


def gateway_of(entry: bytes) -> str | None:
    """The gateway that an entry of the ledger's own is about; ``None`` for its rules and its changes of key."""
    header = cose.Sign1.parse(entry).protected
    if header.get(cose.CONTENT_TYPE) not in (CONTENT_ENROLLED, CONTENT_REVOKED):
        return None
    claims = table(header.get(cose.CWT_CLAIMS), "claims", {cose.ISS, cose.SUB, cose.IAT})
    return text(claims[cose.SUB], "sub").removeprefix(SUB_PREFIX)


def parse_change(entry: bytes) -> Change:
    """Read an entry about a gateway strictly; ``Malformed``. Its signature is checked with the history of keys."""
    sign1 = cose.Sign1.parse(entry)
    revoked = sign1.protected.get(cose.CONTENT_TYPE) == CONTENT_REVOKED
    claims = table(sign1.protected.get(cose.CWT_CLAIMS), "claims", {cose.ISS, cose.SUB, cose.IAT})
    sub = text(claims[cose.SUB], "sub")
    if not sub.startswith(SUB_PREFIX):
        raise Malformed(f"sub is {sub!r}, not {SUB_PREFIX}NAME")
    gateway = name(sub.removeprefix(SUB_PREFIX), "gateway")
    fields = table(cbor.decode(sign1.payload or b""), "change of a gateway", {"v", "keys", "number"})
    if uint(fields["v"], "v") != 1:
        raise Malformed(f"change of a gateway of version {fields['v']}; this program reads 1")
    keys = [_key(value, gateway, revoked) for value in array(fields["keys"], "keys", 1, _MOST_KEYS)]
    places = [place_of(key) for key, _ in keys]
    if len(set(places)) != len(places):
        raise Malformed("one key stands twice in a change")
    removed = frozenset(place_of(key) for key, is_removed in keys if is_removed)
    number = uint(fields["number"], "number")
    return Change(gateway, time_s(claims[cose.IAT], "iat"), revoked, tuple(key for key, _ in keys), removed, number)


def changes_of(entries: Iterable[tuple[int, bytes]]) -> list[Change]:
    """The changes among a ledger's own entries, each given with its number; ``Malformed``."""
    changes = []
    for number, entry in entries:
        if gateway_of(entry) is not None:
            changes.append(parse_change(entry))
            if changes[-1].number != number:
                raise Malformed(f"entry {number} says that it is entry {changes[-1].number}")
    return changes


def applied(keys: Mapping[Place, TrustKey], changes: Iterable[Change]) -> dict[Place, TrustKey]:
    """The policy that holds after the changes, which follow on ``keys``."""
    held = dict(keys)
    for change in changes:
        for key in change.keys:
            if place_of(key) in change.removed:
                held.pop(place_of(key), None)
            else:
                held[place_of(key)] = key
    return held


def difference(held: Mapping[Place, TrustKey], wanted: Sequence[TrustKey], iat: int) -> Iterator[Change]:
    """The changes that lead from the policy that the log tells to the one that policy.toml asks for.

    A key that the file has no more counts as revoked from ``iat`` on.
    """
    places = {place_of(key) for key in wanted}
    gone = [_gone(key, iat) for place, key in held.items() if place not in places]
    changed = [key for key in wanted if held.get(place_of(key)) != key]
    removed = frozenset(map(place_of, gone))
    for gateway in sorted({key.gateway or "" for key in (*changed, *gone)}):
        own = [key for key in changed if key.gateway == gateway]
        kinds = (
            (False, [key for key in own if key.revoked is None]),
            (True, [key for key in own if key.revoked is not None] + [key for key in gone if key.gateway == gateway]),
        )
        for revoked, keys in kinds:
            for first in range(0, len(keys), _MOST_KEYS):
                part = tuple(keys[first : first + _MOST_KEYS])
                yield Change(gateway, iat, revoked, part, removed.intersection(map(place_of, part)))


def _gone(key: TrustKey, iat: int) -> TrustKey:
    revoked = iat if key.revoked is None else min(iat, key.revoked)
    reason = key.revoked_reason or "taken out of policy.toml"
    return TrustKey(
        key.role, key.key, key.gateway, key.meter, None, key.kid, key.valid_from, key.valid_to, revoked, reason,
        key.identity,
    )  # fmt: skip


def _fields(key: TrustKey, is_removed: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": key.role, "public": key.key.cose_key, "valid_from": key.valid_from}
    more = {"meter": key.meter, "valid_to": key.valid_to, "revoked": key.revoked}
    more |= {field: getattr(key, attribute) for field, attribute in _TEXTS.items()}
    fields |= {field: value for field, value in more.items() if value is not None}
    return fields | ({"removed": True} if is_removed else {})


def _key(value: object, gateway: str, is_revoked: bool) -> tuple[TrustKey, bool]:
    required = {"role", "public", "valid_from"} | ({"revoked"} if is_revoked else set())
    meters = isinstance(value, dict) and value.get("role") == "meter"
    fields = table(
        value,
        "key",
        required | ({"meter"} if meters else set()),
        {"valid_to"} | ({"reason", "removed"} if is_revoked else set()) | ({"identity"} if meters else set()),
    )
    if fields["role"] not in ("statement", "meter"):
        raise Malformed(f"role is {fields['role']!r}, not statement or meter")
    if type(fields["public"]) is not bytes:
        raise Malformed("public is not a byte string")
    if "removed" in fields and fields["removed"] is not True:
        raise Malformed("removed is something else than true")
    times = {field: time_s(fields[field], field) for field in ("valid_from", "valid_to", "revoked") if field in fields}
    texts = {_TEXTS[field]: text(fields[field], field, MAX_TEXT) for field in _TEXTS if field in fields}
    meter = name(fields["meter"], "meter") if meters else None
    if meter == GATEWAY_ITSELF:
        raise Malformed(f"no meter is called {GATEWAY_ITSELF!r}")
    public = PublicKey.from_cose_key(fields["public"])
    key = TrustKey(
        fields["role"], public, gateway, meter, None, public.kid, times["valid_from"], times.get("valid_to"),
        times.get("revoked"), texts.get("revoked_reason"), texts.get("identity"),
    )  # fmt: skip
    return key, "removed" in fields
