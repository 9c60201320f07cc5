"""Reasons of due polls that gave no record: the cause in words, and as its fix the next step. One table for pages,
alarms, `status` and feeds, in every language.

A *reason* is what coverage records count (``MISSED_REASONS``). A *cause* divides a reason where another step
follows: a time-out on a line that is only listened to is nobody's missing answer to us.
"""

from __future__ import annotations

from typing import Final, Literal

from gateway.messages.message import Message

Read = Literal["asked", "sends", "pushed", "overheard"]
"""How a meter is read: this gateway asks it; it sends to this gateway by itself; it pushes what a customer port (P1)
shows, whoever listens; or another master asks it and is listened to."""

CAUSES: Final = {
    "timeout": Message("reason-timeout"),
    "timeout-damaged": Message("reason-timeout-damaged"),
    "timeout-sends": Message("reason-timeout-sends"),
    "timeout-pushed": Message("reason-timeout-pushed"),
    "timeout-overheard": Message("reason-timeout-overheard"),
    "refused": Message("reason-refused"),
    "line-down": Message("reason-line-down"),
    "line-down-port": Message("reason-line-down-port"),
    "line-down-sends": Message("reason-line-down-sends"),
    "backoff": Message("reason-backoff"),
    "skipped": Message("reason-skipped"),
    "no-shape": Message("reason-no-shape"),
    "no-shape-overheard": Message("reason-no-shape-overheard"),
    "not-asked": Message("reason-not-asked"),
    "shared": Message("reason-shared"),
    "exchanged": Message("reason-exchanged"),
    "asleep": Message("reason-asleep"),
    "stopped": Message("reason-stopped"),
    "disk-full": Message("reason-disk-full"),
    "disk-error": Message("reason-disk-error"),
    "late": Message("reason-late"),
}
"""Each cause: what is so, and what to do about it. ``late``: no poll that has ended says why there is no reading."""

NO_ANSWER: Final = frozenset({"timeout", "timeout-damaged", "backoff", "line-down", "line-down-port"})
"""Causes in which a meter was asked and did not answer; all others have another message."""


def cause_of(reason: str, read: Read = "asked", *, damaged: bool = False, port_gone: bool = False) -> str:
    """The cause of a missed poll, a key of ``CAUSES``. ``damaged``: what came in place of an answer was no frame.
    ``port_gone``: the port or the connection is not there; else no meter of the line answers."""
    if reason == "timeout" and read != "asked":
        return f"{reason}-{read}"
    if reason == "no-shape" and read == "overheard":
        return "no-shape-overheard"
    if reason == "timeout" and damaged:
        return "timeout-damaged"
    if reason == "backoff" and damaged:
        return "timeout-damaged"
    if reason == "line-down" and port_gone:
        return "line-down-port"
    return "line-down-sends" if reason == "line-down" and read == "sends" else reason


def why(cause: str) -> Message:
    """What is so, and as its fix what to do about it; of one that this version does not know its code."""
    return CAUSES.get(cause) or Message("reason-unknown", code=cause)
