"""The end of an epoch, also of one that hardly began: nothing of it is left that the next one in this process needs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.storage.database import Database
from ledger_client.http_server.listening import listen_at
from tests.support.epochs import made, until
from tests.support.gateways.desk import wide_site
from tests.support.processes import free_port


def test_an_epoch_that_cannot_begin_gives_the_address_of_its_pages_back(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    loaded = wide_site(tmp_path / "site", {"bus-1": ["meter-a"]}, f'[web]\nlisten = "{address}"\n')

    async def work() -> None:
        store = Database(loaded.database)
        epoch = made(loaded, store)
        store.close()  # as good as a disk that is away again
        with pytest.raises(StoreError):
            await epoch.run(asyncio.Event(), ())
        listen_at(address, "the next epoch").close()

    asyncio.run(work())


def test_without_a_socket_for_orders_no_epoch_begins(tmp_path: Path) -> None:
    loaded = wide_site(tmp_path / "site", {"bus-1": ["meter-a"]})

    async def work() -> None:
        epoch = made(loaded, Database(loaded.database))
        (loaded.data / "control.sock").mkdir()
        with pytest.raises(StoreError, match=r"control\.sock"):
            await epoch.run(asyncio.Event(), ())

    asyncio.run(work())
    store = Database(loaded.database, read_only=True)
    assert store.records.last_place() == 0
    store.close()


def test_a_change_that_is_under_way_at_a_stop_does_not_keep_the_process(tmp_path: Path) -> None:
    loaded = wide_site(tmp_path / "site", {"bus-1": ["meter-a"], "bus-2": ["meter-b"]})

    async def work() -> None:
        epoch, stop = made(loaded, Database(loaded.database)), asyncio.Event()
        task = asyncio.create_task(epoch.run(stop, ()))
        await until(lambda: {"line bus-1", "line bus-2"} <= {one.get_name() for one in asyncio.all_tasks()})
        spec = epoch.site.lines["bus-1"].spec
        await epoch.lines.stop(["bus-1"])
        stop.set()
        await asyncio.sleep(0)  # the epoch ends the lines that it has
        epoch.lines.renew(epoch.ready, [spec], (), epoch.site.clock.now_ms())
        async with asyncio.timeout(60):
            await task

    asyncio.run(work())
