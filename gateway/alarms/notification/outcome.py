"""Outcome of one attempt to deliver a notification: taken, or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError
from ledger_client.messages import Sentence

TIMEOUT_S: Final = 10.0
"""For connecting, and for each wait for bytes."""


class NotDelivered(GatewayError):
    """A receiver did not take a notification. ``refused``: its server answers, and does not want this one, so that
    others may go. ``retry_after_s``: when it wants to be asked again."""

    def __init__(self, message: Sentence, *, refused: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.refused, self.retry_after_s = refused, retry_after_s


@dataclass(frozen=True, slots=True)
class Delivered:
    """A receiver's server has taken it. ``status``: the HTTP status, or what the mail server answered; ``words``: how a
    web server's answer begins; ``missed``: recipients that it does not take, and why."""

    status: str
    words: str = ""
    missed: tuple[str, ...] = ()
