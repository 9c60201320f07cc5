"""Revocation of an enrolled key: two lines in its ``policy.toml`` entry, and an entry of the log."""

from __future__ import annotations

from pathlib import Path

from ledger_client.errors import LedgerClientError
from ledger_client.times import rfc3339
from ledger_client.transparency.ledger.committed_policy import changing
from ledger_client.transparency.ledger.directory import policy_of
from ledger_client.transparency.policy.key_entries import GATEWAY, owner
from ledger_client.transparency.policy.policy_file import Policy, load_policy, parse_policy, with_lines, write_policy
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import TrustKey
from ledger_client.verification.trust_text import quoted


class RevokeError(LedgerClientError):
    """No such key, or one that cannot be marked: what, and the way out."""


def revoke(folder: Path, whose: str, kid: str | None, at: int, reason: str | None) -> tuple[TrustKey, bool]:
    """Have a key count until ``at`` (Unix seconds) and no longer, durably.

    ``whose`` is a gateway's name, or ``party/NAME``. ``kid`` is the key's, base64url; without it the only statement key
    of the gateway, or key of the party, that is not revoked. Returns the key as
    it is now and whether anything changed: a key that is revoked already stays as it is. Raises ``RevokeError`` or
    ``TrustFileError``.
    """
    policy = policy_of(folder)
    with changing(folder) as register:
        enrolled = load_policy(policy)
        key = _chosen(enrolled, whose, kid)
        if key.revoked is not None:
            return key, False
        number = enrolled.keys.index(key)
        text = policy.read_text(encoding="utf-8")
        lines = f"revoked = {rfc3339(at)}\n" + (f"revoked_reason = {quoted(reason)}\n" if reason is not None else "")
        changed = with_lines(text, number, lines)
        # whatever a TOML file may hide an entry in: either exactly this key has changed, or nothing is written
        keys = parse_policy(changed, str(policy)).keys if changed is not None else ()
        others = keys[:number] + keys[number + 1 :] == enrolled.keys[:number] + enrolled.keys[number + 1 :]
        if changed is None or not others or (keys[number].kid, keys[number].revoked) != (key.kid, at):
            way_out = f"write revoked = {rfc3339(at)} into it by hand"
            raise RevokeError(f"{policy}: the entry of {id_to_text(key.kid)} is not a plain [[key]] table", way_out)
        write_policy(policy, changed)
        register()
        return keys[number], True


def _chosen(policy: Policy, whose: str, kid: str | None) -> TrustKey:
    sub = whose if "/" in whose else f"{GATEWAY}/{whose}"
    keys = [key for key in policy.keys if owner(key) == sub]
    words = sub.replace("/", " ")
    if not keys:
        raise RevokeError(
            f"no key of {words} is enrolled here", "`show` lists those that are; a party is written party/NAME"
        )
    if kid is None:
        keys = [key for key in keys if key.role != "meter"]
        keys = [key for key in keys if key.revoked is None] if len(keys) > 1 else keys
        problem = "which one is meant"
    else:
        listed = ", ".join(id_to_text(key.kid) for key in keys)
        keys = [key for key in keys if id_to_text(key.kid) == kid]
        problem = f"none of them is {kid}"
        if not keys:
            raise RevokeError(f"{words} has the keys {listed}; {problem}")
    if len(keys) != 1:
        listed = ", ".join(id_to_text(key.kid) for key in keys) or "revoked ones only"
        raise RevokeError(f"{words} has the keys {listed}; say with --kid {problem}")
    return keys[0]
