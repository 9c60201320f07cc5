"""What a connection reports to its handler: each event, in one thread, whatever the handler raises."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from queue import Queue

import pytest

from ledger_client.messages import Sentence
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions, BrokerUrlError, Message
from tests.support.processes import mosquitto

PATIENCE_S = 20.0


class Faulty(Handler):
    """Notes each event with its thread, and raises every time."""

    def __init__(self) -> None:
        self.events: Queue[tuple[str, object]] = Queue()
        self.threads: set[int] = set()

    def _note(self, event: str, what: object) -> None:
        self.threads.add(threading.get_ident())
        self.events.put((event, what))
        raise LookupError(event)

    def connected(self, broker: Broker) -> None:
        broker.subscribe("a")
        self._note("connected", broker.url)

    def message(self, message: Message) -> None:
        self._note("message", message.data)

    def acknowledged(self, mid: int, code: int, reason: str) -> None:
        self._note("acknowledged", mid)

    def unsubscribed(self, mid: int) -> None:
        self._note("unsubscribed", mid)

    def down(self, state: Sentence) -> None:
        self._note("down", state)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_every_event_comes_in_one_thread_and_a_fault_of_the_handler_ends_nothing(tmp_path: Path, protocol: str) -> None:
    handler = Faulty()
    with mosquitto(tmp_path) as server:
        options = BrokerOptions(server.url, "c", Access(protocol=protocol))  # type: ignore[arg-type]
        with closing(Broker(options, handler)) as broker:
            assert broker.wait_connected(PATIENCE_S)
            assert handler.events.get(timeout=PATIENCE_S) == ("connected", server.url)
            for number in range(2):  # the second one shows that the first one's fault has ended nothing
                data = bytes([number])
                mid = broker.publish("a", data, None)
                heard = {handler.events.get(timeout=PATIENCE_S) for _ in range(2)}
                assert heard == {("message", data), ("acknowledged", mid)}
            mid = broker.unsubscribe("a")
            assert handler.events.get(timeout=PATIENCE_S) == ("unsubscribed", mid)
            server.stop()
            event, state = handler.events.get(timeout=PATIENCE_S)
            assert event == "down"
            assert str(state).startswith("connection lost")
    assert len(handler.threads) == 1
    assert threading.get_ident() not in handler.threads


def test_an_address_that_is_none_of_a_broker_is_refused_by_the_constructor() -> None:
    with pytest.raises(BrokerUrlError, match="http://x"):
        Broker(BrokerOptions("http://x", "c"), Faulty())
