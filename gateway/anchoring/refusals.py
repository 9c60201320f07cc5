"""Ledger refusals: the remedy for each, and the pause before the next attempt (docs/ledger.md)."""

from __future__ import annotations

from gateway.messages.message import Message
from ledger_client.backoff import growing_s
from ledger_client.errors import Refused

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 3600.0
"""Between two questions about a refused batch: the pauses double. Somebody has to act first."""
FIRST_DOUBT_S = 0.5
"""The first pause after a receipt that does not hold: the wire may have garbled it."""

NOT_YET = "Not yet"
_TITLES = {
    "Unknown key": Message("refusal-unknown-key"),
    "Key not valid": Message("refusal-key-not-valid"),
    "Bad signature": Message("refusal-bad-signature"),
    "Malformed statement": Message("refusal-malformed-statement"),
    "Batch number taken": Message("refusal-batch-number-taken"),
    "Unknown account": Message("refusal-unknown-account"),
    "Wrong chain": Message("refusal-wrong-chain"),
    "Wrong contract": Message("refusal-wrong-contract"),
    "No funds": Message("refusal-no-funds"),
    "Out of gas": Message("refusal-out-of-gas"),
    NOT_YET: Message("refusal-not-yet"),
    "Out of order": Message("refusal-out-of-order"),
}
"""By the title that a ledger gives its refusal: the same title, with what to do about it as its fix."""
_SAME_FOR_EVER = {"Bad signature", "Malformed statement", "Batch number taken"}
"""These bytes cannot become acceptable. But a refusal is not signed and may be a lie: they are offered once an hour."""


def refusal(error: Refused) -> Message:
    """What the ledger says, and as its fix what to do about it."""
    title = _TITLES.get(error.title) or Message("refusal-other", title=error.title)
    return Message("refusal-with-detail", title=title, detail=error.reason) if error.reason else title


def pause_s(error: Refused, times: int) -> float:
    """Seconds until a batch is offered again that was refused ``times`` times, the last time with ``error``."""
    if error.title in _SAME_FOR_EVER:
        return growing_s(LONGEST_PAUSE_S, LONGEST_PAUSE_S, 1)
    match error.more:
        case {"at": int(at), "now": int(now)} if error.title == NOT_YET and at > now:  # by the ledger's clock
            return float(min(at - now, LONGEST_PAUSE_S))
    return growing_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, times)


def doubt_s(times: int) -> float:
    """Seconds until a batch is offered again whose receipt was wrong ``times`` times in a row."""
    return growing_s(FIRST_DOUBT_S, LONGEST_PAUSE_S, times)
