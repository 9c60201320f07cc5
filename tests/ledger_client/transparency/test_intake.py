"""Many statements in one turn: each gets its own outcome, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from queue import Empty, Queue

import pytest

from ledger_client.errors import Refused
from ledger_client.formats.receipt import check, parse_receipt
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.ledger.admission import MALFORMED, OUT_OF_ORDER, TAKEN, UNKNOWN_KEY
from ledger_client.transparency.ledger.directory import LedgerDir, open_dir
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.server.intake import MOST, Intake
from ledger_client.transparency.server.mqtt import MqttService
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions, Message
from ledger_client.transport.wire import COSE, TOPIC_ROOT, Topic, id_to_text
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.enrolled import Gateway, policy_with
from tests.support.ledger_site import PATIENCE_S, CheckedLog, until
from tests.support.processes import mosquitto

GATEWAYS = [Gateway(f"gw-{number}") for number in range(10)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LedgerDir]:
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        yield folder


@pytest.fixture
def ledger(folder: LedgerDir) -> Service:
    return Service(folder, policy_with(folder, GATEWAYS))


def test_each_gets_its_own(ledger: Service, folder: LedgerDir) -> None:
    a, b = GATEWAYS[:2]
    stranger = Gateway("stranger")
    (known,) = ledger.submit_all([a.statement(0)])
    many = [b"", a.statement(0), a.statement(1), stranger.statement(0), b.statement(0), a.statement(2), a.statement(1)]
    outcomes = ledger.submit_all([*many, b.statement(5), a.sign(1, statement_id(a.statement(0)), mark=9)])
    refused = {0: MALFORMED, 3: UNKNOWN_KEY, 7: OUT_OF_ORDER, 8: TAKEN}
    for number, outcome in enumerate(outcomes):
        error = outcome.exception()
        if number in refused:
            assert isinstance(error, Refused)
            assert error.title == refused[number]
            continue
        statement_id_, receipt = outcome.result()
        assert statement_id_ == statement_id(many[number])
        check(parse_receipt(receipt), many[number], ledger.keys[-1].key)
    assert outcomes[1].result() == known.result()
    assert outcomes[6].result() == outcomes[2].result()
    assert ledger.counts.of("refused") == dict.fromkeys(refused.values(), 1)
    assert ledger.counts.of("taken") == {"": 6}
    assert ledger.counts.of("commits") == {"": 2}
    assert CheckedLog(folder.path).check() == {a.name: [0, 1, 2], b.name: [0]}


def test_more_than_fit_into_one_turn(ledger: Service, folder: LedgerDir) -> None:
    statements = 2 * MOST

    async def client(intake: Intake, gateway: Gateway) -> None:
        for batch in range(statements // 8):
            assert (await intake.submit(gateway.statement(batch)))[0] == statement_id(gateway.statement(batch))

    async def main() -> None:
        intake = Intake(ledger)
        async with asyncio.TaskGroup() as group:
            for gateway in GATEWAYS:
                group.create_task(client(intake, gateway))
        everything = [gateway.statement(batch) for gateway in GATEWAYS for batch in range(statements // 8)]
        again = await asyncio.gather(*(intake.submit(entry) for entry in everything))
        assert [id_ for id_, _ in again] == [statement_id(entry) for entry in everything]

    asyncio.run(main())
    assert CheckedLog(folder.path).check() == {gateway.name: list(range(statements // 8)) for gateway in GATEWAYS}


def test_who_goes_away_takes_nobody_along(ledger: Service) -> None:
    async def main() -> None:
        intake = Intake(ledger)
        gone = asyncio.create_task(intake.submit(GATEWAYS[0].statement(0)))
        stays = asyncio.create_task(intake.submit(GATEWAYS[1].statement(0)))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays)[0] == statement_id(GATEWAYS[1].statement(0))
        with pytest.raises(Refused):
            await intake.submit(b"nonsense")

    asyncio.run(main())


def test_what_a_broker_holds_back_is_dealt_with_in_one_turn_and_in_order(
    tmp_path: Path, ledger: Service, folder: LedgerDir
) -> None:
    gateways, batches = GATEWAYS[:3], 5
    answers: Queue[Message] = Queue()

    def subscribe(broker: Broker) -> None:
        broker.subscribe(f"{TOPIC_ROOT}/demo/receipts/+/+")

    def publish(gateway: Gateway, batch: int) -> None:
        entry = gateway.statement(batch)
        topic = Topic("demo", "statements", gateway.name, id_to_text(statement_id(entry))).encode()
        client.publish(topic, entry, COSE)

    with ExitStack() as stack:
        url = stack.enter_context(mosquitto(tmp_path)).url
        taken = stack.enter_context(closing(MqttService(ledger, url)))
        handler = Callbacks(subscribe, answers.put)
        client = stack.enter_context(closing(Broker(BrokerOptions(url, "c"), handler)))
        for _ in range(int(PATIENCE_S)):  # until both subscriptions are in force
            publish(gateways[0], 0)
            with suppress(Empty):
                answers.get(timeout=1.0)
                break
        statements = [(gateway, batch) for batch in range(1, batches) for gateway in gateways[:1]]
        statements += [(gateway, batch) for batch in range(batches) for gateway in gateways[1:]]
        commits = ledger.counts.of("commits")[""]
        assert until(lambda: not ledger._group._disk.locked())
        with folder.log.write():  # the disk is busy
            publish(*statements[0])
            assert until(ledger._group._disk.locked)
            for gateway, batch in statements[1:]:
                publish(gateway, batch)
            assert until(lambda: taken._waiting.qsize() == len(statements) - 1)
        receipts = [answers.get(timeout=PATIENCE_S) for _ in statements]
    for (gateway, batch), receipt in zip(statements, receipts, strict=True):
        check(parse_receipt(receipt.data), gateway.statement(batch), ledger.keys[-1].key)
    assert ledger.counts.of("commits")[""] == commits + 2
    assert CheckedLog(folder.path).check() == {gateway.name: list(range(batches)) for gateway in gateways}
