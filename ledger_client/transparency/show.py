"""What a ledger's folder holds, for an operator and for a program; a ledger that serves is not disturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger_client.cose import CWT_CLAIMS, IAT, Sign1
from ledger_client.cose_key import load_private_key
from ledger_client.ledgers.wire import id_to_text
from ledger_client.transparency.directory import KEY, LOG, policy_of
from ledger_client.transparency.log import Log
from ledger_client.transparency.policy import load_policy
from ledger_client.trust import key_entry


def facts(folder: Path) -> dict[str, Any]:
    """``{ledger, entries, kid, gateways: [{gateway, statements, last_batch, keys: [kid]}]}``, as JSON can hold it.

    ``entries`` counts the ledger's own policy, too. Raises ``LedgerClientError`` where there is no ledger in order.
    """
    policy = load_policy(policy_of(folder))
    name, entries, _, held = _log(folder)
    gateways = {gateway: (count, last) for gateway, count, last in held}
    names = sorted(gateways.keys() | {key.gateway or "" for key in policy.keys})
    return {
        "ledger": name,
        "entries": entries,
        "kid": id_to_text(load_private_key(folder / KEY).public.kid),
        "gateways": [
            {
                "gateway": gateway,
                "statements": gateways.get(gateway, (0, None))[0],
                "last_batch": gateways.get(gateway, (0, None))[1],
                "keys": [id_to_text(key.kid) for key in policy.keys if key.gateway == gateway],
            }
            for gateway in names
        ],
    }


def in_words(facts: dict[str, Any]) -> str:
    """The same for a reader."""
    lines = [
        f"ledger {facts['ledger']}: {facts['entries']} entries, the first is its own policy",
        f"signs with {facts['kid']}",
    ]
    for gateway in facts["gateways"]:
        last = "no batch yet" if gateway["last_batch"] is None else f"last batch {gateway['last_batch']}"
        keys = ", ".join(gateway["keys"]) or "none, so nothing more of it is taken"
        lines.append(f"gateway {gateway['gateway']}: {gateway['statements']} statements, {last}; keys: {keys}")
    if not facts["gateways"]:
        lines.append("no gateway is enrolled; `meterseal-ledger enroll DIR gateway.pub.toml` lets one in")
    return "\n".join(lines)


def trust_entry(folder: Path) -> str:
    """The ledger's own ``[[key]]`` entry of a trust file, valid from its first entry on."""
    policy_of(folder)
    name, _, first, _ = _log(folder)
    since = Sign1.parse(first).protected[CWT_CLAIMS][IAT]
    return key_entry("ledger", load_private_key(folder / KEY).public, since, ledger=name)


def _log(folder: Path) -> tuple[str, int, bytes, list[tuple[str, int, int]]]:
    log = Log.open(folder / LOG, read_only=True)
    try:
        with log.read() as entries:
            return log.name, entries.size(), entries.entry(0) or b"", entries.gateways()
    finally:
        log.close()
