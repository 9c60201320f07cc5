"""Claim of a bridge at a broker without shared subscriptions: one bridge per ledger, or per part of it.

A claim is a retained message that the broker empties when its holder's connection breaks. Whoever wants to take
statements hears the claims first and then makes its own; every client sees one topic's messages in one order, so the
first claim that it hears decides, its own or another's, also between two that start at the same moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ledger_client.errors import LedgerClientError, Malformed
from ledger_client.formats import cbor
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import Message
from ledger_client.transport.wire import CBOR, TOPIC_ROOT

_LOG = logging.getLogger("meterseal.bridge")


@dataclass(frozen=True, slots=True)
class Part:
    """Part ``number`` (from 1) of ``of``: gateways are divided by the SHA-256 of their names."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, gateway_hash: bytes) -> bool:
        """True for a gateway of this part."""
        return int.from_bytes(gateway_hash[:8]) % self.of == self.number - 1

    def meets(self, other: Part) -> bool:
        """True if some gateway could be in both."""
        return self.of != other.of or self.number == other.number


class Claim:
    """One bridge's claim; its two ends are the callbacks ``connected`` and ``heard`` of a broker connection."""

    def __init__(
        self, ledger: str, identity: bytes, who: str, part: Part, won: Callable[[], None], lost: Callable[[str], None]
    ) -> None:
        """``won`` is called after every connection that finds the claim free or this bridge's own; ``lost`` with who
        has it, once."""
        self._root = f"{TOPIC_ROOT}/{ledger}/bridge"
        self.topic = f"{self._root}/{part.number}-{part.of}"
        self._claim = cbor.encode({"who": who, "bridge": identity})
        self._identity, self._part = identity, part
        self._won, self._lost = won, lost
        self._broker: Broker | None = None
        self._state = "asking"

    def connected(self, broker: Broker) -> None:
        """There is a connection: claim anew, for the broker may have given the claim away or forgotten it."""
        self._broker, self._state = broker, "asking"
        broker.subscribe(f"{self._root}/+")
        broker.publish(self.topic, self._claim, CBOR, retain=True)

    def heard(self, message: Message) -> bool:
        """Take a message that is about claims; False for any other."""
        if not message.topic.startswith(self._root + "/"):
            return False
        part, other = _part(message.topic.rpartition("/")[2]), _read(message.data)
        if part is None or not part.meets(self._part):
            return True
        if other is not None and other[0] == self._identity:
            if self._state == "asking":
                self._state = "held"
                self._won()
        elif other is not None and self._state == "asking":
            self._state = "lost"
            self._lost(other[1])
        elif self._state == "held" and message.topic == self.topic and self._broker is not None:
            self._broker.publish(self.topic, self._claim, CBOR, retain=True)  # one that lost has just written over it
        return True

    def release(self) -> None:
        """Let the next one have it, without waiting for the broker to see that the connection is gone."""
        if self._state == "held" and self._broker is not None:
            self._state = "released"
            self._broker.publish(self.topic, b"", CBOR, retain=True)


def parse_part(text: str) -> Part:
    """``K/N``; raises ``LedgerClientError``."""
    part = _part(text.replace("/", "-"))
    if part is None:
        raise LedgerClientError(f"--part {text!r}: not a part", "write it as K/N, 1/3, 2/3 and 3/3 for three bridges")
    return part


def _part(text: str) -> Part | None:
    number, _, of = text.partition("-")
    if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit() and len(text) <= 16):
        return None
    part = Part(int(number), int(of))
    return part if 1 <= part.number <= part.of else None


def _read(data: bytes) -> tuple[bytes, str] | None:
    """(identity, who) of a claim; None for none, or for what no bridge has written."""
    try:
        value = cbor.decode(data) if data else None
    except Malformed:
        value = None
    match value:
        case {"bridge": bytes(identity), "who": str(who)}:
            return identity, who[:200]
    if data:
        _LOG.warning("on the topic of claims came something that is none: %r", data[:80])
    return None
