"""configs/control-room/nats.conf: works as it stands, and a gateway speaks below its own name alone.

Also what NATS does that no gateway can see: it acknowledges what it drops.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error
from nats.js.errors import NotFoundError

from control_room.intake.consumer import STREAM, consumer_name, ensure
from ledger_client.formats.feed_messages import Asked, RecordRange, encode_again, parse_records
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions
from tests.gateway.feeds.rig import METER, Heard, feed_site, running, until
from tests.gateway.feeds.test_records import OLDEST, stored
from tests.support.brokers.mqtt_callbacks import Callbacks
from tests.support.brokers.nats import NATS
from tests.support.brokers.pki import Authority
from tests.support.processes import BrokerServer, free_port

EXAMPLE = Path(__file__).parents[2] / "configs" / "control-room" / "nats.conf"
MINE, OTHER = "test-gateway", "other-gateway"
BASE = "meterseal-records/v1"


class Example(BrokerServer):
    """A broker with the example's configuration, only elsewhere, and with two gateways."""

    def __init__(self, folder: Path) -> None:
        assert NATS.exists(), f"{NATS} is missing: apt-get install nats-server"
        self.authority = Authority(folder, "ca")
        server = self.authority.issue("broker")
        mqtt, clients = free_port(), free_port()
        self.url, self.client_url = f"mqtts://127.0.0.1:{mqtt}", f"nats://127.0.0.1:{clients}"
        text = EXAMPLE.read_text()
        entry = re.search(r"^    \{\n.*?^    \}\n", text, re.MULTILINE | re.DOTALL)
        assert entry is not None
        entries = [
            entry[0].replace("yunnan-hydro-07", name).replace("YUNNAN_HYDRO_07", word)
            for name, word in ((MINE, "MINE"), (OTHER, "OTHER"))
        ]
        for old, new in (
            (entry[0], "".join(entries)),
            ("0.0.0.0:8883", f"127.0.0.1:{mqtt}"),
            ("127.0.0.1:4222", f"127.0.0.1:{clients}"),
            ("/etc/nats/server.pem", str(server.cert)),
            ("/etc/nats/server.key", str(server.key)),
            ("/var/lib/nats", str(folder / "store")),
            ("100GB", "1GB"),
        ):
            assert old in text
            text = text.replace(old, new)
        config = folder / "nats.conf"
        config.write_text(text)
        env = {**os.environ, "CONTROL_ROOM_PASSWORD": "c", "MINE_PASSWORD": "m", "OTHER_PASSWORD": "o"}
        command = [str(NATS), "-c", str(config)]
        super().__init__("nats-server", command, "Server is ready", folder / "nats.log", env)

    @contextmanager
    def client(self, user: str, word: Path, *topics: str) -> Iterator[tuple[Broker, Heard, list[int]]]:
        """A gateway's login, what it hears on these topics, and which of its messages were acknowledged."""
        heard, acks = Heard(), list[int]()

        def subscribe(broker: Broker) -> None:
            for topic in topics:
                broker.subscribe(topic)

        access = Access(ca=self.authority.ca, user=user, password_file=word, protocol="3.1.1")
        options = BrokerOptions(self.url, f"test-{user}", access)
        handler = Callbacks(subscribe, heard.messages.append, on_ack=lambda mid, *_: acks.append(mid))
        with closing(Broker(options, handler)) as broker:
            assert broker.wait_connected(20.0)
            yield broker, heard, acks


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    with closing(Example(tmp_path_factory.mktemp("nats"))) as broker:
        broker.start()
        yield broker


@asynccontextmanager
async def control_room(example: Example) -> AsyncIterator[Client]:
    link = await nats.connect(example.client_url, user="control-room", password="c")
    try:
        yield link
    finally:
        await link.close()


def secret(folder: Path, word: str) -> Path:
    path = folder / f"word-{word}"
    path.write_text(word)
    path.chmod(0o600)
    return path


async def kept(link: Client) -> list[Any]:
    """Messages that the broker holds for the control room, taken."""
    stream = link.jetstream()
    name = (await ensure(link, "demo")).name
    pull = await stream.pull_subscribe_bind(name, STREAM)
    messages = await pull.fetch(100, timeout=5.0)
    for message in messages:
        await message.ack_sync()
    await pull.unsubscribe()
    return messages


def test_a_gateway_publishes_below_its_own_name_alone_and_reads_no_others(example: Example, tmp_path: Path) -> None:
    async def work() -> None:
        mine, others = f"{BASE}/{MINE}", f"{BASE}/{OTHER}"
        wanted = [f"{others}/#", f"{others}/again", f"{others}/status", f"{mine}/records", "#", "$MQTT/sub/#"]
        with (
            example.client(OTHER, secret(tmp_path, "o")) as (other, _, other_acks),
            example.client(MINE, secret(tmp_path, "m"), *wanted, f"{mine}/status", f"{mine}/again") as (
                broker,
                heard,
                acks,
            ),
        ):
            async with control_room(example) as link:
                with suppress(NotFoundError):
                    await link.jetstream().delete_consumer(STREAM, consumer_name("demo"))
                lost = broker.publish(f"{mine}/records", b"wanted by nobody", None)
                await until(lambda: lost in acks)  # acknowledged, and dropped
                assert (await ensure(link, "demo")).pending == 0
                mids = [
                    broker.publish(f"{place}/{kind}", b"forged", None, retain=kind == "status")
                    for place in (
                        others,
                        mine,
                        f"{BASE}/test-gateway.x",
                        "meterseal-feed/v1/test-gateway",
                        "$MQTT/msgs",
                    )
                    for kind in ("records", "status", "again", "gone", "batches")
                ]
                await until(lambda: {*mids} <= {*acks})  # what it may not publish is acknowledged, too
                theirs = other.publish(f"{others}/status", b"sound", None, retain=True)
                await until(lambda: theirs in other_acks)
                await link.publish(f"meterseal-records.v1.{OTHER}.again", b"to the other")
                await link.publish(f"meterseal-records.v1.{MINE}.again", b"to me")
                await until(lambda: [m.data for m in heard.on("/again")] == [b"to me"])
                subjects = {
                    (m.subject.removeprefix("$MQTT.msgs.meterseal-records.v1."), m.data) for m in await kept(link)
                }
                assert subjects == {
                    *((f"{MINE}.{kind}", b"forged") for kind in ("records", "status", "gone", "batches")),
                    (f"{OTHER}.status", b"sound"),
                }
                assert {m.topic for m in heard.messages} == {f"{mine}/status", f"{mine}/again"}
        with pytest.raises(Error):
            await nats.connect(
                example.client_url, user=MINE, password="m", allow_reconnect=False, max_reconnect_attempts=0
            )

    asyncio.run(work())


def test_the_feed_and_the_control_rooms_consumer_work_with_it(example: Example, tmp_path: Path) -> None:
    async def work() -> None:
        access = f'ca = "{example.authority.ca}"\nuser = "{MINE}"\npassword_file = "{secret(tmp_path, "m")}"\n'
        loaded = feed_site(tmp_path / "site", example.url, OLDEST + access, "records")
        with example.client(MINE, secret(tmp_path, "m")):  # the first MQTT client makes the stream
            async with control_room(example) as link:
                await ensure(link, "demo")
        async with control_room(example) as link, running(loaded, b"epoch-01") as rig:
            await until(lambda: rig.feed.connected)
            await rig.poll(times=20)
            rows = stored(loaded)
            found = dict[int, bytes]()

            async def take() -> None:
                for message in await kept(link):
                    if message.subject.endswith(f"{MINE}.records"):
                        parsed = parse_records(message.data)
                        found.update(zip(parsed.places, parsed.records, strict=True))

            while max(found, default=0) < rows[-1][0]:
                await take()
            again = RecordRange(METER, b"epoch-01", 3, 5)
            found.clear()
            await link.publish(f"meterseal-records.v1.{MINE}.again", encode_again(Asked((again,))))
            while len(found) < 3:
                await take()
            assert {*found.items()} <= {*rows}
            assert len(found) == 3

    asyncio.run(work())
