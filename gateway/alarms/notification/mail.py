"""Notifications by e-mail: SMTP with TLS, which only a server on this machine need not have.

smtplib waits for each line by itself; that the whole has an end is seen to here.
"""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from gateway.alarms.notification.notification import Notification
from gateway.alarms.notification.outcome import TIMEOUT_S, Delivered, NotDelivered
from gateway.config.notify import NotifyEntry
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import Sentence
from ledger_client.transport.access import Access
from ledger_client.transport.tls import tls_failure
from ledger_client.transport.wire import excerpt

WHOLE_S: Final = 3 * TIMEOUT_S
"""For all of it: a server that drips its answers does not hold us for longer."""


def mail_of(entry: NotifyEntry, notification: Notification) -> EmailMessage:
    """The message. Its Message-ID and its date are those of the notification, so that a repetition is the same."""
    found = EmailMessage(policy=SMTP)
    found["From"], found["To"] = entry.from_ or "", ", ".join(entry.to)
    found["Subject"] = notification.title
    found["Date"] = formatdate(notification.made_ms // 1000)
    found["Message-ID"] = f"<{notification.id}@{(entry.from_ or '').rpartition('@')[2]}>"
    found["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: nobody's absence note answers it
    found.set_content(notification.text + "\n", cte="base64" if not notification.text.isascii() else None)
    return found


def send_mail(entry: NotifyEntry, base: Path, notification: Notification) -> Delivered:
    """Hand it over to the receiver's server. Raises NotDelivered, AccessError."""
    access = entry.access(base)
    with _session(entry, access) as server:
        sender, message = entry.from_ or "", mail_of(entry, notification).as_bytes()
        missed = server.sendmail(sender, entry.to, message)
        return Delivered(server.last, missed=tuple(f"{to}: {_reply(*reply)}" for to, reply in missed.items()))


def check_mail(entry: NotifyEntry, base: Path) -> str:
    """Connect, shake hands and log in, and send nothing; gives the server's greeting. Raises NotDelivered,
    AccessError."""
    with _session(entry, entry.access(base)) as server:
        return server.last


class _Server(smtplib.SMTP):
    """Knows the name that its certificate has to bear before it connects, and keeps the last answer."""

    def __init__(self, host: str, **options: Any) -> None:
        super().__init__(**options)
        self._host, self.last = host, ""

    def getreply(self) -> tuple[int, bytes]:
        """As of ``smtplib``."""
        code, text = super().getreply()
        self.last = _reply(code, text)
        return code, text

    def cut(self) -> None:
        """End every wait for an answer. Any thread."""
        with suppress(OSError, AttributeError):  # there is no connection yet, or no more
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # type: ignore[arg-type]


class _TlsServer(_Server, smtplib.SMTP_SSL):
    pass


@contextmanager
def _session(entry: NotifyEntry, access: Access) -> Iterator[_Server]:
    """A server that took our name, over TLS where that is demanded, and the login. Raises NotDelivered, AccessError."""
    options = {"local_hostname": socket.gethostname(), "timeout": TIMEOUT_S}
    if entry.tls_at_once:
        server: _Server = _TlsServer(entry.host, context=access.tls_context(), **options)
    else:
        server = _Server(entry.host, **options)
    late = threading.Event()

    def end() -> None:
        late.set()
        server.cut()

    timer = threading.Timer(WHOLE_S, end)
    timer.daemon = True
    timer.start()
    try:
        _begin(entry, access, server)
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise _not_delivered(entry, error, late=late.is_set()) from None
    finally:
        timer.cancel()
        server.close()


def _begin(entry: NotifyEntry, access: Access, server: _Server) -> None:
    code, text = server.connect(entry.host, entry.port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, text)
    server.ehlo_or_helo_if_needed()
    if entry.starttls:
        if not server.has_extn("starttls"):
            raise NotDelivered(Message("notify-no-starttls", server=entry.server))
        server.starttls(context=access.tls_context())
        server.ehlo()
    if entry.user is not None:
        server.login(entry.user, access.password() or "")


def _not_delivered(entry: NotifyEntry, error: Exception, *, late: bool) -> NotDelivered:
    """What a session failed of."""
    if late:
        return NotDelivered(Message("at", place=entry.server, what=Message("errno-timed-out")))
    match error:
        case smtplib.SMTPRecipientsRefused():
            replies = error.recipients
            names = tuple(f"{to}: {_reply(*reply)}" for to, reply in replies.items())
            refused = all(code >= 500 for code, _ in replies.values())
            return NotDelivered(Message("notify-recipients", server=entry.server, names=names), refused=refused)
        case smtplib.SMTPResponseException():
            refused = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
            words = _reply(error.smtp_code, error.smtp_error)
            return NotDelivered(Message("notify-smtp", server=entry.server, words=words), refused=refused)
        case smtplib.SMTPServerDisconnected():
            inner = error.__context__
            what: Sentence = os_error(inner) if isinstance(inner, OSError) else Message("connection-ended")
        case OSError():
            what = tls_failure(error) or os_error(error)
        case _:
            what = str(error)
    return NotDelivered(Message("at", place=entry.server, what=what))


def _reply(code: int, text: bytes | str) -> str:
    """An answer in one line."""
    return f"{code} {excerpt(text.encode() if isinstance(text, str) else text)}"
