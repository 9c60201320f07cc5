"""Ledger refusals: the remedy for each, and the pause before the next attempt (docs/ledger.md)."""

from __future__ import annotations

from ledger_client.backoff import growing_s
from ledger_client.errors import Refused

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 3600.0
"""Between two questions about a refused batch: the pauses double. Somebody has to act first."""
FIRST_DOUBT_S = 0.5
"""The first pause after a receipt that does not hold: the wire may have garbled it."""

NOT_YET = "Not yet"
_WAYS_OUT = {
    "Unknown key": "have the ledger's operator enrol keys/gateway.enrol (`meterseal-ledger enroll LDIR FILE`)",
    "Key not valid": "have a new statement key enrolled at the ledger, or the validity of this one mended there",
    "Bad signature": "compare the statement key with the one that is enrolled at the ledger under its kid",
    "Malformed statement": "ledger and gateway do not agree on the format: bring both to versions that fit",
    "Batch number taken": "find the other gateway of this name, or the copy of this database, and stop it",
    "Unknown account": "have the contract's owner register the account (`meterseal-ledger evm register`, or `rotate`)",
    "Wrong chain": "correct url or chain_id in [[ledger]]",
    "Wrong contract": "correct contract or chain_id in [[ledger]]; if the chain was set back, deploy and register anew",
    "No funds": "send the account something to pay its gas with",
    "Out of gas": "raise gas_limit in [[ledger]]",
    NOT_YET: "look at both clocks, this machine's and the ledger's; the batch is given again when its time has come",
    "Out of order": "the ledger lacks a batch that went before: have its operator put back what it has lost",
}  # fmt: skip
_SAME_FOR_EVER = {"Bad signature", "Malformed statement", "Batch number taken"}
"""These bytes cannot become acceptable. But a refusal is not signed and may be a lie: they are offered once an hour."""


def way_out(title: str) -> str:
    """What to do about a refusal of this title."""
    return _WAYS_OUT.get(title, "ask the ledger's operator what it means")


def pause_s(refusal: Refused, times: int) -> float:
    """How long to leave a batch alone that was refused ``times`` times, at last in these words."""
    if refusal.title in _SAME_FOR_EVER:
        return growing_s(LONGEST_PAUSE_S, LONGEST_PAUSE_S, 1)
    match refusal.more:
        case {"at": int(at), "now": int(now)} if refusal.title == NOT_YET and at > now:  # by the ledger's clock
            return float(min(at - now, LONGEST_PAUSE_S))
    return growing_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, times)


def doubt_s(times: int) -> float:
    """How long to leave a batch alone whose receipt did not hold for ``times`` times."""
    return growing_s(FIRST_DOUBT_S, LONGEST_PAUSE_S, times)
