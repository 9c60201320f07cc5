"""A gateway that loggers push to: from the socket to the record and back, over a restart and a reload."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.agent.epoch import Epoch
from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Quality, Reading
from tests.gateway.fieldbus.devices import free_port
from tests.gateway.fieldbus.hj212.loggers import Logger, answer, packet
from tests.support.epochs import running, until
from tests.support.samples import rewrite, site

BUS = """
[[bus]]
name = "stack"
type = "hj212"
listen = "127.0.0.1:{port}"

  [[bus.meter]]
  name = "stack-now"
  profile = "hj212-cems-realtime"
  address = "A1"
  every = "1m"
  role = "emission"
  points = ["source_time", "so2", "oxygen"]

[seal]
"""


def made(folder: Path) -> Config:
    """A site with one station, and no ledger."""
    found = site(folder / "site")
    text = found.path.read_text().partition("[[ledger]]")[0]
    before, _, behind = text.partition("[[bus]]")
    found.path.write_text(before + BUS.format(port=free_port()) + behind.partition("[seal]")[2])
    loaded = load_config(found.path)
    make_missing(loaded, 0)
    return loaded


async def connected(loaded: Config) -> Logger:
    (bus,) = loaded.document.bus
    host, _, port = str(bus.listen).rpartition(":")
    async with asyncio.timeout(30):
        while True:
            try:
                return Logger(*await asyncio.open_connection(host, int(port)))
            except ConnectionError:
                await asyncio.sleep(0.01)


def readings(loaded: Config) -> list[Reading]:
    store = Database(loaded.database, read_only=True)
    try:
        bodies = [parse_record(row.data).body for row in store.records.readings("stack-now", 100)]
    finally:
        store.close()
    return [body for body in bodies if isinstance(body, Reading)]


def qn(n: int) -> str:
    return f"202701151600{n:02}000"


def data(n: int, more: str = "") -> bytes:
    """The n-th message, or the same again under another number."""
    return packet(f"DataTime=202701151600{n:02};a21026-Rtd={n}.50,a21026-Flag=N{more}", qn=qn(n))


def test_a_message_is_answered_when_it_is_in_the_database_and_recorded_once_over_a_restart(tmp_path: Path) -> None:
    loaded = made(tmp_path)

    async def first() -> None:
        async with running(loaded):
            logger = await connected(loaded)
            for n in (1, 2):
                logger.send(data(n))
                assert await logger.got(len(answer(qn(n)))) == answer(qn(n))
                assert len(readings(loaded)) == n, "durable before the answer"
            logger.send(data(2))
            assert await logger.got(len(answer(qn(2)))) == answer(qn(2))

    async def second() -> None:
        async with running(loaded) as epoch:
            logger = await connected(loaded)
            logger.send(data(2), data(3, ";a99999-Rtd=1,a99999-Flag=N"))
            both = answer(qn(2)) + answer(qn(3))
            assert await logger.got(len(both)) in (both, answer(qn(3)) + answer(qn(2)))
            (line,) = epoch.lines.listening().values()
            facts = line["messages"]["stack-now"]
            assert (facts["unreplied"], facts["unnamed"]) == (0, ["a99999"])

    asyncio.run(first())
    asyncio.run(second())
    found = readings(loaded)
    assert [next(v.value for v in body.values if v.name == "so2") for body in found] == [1500, 2500, 3500]
    oxygen = next(value for value in found[0].values if value.name == "oxygen")
    assert (oxygen.value, oxygen.quality & Quality.NOT_FOUND) == (None, Quality.NOT_FOUND)
    assert due(loaded) == 3


def due(loaded: Config) -> int:
    """The due messages of all coverage, which are those that are recorded: none was missed within the minute."""
    store = Database(loaded.database, read_only=True)
    try:
        bodies = [parse_record(row.data).body for row in store.records.coverage("stack-now", 100)]
    finally:
        store.close()
    return sum(body.due for body in bodies if isinstance(body, Coverage))


def test_messages_without_any_recorded_point_are_answered_and_end_nothing(tmp_path: Path) -> None:
    """Whether they bear a time, are parts, or hold nothing at all."""
    loaded = made(tmp_path)
    rewrite(loaded, ('points = ["source_time", "so2", "oxygen"]', 'points = ["so2"]'))
    loaded = load_config(loaded.path)
    contents = ("DataTime=20270115160001;a99999-Rtd=1,a99999-Flag=N", "a99999-Rtd=1,a99999-Flag=N", "")

    async def work() -> None:
        async with running(loaded):
            logger = await connected(loaded)
            for n, content in enumerate(contents):
                for flag in ("Flag=7;PNUM=2;PNO=1;", "Flag=5;"):
                    logger.send(packet(content, qn=qn(n), flag=flag))
                    assert await logger.got(len(answer(qn(n)))) == answer(qn(n))

    asyncio.run(work())
    found = [[(value.name, value.value) for value in body.values] for body in readings(loaded)]
    assert found == [[("source_time", "20270115160001")], *[[("so2", None)]] * 3]


def test_a_reload_goes_on_listening_and_the_source_s_facts_stay(tmp_path: Path) -> None:
    loaded = made(tmp_path)

    async def reload(epoch: Epoch) -> None:
        seen = await epoch.site.order("preview")
        assert (await epoch.site.order("reload", fingerprint=seen["fingerprint"]))["done"]

    async def work() -> None:
        async with running(loaded) as epoch:
            logger = await connected(loaded)
            logger.send(packet(mn="B2"), data(1))
            await logger.got(len(answer(qn(1))))
            rewrite(loaded, ('every = "1m"', 'every = "2m"'))
            await reload(epoch)
            again = await connected(loaded)
            again.send(data(1), data(2))
            await until(lambda: len(readings(loaded)) == 2)
            (line,) = epoch.lines.listening().values()
            assert line["messages"]["stack-now"]["every_ms"] == 120_000
            assert line["refused"]["station"] == 1, "what it refused before"

    asyncio.run(work())
    assert len(readings(loaded)) == 2
