"""Commissioning orders of a running epoch: what is signed, what is refused, and what waiting files come to."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.acquisition.meter_look import Look
from gateway.commissioning.record.configured import record_of
from gateway.commissioning.record.content import CommissioningRecord
from gateway.commissioning.record.in_force import in_force
from gateway.commissioning.record.submit import encode, submit, waiting_path
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.records import MeterEvent
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.record import Event
from ledger_client.verification.trust_text import key_entry
from tests.support.epochs import epoch
from tests.support.evidence import key
from tests.support.samples import START_S, Hands, site

METER = "export-main"
KNOWN = "serial_number=1"


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """A site that knows the device of a meter."""
    made = site(tmp_path / "site", {'every = "60s"': 'every = "10s"'})
    with made.trust.open("a") as file:
        file.write(key_entry("ledger", key("ledger", ES256).public, 1_700_000_000, ledger="demo-ledger"))
    hands = Hands(made)
    hands.journal.happened(MeterEvent(METER, Event("commissioned", {"identity": KNOWN})))
    hands.end()
    return made


def made_of(loaded: Config, meter: str = METER, **changes: Any) -> CommissioningRecord:
    given: dict[str, Any] = {"identity": KNOWN, "by": "somebody", "at_ms": START_S * 1000}
    return record_of(loaded, meter, **{**given, **changes})


def running(loaded: Config, work: Callable[[GatewayContext], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with epoch(loaded) as site:
            await work(site)

    asyncio.run(run())


def signed(loaded: Config, meter: str = METER) -> CommissioningRecord | None:
    store = Database(loaded.database, read_only=True)
    found = in_force(store, meter)
    store.close()
    return found.record if found else None


async def commission(site: GatewayContext, record: CommissioningRecord) -> str:
    done = await site.order("commission", record=b64encode(encode(record)).decode())
    return str(done["record"])


async def waiting(site: GatewayContext) -> list[str]:
    """What is said once the epoch has looked at what waits: it listens for orders before."""
    async with asyncio.timeout(60):
        while not (found := (await site.order("health"))["commissioning"]):  # noqa: ASYNC110 — by another task
            await asyncio.sleep(0.01)
    return [one["text"] for one in found]


def test_the_device_of_a_record_is_the_meter_from_then_on(loaded: Config) -> None:
    async def work(site: GatewayContext) -> None:
        first = made_of(loaded, "stack-co2", identity="serial_number=5")
        name = await commission(site, first)
        assert site.line_of("stack-co2").identity("stack-co2") == "serial_number=5"
        assert await commission(site, first) == name
        with pytest.raises(Declined) as declined:
            await commission(site, replace(first, identity="serial_number=6"))
        other = {"recorded": "serial_number=6", "now": "serial_number=5"}
        assert declined.value.message == Message("commissioned-other-device", meter="stack-co2", **other)
        again = replace(first, remarks="seen once more")
        assert await commission(site, again) != name

    running(loaded, work)
    assert signed(loaded, "stack-co2") == made_of(
        loaded, "stack-co2", identity="serial_number=5", remarks="seen once more"
    )


def test_what_is_no_record_is_refused(loaded: Config) -> None:
    async def work(site: GatewayContext) -> None:
        for text in ("", "no base64", b64encode(b"\xa0").decode(), b64encode(b"\xff").decode()):
            with pytest.raises(GatewayError) as refused:
                await site.order("commission", record=text)
            assert refused.value.message == Message("commissioned-unreadable")

    running(loaded, work)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"identity": "serial_number=2"}, f"is of serial_number=2, and the device of this meter is {KNOWN}"),
        ({"reversed": True}, "not reversed, commissioned as reversed"),
    ],
)
def test_a_record_of_another_device_or_configuration_goes_on_waiting(
    loaded: Config, change: dict[str, Any], why: str
) -> None:
    assert submit(loaded, replace(made_of(loaded), **change)).record is None
    path = waiting_path(loaded.data, METER)
    held = path.read_bytes()

    async def work(site: GatewayContext) -> None:
        (text,) = await waiting(site)
        assert str(path) in text
        assert why in text

    running(loaded, work)
    assert path.read_bytes() == held
    assert signed(loaded) is None


def test_a_reload_takes_in_what_waits(loaded: Config) -> None:
    path = waiting_path(loaded.data, METER)

    async def work(site: GatewayContext) -> None:
        path.parent.mkdir()
        path.write_bytes(encode(made_of(loaded)))
        done = await site.order("reload", fingerprint=loaded.fingerprint().hex())
        assert done["nothing"]
        assert not path.exists()

    running(loaded, work)
    assert signed(loaded) == made_of(loaded)


def test_a_file_under_the_name_of_another_meter_is_set_aside(loaded: Config) -> None:
    path = waiting_path(loaded.data, "stack-co2")
    path.parent.mkdir()
    path.write_bytes(encode(made_of(loaded)))
    (path.parent / f"{path.name}.damaged-1").write_text("an earlier one")

    async def work(site: GatewayContext) -> None:
        (text,) = await waiting(site)
        assert f"{path}.damaged-2" in text

    running(loaded, work)
    assert not path.exists()
    assert (path.parent / f"{path.name}.damaged-2").read_bytes() == encode(made_of(loaded))
    assert signed(loaded) is None


def test_a_record_that_is_older_than_the_signed_one_does_not_take_its_place(loaded: Config) -> None:
    path, newer = waiting_path(loaded.data, METER), made_of(loaded, at_ms=START_S * 1000 + 1)

    async def work(site: GatewayContext) -> None:
        name = await commission(site, newer)
        path.parent.mkdir()
        path.write_bytes(encode(made_of(loaded)))
        await site.order("reload", fingerprint=loaded.fingerprint().hex())
        (text,) = await waiting(site)
        assert name in text
        assert f"{path}.older-1" in text

    running(loaded, work)
    assert signed(loaded) == newer
    assert [file.name for file in path.parent.iterdir()] == [f"{path.name}.older-1"]


def test_a_look_tells_why_a_meter_has_no_values(loaded: Config) -> None:
    async def work(site: GatewayContext) -> None:
        seen = Look.decode((await site.order("look", meter=METER))["look"])
        assert (seen.meter, seen.points) == (METER, ())
        (why,) = seen.failures
        assert "line-down" in str(why)
        with pytest.raises(Declined) as declined:
            await site.order("look", meter="nobody")
        assert declined.value.message == Message("order-no-meter", meter="nobody", path=str(loaded.path))

    running(loaded, work)


@pytest.mark.parametrize("text", ["", "oA==", "//8=", "no base64"])
def test_the_look_of_another_version_is_told(text: str) -> None:
    with pytest.raises(GatewayError, match="of another version"):
        Look.decode(text)
