"""Text of a trust file: the ``[[key]]`` entries of keys, and values as TOML writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from ledger_client.formats.cose_key import PublicKey, base64url
from ledger_client.verification.trust import HARDWARE, Held, TrustKey


def key_entry(
    role: str, key: PublicKey, valid_from: int, *, gateway: str | None = None, meter: str | None = None,
    ledger: str | None = None, party: str | None = None, kid: bytes | None = None, valid_to: int | None = None,
    revoked: int | None = None, revoked_reason: str | None = None, identity: str | None = None,
    held: Held | None = None,
) -> str:  # fmt: skip
    """The ``[[key]]`` entry of a trust file as TOML text; times are Unix seconds, ``kid`` only if it is not ours."""
    lines = ["[[key]]", f"role = {quoted(role)}"]
    names = {"gateway": gateway, "meter": meter, "ledger": ledger, "party": party}
    lines += [f"{name} = {quoted(value)}" for name, value in names.items() if value is not None]
    if kid is not None:
        lines.append(f"kid = {quoted(base64url(kid))}")
    if identity is not None:
        lines.append(f"identity = {quoted(identity)}")
    lines.append(f"public = {quoted(key.to_text())}")
    lines.append(f"valid_from = {moment(valid_from)}")
    if valid_to is not None:
        lines.append(f"valid_to = {moment(valid_to)}")
    if revoked is not None:
        lines.append(f"revoked = {moment(revoked)}")
    if revoked_reason is not None:
        lines.append(f"revoked_reason = {quoted(revoked_reason)}")
    return "\n".join(lines) + "\n" + ("" if held is None else held_lines(held))


def held_lines(held: Held) -> str:
    """The lines of a ``[[key]]`` entry that say who answers for it that its key is in hardware."""
    lines = [f"held = {quoted(HARDWARE)}"]
    if held.by is not None and held.at is not None:
        lines += [f"held_by = {quoted(held.by)}", f"held_at = {moment(held.at)}"]
    if held.evidence is not None:
        lines.append(f"evidence = {quoted(held.evidence)}")
    return "\n".join(lines) + "\n"


def entry_of(key: TrustKey) -> str:
    """The ``[[key]]`` entry of a key as it was read; one of a ledger that bears a kid of its own keeps it."""
    kid = key.kid if key.kid != key.key.kid else None
    return key_entry(
        key.role, key.key, key.valid_from, gateway=key.gateway, meter=key.meter, ledger=key.ledger, party=key.party,
        kid=kid, valid_to=key.valid_to, revoked=key.revoked, revoked_reason=key.revoked_reason, identity=key.identity,
        held=key.held,
    )  # fmt: skip


def quoted(text: str) -> str:
    """A TOML basic string: JSON's, but with no surrogate pairs and DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def moment(seconds: int) -> str:
    """A time as TOML writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
