"""A control room whose engines are full or older than they were, and gateways that come twice or again from a copy:
what can be had is had, the rest is seen, and nobody else is held up. All of it are real processes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nats as nats_client
import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from control_room.intake.consumer import STREAM
from tests.control_room.test_bad_input import count, until
from tests.support.brokers.full_disk import FullDisk, limited_cluster
from tests.support.fleet.books import Sealed, books, is_proven, sealed
from tests.support.fleet.site import Edge, Fleet, Size, fleet, site_of
from tests.support.gateways.farm import farm

SIZE = Size(gateways=2, meters=2, every="500ms", seal_every="2s", receivers=1)


@pytest.fixture(scope="module")
def disk() -> Iterator[FullDisk]:
    with limited_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, disk: FullDisk) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("fleet"), SIZE, cluster=disk.cluster) as made:
        yield made


def newest(running: Fleet, more: int = 1) -> list[Sealed]:
    """What each gateway has sealed, ``more`` batches later."""
    before = {edge.name: sealed(edge.loaded).batch for edge in running.edges}
    until("batches", lambda: all(sealed(edge.loaded).batch >= before[edge.name] + more for edge in running.edges))
    return [sealed(edge.loaded) for edge in running.edges]


def all_there(running: Fleet, mark: list[Sealed]) -> None:
    until("everything", lambda: is_proven(running.database, mark))
    found = books(running, mark)
    assert (found.lost, found.changed, found.doubled) == (0, 0, 0)
    assert found.recorded == found.stored == found.proven


def test_while_the_database_is_full_messages_wait(running: Fleet, disk: FullDisk) -> None:
    all_there(running, newest(running))
    disk.set(True)
    until("a refusal of the disk", lambda: "No space left" in disk.cluster.log.read_text())
    mark = newest(running)
    assert not is_proven(running.database, mark)
    disk.set(False)
    all_there(running, mark)
    assert count(running, "meterseal.refused") == 0


def test_a_database_of_yesterday_gets_again_what_it_lacks(running: Fleet) -> None:
    cluster = running.database.cluster
    cluster.stop()
    kept = cluster.copy()
    cluster.start()
    mark = newest(running, 2)
    all_there(running, mark)
    cluster.stop()
    cluster.put_back(kept)
    cluster.start()
    assert not is_proven(running.database, mark)
    until("everything", lambda: half_a_minute_on(running, mark))
    all_there(running, mark)


def half_a_minute_on(running: Fleet, mark: list[Sealed]) -> bool:
    """Have what is missing asked for now; whether nothing is."""
    running.database.run("UPDATE meterseal.holes SET next_ask = now() WHERE closed IS NULL")
    return is_proven(running.database, mark)


def test_what_a_full_stream_does_not_take_waits_at_the_gateways(running: Fleet) -> None:
    (receiver,) = running.receivers
    assert receiver.stop() == 0
    with_limit(running, lambda held: held + 3)
    mark = newest(running, 2)
    assert not is_proven(running.database, mark)
    receiver.start()
    all_there(running, mark)
    with_limit(running, lambda _: -1)
    assert count(running, "meterseal.holes WHERE closed IS NULL") == 0


def with_limit(running: Fleet, most: Callable[[int], int]) -> None:
    """Let the stream of MQTT messages hold so many, and refuse what is more, as a full disk does."""

    async def limit() -> None:
        link = await nats_client.connect(running.nodes[0].client_url)
        stream = link.jetstream()
        there = await stream.stream_info(STREAM)
        config: StreamConfig = there.config
        config.max_msgs, config.discard = most(there.state.messages), DiscardPolicy.NEW
        await stream.update_stream(config)
        await link.close()

    asyncio.run(limit())


def test_a_second_gateway_of_one_name_is_refused_and_holds_up_neither(running: Fleet, tmp_path: Path) -> None:
    with farm(SIZE.meters) as plant:
        loaded = site_of(tmp_path / "second", 0, plant.ports, SIZE, running.nodes, None)
        second = Edge(loaded)
        second.process.start()
        try:
            refused = (
                f"meterseal.refused WHERE gateway = '{second.name}' AND why->>'message' = 'verify-unknown-meter-key'"
            )
            until("its refusals", lambda: count(running, refused) > 0)
            all_there(running, newest(running, 2))
        finally:
            second.process.close()


def test_a_gateway_of_yesterday_goes_on_and_what_it_has_lost_stays(running: Fleet, tmp_path: Path) -> None:
    edge = running.edges[0]
    assert edge.process.stop() == 0
    shutil.copytree(edge.loaded.data, tmp_path / "yesterday", ignore=shutil.ignore_patterns("*.sock"))
    edge.process.start()
    mark = newest(running, 2)
    all_there(running, mark)
    assert edge.process.stop() == 0
    shutil.rmtree(edge.loaded.data)
    shutil.copytree(tmp_path / "yesterday", edge.loaded.data)
    edge.process.start()
    all_there(running, mark)
    later = newest(running, 2)
    until("a batch after the loss", lambda: (later[0].batch, "proven") in states(running, edge.name))
    until("what it says of it", lambda: count(running, "meterseal.alarms WHERE code = 'rollback'") == 1)
    until("the others'", lambda: is_proven(running.database, later[1:]))


def states(running: Fleet, gateway: str) -> list[tuple[int, str]]:
    return [
        (int(batch), str(state))
        for batch, state in running.database.query(
            "SELECT b.batch, b.state FROM meterseal.batches b JOIN meterseal.gateways g ON g.id = b.gateway "
            "WHERE g.name = %s",
            gateway,
        )
    ]
