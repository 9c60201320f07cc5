"""Dates of a trust file, judged at a time: until when it counts, and whether it can be of then. No I/O.

A revocation stands in a ledger's log; offline only the age of the trust file says how old the knowledge of it may be.
"""

from __future__ import annotations

from typing import Final

from ledger_client.errors import TrustFileError
from ledger_client.messages import Message
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import TOLERANCE_S

NOTICE_S: Final = 30 * 86_400
"""How long before ``expires`` those who run something by a trust file are reminded."""


def expired(trust: Trust, now: int) -> bool:
    """Whether the file counts no more at ``now`` (Unix seconds): from ``policy.expires`` on."""
    return trust.expires is not None and now >= trust.expires


def ending(trust: Trust, now: int) -> Message | None:
    """What those who run something by the file are to know of its end at ``now`` (Unix seconds): that it is near, or
    that it has come. None: it is not near, or there is none."""
    if trust.expires is None or now < trust.expires - NOTICE_S:
        return None
    if expired(trust, now):
        return Message("trust-has-ended", path=trust.source, end_s=trust.expires)
    return Message("trust-ends", path=trust.source, n=(trust.expires - now) // 86_400, end_s=trust.expires)


def demand_in_force(trust: Trust, now: int, *, expired_ok: bool = False) -> tuple[Message, ...]:
    """What a reader should know of the file's dates at ``now`` (Unix seconds).

    Raises ``TrustFileError`` for one that has expired, unless it is taken nevertheless (``expired_ok``).
    """
    found = []
    if trust.made is not None and now + TOLERANCE_S < trust.made:
        found.append(Message("trust-made-later", made_s=trust.made, now_s=now))
    if trust.expires is not None and expired(trust, now):
        if not expired_ok:
            what = Message("trust-expired", expires_s=trust.expires, source=trust.source)
            raise TrustFileError(trust.source, "policy.expires", what)
        if trust.made is None:
            found.append(Message("trust-expired-accepted-undated", expires_s=trust.expires))
        else:
            found.append(Message("trust-expired-accepted", expires_s=trust.expires, made_s=trust.made))
    return tuple(found)
