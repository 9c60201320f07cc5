"""A reload that something comes in the way of: one configuration is in force throughout, and it polls and anchors."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.agent import reload as reloading
from gateway.agent.epoch import Epoch
from gateway.config.device_keys import make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError, StoreError
from gateway.messages.message import Message
from gateway.records import CONFIGURATION, StoredRecord
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from ledger_client.messages import Fact
from tests.gateway.dashboard.looks import looker
from tests.support.books import check_books
from tests.support.epochs import running, until
from tests.support.gateways.farm import farm
from tests.support.gateways.heard_tables import HeardRecords
from tests.support.gateways.sites import before, make_site, over_http, table, tcp_buses
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import EmbeddedLedger, embedded_ledger, free_port
from tests.support.samples import rewrite

METERS = FIRST, SECOND = "meter-000", "meter-001"


class Breaking(Database):
    """A database whose connection breaks right before, or right behind, the commit of the next change."""

    breaks: str | None = None
    away = False
    _meant = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.records = HeardRecords(self, self._appended)

    def _appended(self, rows: Sequence[StoredRecord]) -> None:
        bodies = [parse_record(row.data).body for row in rows if row.kind == "event"]
        self._meant = any(isinstance(body, Event) and body.fields.get("at") == "change" for body in bodies)
        if self._meant and self.breaks == "before":
            self._break()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._meant = False
        with super().transaction():
            yield
        if self._meant and self.breaks == "behind":
            self._break()

    def reopen(self) -> None:
        if self.away:
            raise StoreError("the disk is away")
        super().reopen()

    def _break(self) -> None:
        self.breaks = None
        self._db.close()


@pytest.fixture(scope="module")
def ports() -> Iterator[Sequence[int]]:
    with farm(2) as meters:
        yield meters.ports


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedLedger]:
    with embedded_ledger(tmp_path_factory.mktemp("ledger") / "ledger", "demo-ledger") as found:
        yield found


@pytest.fixture
def loaded(tmp_path: Path, ports: Sequence[int], ledger: EmbeddedLedger) -> Config:
    """Two meters on lines of their own, every 500 ms; a ledger that is shown a token."""
    for name in ("token", "other"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(name)
    return make_site(
        tmp_path,
        tcp_buses(ports, "500ms"),
        table("seal", every="500ms"),
        gateway=f"gateway-{secrets.token_hex(4)}",
        since_s=before(0),
        ledgers={ledger: over_http(ledger)[ledger] + 'token_file = "token"\n'},
        profiles={"bench.toml": PROFILE},
    )


async def reload(epoch: Epoch) -> None:
    seen = await epoch.site.order("preview")
    assert (await epoch.site.order("reload", fingerprint=seen["fingerprint"]))["done"]


async def works(epoch: Epoch, *meters: str) -> None:
    """New readings of these meters are recorded, and batches that are cut from now on are anchored."""
    live, began, before = epoch.site.live.meters, settled(epoch), {name: recorded(epoch, name) for name in meters}
    await until(lambda: all(live[name].recorded > count + 1 for name, count in before.items()))
    await until(lambda: settled(epoch) > began + 1)


def recorded(epoch: Epoch, meter: str) -> int:
    return epoch.site.live.meters[meter].recorded


def settled(epoch: Epoch) -> int:
    store = Database(epoch.ready.config.database, read_only=True)
    found = sum(anchor.state == "settled" for anchor in store.anchors.of())
    store.close()
    return found


def changes(loaded: Config) -> list[str]:
    """Why, of each change that stands in the records."""
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.events_of("gateway")]
    store.close()
    events = [body for body in bodies if isinstance(body, Event) and body.name == CONFIGURATION]
    return [event.fields["why"].partition(":")[0] for event in reversed(events) if event.fields["at"] == "change"]


def test_a_database_that_breaks_right_behind_the_commit_leaves_the_new_configuration_in_force(loaded: Config) -> None:
    async def work() -> None:
        async with running(loaded, Breaking) as epoch:
            await works(epoch, *METERS)
            rewrite(loaded, ('"500ms"', '"700ms"'), ('"token"', '"other"'))
            store = epoch.site.recorder._store
            assert isinstance(store, Breaking)
            store.breaks = "behind"
            await reload(epoch)
            assert store.breaks is None
            assert epoch.ready.config.meters[FIRST].every == 700
            await works(epoch, *METERS)

    asyncio.run(work())
    assert changes(loaded) == ["reload"]
    check_books(loaded)


def test_a_reload_that_cannot_be_done_touches_nothing_and_says_which_is_in_force(loaded: Config) -> None:
    async def work() -> None:
        async with running(loaded, Breaking) as epoch:
            await works(epoch, *METERS)
            before, line, uplink = epoch.ready, epoch.site.lines["tcp-000"], epoch.site.uplinks["demo-ledger"]
            rewrite(loaded, ('"500ms"', '"700ms"'), ('"token"', '"other"'))
            found = await epoch._reload._look()
            (loaded.path.parent / "other").unlink()
            with pytest.raises(ConfigError, match="other does not exist"):
                await epoch._reload._renewal.take(*found, Message("reload-why"))
            assert (epoch.ready, epoch.site.lines["tcp-000"]) == (before, line)
            assert epoch.site.uplinks["demo-ledger"] is uplink
            await works(epoch, *METERS)
            rewrite(loaded, ('"other"', '"token"'), (FIRST, "added"))
            make_missing(load_config(loaded.path), int(time.time()) - 60)
            await asyncio.wrap_future(epoch.site.recorder.call(lambda store: store._db.close()))
            with pytest.raises(GatewayError) as failed:
                await reload(epoch)
            assert failed.value.message is not None
            assert failed.value.message.code == "reload-failed-old"
            assert (epoch.ready, epoch.site.lines["tcp-000"]) == (before, line)
            await works(epoch, *METERS)
            await reload(epoch)
            await works(epoch, "added", SECOND)

    asyncio.run(work())
    assert changes(loaded) == ["reload"]
    check_books(loaded)


def code(fact: Fact) -> str:
    assert isinstance(fact, Message)
    return fact.code


def test_while_nothing_can_be_recorded_a_reload_closes_no_line(loaded: Config) -> None:
    async def work() -> None:
        async with running(loaded, Breaking) as epoch:
            await works(epoch, *METERS)
            recorder, line = epoch.site.recorder, epoch.site.lines["tcp-000"]
            store = recorder._store
            assert isinstance(store, Breaking)

            def lose(_: object) -> None:
                store.away = True
                store._db.close()

            await asyncio.wrap_future(recorder.call(lose))  # by the thread that uses it
            await until(lambda: recorder.trouble)
            rewrite(loaded, ('"500ms"', '"700ms"'))
            with pytest.raises(GatewayError) as failed:
                await reload(epoch)
            assert failed.value.message is not None
            assert (failed.value.message.code, code(failed.value.message.facts["what"])) == (
                "reload-failed-old",
                "change-recording-stopped",
            )
            assert epoch.site.lines["tcp-000"] is line
            store.away = False
            await until(lambda: not recorder.trouble)
            await reload(epoch)

    asyncio.run(work())
    assert changes(loaded) == ["reload"]
    check_books(loaded)


@pytest.mark.parametrize("obstacle", ["file", "database"])
def test_a_configuration_that_cannot_come_back_yet_comes_back_when_it_can(
    loaded: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, obstacle: str
) -> None:
    monkeypatch.setattr(reloading, "AT_LEAST_S", 1.0)
    monkeypatch.setattr(reloading, "AGAIN_S", 0.5)
    token, port = loaded.path.parent / "token", loaded.document.bus[1].port

    async def work() -> None:
        async with running(loaded, Breaking) as epoch:
            await works(epoch, *METERS)
            rewrite(loaded, (f"port = {port}", f"port = {free_port()}"), ('"token"', '"other"'))
            await reload(epoch)
            store = epoch.site.recorder._store
            assert isinstance(store, Breaking)
            if obstacle == "file":
                token.unlink()
            else:
                store.breaks = "before"
            await until(lambda: "cannot roll back to the previous configuration yet" in caplog.text)
            assert epoch.ready.config.fingerprint() == load_config(loaded.path).fingerprint()
            state = (await epoch.site.order("health"))["configuration"]
            assert (state["trial"], "cannot roll back to the previous configuration yet" in state["stuck"]) == (
                [SECOND],
                True,
            )
            store = Database(loaded.database, read_only=True)
            page = looker(epoch.site)("/configuration", store, {}, {}, "en").body.decode()
            store.close()
            assert "cannot roll back to the previous configuration yet" in page
            await works(epoch, FIRST)
            if obstacle == "file":
                token.touch(0o600)
                token.write_text("token")
            await until(lambda: epoch.ready.config.fingerprint() == loaded.fingerprint())
            await works(epoch, *METERS)

    asyncio.run(work())
    assert changes(loaded) == ["reload", "rolled back to the previous configuration"]
    check_books(loaded)


def test_a_meter_that_falls_asleep_behind_a_reload_brings_nothing_back(
    loaded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At dusk: it answered a minute ago, and has no power now."""
    monkeypatch.setattr(reloading, "AT_LEAST_S", 1.0)
    (loaded.path.parent / "sleepy.toml").write_text(f"may_sleep = true\n{PROFILE}")
    hour, port = time.gmtime().tm_hour, loaded.document.bus[1].port
    hours = f"{(hour - 6) % 24:02}:00-{(hour + 6) % 24:02}:00"
    bench = f'name = "{SECOND}"\nprofile = "bench.toml"'

    async def work() -> None:
        async with running(loaded) as epoch:
            await works(epoch, *METERS)
            rewrite(
                loaded,
                (bench, f'{bench.replace("bench", "sleepy")}\nsleeps = "{hours}"'),
                (f'host = "127.0.0.1"\nport = {port}', f'host = "127.255.255.255"\nport = {port}'),
            )
            await reload(epoch)
            assert SECOND in epoch._reload.state()["trial"]
            await until(lambda: epoch._reload.state()["trial"] is None)
            assert epoch.site.live.meters[SECOND].reason == "asleep"
            assert (epoch._reload.state()["stuck"], epoch._reload.state()["reverted"]) == (None, None)

    asyncio.run(work())
    assert changes(loaded) == ["reload"]
    check_books(loaded)
