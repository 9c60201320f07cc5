"""A database that was put back, and a card that was cloned: real gateways, a real ledger over HTTP, real kills."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from gateway.cli.demo import finish
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import parse_statement
from ledger_client.ledgers.http import HttpLedger
from tests.support.books import check_all_is_sealed, check_books, check_each_record_is_sealed_once
from tests.support.commands import check_audit
from tests.support.gateways.apart import apart
from tests.support.processes import EmbeddedLedger, embedded_ledger
from tests.system.demo_site import GatewayProcess, Plant, make_site, plant, until


class Look:
    """Questions to a database that others write."""

    def __init__(self, loaded: Config) -> None:
        self._path = loaded.database

    def __call__(self, question: Any) -> Any:
        store = Database(self._path, read_only=True)
        try:
            return question(store)
        finally:
            store.close()

    def settled(self) -> int:
        return int(self(lambda store: store.anchors.count_receipts()))

    def batches(self) -> int:
        return int(self(lambda store: store.batches.count()))

    def cuts(self) -> int:
        return len(self(lambda store: store.batches.cuts()))

    def readings(self) -> int:
        return int(self(lambda store: store.records.kinds().get("reading", 0)))

    def conflicts(self) -> int:
        return len(self(lambda store: store.anchors.conflicts()))


def status(loaded: Config) -> tuple[int, dict[str, Any]]:
    done = apart("gateway.cli", "status", loaded.path, "--json")
    return done.code, done.facts


def run_until_settled(loaded: Config, more: int) -> None:
    """Start a gateway, let it anchor so many batches more, stop it."""
    look = Look(loaded)
    before = look.settled() if loaded.database.exists() else 0
    gateway = GatewayProcess(loaded)
    gateway.start()
    until(f"{more} receipts", lambda: look.settled() >= before + more)
    assert gateway.stop() == 0


def kill_at(loaded: Config, station: str, flag: Path) -> None:
    gateway = GatewayProcess(loaded, dict(os.environ) | {"METERSEAL_HOLD": f"{station}:1:{flag}"})
    gateway.start()
    until(f"the gateway to reach {station}", flag.exists)
    gateway.kill()
    flag.unlink()


def close(loaded: Config, ledger: EmbeddedLedger) -> list[bytes]:
    """Seal and anchor the rest; then each record is sealed once, over all that the ledger holds, which is returned."""
    finish.finish(loaded, within_s=30)
    log = HttpLedger(ledger.name, ledger.url)
    entries = log.statements(loaded.gateway_id, -1)
    log.close()
    check_books(loaded)
    check_all_is_sealed(loaded)
    check_each_record_is_sealed_once(loaded, entries)
    check_audit(loaded, "--allow-resume")
    return entries


def test_a_database_that_was_put_back_is_recognised_through_outage_and_kills(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger, seal_every="1s")
        look = Look(loaded)
        run_until_settled(loaded, 2)  # the stop leaves records that no batch holds
        backup = Path(shutil.copy(loaded.database, tmp_path / "backup.db"))
        run_until_settled(loaded, 2)
        loaded.database.unlink()
        shutil.copy(backup, loaded.database)
        was = look.batches()

        ledger.stop()
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("batches to be cut", lambda: look.cuts() >= 3)
        assert look.batches() == was
        _, facts = status(loaded)
        assert facts["sealing"].startswith("sealing waits until ledger demo-ledger has answered once since the start")
        assert facts["sealing"] not in facts["problems"]
        assert gateway.stop() == 0
        assert look.batches() == was

        ledger.start()
        kill_at(loaded, "restore", tmp_path / "held")
        assert look(lambda store: store.anchors.known()) is None
        assert look(lambda store: store.elsewhere.count()) == (0, 0)
        kill_at(loaded, "restored", tmp_path / "held")
        known = look(lambda store: store.anchors.known())
        marked, untold = look(lambda store: store.elsewhere.count())
        assert known.batch >= was + 1
        assert marked > 0
        assert untold == 0
        assert look.batches() == was
        run_until_settled(loaded, 3)

        entries = close(loaded, ledger)
        statements = [parse_statement(entry).statement for entry in entries]
        assert [statement.batch for statement in statements] == list(range(len(statements)))
        assert [s.batch for s in statements if s.resume is not None] == [known.batch + 1]
        rows = look(lambda store: store.records.rows(1, 1 << 60))
        events = [parse_record(row.data).body for row in rows if row.meter == "gateway"]
        found = [event for event in events if isinstance(event, Event) and event.name == "rollback"]
        assert [event.fields["records"] for event in found] == [marked, marked]  # the first was killed before it was so
        _, facts = status(loaded)
        assert f"{marked} of its records are sealed in batches that only the ledger holds" in facts["restored"]["text"]


def clone(loaded: Config, folder: Path, first: Plant, second: Plant) -> Config:
    """The same card in a second machine, which has meters of its own."""
    shutil.copytree(loaded.path.parent, folder, ignore=shutil.ignore_patterns("*.sock"))
    text = loaded.path.read_text()
    for line, place in first.lines().items():
        text = text.replace(f"{place['port']}", f"{second.lines()[line]['port']}")
    (folder / loaded.path.name).write_text(text)
    return load_config(folder / loaded.path.name)


def test_two_machines_with_one_card_part_and_the_way_out_works(tmp_path: Path) -> None:
    with (
        plant(tmp_path / "plant") as meters,
        plant(tmp_path / "plant-2") as others,
        embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger,
    ):
        loaded = make_site(tmp_path / "site", meters, ledger, seal_every="1s")
        run_until_settled(loaded, 2)
        sites = [loaded, clone(loaded, tmp_path / "clone", meters, others)]
        gateways = [GatewayProcess(site) for site in sites]
        for gateway in gateways:
            gateway.start()
        until("one of them to stop", lambda: any(Look(site).conflicts() for site in sites))
        loser = next(i for i, site in enumerate(sites) if Look(site).conflicts())
        lost, won = sites[loser], sites[1 - loser]
        look = Look(lost)
        batches, readings, settled = look.batches(), look.readings(), Look(won).settled()
        until("polling to go on", lambda: look.readings() > readings + 10 and look.cuts() >= 2)
        until("the other to go on", lambda: Look(won).settled() > settled)
        assert look.batches() == batches
        code, facts = status(lost)
        assert code == 1
        (text,) = facts["conflicts"]
        assert "two gateways seal under the name 'test-gateway'" in text
        assert f"move {lost.database}* aside" in text
        assert text in facts["problems"]
        assert "equivocation" in [alarm["code"] for alarm in facts["alarms"]]
        assert Look(won).conflicts() == 0

        # The way out, word for word: stop the other, stop this one, move its database aside, start it again.
        for gateway in gateways:
            assert gateway.stop() == 0
        check_books(won)
        check_books(lost)
        aside = tmp_path / "aside"
        aside.mkdir()
        for file in lost.data.glob("meterseal.db*"):
            file.rename(aside / file.name)
        run_until_settled(lost, 2)
        code, facts = status(lost)
        assert (facts["conflicts"], facts["restored"]["sealed_elsewhere"]) == ([], 0)
        entries = close(lost, ledger)
        assert [parse_statement(entry).statement.batch for entry in entries] == list(range(len(entries)))

        # What it costs: the records since the two parted stay in the file that was put aside, and are in no ledger.
        held = {
            (meter, stretch.epoch, seq)
            for entry in entries
            for meter, stretches in parse_statement(entry).statement.meters.items()
            for stretch in stretches
            for seq in range(stretch.first, stretch.last + 1)
        }
        old = Database(aside / "meterseal.db", read_only=True)
        (conflict,) = old.anchors.conflicts()
        parted = old.batches.numbered(conflict.batch)
        assert parted is not None
        assert all(row[:3] in held for row in old.records.rows(1, parted.first_id - 1))
        unproven = [row for row in old.records.rows(parted.first_id, 1 << 60) if row[:3] not in held]
        old.close()
        assert sum(row.kind == "reading" for row in unproven) > 10
