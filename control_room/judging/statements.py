"""A statement of a gateway: whether it is one, its gateway's, by a statement key that may sign it. Pure."""

from __future__ import annotations

from control_room.judging.keys import demand_may_count, demand_owner
from control_room.judging.storable import demand_numbers, demand_text
from gateway.messages.message import Message
from ledger_client.errors import UnknownKey, VerificationError, at_step
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.statement import (
    SignedStatement,
    check_signed_behind,
    check_statement,
    read_statement,
)
from ledger_client.verification.trust import Trust

STATEMENT = 4
"""Step of a statement's owner, key and signature, and of whether it agrees with itself."""


def judged(gateway: str, entry: bytes, trust: Trust, now_s: int) -> SignedStatement:
    """The statement in an entry. Raises the VerificationError of the first step that fails."""
    signed = read_statement(entry)
    statement = signed.statement
    demand_owner(gateway, statement.gateway, step=STATEMENT)
    key = trust.find("statement", gateway=gateway, kid=signed.kid)
    if key is None:
        what = Message("verify-unknown-statement-key", kid=base64url(signed.kid), gateway=gateway)
        raise UnknownKey(what, step=STATEMENT)
    demand_may_count(key, statement.iat, now_s, Message("verify-key-of-gateway", gateway=gateway))
    with at_step(STATEMENT):
        signed.sign1.verify(key.key)
    check_statement(signed)
    check_signed_behind(statement)
    lasts = (("seq", r.last) for ranges in statement.meters.values() for r in ranges)
    demand_numbers((("batch", statement.batch), ("size", statement.size), *lasts), step=STATEMENT)
    demand_text(statement.resume or "", "resume", step=STATEMENT)
    return signed


def kid_of(entry: bytes) -> bytes | None:
    """The key that a statement names, where it is a statement."""
    try:
        return read_statement(entry).kid
    except VerificationError:
        return None
