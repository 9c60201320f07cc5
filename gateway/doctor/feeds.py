"""Doctor check of the feeds: their state in a running gateway, else their access files and broker."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

from gateway.config.feed import FeedEntry, feed_access
from gateway.doctor.finding import CheckContext, Finding, at_once
from gateway.errors import ConfigError
from gateway.process import control_socket
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions

NAME = "feeds"
CONNECT_S = 3.0
LOOK = "check address, login and certificates, and whether the broker runs; nothing is lost, it is told later"


def feeds(case: CheckContext) -> Iterator[Finding]:
    """Each feed; one that tells nobody is no reason to call the gateway bad."""
    entries = case.config.document.feed
    at_rest = case.store if case.pid is None else None
    owed = {entry.name: at_rest.feeds.owed(entry.name) if at_rest else 0 for entry in entries}
    yield from at_once(lambda entry: _feed(case, entry, owed[entry.name]), entries)


class _Deaf(Handler):
    """Whether there is a connection is all that is looked for."""


def _feed(case: CheckContext, entry: FeedEntry, owed: int) -> Finding:
    where = f"feed {entry.name} at {entry.url}"
    left = f"; {owed} readings are still to be told as history" if owed else ""
    if case.pid is not None:
        told = control_socket.ask(case.config.data, f"feed {entry.name}")
        if told is None:
            return Finding(NAME, "warn", f"{where}: the gateway does not say how it is", "ask again, or reload it")
        up = bool(told["connected"])
        return Finding(NAME, "ok" if up else "warn", f"{where}: {told['state']}", "" if up else LOOK, told)
    try:
        access = feed_access(case.config.path, entry)
    except ConfigError as error:
        return Finding(NAME, "bad", f"{where}: {error.problem}", error.way_out)
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
        return Finding(NAME, "ok" if up else "warn", f"{where}: {broker.state}{left}", "" if up else LOOK)
    finally:
        broker.close(CONNECT_S)
