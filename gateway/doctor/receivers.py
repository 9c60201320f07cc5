"""Doctor check of the receivers of notifications: as the running gateway knows them, else their files and servers.

Nothing is sent: a webhook or ntfy server is only connected to, a mail server takes the login. ``meterseal notify test``
sends.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import Config
from gateway.config.notify import NOTIFY, NotifyEntry, notify_access
from gateway.doctor.check import CheckContext, Finding, at_once, connect, error_message
from gateway.errors import ConfigError
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.process import control_socket
from ledger_client.messages import Sentence
from ledger_client.transport.access import Access

NAME = "notify"


def receivers(case: CheckContext) -> Iterator[Finding]:
    """Check each receiver; one whose server cannot be had is a warning, not bad."""
    yield from at_once(lambda entry: _receiver(case, entry), case.config.document.notify)


def _receiver(case: CheckContext, entry: NotifyEntry) -> Finding:
    name, server = entry.name, entry.server
    try:
        access = notify_access(case.config.path, entry)
    except ConfigError as error:
        what = error_message(error)
        return Finding(NAME, "bad", Message("notify-misconfigured", receiver=name, server=server, what=what))
    if case.pid is not None:
        facts = control_socket.ask(case.config.data, NOTIFY + entry.name)
        if facts is None:
            return Finding(NAME, "warn", Message("notify-no-state", receiver=name, server=server))
        if facts["failing"]:
            return _failing(entry, sentence_in(facts, facts["state"]))
        if facts["delivered"]:
            state = sentence_in(facts, facts["state"])
            return Finding(NAME, "ok", Message("notify-up", receiver=name, server=server, state=state), facts)
    if (why := _trouble(case.config, entry, access)) is not None:
        return _failing(entry, why)
    reached = Message("notify-reached", path=str(case.config.path), receiver=name)
    return Finding(NAME, "ok", Message("notify-up", receiver=name, server=server, state=reached))


def _failing(entry: NotifyEntry, why: Sentence) -> Finding:
    return Finding(NAME, "warn", Message("notify-down", receiver=entry.name, server=entry.server, state=why))


def _trouble(config: Config, entry: NotifyEntry, access: Access) -> Sentence | None:
    """Why its server cannot be had; None: it can."""
    if entry.type != "email":
        return connect(entry.host, entry.port, access.tls_context() if entry.tls_at_once else None)
    from gateway.alarms.notification.mail import check_mail  # smtplib, which other sites need not load
    from gateway.alarms.notification.outcome import NotDelivered

    try:
        check_mail(entry, config.path.parent)
    except NotDelivered as error:
        return error.sentence
    return None
