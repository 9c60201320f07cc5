"""Doctor check of the feeds: their state in a running gateway, else their access files and broker."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.feed import FeedEntry, feed_access
from gateway.doctor.check import CheckContext, Finding, at_once, error_message
from gateway.errors import ConfigError
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.process import control_socket
from ledger_client import messages
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions

NAME = "feeds"
CONNECT_S = 3.0


def feeds(case: CheckContext) -> Iterator[Finding]:
    """Check each feed; one that is not connected is a warning, not bad."""
    entries = case.config.document.feed
    at_rest = case.store if case.pid is None else None
    owed = {entry.name: at_rest.feeds.owed(entry.name) if at_rest else 0 for entry in entries}
    yield from at_once(lambda entry: _feed(case, entry, owed[entry.name]), entries)


class _Deaf(Handler):
    """Ignores all messages: only the connection is tested."""


def _feed(case: CheckContext, entry: FeedEntry, owed: int) -> Finding:
    if case.pid is not None:
        facts = control_socket.ask(case.config.data, f"feed {entry.name}")
        if facts is None:
            return Finding(NAME, "warn", Message("feed-no-state", feed=entry.name, url=entry.url))
        return _judged(entry, sentence_in(facts, facts["state"]), facts, up=bool(facts["connected"]))
    try:
        access = feed_access(case.config.path, entry)
    except ConfigError as error:
        what = error_message(error)
        return Finding(NAME, "bad", Message("feed-misconfigured", feed=entry.name, url=entry.url, what=what))
    options = BrokerOptions(
        entry.url,
        f"meterseal-doctor-{os.getpid()}",
        access,
        connect_timeout_s=CONNECT_S,
        log_level=logging.DEBUG,  # the finding says it
    )
    broker = Broker(options, _Deaf())
    try:
        up = broker.wait_connected(CONNECT_S)
        state: messages.Sentence = broker.state
        return _judged(entry, Message("feed-backlog", state=state, n=owed) if owed else state, {}, up=up)
    finally:
        broker.close(CONNECT_S)


def _judged(entry: FeedEntry, state: messages.Sentence, facts: Mapping[str, Any], *, up: bool) -> Finding:
    if up:
        return Finding(NAME, "ok", Message("feed-up", feed=entry.name, url=entry.url, state=state), facts)
    return Finding(NAME, "warn", Message("feed-down", feed=entry.name, url=entry.url, state=state), facts)
