"""What a feed does when disk, broker, network or rights are not as they should be."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

from gateway.config.load import load_config
from gateway.process.threads import in_thread
from tests.gateway.feeds.rig import METER, OTHER, feed_site, listening, running, say, until
from tests.gateway.feeds.sparkplug_host import GROUP, host_at, metrics
from tests.gateway.feeds.tap import tap
from tests.support.brokers.pki import Authority
from tests.support.processes import Mosquitto, free_port, mosquitto
from tests.system.disk.small import small_disk
from tests.system.disk.test_disk_full import fill

BASE = "meterseal-feed/v1/test-gateway"


def test_on_a_full_disk_readings_are_told_as_not_recorded_and_never_as_history(
    tmp_path: Path, broker: Mosquitto
) -> None:
    async def work() -> None:
        with ExitStack() as stack:
            disk, wire = (
                stack.enter_context(small_disk(tmp_path / "disk", "16m")),
                stack.enter_context(tap(broker.port)),
            )
            heard, host = stack.enter_context(listening(broker.url)), stack.enter_context(host_at(broker))
            loaded = feed_site(tmp_path / "site", wire.url)
            text = loaded.path.read_text().replace('data = "data"', f'data = "{disk}/data"')
            text += f'[[feed]]\nname = "host"\ntype = "sparkplug"\nurl = "{broker.url}"\ngroup = "{GROUP}"\n'
            loaded.path.write_text(text)
            loaded = load_config(loaded.path)
            async with running(loaded) as rig:
                await until(lambda: all(feed.connected for feed in rig.feeds))
                recorded = await rig.poll()
                await until(lambda: heard.records("/meters/") == recorded)
                await in_thread(lambda: fill(disk / "filler"), "fill")
                while rig.recorder.trouble is None:
                    rig.answer()
                    await asyncio.sleep(0.01)
                before = len(heard.readings("/meters/"))
                rig.answer()
                await until(lambda: len(heard.readings("/meters/")) > before)
                last = heard.readings("/meters/")[-1]
                assert (last["record"], last["not_recorded"]) == (None, "disk-full")
                assert last["values"][0]["value"] is not None
                await until(lambda: host.of("DDATA") and metrics(host.of("DDATA")[-1], "Record")[-1]["value"] is None)
                assert metrics(host.of("DDATA")[-1], "count")[-1]["properties"]["Recorded"] is False
                wire.cut()  # and what is told behind a gap that cannot be written down is told all the same
                await until(lambda: not rig.feed.connected)
                await until(lambda: rig.feed.connected)
                rig.answer(OTHER)
                await until(lambda: heard.readings(f"/meters/{OTHER}"))
                (disk / "filler").unlink()
                await until(lambda: rig.recorder.trouble is None)
                again = await rig.poll()
                await until(lambda: heard.records("/meters/")[-1] == again[-1])
                await until(lambda: again[-1] in host.records(historical=False))
                assert metrics(host.of("DDATA")[-1], "count")[-1]["properties"]["Recorded"] is True
                assert heard.on("/history/") == []

    asyncio.run(work())


def test_what_an_earlier_run_left_there_is_cleared_away(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        gone = [f"{BASE}/meters/gone", f"{BASE}/alarms/{METER}/comms-lost"]
        others = ["meterseal-feed/v1/another/meters/gone", f"{BASE}x/meters/gone"]
        for topic in [*gone, *others, f"{BASE}/meters/{METER}"]:
            say(broker.url, topic, b'{"readings":[]}')
        loaded = feed_site(tmp_path / "site", broker.url)
        async with running(loaded) as rig:
            await until(lambda: rig.feed.connected)
        with listening(broker.url) as later:
            assert {message.topic for message in later.messages} == {
                *others,
                f"{BASE}/meters/{METER}",
                f"{BASE}/status",
            }

    asyncio.run(work())


def test_a_clogged_wire_costs_only_who_listens_behind_it(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        with tap(broker.port) as wire, listening(broker.url) as heard:
            loaded = feed_site(tmp_path / "site", wire.url, "backfill_rate = 10000\n")
            with loaded.path.open("a") as file:
                file.write(f'[[feed]]\nname = "other"\ntype = "json"\nurl = "mqtt://127.0.0.1:{free_port()}"\n')
            async with running(load_config(loaded.path)) as rig:
                await until(lambda: rig.feed.connected)
                wire.clear.clear()
                records = []
                for _ in range(16):
                    records += await rig.poll(times=90)  # more than may wait, with what is in flight
                facts = rig.feed.facts()
                assert facts["waiting"] <= 500
                assert not rig.feeds[1].connected
                wire.clear.set()
                await until(lambda: len(set(heard.records("/meters/") + heard.records("/history/"))) == len(records))
                assert heard.records("/history/")
                assert heard.records("/history/") == [r for r in records if r in set(heard.records("/history/"))]
                live = await rig.poll(OTHER)
                await until(lambda: live[0] in heard.records("/meters/"))

    asyncio.run(work())


def test_a_broker_that_refuses_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    rights = folder / "rights.acl"
    rights.write_text(f"topic write {BASE}/status\ntopic read #\n")
    rights.chmod(0o600)

    async def work() -> None:
        with mosquitto(folder, f"acl_file {rights}\n") as broker, listening(broker.url) as heard:
            loaded = feed_site(tmp_path / "site", broker.url)
            async with running(loaded) as rig:
                records = await rig.poll(times=3)
                state = f"the broker refuses {BASE}/meters/{METER}: Not authorized"
                await until(lambda: rig.feed.facts()["state"] == state)
                rights.write_text("topic readwrite #\n")
                broker.reload()
                await until(lambda: rig.feed.connected)
                await until(lambda: len(heard.records("/history/")) == 2)
                assert heard.records("/history/") + heard.records("/meters/") == records

    asyncio.run(work())


def test_over_tls_with_a_login_and_never_without(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "pki"), Authority(tmp_path / "pki", "stranger")
    pair, port, folder = authority.issue("broker"), free_port(), tmp_path / "broker"
    folder.mkdir()
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(folder / "logins"), "meterseal", "right"], check=True)
    (folder / "logins").chmod(0o600)
    listener = (
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder / 'logins'}\n"
        f"cafile {authority.ca}\ncertfile {pair.cert}\nkeyfile {pair.key}\n"
    )

    async def work() -> None:
        with mosquitto(folder, listener) as broker, listening(broker.url) as heard:
            url = f"mqtts://127.0.0.1:{port}"
            login = 'user = "meterseal"\npassword_file = "word"\n'
            loaded = feed_site(tmp_path / "site", url, f'ca = "{authority.ca}"\n{login}')
            word = loaded.path.parent / "word"
            word.write_text("wrong\n")
            word.chmod(0o600)
            async with running(loaded) as rig:
                await until(lambda: "check user and password_file" in rig.feed.facts()["state"])
                word.write_text("right\n")
                await until(lambda: rig.feed.connected)
                records = await rig.poll()
                await until(lambda: heard.records("/meters/") == records)
            before = len(heard.messages)
            login = login.replace('"word"', '"../site/word"')
            loaded = feed_site(tmp_path / "a", url, f'ca = "{stranger.ca}"\n{login}')
            async with running(loaded, b"epoch-02") as rig:
                await until(lambda: "issued by a CA that is not trusted here" in str(rig.feed.state))
            plain = feed_site(tmp_path / "b", f"mqtt://127.0.0.1:{port}")
            async with running(plain, b"epoch-03") as rig:  # a broker that wants TLS is not talked to without
                await until(lambda: str(rig.feed.state).startswith("connection lost before the broker accepted it"))
            stripped = feed_site(tmp_path / "c", f"mqtts://127.0.0.1:{broker.port}", f'ca = "{authority.ca}"\n{login}')
            async with running(stripped, b"epoch-04") as rig:  # nor is one without TLS, whatever answers there
                await until(lambda: str(rig.feed.state).startswith("the port does not use TLS"))
            assert len(heard.messages) == before

    asyncio.run(work())


def test_history_waits_for_what_is_live(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", f"mqtt://127.0.0.1:{broker.port}", "backfill_rate = 5\n")
        async with running(loaded):
            pass
        broker.stop()
        async with running(loaded, b"epoch-02") as rig:
            missed = await rig.poll(times=11)
        broker.start()
        with listening(broker.url) as heard:
            async with running(loaded, b"epoch-03") as rig:
                await until(lambda: len(heard.records("/history/")) == 5)
                live = await rig.poll(OTHER, times=2)
                await until(lambda: len(heard.records("/meters/")) == 2)
                assert len(heard.records("/history/")) < 11
                await until(lambda: rig.feed.history_count == 11)
        assert heard.records("/history/") == missed
        assert heard.records("/meters/") == live
        sizes = [len(json.loads(message.data)["readings"]) for message in heard.on("/history/")]
        assert max(sizes) <= 5

    asyncio.run(work())


def test_what_is_live_goes_on_while_nothing_can_be_noted(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        with tap(broker.port) as wire, listening(broker.url) as heard:
            loaded = feed_site(tmp_path / "site", wire.url)
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                await rig.poll()
                await asyncio.wrap_future(rig.recorder.call(lambda store: store._db.close()))
                loaded.database.rename(loaded.database.with_name("away.db"))
                while rig.recorder.trouble is None:
                    rig.answer()
                    await asyncio.sleep(0.01)
                wire.cut()
                await until(lambda: not rig.feed.connected)
                await until(lambda: rig.feed.connected)
                rig.answer(OTHER)
                (reading,) = await until(lambda: heard.readings(f"/meters/{OTHER}"))
                assert (reading["record"], reading["not_recorded"]) == (None, "disk-error")

    asyncio.run(work())
