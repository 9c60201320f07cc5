"""The uplink against a real transparency log in this process, whose answers are lost, kept, late, or another's."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.anchoring import refusals, uplink
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.device_keys import REQUEST_FILE
from gateway.config.model import Config
from gateway.recording.recorder import Recorder
from gateway.storage.database import Database
from ledger_client.formats.statement import parse_statement
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.verification.trust_file import load_trust
from tests.contract.faults import KEPT, LATE, LOST, Faults
from tests.contract.memory import NAME, NearLedger
from tests.support.books import check_books
from tests.support.gateways.sites import believed
from tests.support.samples import Ahead, finished, recorder, site


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(refusals, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(refusals, "FIRST_DOUBT_S", 0.01)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


@pytest.fixture
def sealed(loaded: Config) -> Iterator[Recorder]:
    """A recorder with three sealed batches and their anchors queued."""
    clock = Ahead()
    made, anchor_ms = recorder(loaded, clock, seal_count=1)
    made.start()
    for k in range(3):
        clock.ahead_s = 10 * k
        made.put(finished("export-main", anchor_ms + 10_000 * k, clock))
    made.call(lambda _: None).result(timeout=30)
    yield made
    made.stop()


def anchored(loaded: Config) -> bool:
    return states(loaded) == {"settled"}


def states(loaded: Config) -> set[str]:
    store = Database(loaded.database, read_only=True)
    found = {anchor.state for anchor in store.anchors.of()}
    store.close()
    return found


def work(ledger: NearLedger, made: Recorder, loaded: Config, until: Callable[[], bool]) -> None:
    """Let the uplink work until something is true."""

    async def run() -> None:
        task = asyncio.create_task(Uplink(ledger, made, load_trust(loaded.trust), Clock()).run())
        async with asyncio.timeout(30):
            while not until():  # noqa: ASYNC110 - what is waited for stands in a database
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [LOST] * 2,
        [KEPT] * 2,
        [LATE, LATE],
        [KEPT, LOST, LATE, KEPT],
    ],
)
def test_whatever_the_wire_does_each_batch_is_anchored_once(
    faults: list[str], loaded: Config, sealed: Recorder, tmp_path: Path
) -> None:
    believed(tmp_path / "ledger", loaded)
    ledger = NearLedger(tmp_path / "ledger", faults=Faults(faults))
    work(ledger, sealed, loaded, lambda: anchored(loaded))
    store = Database(loaded.database, read_only=True)
    assert ledger.statements("test-gateway", -1) == [batch.entry for batch in store.batches.all()]
    # What the ledger had kept is found by looking it up: only what was lost is submitted again.
    assert ledger.submissions == len(store.batches.all()) + faults.count(LOST)
    store.close()
    ledger.close()
    check_books(loaded)


def test_a_receipt_that_does_not_hold_settles_nothing(loaded: Config, sealed: Recorder, tmp_path: Path) -> None:
    believed(tmp_path / "ledger", loaded)
    ledger = NearLedger(tmp_path / "ledger")
    ledger.damages = True
    work(ledger, sealed, loaded, lambda: "refused" in states(loaded))
    store = Database(loaded.database, read_only=True)
    first = store.anchors.of()[0]
    assert first.receipt is None
    assert first.detail is not None
    assert "BadReceipt" in first.detail
    store.close()
    ledger.damages = False
    work(ledger, sealed, loaded, lambda: anchored(loaded))
    ledger.close()


def test_a_ledger_with_another_key_settles_nothing(loaded: Config, sealed: Recorder, tmp_path: Path) -> None:
    believed(tmp_path / "ledger", loaded)
    (tmp_path / "impostor").mkdir()
    open_dir(tmp_path / "impostor" / "ledger", NAME).close()
    enroll(tmp_path / "impostor" / "ledger", loaded.keys / REQUEST_FILE)
    ledger = NearLedger(tmp_path / "impostor" / "ledger")
    work(ledger, sealed, loaded, lambda: "refused" in states(loaded))
    store = Database(loaded.database, read_only=True)
    assert [a.state for a in store.anchors.of()] == ["refused", "queued", "queued"]  # nothing is skipped
    assert "UnknownKey" in (store.anchors.of()[0].detail or "")
    store.close()
    ledger.close()


def test_a_refusal_is_an_alarm_and_anchoring_goes_on_once_it_is_mended(
    loaded: Config, sealed: Recorder, tmp_path: Path
) -> None:
    open_dir(tmp_path / "ledger", NAME).close()
    with loaded.trust.open("a") as trust:
        trust.write("\n" + trust_entry(tmp_path / "ledger"))
    ledger = NearLedger(tmp_path / "ledger")  # the gateway is not enrolled there
    work(ledger, sealed, loaded, lambda: "refused" in states(loaded))
    store = Database(loaded.database, read_only=True)
    assert "Unknown key" in (store.anchors.of()[0].detail or "")
    store.close()
    enroll(tmp_path / "ledger", loaded.keys / REQUEST_FILE)
    work(ledger, sealed, loaded, lambda: anchored(loaded))
    ledger.close()


def test_a_batch_of_the_future_is_given_again_and_the_alarm_says_when_it_is_taken(
    loaded: Config, sealed: Recorder, tmp_path: Path
) -> None:
    believed(tmp_path / "ledger", loaded)
    ledger = NearLedger(tmp_path / "ledger")
    assert ledger.log is not None
    ledger.log.behind_s = 1000.0  # as a gateway whose clock is ahead
    work(ledger, sealed, loaded, lambda: "refused" in states(loaded))
    store = Database(loaded.database, read_only=True)
    first, (batch, *_) = store.anchors.of()[0], store.batches.all()
    statement = parse_statement(batch.entry).statement
    at = max(-(-statement.to_ms // 1000), statement.iat) - 300
    assert first.detail is not None
    assert f"batch 0 is taken from {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ} on" in first.detail
    assert "check the clocks of this machine and of the ledger" in first.detail
    store.close()
    ledger.log.behind_s = 0.0
    work(ledger, sealed, loaded, lambda: anchored(loaded))
    ledger.close()


def test_a_disk_that_fails_does_not_end_the_uplink(
    loaded: Config, sealed: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another writer holds the database past the busy time-out; then it lets go and anchoring goes on by itself."""
    believed(tmp_path / "ledger", loaded)
    ledger = NearLedger(tmp_path / "ledger")
    sealed.call(lambda store: store._db.execute("PRAGMA busy_timeout = 0").fetchone()).result(timeout=30)
    blocker = sqlite3.connect(loaded.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    def done() -> bool:
        if blocker.in_transaction and "database is locked" in caplog.text:
            blocker.execute("ROLLBACK")
        return anchored(loaded)

    work(ledger, sealed, loaded, done)
    blocker.close()
    assert len(ledger.statements("test-gateway", -1)) == 3
    ledger.close()
    check_books(loaded)
