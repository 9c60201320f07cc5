"""The watchdog of `meterseal run`: ready with nothing around it, fed while all loops turn."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from gateway.agent.epoch import begin
from gateway.process.sd_notify import Manager
from gateway.runtime.watchdog import Watchdog
from gateway.startup.preflight import prepare
from tests.support.gateways.manager import Inbox, inbox
from tests.support.gateways.sites import believed
from tests.support.processes import free_port
from tests.support.samples import INVERTER_PORT, site
from tests.system.demo_site import GatewayProcess

NOTHING_AROUND = {
    'port = "rs485-1"': 'port = "not-plugged-in"',
    f"port = {INVERTER_PORT}\n": "port = {}\n",
    ":8700": ":{}",
}


def test_it_is_ready_and_turns_without_adapter_meters_and_ledger(tmp_path: Path) -> None:
    """A start waits for nobody; meters that are silent and a ledger that is away stop no loop."""
    loaded = site(tmp_path / "site", {old: new.format(free_port()) for old, new in NOTHING_AROUND.items()})
    believed(tmp_path / "ledger", loaded)
    with inbox(tmp_path / "notify") as heard:
        env = os.environ | {"NOTIFY_SOCKET": heard.name, "WATCHDOG_USEC": "600000"}
        gateway = GatewayProcess(loaded, env)
        try:
            line = gateway.start()
            assert "records 3 meters on 2 lines" in line
            assert "EXTEND_TIMEOUT_USEC" in heard.next()
            assert heard.until("READY")["STATUS"] == "3 meters on 2 lines; recording"
            for _ in range(5):
                heard.until("WATCHDOG")
            heard.until("STATUS", "3 of them without a reading in time; recording")
            heard.until("WATCHDOG")
            assert gateway.stop() == 0
            assert heard.until("STOPPING")["STATUS"].startswith("finishing the reads in flight")
        finally:
            gateway.close()
    log = gateway.log.read_text()
    assert "not-plugged-in: there is no such port" in log


def test_it_is_not_fed_while_a_loop_is_stuck(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    believed(tmp_path / "ledger", loaded)

    async def scenario(heard: Inbox) -> None:
        epoch = begin(prepare(loaded, may_be_missing=True), asyncio.Event())
        here, heartbeats = epoch.site, epoch.loops.heartbeats
        stuck: list[str] = []
        heartbeats.ask("line", lambda: stuck[0] if stuck else None)
        manager = Manager({"NOTIFY_SOCKET": heard.name, "WATCHDOG_USEC": "3000"})
        watch = Watchdog(manager, heartbeats, here.recorder, here.clock, here.live, here.lines)
        task = asyncio.create_task(watch.run())
        assert "READY" in await asyncio.to_thread(heard.next)
        await asyncio.to_thread(heard.until, "WATCHDOG")
        stuck.append("line rs485-1 is 12 s late")
        await asyncio.to_thread(heard.until, "STATUS", "stuck: line rs485-1 is 12 s late")
        for _ in range(5):
            assert (await asyncio.to_thread(heard.next)).keys() == {"STATUS"}
        stuck.clear()
        await asyncio.to_thread(heard.until, "WATCHDOG")
        task.cancel()
        here.recorder.stop()

    with inbox(tmp_path / "notify") as heard:
        asyncio.run(scenario(heard))
