"""The trust file as the second verifier (verifier.py) reads it: docs/verifier.md, "Trust file"."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tests.oracle.verifier_cose import (
    LEDGER,
    NAME,
    POSITIVE,
    UINT,
    Bad,
    PublicKey,
    Shape,
    any_value,
    array,
    base64url,
    cose_key,
    demand,
    each,
    exactly,
    table,
    text,
    thumbprint_of,
)
from tests.oracle.verifier_notes import COSIGNATURE, LOG, VerifierKey, verifier_key


class NotTrusted(Exception):
    """The trust file is not accepted."""


PARTIES = ("party", "issuer", "verifier")
SCOPES = {
    "meter": ("gateway", "meter"),
    "statement": ("gateway",),
    "ledger": ("ledger",),
    **dict.fromkeys(PARTIES, ("party",)),
}
ADDRESS = text(r"0x[0-9A-Fa-f]{40}")


@dataclass(frozen=True)
class Key:
    role: str
    scope: tuple[str, ...]
    kid: bytes
    public: PublicKey
    valid_from: int
    valid_to: int | None
    revoked: int | None

    def demand_valid(self, at: int) -> None:
        demand(self.valid_from <= at, "a key that was not valid yet")
        demand(self.valid_to is None or at < self.valid_to, "a key that was no longer valid")
        demand(self.revoked is None or at < self.revoked, "a key that was revoked")


@dataclass(frozen=True)
class Trust:
    keys: dict[tuple[str, tuple[str, ...], bytes], Key]
    receipts: int
    ledgers: frozenset[str]
    max_delay_s: int | None
    expires: int | None
    witnesses_needed: int
    witnesses: list[VerifierKey]
    logs: dict[str, list[VerifierKey]]

    def key(self, role: str, scope: tuple[str, ...], kid: bytes) -> Key:
        found = self.keys.get((role, scope, kid))
        if found is None:
            raise Bad(f"no {role} key of that kid for {'/'.join(scope)} in the trust file")
        return found


@lru_cache(64)
def trust_file(data: bytes) -> Trust:
    try:
        top = tomllib.loads(data.decode())
        return trust_of(top)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError, Bad) as error:
        raise NotTrusted(str(error)) from None


def trust_of(top: dict[str, Any]) -> Trust:
    lists = array(lambda value: type(value) is dict, 0)
    demand(
        table({"policy": each(any_value, any_value)}, dict.fromkeys(("key", "chain", "log", "witness"), lists))(top),
        "a table that is not known",
    )
    policy = top["policy"]
    demand(table(
        {"ledgers": array(LEDGER, 1), "receipts": POSITIVE},
        {"max_delay": any_value, "attested": UINT, "made": moment, "expires": moment, "witnesses": UINT},
    )(policy), "[policy]")  # fmt: skip
    ledgers = policy["ledgers"]
    demand(len(set(ledgers)) == len(ledgers) and policy["receipts"] <= len(ledgers), "policy.ledgers, policy.receipts")
    made, expires = (seconds(policy[name]) if name in policy else None for name in ("made", "expires"))
    demand(made is None or expires is None or made < expires, "expires is not later than made")
    delay = duration(policy["max_delay"]) if "max_delay" in policy else None
    keys: dict[tuple[str, tuple[str, ...], bytes], Key] = {}
    for entry in top.get("key", []):
        key = trust_key(entry)
        demand((key.role, key.scope, key.kid) not in keys, "a key that is there twice")
        keys[key.role, key.scope, key.kid] = key
    demand_apart(keys.values())
    demand_chains_apart(top.get("chain", []))
    logs, witnesses = logs_of(top.get("log", [])), witness_keys(top.get("witness", []))
    needed = policy.get("witnesses", 0)
    demand(needed <= len(witnesses), "policy.witnesses is more than there are")
    publics = [key.public for key in [*witnesses, *(key for of_one in logs.values() for key in of_one)]]
    thumbprints = {thumbprint_of({1: 1, -1: 6, -2: public}) for public in publics}
    demand(len(thumbprints) == len(publics), "one key of two logs or witnesses")
    demand(not thumbprints & {key.public.thumbprint for key in keys.values()}, "a key that is also a [[key]]")
    return Trust(keys, policy["receipts"], frozenset(ledgers), delay, expires, needed, witnesses, logs)


def witness_keys(entries: list[dict[str, Any]]) -> list[VerifierKey]:
    for entry in entries:
        demand(table({"name": text("[!-*,-~]{1,255}"), "vkey": any_value})(entry), "a [[witness]]")
    keys = [verifier_key(entry["vkey"], COSIGNATURE) for entry in entries]
    names = [{entry["name"], key.name} for entry, key in zip(entries, keys, strict=True)]
    demand(len(set().union(*names)) == sum(map(len, names)), "two witnesses share a name, theirs or their vkey's")
    return keys


def logs_of(entries: list[dict[str, Any]]) -> dict[str, list[VerifierKey]]:
    """The keys of each ledger's checkpoints, which have one origin."""
    logs: dict[str, list[VerifierKey]] = {}
    origins: dict[str, str] = {}
    for entry in entries:
        demand(table({"ledger": LEDGER, "vkey": any_value})(entry), "a [[log]]")
        key, ledger = verifier_key(entry["vkey"], LOG), entry["ledger"]
        keys = logs.setdefault(ledger, [])
        demand(all(one.name == key.name for one in keys), "two origins of one ledger")
        demand(origins.setdefault(key.name, ledger) == ledger, "one origin of two ledgers")
        keys.append(key)
    return logs


def trust_key(entry: dict[str, Any]) -> Key:
    role: Any = entry.get("role")
    demand(type(role) is str and role in SCOPES, "role")
    more: dict[str, Shape] = {"valid_to": moment, "revoked": moment, "revoked_reason": text(".*")}
    if role not in PARTIES:
        more |= {"held": exactly("hardware"), "held_by": LEDGER, "held_at": moment, "evidence": text(".{1,1024}")}
    if role == "ledger":
        more["kid"] = any_value
    if role == "meter":
        more["identity"] = text(".{1,1024}")
    names = dict.fromkeys(SCOPES[role], LEDGER if role == "ledger" else NAME)
    demand(table({"role": any_value, **names, "public": any_value, "valid_from": moment}, more)(entry), "a [[key]]")
    demand(entry.get("meter") != "gateway", "a meter named gateway")
    demand("revoked_reason" not in entry or "revoked" in entry, "revoked_reason without revoked")
    held = entry.keys() & {"held", "held_by", "held_at"}
    demand(len(held) == 3 or (not held and "evidence" not in entry), "held, held_by, held_at: all or none")
    public = cose_key(base64url(entry["public"]))
    kid = base64url(entry["kid"]) if "kid" in entry else public.thumbprint
    demand(1 <= len(kid) <= 256, "a kid of 1 to 256 bytes")
    times = [seconds(entry[name]) if name in entry else None for name in ("valid_from", "valid_to", "revoked")]
    valid_from, valid_to, revoked = times
    assert valid_from is not None
    demand(valid_to is None or valid_to > valid_from, "valid_to is not later than valid_from")
    return Key(role, tuple(entry[name] for name in SCOPES[role]), kid, public, valid_from, valid_to, revoked)


def demand_apart(keys: Iterable[Key]) -> None:
    """One key counts as one: of one role, of one ledger, of one party; a party has one role."""
    users: dict[bytes, Any] = {}
    roles: dict[str, str] = {}
    for key in keys:
        user = key.role if key.role in ("meter", "statement") else (key.role, key.scope)
        demand(users.setdefault(key.public.thumbprint, user) == user, "one public key in two places")
        if key.role in PARTIES:
            demand(roles.setdefault(key.scope[0], key.role) == key.role, "a party of two roles")


def demand_chains_apart(chains: list[dict[str, Any]]) -> None:
    contracts: dict[tuple[int, str], str] = {}
    for chain in chains:
        sender = {} if chain.get("claims") is True else {"sender": ADDRESS}
        demand(table(
            {"ledger": LEDGER, "chain_id": POSITIVE, "contract": ADDRESS, **sender},
            {"confirmations": POSITIVE, "claims": exactly(True, False)},
        )(chain), "a [[chain]]")  # fmt: skip
        place = (chain["chain_id"], chain["contract"].lower())
        demand(contracts.setdefault(place, chain["ledger"]) == chain["ledger"], "one contract of two ledgers")


def moment(value: Any) -> bool:
    """An offset date-time from 1970 to 9999, in UTC."""
    if type(value) is not datetime or value.tzinfo is None:
        return False
    try:
        return value.astimezone(UTC).year >= 1970
    except OverflowError:
        return False


def seconds(value: datetime) -> int:
    """Whole seconds: a fraction is dropped."""
    return int(value.astimezone(UTC).replace(microsecond=0).timestamp())


UNITS_MS = {"ms": 1, "s": 1000, "min": 60_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration(value: Any) -> int:
    """A duration in whole seconds, above 0 and at most 36,500 days."""
    demand(type(value) is str, "max_delay")
    parts = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|s|min|m|h|d)", value)
    if parts is None:
        raise Bad("max_delay")
    found = Fraction(parts[1]) * UNITS_MS[parts[2]] / 1000
    demand(found.denominator == 1 and 0 < found <= 36_500 * 86_400, "max_delay")
    return int(found)
