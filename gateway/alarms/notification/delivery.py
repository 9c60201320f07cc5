"""Delivery of one notification: by the type of its receiver, and what the other side answered. Blocks its thread.

What else than the receiver's server could be met here (a socket, a file, TLS) becomes ``NotDelivered``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.alarms.notification.notification import Notification
from gateway.alarms.notification.outcome import Delivered, NotDelivered
from gateway.config.notify import NotifyEntry
from gateway.messages.message import Message
from ledger_client.messages import sentence_of
from ledger_client.transport.access import AccessError


def deliver(entry: NotifyEntry, base: Path, notification: Notification) -> Delivered:
    """Send it; ``base``: the folder of gateway.toml. Raises NotDelivered, also for what a file of the access says."""
    try:
        return _ways(entry)(entry, base, notification)
    except AccessError as error:
        raise NotDelivered(error.sentence) from None
    except (OSError, ValueError) as error:  # a host's name that cannot be one
        raise NotDelivered(Message("at", place=entry.server, what=sentence_of(error))) from None


def prepare(entry: NotifyEntry) -> None:
    """Load what delivering needs, so that the first message does not wait for that."""
    _ways(entry)


def _ways(entry: NotifyEntry) -> Callable[[NotifyEntry, Path, Notification], Delivered]:
    if entry.type == "email":
        from gateway.alarms.notification.mail import send_mail  # what other receivers need not load

        return send_mail
    from gateway.alarms.notification.http_posts import post_ntfy, post_webhook

    return post_ntfy if entry.type == "ntfy" else post_webhook
