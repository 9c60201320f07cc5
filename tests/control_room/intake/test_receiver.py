"""A receiver between a real nats-server and a real PostgreSQL: nothing is lost or doubled, and what fails is seen."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from control_room.intake import consumer
from control_room.intake.consumer import Ensured
from control_room.store.connection import connect
from ledger_client.formats.feed_messages import encode_status, parse_again, topic
from tests.control_room.intake.client import Gateway, gateway, linked
from tests.control_room.intake.room import TOPIC, Room, message, signed
from tests.support.brokers import postgres
from tests.support.brokers.nats import Node, nats
from tests.support.brokers.postgres import Database
from tests.support.evidence import GATEWAY, METER, key, trust_text

NUMBERS = itertools.count(1)


@pytest.fixture
def room(tmp_path: Path, node: Node, database: Database) -> Iterator[Room]:
    """A control room of its own consumer."""
    made = Room(tmp_path / "room", node, database, name=f"r{next(NUMBERS)}", trust=trust_text())
    yield made
    made.db.close()
    asyncio.run(_delete(node, made.settings.name))


async def _delete(node: Node, name: str) -> None:
    async with linked(node) as link:
        await link.jetstream().delete_consumer(consumer.STREAM, consumer.consumer_name(name))


@pytest.fixture
def sender(node: Node) -> Iterator[Gateway]:
    """The gateway's connection."""
    with gateway(node, GATEWAY) as client:
        yield client


def at_broker(room: Room, node: Node) -> Ensured:
    """What the broker says of the consumer."""

    async def look() -> Ensured:
        async with linked(node) as link:
            return await consumer.ensure(link, room.settings.name)

    return asyncio.run(look())


def test_what_holds_becomes_rows_and_the_rest_is_refused(room: Room, sender: Gateway, node: Node) -> None:
    good, forged = signed(3), signed(1, first=3, signer=key("somebody"))
    sender.publish(TOPIC, message(good))  # before any receiver runs: the consumer keeps it
    with room.receiver() as receiver:
        sender.publish(TOPIC, message(forged, first=3))
        sender.publish(topic("other-gateway", "records"), message(good))
        sender.publish(topic(GATEWAY, "status"), encode_status({"online": True}), retain=True)
        sender.publish(topic(GATEWAY, "nonsense"), b"\xff" * 100)
        room.until(lambda: room.count("refused") == 5)
        room.until(lambda: room.one("SELECT status IS NOT NULL FROM gateways WHERE name = %s", GATEWAY))
        assert room.records() == good
        assert room.count("readings") == 3
        assert receiver.stop() == 0
    ensured = at_broker(room, node)
    assert (ensured.pending, ensured.held, ensured.made) == (0, 0, False)


def test_killed_between_commit_and_acknowledgement_it_is_repeated_and_nothing_is_doubled(
    room: Room, sender: Gateway, node: Node
) -> None:
    records = signed(4)
    sender.publish(TOPIC, message(records))
    with room.receiver(hold="stored:1") as receiver:
        room.until(receiver.held.exists)
        receiver.kill()
    assert room.count("records") == 4
    assert at_broker(room, node).held == 1
    asyncio.run(deliver_now(node, room.settings.name))
    with room.receiver():
        room.until(lambda: room.repeated == 4)
        assert room.count("records") == 4
        room.until(lambda: at_broker(room, node).held == 0)


async def deliver_now(node: Node, name: str) -> None:
    """Have the broker deliver again the one message that is out, without waiting for the end of its time."""
    async with linked(node) as link:
        wanted = consumer.consumer_name(name)
        out = (await link.jetstream().consumer_info(consumer.STREAM, wanted)).delivered
        assert out is not None
        await link.publish(
            f"$JS.ACK.{consumer.STREAM}.{wanted}.1.{out.stream_seq}.{out.consumer_seq}.0.0", b"-NAK"
        )  # fmt: skip
        await link.flush()


def test_killed_before_the_commit_it_is_stored_by_the_next(room: Room, sender: Gateway, node: Node) -> None:
    sender.publish(TOPIC, message(signed(2)))
    with room.receiver(hold="portion:1") as receiver:
        room.until(receiver.held.exists)
        receiver.kill()
    assert room.count("records") == 0
    asyncio.run(deliver_now(node, room.settings.name))
    with room.receiver():
        room.until_stored(2)
    assert room.repeated == 0


def test_a_portion_that_the_database_refuses_costs_the_one_message(room: Room, sender: Gateway, node: Node) -> None:
    records = signed(12)
    room.db.run("ALTER TABLE records ADD CHECK (seq <> 7)")
    for seq, record in enumerate(records):
        sender.publish(TOPIC, message([record], first=seq))
    with room.receiver():
        room.until_stored(11)
        room.until(lambda: room.count("refused") == 1)
        row = room.db.one("SELECT topic, why->>'message', bytes FROM refused")
        assert row == (TOPIC, "control-not-stored", message([records[7]], first=7))
        room.until(lambda: at_broker(room, node).held == 0)


def test_a_deleted_consumer_is_made_again_with_an_alarm(room: Room, sender: Gateway, node: Node) -> None:
    with room.receiver():
        sender.publish(TOPIC, message(signed(1)))
        room.until_stored(1)
        asyncio.run(_delete(node, room.settings.name))
        room.until(lambda: room.count("alarms", "code = 'consumer-made-again' AND cleared IS NULL") == 1)
        sender.publish(TOPIC, message(signed(1, first=1), first=1))
        room.until_stored(2)


def test_another_trust_file_judges_again_what_lacked_its_key(room: Room, sender: Gateway) -> None:
    records = signed(3)
    whole = room.trust.read_text()
    room.trust.write_text(trust_text(keys={"meter": ""}))
    with room.receiver():
        sender.publish(TOPIC, message(records))
        room.until(lambda: room.count("refused", "kid IS NOT NULL") == 3)
        room.trust.write_text("[policy\n")
        room.until(lambda: room.count("alarms", "code = 'trust-broken' AND cleared IS NULL") == 1)
        room.trust.write_text(whole)
        room.until_stored(3)
        room.until(lambda: room.count("refused") == 0)
        room.until(lambda: room.count("alarms", "code = 'trust-broken' AND cleared IS NULL") == 0)
        assert room.records() == records


def test_a_trust_file_that_has_expired_stops_no_record(room: Room, sender: Gateway) -> None:
    """What verifiers refuse is an alarm here: a gateway that nobody listens to would lose what it cannot keep."""
    whole, end = room.trust.read_text(), "expires = 2020-01-01T00:00:00Z\n"
    room.trust.write_text(whole.replace("[policy]\n", f"[policy]\n{end}"))
    with room.receiver():
        sender.publish(TOPIC, message(signed(3)))
        room.until_stored(3)
        room.until(lambda: room.count("alarms", "code = 'trust-end' AND cleared IS NULL") == 1)
        assert room.count("refused") == 0
        room.trust.write_text(whole)
        room.until(lambda: room.count("alarms", "code = 'trust-end' AND cleared IS NULL") == 0)


def test_what_is_missing_is_asked_for_when_the_gateway_comes_online(room: Room, sender: Gateway) -> None:
    sender.subscribe(topic(GATEWAY, "again"))
    sender.publish(TOPIC, message(signed(1)))
    with room.receiver():
        room.until_stored(1)
        room.db.run(
            "INSERT INTO holes (gateway, meter, epoch, seqs, batch, since, next_ask) "
            "SELECT g.id, r.meter, r.epoch, '{[5,9)}', 0, now(), now() + interval '1 hour' FROM gateways g, ranges r"
        )
        sender.publish(topic(GATEWAY, "status"), encode_status({"online": True}), retain=True)
        ((where, data),) = sender.wait_for(1)
    asked = parse_again(data)
    assert where == topic(GATEWAY, "again")
    assert [(each.meter, each.first, each.last) for each in asked.ranges] == [(METER, 5, 8)]


def test_killed_engines_are_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    records = signed(30)
    with ExitStack() as stack:
        (own_node,) = stack.enter_context(nats(tmp_path / "nats"))
        own_cluster = stack.enter_context(postgres.cluster())
        database = stack.enter_context(postgres.database(own_cluster, 1))
        room = Room(tmp_path / "room", own_node, database, name="main", trust=trust_text())
        receiver = stack.enter_context(room.receiver())
        with gateway(own_node, GATEWAY) as client:
            client.publish(TOPIC, message(records[:10]))
            room.until_stored(10)
            assert room.count("alarms") == 0
            room.db.close()
            own_cluster.kill()
            client.publish(TOPIC, message(records[10:20], first=10))
        own_node.kill()
        own_node.start()
        assert own_node.takes_clients()
        with gateway(own_node, GATEWAY) as client:
            client.publish(TOPIC, message(records[20:], first=20))
        own_cluster.start()
        room.db = connect(database.url, database.password_file)
        room.until_stored(30)
        assert room.records() == records
        room.until(lambda: at_broker(room, own_node).held == 0)
        assert receiver.stop() == 0
        room.db.close()
