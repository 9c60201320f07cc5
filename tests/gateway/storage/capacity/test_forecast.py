"""The horizon: what it foretells comes true in a real database, and its words fit what pruning can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.accounting.statements.retention import Retention
from gateway.config.model import Config
from gateway.status.collect import collect
from gateway.storage.capacity import disk_space
from gateway.storage.capacity.disk_space import Space
from gateway.storage.capacity.forecast import Forecast, horizon
from ledger_client.message_formats import size, span
from tests.support.samples import Hands, site

DAY_MS = 86_400_000
GB = 10**9


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


def settled(hands: Hands) -> None:
    with hands.store.transaction():
        for anchor in hands.store.anchors.of():
            hands.store.anchors.mark(anchor.batch, anchor.ledger, "settled", 0, receipt=bytes(300))


def look(loaded: Config, hands: Hands, *, running: bool = True) -> Forecast:
    return horizon(loaded, hands.store, hands.machine.wall_ms, Retention().waits, running=running)


def test_the_database_grows_as_foretold(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(300)
    hands.journal.cut()
    settled(hands)
    before, configured = look(loaded, hands), look(loaded, hands, running=False)
    assert (before.measured, configured.measured) == (True, False)
    assert configured.bytes_per_s == pytest.approx(before.bytes_per_s, rel=0.1)
    began_ms = hands.machine.wall_ms
    hands.poll(300)
    hands.journal.cut()
    settled(hands)
    grown = look(loaded, hands).space.used - before.space.used
    seconds = (hands.machine.wall_ms - began_ms) / 1000
    assert grown == pytest.approx(before.bytes_per_s * seconds, rel=0.2)
    hands.end()


def test_for_ever_ends_when_the_ledger_goes_and_when_keep_is_too_long(
    loaded: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(loaded)
    hands.poll(60)
    hands.journal.cut()
    room = [Space(GB, 100 * GB, 8 * GB)]
    monkeypatch.setattr(disk_space, "measure", lambda *_: room[0])
    hands.machine.passes(3600)
    away = look(loaded, hands)
    assert not away.for_ever
    assert "nothing can be pruned while receipts from demo-ledger are missing" in away.text
    assert away.seconds == pytest.approx(7 * GB / away.bytes_per_s)
    assert away.thin_seconds == pytest.approx(5.4 * GB / away.bytes_per_s)
    settled(hands)
    fine = look(loaded, hands)
    assert fine.for_ever
    assert fine.text.startswith("space lasts permanently: 1 GB of 8 GB used")
    assert "without further receipts" in fine.text
    room[0] = Space(10**6, GB, 50 * 10**6)  # 90 d need more
    tight = look(loaded, hands)
    assert not tight.for_ever
    assert "90 d of records (`keep`) need about" in tight.text
    assert "more than there is" in tight.text
    room[0] = Space(42 * 10**6, GB, 50 * 10**6)
    assert "fewer polls are already recorded" in look(loaded, hands).text
    room[0] = Space(50 * 10**6, 0, 50 * 10**6)
    assert look(loaded, hands).text.startswith("no space left")
    hands.end()


def test_without_a_ledger_nothing_may_ever_go(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.poll(10)
    hands.journal.flush()
    alone = replace(loaded, document=loaded.document.model_copy(update={"ledger": ()}))
    assert "no ledger is configured" in look(alone, hands, running=False).text
    optional = tuple(entry.model_copy(update={"policy": "optional"}) for entry in loaded.document.ledger)
    either = replace(loaded, document=loaded.document.model_copy(update={"ledger": optional}))
    assert look(either, hands, running=False).for_ever
    found = collect(loaded, hands.store, hands.machine.wall_ms).forecast
    assert found is not None
    assert found.for_ever is True
    assert "a day (configured rate); " in found.text
    hands.end()


def test_a_thinned_gateway_lasts_longer_by_its_rate_since_then(loaded: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(loaded)
    hands.poll(200)
    full = look(loaded, hands)
    monkeypatch.setattr(disk_space, "measure", lambda *_: Space(96, 10**9, 100))
    hands.poll(600)
    thinned = look(loaded, hands)
    assert thinned.measured
    assert thinned.bytes_per_s < full.bytes_per_s / 2  # coverage and batches go on as before
    hands.end()


def test_an_empty_database_says_that_it_does_not_know(loaded: Config) -> None:
    hands = Hands(loaded)
    hands.store.run("DROP TRIGGER records_leave_by_pruning")
    hands.store.run("DELETE FROM records")
    assert "not known" in look(loaded, hands).text
    hands.store.close()


def test_sizes_and_times_are_said_as_people_say_them() -> None:
    assert [size(n) for n in (0, 999, 1500, 999_600, 2.13e9, 8e9, 250e9, 3e12)] == [
        "0 B", "999 B", "1.5 kB", "1 MB", "2.1 GB", "8 GB", "250 GB", "3 TB"
    ]  # fmt: skip
    assert [" ".join(span(s)) for s in (1, 119, 600, 37 * 3600, 5 * 86400, 5e8)] == [
        "1 s",
        "119 s",
        "10 min",
        "37 h",
        "5 d",
        "16 years",
    ]
