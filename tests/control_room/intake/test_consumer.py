"""The consumer at a real nats-server: made, found, mended, and what it delivers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from nats.aio.client import Client

from control_room.errors import NoStream, OtherDatabase
from control_room.intake import consumer
from control_room.intake.nats_link import Plain, connect
from control_room.intake.pull import Delivered, Gone, Pull
from ledger_client.transport.access import Access
from tests.control_room.intake.client import gateway, linked, nothing
from tests.support.brokers.nats import Node

NAMES = iter(f"c{n}" for n in range(100))


async def delivered_of(link: Client, name: str, count: int, *, acknowledge: bool = True) -> list[Delivered]:
    """The next ``count`` messages of a consumer."""
    arrived = asyncio.Queue[Delivered]()
    pull = Pull(link, consumer.STREAM, consumer.consumer_name(name), arrived.put_nowait, time.monotonic)
    running = asyncio.create_task(pull.run())
    found = [await asyncio.wait_for(arrived.get(), 20) for _ in range(count)]
    if acknowledge:
        await pull.acknowledge([each.place for each in found])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await link.flush()
    return found


def test_it_is_made_once_and_keeps_what_gateways_send(node: Node) -> None:
    name = next(NAMES)

    async def main() -> Sequence[Delivered]:
        async with linked(node, name) as link:
            made, found = await consumer.ensure(link, name), await consumer.ensure(link, name)
            assert (made.made, found.made, found.mended) == (True, False, False)
            assert made.created == found.created
            with gateway(node, "sender") as client:
                await asyncio.to_thread(client.publish, "meterseal-records/v1/g.1/records", b"one")
                await asyncio.to_thread(client.publish, "elsewhere/v1/g/records", b"not ours")
                await asyncio.to_thread(client.publish, "meterseal-records/v1/g.1/status", b"{}", retain=True)
            both = await delivered_of(link, name, 2, acknowledge=False)
            again = await delivered_of(link, name, 0)
            assert again == []
            return both

    both = asyncio.run(main())
    assert [each.data for each in both] == [b"one", b"{}"]
    assert both[0].place < both[1].place


def test_what_is_not_acknowledged_is_delivered_again_and_what_is_is_not(node: Node) -> None:
    name = next(NAMES)

    async def main() -> None:
        async with linked(node, name) as link:
            await consumer.ensure(link, name)
            with gateway(node, "sender") as client:
                await asyncio.to_thread(client.publish, "meterseal-records/v1/g/records", b"1")
            arrived = asyncio.Queue[Delivered]()
            wanted = consumer.consumer_name(name)
            pull = Pull(link, consumer.STREAM, wanted, arrived.put_nowait, time.monotonic)
            running = asyncio.create_task(pull.run())
            first = await asyncio.wait_for(arrived.get(), 20)
            await pull.give_back(first.place, 0.0)
            second = await asyncio.wait_for(arrived.get(), 20)
            assert (second.place, second.data) == (first.place, b"1")
            assert second.delivery > first.delivery
            await pull.acknowledge([second.place])
            ensured = await consumer.ensure(link, name)
            while ensured.held:  # the server takes an acknowledgement when it comes to it
                ensured = await consumer.ensure(link, name)
            assert (ensured.pending, pull.held) == (0, 0)
            running.cancel()

    asyncio.run(main())


def test_a_deleted_one_ends_the_pull_and_is_made_again(node: Node) -> None:
    name = next(NAMES)

    async def main() -> None:
        async with linked(node, name) as link:
            before = await consumer.ensure(link, name)
            wanted = consumer.consumer_name(name)
            pull = Pull(link, consumer.STREAM, wanted, lambda _: None, time.monotonic)
            running = asyncio.create_task(pull.run())
            for _ in range(2):
                await link.flush()
            await link.jetstream().delete_consumer(consumer.STREAM, wanted)
            with pytest.raises(Gone):
                await asyncio.wait_for(running, 30)
            after = await consumer.ensure(link, name)
            assert after.made
            assert after.created != before.created

    asyncio.run(main())


def test_it_ends_though_something_happens_at_the_moment_of_its_end(node: Node) -> None:
    """``asyncio.wait_for`` of Python 3.11 forgets that it was cancelled where what it waits for comes then."""
    name = next(NAMES)

    async def main() -> None:
        async with linked(node, name) as link:
            await consumer.ensure(link, name)
            pull = Pull(link, consumer.STREAM, consumer.consumer_name(name), lambda _: None, time.monotonic)
            running = asyncio.create_task(pull.run())
            for _ in range(2):
                await link.flush()
            pull.restart()
            running.cancel()
            ended, _ = await asyncio.wait([running], timeout=5)
            running.cancel()
            assert ended == {running}

    asyncio.run(main())


def test_one_that_leaves_messages_out_is_mended(node: Node) -> None:
    name = next(NAMES)

    async def main() -> None:
        async with linked(node, name) as link:
            wanted = consumer.consumer_name(name)
            config = {
                "durable_name": wanted, "name": wanted, "ack_policy": "explicit", "max_deliver": 3,
                "filter_subject": "$MQTT.msgs.meterseal-records.v1.one.>",
            }  # fmt: skip
            request = json.dumps({"stream_name": consumer.STREAM, "config": config}).encode()
            answer = await link.request(f"$JS.API.CONSUMER.DURABLE.CREATE.{consumer.STREAM}.{wanted}", request)
            assert "error" not in json.loads(answer.data)
            mended = await consumer.ensure(link, name)
            assert (mended.made, mended.mended) == (False, True)
            info = await link.jetstream().consumer_info(consumer.STREAM, wanted)
            assert (info.config.filter_subject, info.config.max_deliver) == (consumer.FILTER, -1)
            assert not (await consumer.ensure(link, name)).mended

    asyncio.run(main())


def test_without_the_stream_it_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = Node(tmp_path_factory.mktemp("bare"), 1, [], 1)
    bare.start()

    async def main() -> None:
        async with linked(bare) as link:
            with pytest.raises(NoStream):
                await consumer.ensure(link, "main")

    try:
        asyncio.run(main())
    finally:
        bare.close()


def test_a_server_without_tls_gets_no_login_where_tls_was_asked_for(node: Node, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(0o600)
    url = node.client_url.replace("nats:", "tls:")

    async def main() -> None:
        access = Access(user="u", password_file=secret)
        with pytest.raises(Plain):
            await connect((url,), access, "test", failed=lambda _: None, lost=nothing, again=nothing, once=True)

    asyncio.run(main())


def test_one_that_fills_another_database_is_left_alone(node: Node) -> None:
    name = next(NAMES)

    async def main() -> None:
        async with linked(node, name) as link:
            await consumer.ensure(link, name)
            assert (await consumer.ensure(link, name, "one")).mended  # it was nobody's
            assert not (await consumer.ensure(link, name, "one")).mended
            with pytest.raises(OtherDatabase):
                await consumer.ensure(link, name, "another")
            assert not (await consumer.ensure(link, name)).mended  # it keeps whose it is

    asyncio.run(main())
