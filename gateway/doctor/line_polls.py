"""Verdict on a line of the running gateway, by how its polls of the last minute ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.doctor.check import Result
from gateway.messages.message import Message
from ledger_client import messages

MISSED_SHARE = 0.05
"""What may go unanswered, or be left out for want of time, as a part of the due polls."""
SETTLED_S = 45
"""A start waits until what was asked before can no longer be answered: until then its polls show nothing about the
line."""
NO_TIME = ("skipped", "no-shape")
"""Reasons of polls that were never made: the line had no time for them."""


def judged(
    found: messages.Message, line: str, config: str, answer: Mapping[str, Any] | None
) -> tuple[Result, messages.Message]:
    """The result and the message for a line.

    Args:
        found: what is known of its port or address.
        line: its name.
        config: path of the configuration.
        answer: ``seconds`` and ``polls`` (RecentPolls); None: too little is known yet, or the gateway did not answer.
    """
    polls = {reason: int(n) for reason, n in answer["polls"].items() if reason != "asleep"} if answer else {}
    due = sum(polls.values())
    if answer is None or not due:
        return "ok", found
    answered, within_s = polls.pop("answered", 0), round(answer["seconds"])
    reasons = tuple(
        Message("polls-of-reason", n=n, reason=reason) for reason, n in sorted(polls.items(), key=lambda one: -one[1])
    )
    if not reasons:
        return "ok", Message("line-polls-answered", found=found, n=due, within_s=within_s)
    left_out = sum(polls.get(reason, 0) for reason in NO_TIME)
    if left_out > MISSED_SHARE * due and within_s < SETTLED_S and answered + left_out == due:
        return "ok", Message("line-polls-some", found=found, answered=answered, n=due, within_s=within_s)
    if left_out > MISSED_SHARE * due:
        sentence = Message(
            "line-polls-no-time",
            found=found, answered=answered, n=due, within_s=within_s, reasons=reasons, line=line, config=config,
        )  # fmt: skip
        return "warn", sentence
    if answered and due - answered <= MISSED_SHARE * due:
        return "ok", Message("line-polls-some", found=found, answered=answered, n=due, within_s=within_s)
    sentence = Message(
        "line-polls-missed",
        found=found, answered=answered, n=due, within_s=within_s, reasons=reasons, config=config,
    )  # fmt: skip
    return "warn" if answered else "bad", sentence
