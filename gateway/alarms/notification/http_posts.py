"""Notifications over HTTP: webhooks with a signature (HMAC-SHA-256), and ntfy. The status is the answer.

Of the answer's body only the beginning is read, redirects are not followed, and every wait has an end (transport).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

from gateway.alarms.notification.notification import Notification
from gateway.alarms.notification.outcome import TIMEOUT_S, Delivered, NotDelivered
from gateway.config.notify import NotifyEntry
from gateway.messages.alarm_kinds import Severity
from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.errors import LedgerUnavailable
from ledger_client.messages import Sentence
from ledger_client.transport.bounded_http import Client

SIGNATURE: Final = "X-Meterseal-Signature"
KEY: Final = "Idempotency-Key"
_CAP: Final = 512
"""Bytes of an answer that are read."""
MOST_SHOWN: Final = 200
"""Characters of an answer that are shown."""
_ELSEWHERE: Final = frozenset({401, 403, 404, 407, 408, 425, 429})
"""Statuses that say nothing of the message: login, place, time."""
NTFY_MOST: Final = 3500
"""Bytes of a text: ntfy makes an attachment of one beyond 4096."""
_PRIORITIES: Final[dict[Severity, int]] = {"critical": 5, "error": 4, "warning": 3, "notice": 2}
_TAGS: Final[dict[Severity, str]] = {
    "critical": "rotating_light", "error": "warning", "warning": "warning", "notice": "information_source",
}  # fmt: skip


def post_webhook(entry: NotifyEntry, base: Path, notification: Notification) -> Delivered:
    """POST the notification as JSON; signed where the receiver has a secret. Raises NotDelivered, AccessError."""
    body, secret = notification.encode(), entry.secret(base)
    headers = {"Content-Type": "application/json; charset=utf-8", KEY: f'"{notification.id}"'}
    if secret is not None:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return _post(entry, base, entry.url, headers, body)


def post_ntfy(entry: NotifyEntry, base: Path, notification: Notification) -> Delivered:
    """Publish as JSON at the server's root, which takes any language. A server from 2.16 on shows a repetition in the
    place of the first (``sequence_id``). Raises NotDelivered, AccessError."""
    message: dict[str, Any] = {
        "topic": entry.topic,
        "title": notification.title,
        "message": ntfy_text(notification),
        "priority": _PRIORITIES[notification.severity] if notification.raised else 3,
        "tags": [_TAGS[notification.severity] if notification.raised else "white_check_mark"],
        "sequence_id": notification.id,
    }
    body = json.dumps(message, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", KEY: f'"{notification.id}"'}
    return _post(entry, base, entry.server + "/", headers, body)


def ntfy_text(notification: Notification) -> str:
    """As many of the paragraphs as ntfy shows, at least the beginning of the first; and how many are left out."""
    paragraphs = notification.paragraphs()
    for n in range(len(paragraphs), 0, -1):
        left = len(paragraphs) - n
        text = "\n\n".join([*paragraphs[:n], *([notification.more(left)] if left else [])])
        if len(text.encode()) <= NTFY_MOST:
            return text
    return paragraphs[0].encode()[:NTFY_MOST].decode(errors="ignore") + "…"


def _post(entry: NotifyEntry, base: Path, url: str, headers: dict[str, str], body: bytes) -> Delivered:
    client = Client(entry.server, entry.access(base), TIMEOUT_S)
    try:
        answer = client.ask("POST", url, headers, _CAP, body, cut=True)
    except LedgerUnavailable as error:
        raise NotDelivered(_concealed(error.sentence, entry)) from None
    finally:
        client.close()
    words = _words(answer.body, entry)
    if 200 <= answer.status < 300:
        return Delivered(f"HTTP {answer.status}", words)
    refused = 400 <= answer.status < 500 and answer.status not in _ELSEWHERE
    what = Message("notify-status", server=entry.server, status=answer.status, words=words)
    if 300 <= answer.status < 400:
        what = Message("notify-redirect", server=entry.server, status=answer.status)
    raise NotDelivered(what, refused=refused, retry_after_s=answer.retry_after_s())


def _words(body: bytes, entry: NotifyEntry) -> str:
    """The beginning of an answer in one line; pages of errors repeat the path, and ntfy the topic."""
    text = "".join(c if c.isprintable() else " " for c in body.decode(errors="replace").strip())
    text = entry.concealed(text)
    return text[:MOST_SHOWN] + ("…" if len(text) > MOST_SHOWN else "")


def _concealed(sentence: Sentence, entry: NotifyEntry) -> Sentence:
    """A sentence without the path of an address: who knows that of a webhook can use it."""
    if isinstance(sentence, str):
        return entry.concealed(sentence)
    facts = {
        name: _concealed(fact, entry) if isinstance(fact, str | messages.Message) else fact
        for name, fact in sentence.facts.items()
    }
    return type(sentence)(sentence.code, **facts)
