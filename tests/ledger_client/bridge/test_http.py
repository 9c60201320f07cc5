"""Bridges to an http ledger: any number shares the statements, and killing them loses and doubles nothing."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ledger_client.errors import Refused
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.ledger.admission import TAKEN, UNKNOWN_KEY
from ledger_client.verification.vouching import check_receipt
from tests.support.brokers.bridge_site import LEDGER, PATIENCE_S, BridgeProcess, driver, persist, running
from tests.support.brokers.nats import nats
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, again_while_unavailable
from tests.support.processes import embedded_ledger, mosquitto

GATEWAYS, STATEMENTS, KILLS = 6, 12, 5


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Site]:
    """A ledger that knows nothing of the broker."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path))
        yield Site(stack.enter_context(embedded_ledger(tmp_path / "ledger", LEDGER)), broker, tmp_path)


def bridges(demo: Site, folder: Path, number: int, *options: str, url: str | None = None) -> list[BridgeProcess]:
    to = ("--http", demo.ledger.url, *options)
    return [BridgeProcess(folder / f"bridge-{n}", url or demo.broker.url, *to) for n in range(number)]


def test_killing_any_of_them_loses_and_doubles_nothing(demo: Site, tmp_path: Path) -> None:
    pair = bridges(demo, tmp_path, 2)
    gateways = [demo.enroll(Gateway(f"gw-{n}")) for n in range(GATEWAYS)]
    given: dict[bytes, bytes] = {}
    arrived = threading.Semaphore(0)

    def run(gateway: Gateway) -> None:
        with driver(demo.broker.url) as ledger:
            for batch in range(STATEMENTS):
                entry = gateway.statement(batch)
                given[entry] = persist(ledger, entry)
                arrived.release()

    chance = random.Random(5)
    with running(*pair), ThreadPoolExecutor(GATEWAYS) as pool:
        runs = [pool.submit(run, gateway) for gateway in gateways]
        for kill in range(KILLS):
            for _ in range(chance.randrange(4, GATEWAYS * STATEMENTS // (KILLS + 1))):
                assert arrived.acquire(timeout=PATIENCE_S)
            victim = pair[kill % 2]
            victim.kill()
            victim.start()
        for done in runs:
            done.result()
    for entry, receipt in given.items():
        check_receipt(entry, receipt, demo.trust(), 4_000_000_000)
    for gateway in gateways:
        assert demo.held(gateway) == list(range(STATEMENTS))
    texts = [bridge.log.read_text() for bridge in pair]
    assert all("any number of bridges" in text for text in texts)


def test_the_ledgers_answers_come_through_as_they_are(demo: Site, tmp_path: Path) -> None:
    known, unknown = demo.enroll(Gateway("gw-a")), Gateway("gw-b")
    with running(*bridges(demo, tmp_path, 1)), driver(demo.broker.url) as ledger:
        receipt = persist(ledger, known.statement(0))
        with demo.driver("http") as direct:
            assert direct.lookup(statement_id(known.statement(0))) == receipt
        assert persist(ledger, known.statement(0)) == receipt
        with pytest.raises(Refused, match=UNKNOWN_KEY):
            persist(ledger, unknown.statement(0))
        with pytest.raises(Refused, match=TAKEN):
            persist(ledger, known.sign(0, None, mark=1))


def test_a_ledger_that_is_away_is_waited_for(demo: Site, tmp_path: Path) -> None:
    gateway = demo.enroll(Gateway("gw-a"))
    (bridge,) = bridges(demo, tmp_path, 1)
    demo.ledger.stop()
    with running(bridge), driver(demo.broker.url) as ledger:
        answer = again_while_unavailable(lambda: ledger.submit(gateway.statement(0)))  # the bridge may just connect
        assert not isinstance(answer, bytes)  # kept, and the gateway knows
        bridge.kill()
        demo.ledger.start()
        bridge.start()  # which nobody tells of the statement again
        with demo.driver("http") as direct:
            seen = threading.Event()
            while direct.lookup(statement_id(gateway.statement(0))) is None:
                seen.wait(0.05)
        assert persist(ledger, gateway.statement(0))
    assert demo.held(gateway) == [0]


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_where_the_broker_cannot_share_a_second_one_is_refused(kind: str, demo: Site, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = demo.broker.url if kind == "mosquitto" else stack.enter_context(nats(tmp_path / "nats"))[0].url
        options = ("--mqtt-protocol", "3.1.1") if kind == "mosquitto" else ()
        first, second = bridges(demo, tmp_path, 2, *options, url=url)
        gateway = demo.enroll(Gateway("gw-a"))
        with running(first), driver(url) as ledger:
            with pytest.raises(AssertionError, match="did not start"):
                second.start()
            assert first.process is not None
            logged = second.log.read_text()
            assert f"process {first.process.pid} on" in logged
            assert "cannot share its statements out (no MQTT 5); stop that one" in logged
            assert "Traceback" not in logged
            assert persist(ledger, gateway.statement(0))
            first.kill()
            first.start()  # its own claim, if the broker still has it, does not keep it out
            assert persist(ledger, gateway.statement(1))
            assert first.stop() == 0
            second.start()
            try:
                assert persist(ledger, gateway.statement(2))
            finally:
                second.close()
        assert demo.held(gateway) == [0, 1, 2]
