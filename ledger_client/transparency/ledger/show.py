"""Contents of a ledger folder, for operators and programs. Read-only; the ledger may be serving."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from ledger_client.times import rfc3339
from ledger_client.transparency.ledger.directory import open_log, policy_of
from ledger_client.transparency.ledger.held_key import present_key
from ledger_client.transparency.policy.key_entries import applied, changes_of, difference
from ledger_client.transparency.policy.ledger_keys import checkpoint_keys
from ledger_client.transparency.policy.policy_file import load_policy
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import HARDWARE, TrustKey
from ledger_client.verification.trust_text import key_entry


def facts(folder: Path) -> dict[str, Any]:
    """What ``show --json`` prints; times are RFC 3339 text or null.

    ``{ledger, entries, unregistered, kid, vkey, key_uri, keys: [{kid, since, until}], gateways: […], parties: […]}``; a
    gateway is ``{gateway, statements, last_batch, keys: […], meters: […]}``, a party ``{party, role, keys: […]}``, a
    key of either ``{kid, valid_from, valid_to, revoked, revoked_reason, held, evidence}``, with ``meter`` and
    ``identity`` for that of a meter. ``entries`` counts the ledger's own, too; ``unregistered`` the keys of which
    policy.toml says something else than the log, which is what is applied. ``vkey`` is that of its checkpoints, null
    where the log names none; ``key_uri`` is null for a key in a file.
    Raises ``LedgerClientError`` where there is no ledger in order.
    """
    policy = load_policy(policy_of(folder))
    with closing(open_log(folder, read_only=True)) as log, log.read() as entries:
        held_key, ledger_keys = present_key(folder, log.name, entries.own_entry_bytes())
        size, held = entries.size(), entries.gateways()
        of_log = checkpoint_keys(entries.own_entry_bytes())
        registered = applied({}, changes_of((number, entry) for number, entry, _ in entries.own_entries()))
    gateways = {gateway: (count, last) for gateway, count, last in held}
    names = sorted(gateways.keys() | {key.gateway for key in policy.keys if key.gateway is not None})
    return {
        "ledger": log.name,
        "entries": size,
        "unregistered": sum(len(change.keys) for change in difference(registered, policy.keys, 0)),
        "kid": id_to_text(ledger_keys[-1].key.kid),
        "vkey": of_log[-1].text if of_log else None,
        "key_uri": held_key.uri,
        "keys": [
            {"kid": id_to_text(k.key.kid), "since": rfc3339(k.since), "until": k.until and rfc3339(k.until)}
            for k in ledger_keys
        ],
        "gateways": [
            {
                "gateway": gateway,
                "statements": gateways.get(gateway, (0, None))[0],
                "last_batch": gateways.get(gateway, (0, None))[1],
                "keys": [_key(key) for key in policy.statement_keys(gateway)],
                "meters": [
                    {"meter": key.meter, "identity": key.identity, **_key(key)}
                    for key in policy.keys
                    if key.gateway == gateway and key.role == "meter"
                ],
            }
            for gateway in names
        ],
        "parties": [
            {"party": party, "role": role, "keys": [_key(key) for key in policy.keys if key.party == party]}
            for party, role in sorted({(key.party, key.role) for key in policy.keys if key.party is not None})
        ],
    }


def _key(key: TrustKey) -> dict[str, Any]:
    times = {"valid_from": key.valid_from, "valid_to": key.valid_to, "revoked": key.revoked}
    facts = {name: None if time is None else rfc3339(time) for name, time in times.items()}
    held = {"held": None, "evidence": None} if key.held is None else {"held": HARDWARE, "evidence": key.held.evidence}
    return {"kid": id_to_text(key.kid), **facts, "revoked_reason": key.revoked_reason, **held}


def in_words(facts: dict[str, Any]) -> str:
    """The same for a reader."""
    lines = [
        f"ledger {facts['ledger']}: {facts['entries']} entries, the first is its own policy",
        f"signs with {facts['kid']}, {'a key in a file' if facts['key_uri'] is None else facts['key_uri']}",
    ]
    if facts["vkey"]:
        lines.append(f"its checkpoints are signed with {facts['vkey']}")
    lines += [f"signed with {k['kid']} from {k['since']} until {k['until']}" for k in facts["keys"][:-1]]
    if facts["unregistered"]:
        lines.append(
            f"policy.toml changes {facts['unregistered']} keys, which the log does not tell yet: serve, or enroll"
        )
    for gateway in facts["gateways"]:
        last = "no batch yet" if gateway["last_batch"] is None else f"last batch {gateway['last_batch']}"
        keys = _in_words(gateway["keys"])
        lines.append(f"gateway {gateway['gateway']}: {gateway['statements']} statements, {last}; keys: {keys}")
        lines += [f"  meter {meter['meter']}: {_key_in_words(meter)}{_device(meter)}" for meter in gateway["meters"]]
    lines += [f"{party['role']} {party['party']}: keys: {_in_words(party['keys'])}" for party in facts["parties"]]
    if not facts["gateways"]:
        lines.append("no gateway is enrolled; `meterseal-ledger enroll DIR gateway.enrol` lets one in")
    return "\n".join(lines)


def _in_words(keys: list[dict[str, Any]]) -> str:
    return ", ".join(map(_key_in_words, keys)) or "none, so nothing more of it is taken"


def _key_in_words(key: dict[str, Any]) -> str:
    if key["revoked"] is not None:
        return f"{key['kid']} REVOKED from {key['revoked']} on ({key['revoked_reason'] or 'no reason given'})"
    held = f" in {HARDWARE}" if key["held"] else ""
    return f"{key['kid']} until {key['valid_to']}{held}" if key["valid_to"] else f"{key['kid']}{held}"


def _device(meter: dict[str, Any]) -> str:
    return f", its device {meter['identity']}" if meter["identity"] else ""


def log_state(folder: Path) -> tuple[int, bytes]:
    """How many entries the log has now, and the root over them: what its head says, unsigned.

    Whoever publishes it binds the ledger to it as a signature does: ``head`` in its folder says so, too.
    """
    policy_of(folder)
    with closing(open_log(folder)) as log, log.read() as entries:
        return entries.size(), entries.root()


def trust_entry(folder: Path) -> str:
    """The ledger's own ``[[key]]`` entries of a trust file, of every key that it ever signed with."""
    policy_of(folder)
    with closing(open_log(folder, read_only=True)) as log, log.read() as entries:
        _, keys = present_key(folder, log.name, entries.own_entry_bytes())
    return "\n".join(key_entry("ledger", k.key, k.since, ledger=log.name, valid_to=k.until) for k in keys)
