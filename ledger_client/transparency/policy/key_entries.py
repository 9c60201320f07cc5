"""Log entries about gateways and parties: keys enrolled and keys revoked (RFC 9943 §6.3). Pure.

Each is about one of them, as its sub says (``gateway/NAME``, ``party/NAME``: names of different kinds), and signed by
the key that signs at its place. Read in order they give the policy: what the last one says of a key holds. A key that
was taken out of policy.toml stands in a revocation that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import array, name, table, text, time_s, uint
from ledger_client.formats.cose_key import PublicKey, Signer
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.transparency.policy.ledger_keys import CONTENT_ENROLLED, CONTENT_REVOKED
from ledger_client.transparency.policy.policy_file import MAX_TEXT
from ledger_client.verification.trust import HARDWARE, PARTY_ROLES, Held, Place, TrustKey

GATEWAY: Final = "gateway"
PARTY: Final = "party"
_ROLES: Final = {GATEWAY: ("statement", "meter"), PARTY: PARTY_ROLES}
_MOST_KEYS: Final = 500  # in one entry
_TEXTS: Final = {"reason": "revoked_reason", "identity": "identity"}


@dataclass(frozen=True, slots=True)
class Change:
    """What one entry says: the keys of ``about``, a gateway or a party, as they are from ``iat`` (Unix seconds) on.

    ``revoked``: they count no more, each from its ``revoked`` time on; those of ``removed`` are out of the policy.
    ``number`` is the entry's own in the log, so that none can be put there a second time.
    """

    about: str
    iat: int
    revoked: bool
    keys: tuple[TrustKey, ...]
    removed: frozenset[Place] = frozenset()
    number: int = 0


def owner(key: TrustKey) -> str:
    """Whose a key is, as the sub of an entry about it says."""
    return f"{PARTY}/{key.party}" if key.party is not None else f"{GATEWAY}/{key.gateway}"


def sign_change(ledger: str, change: Change, signer: Signer) -> bytes:
    """The entry, signed by the present key of the ledger."""
    content = CONTENT_REVOKED if change.revoked else CONTENT_ENROLLED
    claims = {cose.ISS: ledger, cose.SUB: change.about, cose.IAT: change.iat}
    keys = [_fields(key, key.place in change.removed) for key in change.keys]
    payload = cbor.encode({"v": 1, "keys": keys, "number": change.number})
    return cose.sign1({cose.CONTENT_TYPE: content, cose.CWT_CLAIMS: claims}, payload, signer)


def about(entry: bytes) -> str | None:
    """Whom an entry of the ledger's own is about, as its sub says; ``None`` for its rules and its changes of key."""
    header = cose.Sign1.parse(entry).protected
    if header.get(cose.CONTENT_TYPE) not in (CONTENT_ENROLLED, CONTENT_REVOKED):
        return None
    claims = table(header.get(cose.CWT_CLAIMS), "claims", {cose.ISS, cose.SUB, cose.IAT})
    return text(claims[cose.SUB], "sub")


def parse_change(entry: bytes) -> Change:
    """Read an entry about a gateway or a party strictly; ``Malformed``. Its signature is checked with the history of
    keys."""
    sign1 = cose.Sign1.parse(entry)
    revoked = sign1.protected.get(cose.CONTENT_TYPE) == CONTENT_REVOKED
    claims = table(sign1.protected.get(cose.CWT_CLAIMS), "claims", {cose.ISS, cose.SUB, cose.IAT})
    sub = text(claims[cose.SUB], "sub")
    kind, _, whose = sub.partition("/")
    if kind not in _ROLES:
        raise Malformed(f"sub is {sub!r}, not {GATEWAY}/NAME or {PARTY}/NAME")
    whose = name(whose, kind)
    fields = table(cbor.decode(sign1.payload or b""), f"change of a {kind}", {"v", "keys", "number"})
    if uint(fields["v"], "v") != 1:
        raise Malformed(f"change of a {kind} of version {fields['v']}; this program reads 1")
    ledger, iat = text(claims[cose.ISS], "iss"), time_s(claims[cose.IAT], "iat")
    keys = [_key(value, kind, whose, revoked) for value in array(fields["keys"], "keys", 1, _MOST_KEYS)]
    keys = [(_attested(key, ledger, iat), is_removed) for key, is_removed in keys]
    places = [key.place for key, _ in keys]
    if len(set(places)) != len(places):
        raise Malformed("one key stands twice in a change")
    removed = frozenset(key.place for key, is_removed in keys if is_removed)
    number = uint(fields["number"], "number")
    return Change(sub, iat, revoked, tuple(key for key, _ in keys), removed, number)


def changes_of(entries: Iterable[tuple[int, bytes]]) -> list[Change]:
    """The changes among a ledger's own entries, each given with its number; ``Malformed``."""
    changes = []
    for number, entry in entries:
        if about(entry) is not None:
            changes.append(parse_change(entry))
            if changes[-1].number != number:
                raise Malformed(f"entry {number} says that it is entry {changes[-1].number}")
    return changes


def applied(keys: Mapping[Place, TrustKey], changes: Iterable[Change]) -> dict[Place, TrustKey]:
    """The policy that holds after the changes, which follow on ``keys``."""
    return _walked(keys, changes)[0]


def taken_out(changes: Iterable[Change]) -> list[TrustKey]:
    """The keys that all changes, from the first on, leave out of the policy: as they were revoked."""
    return list(_walked({}, changes)[1].values())


def _walked(
    keys: Mapping[Place, TrustKey], changes: Iterable[Change]
) -> tuple[dict[Place, TrustKey], dict[Place, TrustKey]]:
    """(the policy behind the changes, the keys that they took out of it)."""
    held, gone = dict(keys), {}
    for change in changes:
        for key in change.keys:
            stated = _since_first(key, held.get(key.place))
            if key.place in change.removed:
                held.pop(key.place, None)
                gone[key.place] = stated
            else:
                held[key.place] = stated
                gone.pop(key.place, None)
    return held, gone


def _since_first(key: TrustKey, before: TrustKey | None) -> TrustKey:
    """A key as an entry says it, with the time of the entry that first attested what it repeats."""
    if before is None or key.held is None or before.held is None or key.held.evidence != before.held.evidence:
        return key
    return replace(key, held=before.held)


def difference(held: Mapping[Place, TrustKey], wanted: Sequence[TrustKey], iat: int) -> Iterator[Change]:
    """The changes that lead from the policy that the log tells to the one that policy.toml asks for.

    A key that the file has no more counts as revoked from ``iat`` on.
    """
    places = {key.place for key in wanted}
    gone = [_gone(key, iat) for place, key in held.items() if place not in places]
    changed = [key for key in wanted if not _is_stated(key, held.get(key.place))]
    removed = frozenset(key.place for key in gone)
    for whose in sorted({owner(key) for key in (*changed, *gone)}):
        of_owner = [key for key in changed if owner(key) == whose]
        kinds = (
            (False, [key for key in of_owner if key.revoked is None]),
            (True, [key for key in of_owner if key.revoked is not None] + [key for key in gone if owner(key) == whose]),
        )
        for revoked, keys in kinds:
            for first in range(0, len(keys), _MOST_KEYS):
                part = tuple(keys[first : first + _MOST_KEYS])
                yield Change(whose, iat, revoked, part, removed.intersection(key.place for key in part))


def _is_stated(wanted: TrustKey, stated: TrustKey | None) -> bool:
    """Whether a log tells what policy.toml asks for; who attests since when is what the log alone says."""
    if stated is None or (wanted.held is None) != (stated.held is None):
        return False
    if wanted.held is None or stated.held is None:
        return wanted == stated
    return wanted.held.evidence == stated.held.evidence and replace(wanted, held=None) == replace(stated, held=None)


def _attested(key: TrustKey, ledger: str, iat: int) -> TrustKey:
    return key if key.held is None else replace(key, held=Held(ledger, iat, key.held.evidence))


def _gone(key: TrustKey, iat: int) -> TrustKey:
    revoked = iat if key.revoked is None else min(iat, key.revoked)
    reason = key.revoked_reason or "taken out of policy.toml"
    return replace(key, revoked=revoked, revoked_reason=reason)


def _fields(key: TrustKey, is_removed: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": key.role, "public": key.key.cose_key, "valid_from": key.valid_from}
    more = {"meter": key.meter, "valid_to": key.valid_to, "revoked": key.revoked}
    more |= {field: getattr(key, attribute) for field, attribute in _TEXTS.items()}
    fields |= {field: value for field, value in more.items() if value is not None}
    if key.held is not None:
        fields |= {"held": HARDWARE, "evidence": key.held.evidence}
    return fields | ({"removed": True} if is_removed else {})


def _key(value: object, kind: str, whose: str, is_revoked: bool) -> tuple[TrustKey, bool]:
    required = {"role", "public", "valid_from"} | ({"revoked"} if is_revoked else set())
    meters = isinstance(value, dict) and value.get("role") == "meter"
    attested = {"held", "evidence"} if isinstance(value, dict) and "held" in value and kind == GATEWAY else set()
    fields = table(
        value,
        "key",
        required | ({"meter"} if meters else set()) | attested,
        {"valid_to"} | ({"reason", "removed"} if is_revoked else set()) | ({"identity"} if meters else set()),
    )
    if fields["role"] not in _ROLES[kind]:
        raise Malformed(f"role is {fields['role']!r}, not one of {', '.join(_ROLES[kind])}")
    if type(fields["public"]) is not bytes:
        raise Malformed("public is not a byte string")
    if "removed" in fields and fields["removed"] is not True:
        raise Malformed("removed is something else than true")
    if fields.get("held", HARDWARE) != HARDWARE:
        raise Malformed(f"held is {fields['held']!r}, not {HARDWARE!r}")
    times = {field: time_s(fields[field], field) for field in ("valid_from", "valid_to", "revoked") if field in fields}
    texts = {_TEXTS[field]: text(fields[field], field, MAX_TEXT) for field in _TEXTS if field in fields}
    meter = name(fields["meter"], "meter") if meters else None
    if meter == GATEWAY_ITSELF:
        raise Malformed(f"no meter is called {GATEWAY_ITSELF!r}")
    public = PublicKey.from_cose_key(fields["public"])
    gateway, party = (whose, None) if kind == GATEWAY else (None, whose)
    held = Held(None, None, text(fields["evidence"], "evidence", MAX_TEXT)) if attested else None
    key = TrustKey(
        fields["role"], public, gateway, meter, None, public.kid, times["valid_from"], times.get("valid_to"),
        times.get("revoked"), texts.get("revoked_reason"), texts.get("identity"), party,
        held,
    )  # fmt: skip
    return key, "removed" in fields
