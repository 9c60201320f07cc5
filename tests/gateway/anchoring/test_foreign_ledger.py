"""A gateway on somebody else's SCITT service: the Location of every submission outlives the process."""

from __future__ import annotations

# not quick: the uplink waits for its service
import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from gateway.anchoring import ledger_drivers, uplink
from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.uplink import Uplink
from gateway.cli.demo import finish
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.recording.recorder import Recorder
from gateway.storage.database import Database
from gateway.storage.writer import Direct
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry
from tests.interop.foreign_scitt import Answer, ForeignScitt, serving
from tests.support.books import check_all_is_sealed, check_books
from tests.support.samples import Ahead, finished, recorder, site

NAME = "demo-ledger"
BATCHES = 3


def live(loaded: Config, service: ForeignScitt, *, answered: int, polls: int = 0) -> None:
    """One life of a gateway, until the service has been asked ``answered`` times."""
    clock = Ahead()
    made, anchor_ms = recorder(loaded, clock, seal_count=1)
    made.start()
    for k in range(polls):
        clock.ahead_s = 10 * k
        made.put(finished("export-main", anchor_ms + 10_000 * k, clock))
    made.call(lambda _: None).result(timeout=30)
    try:
        asyncio.run(_work(loaded, service, made, answered))
    finally:
        made.stop()


async def _work(loaded: Config, service: ForeignScitt, made: Recorder, answered: int) -> None:
    entry = loaded.document.ledger[0]
    with closing(ledger_drivers.driver(loaded, entry, Notes(entry.name, made))) as ledger:
        task = asyncio.create_task(Uplink(ledger, made, load_trust(loaded.trust), Clock()).run())
        async with asyncio.timeout(60):
            while len(service.asked) < answered:  # noqa: ASYNC110 - what is waited for happens in another thread
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_restart_asks_at_the_locations_that_it_was_given(tmp_path: Path) -> None:
    with serving(ForeignScitt(NAME, polls=1_000_000)) as service:
        service.retry_after = "0"
        loaded = site(tmp_path / "site", {"http://127.0.0.1:8700": service.url})
        with loaded.trust.open("a") as trust:
            trust.write(key_entry("ledger", service.key.public, 0, ledger=NAME))
        live(loaded, service, answered=20, polls=BATCHES)
        submitted = list(service.entries)
        assert len(submitted) >= BATCHES
        service.finish()
        finish.finish(loaded, within_s=60)
        store = Database(loaded.database, read_only=True)
        assert [
            batch.entry for batch in store.batches.all()
        ] == service.entries  # each once, those before the restart too
        store.close()
    assert service.entries[: len(submitted)] == submitted
    check_all_is_sealed(loaded)
    check_books(loaded)


def test_the_end_of_a_run_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    """Whatever a service asks for: here to be left alone for an hour."""
    with serving(ForeignScitt(NAME, polls=1_000_000)) as service:
        service.retry_after = "3600"
        loaded = site(tmp_path / "site", {"http://127.0.0.1:8700": service.url})
        with loaded.trust.open("a") as trust:
            trust.write(key_entry("ledger", service.key.public, 0, ledger=NAME))
        live(loaded, service, answered=0, polls=BATCHES)
        asyncio.run(_drained(loaded))
        assert len(service.entries) >= BATCHES  # all of them are on their way


def test_a_service_that_is_busy_is_asked_no_sooner_than_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.001)
    with serving(ForeignScitt(NAME)) as service:
        service.fault = lambda _method, _path: Answer(429, (("Retry-After", "3600"),))
        loaded = site(tmp_path / "site", {"http://127.0.0.1:8700": service.url})
        live(loaded, service, answered=0, polls=BATCHES)
        asyncio.run(_drained(loaded))
        assert service.asked == ["POST /entries"]


async def _drained(loaded: Config) -> None:
    store = Database(loaded.database)
    entry = loaded.document.ledger[0]
    writer = Direct(store)
    try:
        with closing(ledger_drivers.driver(loaded, entry, Notes(entry.name, writer))) as ledger:
            async with asyncio.timeout(60):
                await Uplink(ledger, writer, load_trust(loaded.trust), Clock()).drain(0.5)
    finally:
        store.close()
