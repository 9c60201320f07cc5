"""A connection handler made of functions, for tests that look at one or two of its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger_client.messages import Sentence
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import Message


@dataclass
class Callbacks(Handler):
    """Calls a function for each event, in the network thread."""

    on_connect: Callable[[Broker], object] = lambda _broker: None
    on_message: Callable[[Message], object] = lambda _message: None
    on_ack: Callable[[int, int, str], object] = lambda _mid, _code, _reason: None
    on_unsubscribed: Callable[[int], object] = lambda _mid: None
    on_down: Callable[[Sentence], object] = lambda _state: None

    def connected(self, broker: Broker) -> None:
        self.on_connect(broker)

    def message(self, message: Message) -> None:
        self.on_message(message)

    def acknowledged(self, mid: int, code: int, reason: str) -> None:
        self.on_ack(mid, code, reason)

    def unsubscribed(self, mid: int) -> None:
        self.on_unsubscribed(mid)

    def down(self, state: Sentence) -> None:
        self.on_down(state)
