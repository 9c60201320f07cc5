"""Whose what came in is, and whether its key may still count once the receipts are there. Pure."""

from __future__ import annotations

from gateway.messages.message import Message
from ledger_client.errors import Malformed
from ledger_client.verification.trust import Trust, TrustKey
from ledger_client.verification.vouching import TOLERANCE_S, demand_valid


def demand_owner(gateway: str, claimed: str, *, step: int) -> None:
    """Raises Malformed at this step unless what came in under a gateway's topic says that it is of that gateway."""
    if claimed != gateway:
        raise Malformed(Message("control-other-gateway", gateway=gateway, claimed=claimed), step=step)


def demand_known(gateway: str, trust: Trust) -> None:
    """Raises Malformed (step 2) for what is not signed, of a gateway that the trust file does not know."""
    if not trust.has_gateway(gateway):
        raise Malformed(Message("control-unknown-gateway", gateway=gateway), step=2)


def demand_may_count(key: TrustKey, iat: int, now_s: int, whose: Message) -> None:
    """Raises KeyNotValid (step 7) for a key that cannot count whenever the ledgers will have had what it signed.

    They have it at some time T, and verification demands that the key counts at T, and that ``iat`` (Unix seconds) is
    not after T + 300 s. So T is ``iat`` - 300 s at least: a key that had ended before, or was revoked, does not count
    at any T. One that begins later may: what was signed before the gateway was enrolled is vouched for afterwards. It
    counts at no T that there can be until now.
    """
    earliest = iat - TOLERANCE_S
    demand_valid(key, max(earliest, key.valid_from) if now_s >= key.valid_from else max(earliest, now_s), whose)
