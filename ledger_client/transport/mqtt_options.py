"""MQTT connection: broker address, options, messages. No network.

Everything here is immutable, so any thread may read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from ledger_client import messages
from ledger_client.errors import LedgerClientError
from ledger_client.transport.access import Access
from ledger_client.transport.wire import MAX_ENTRY

IN_FLIGHT = 20  # messages that paho sends before it waits for an acknowledgement
_MAX_PACKET = 2 * MAX_ENTRY  # the broker keeps what is larger to itself


class BrokerUrlError(LedgerClientError):
    """Not an address of a broker."""


class Address(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int
    tls: bool


def parse_url(url: str) -> Address:
    """The address in ``mqtt://HOST[:1883]`` or ``mqtts://HOST[:8883]``; raises ``BrokerUrlError``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or {"mqtt": 1883, "mqtts": 8883}.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.path.strip("/") or parts.query or parts.username is not None:
        if "@" in url:  # it may hold a password
            raise BrokerUrlError(messages.Message("broker-url-hidden"))
        raise BrokerUrlError(messages.Message("broker-url", url=url))
    return Address(host, port, parts.scheme == "mqtts")


def demand_broker(option: str, url: str) -> None:
    """Raise ``BrokerUrlError``, which names the option of the command line, unless this is a broker's address."""
    try:
        parse_url(url)
    except BrokerUrlError as error:
        raise BrokerUrlError(messages.Message("at", place=option, what=error.sentence)) from None


class Will(NamedTuple):
    """What the broker shall publish, with QoS 1, when this connection breaks."""

    topic: str
    data: bytes = b""
    retain: bool = True


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How to connect to a broker, and how the connection behaves.

    Args:
        url: ``mqtt://HOST[:PORT]`` or ``mqtts://HOST[:PORT]``.
        client_id: the client identifier (MQTT 5 §3.1.3.1); a second connection with the same one ends the first.
        access: login, certificates and protocol version.
        will: message that the broker publishes when this connection breaks.
        session_s: seconds for which the broker keeps the session of a client that is away; 0: a new one each time.
        acknowledged_later: a QoS 1 message is acknowledged by ``Message.acknowledge``, not by the handler's return.
        queue: messages that paho may hold for the broker; 0: without limit.
        in_flight: messages sent before an acknowledgement is waited for, whatever the broker allows.
        connect_timeout_s: seconds for one attempt to connect.
        max_packet: bytes of the largest packet to receive (MQTT 5 §3.1.2.11.4).
        log_level: level at which a loss of the connection is logged.
    """

    url: str
    client_id: str
    access: Access = field(default_factory=Access)
    will: Will | None = None
    session_s: int = 0
    acknowledged_later: bool = False
    queue: int = 0
    in_flight: int = IN_FLIGHT
    connect_timeout_s: float = 5.0
    max_packet: int = _MAX_PACKET
    log_level: int = logging.WARNING


@dataclass(frozen=True, slots=True)
class Message:
    """What came in on a subscription; response topic and correlation are MQTT 5's, where the sender set them.

    ``acknowledge`` tells the broker, from any thread, that it has been dealt with, if it is ``acknowledged_later``.
    """

    topic: str
    data: bytes
    retained: bool
    response_topic: str | None
    correlation: bytes | None
    acknowledge: Callable[[], object] = lambda: None
