"""What gateways in the field hold stays readable: the site of a former release, read and continued by this code.

``former_site/`` is of the first release, 0.1.0 (make_former_site.py says how). Once that is tagged, a test that fails
here says that an update would take something from its user: data, a proof, a setting. The files then stay.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.demo import finish
from gateway.config.device_keys import load_keys
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth.exposure import users_file
from gateway.dashboard.shell.users import matches, read_users
from gateway.storage.database import Database
from ledger_client.formats.statement import parse_statement
from ledger_client.verification.trust_file import load_trust
from tests.support.books import check_all_is_sealed, check_books
from tests.support.commands import check_audit, gateway_command, ledger_command
from tests.support.gateways.recount import check_summaries
from tests.support.processes import embedded_ledger
from tests.support.samples import rewritten
from tests.system.demo_site import GatewayProcess, plant, until
from tests.system.former_site import PLACE, put_back
from tests.system.make_former_site import PASSWORD

MOST_BYTES = 300_000
VERSION = 10
TABLES = {"records", "batches", "anchors", "schedules", "totals", "summaries", "alarms", "cursors"}


@pytest.fixture
def former(tmp_path: Path) -> Path:
    return put_back(tmp_path / "former")


@pytest.fixture
def loaded(former: Path) -> Config:
    """With its database brought up to date, as by the first start after the update."""
    config = load_config(former / "site" / "gateway.toml")
    Database(config.database).close()
    return config


@pytest.fixture
def store(loaded: Config) -> Iterator[Database]:
    with closing(Database(loaded.database)) as opened:
        yield opened


def facts(former: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((former / "facts.json").read_text())
    return found


def rows(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in a database, by table."""
    with closing(sqlite3.connect(database)) as opened:
        names = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: opened.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def batch_files(former: Path) -> list[Path]:
    return sorted(path for path in (former / "exports").iterdir() if path.suffix in (".mbatch", ".mseal"))


def test_the_files_are_small_texts() -> None:
    files = [path for path in PLACE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert [path for path in files if not path.read_text().replace("\n", "").isprintable()] == []
    assert [path for path in files if "PRIVATE KEY" in path.read_text()] == []


def test_its_configuration_is_the_same_configuration(former: Path, loaded: Config) -> None:
    """A new fingerprint would be announced as a changed configuration at the first start after the update."""
    assert loaded.fingerprint().hex() == facts(former)["fingerprint"]
    assert set(loaded.meters) == {"export-main", "stack-co2", "pv-inverter"}
    assert [feed.name for feed in loaded.document.feed] == ["scada", "house"]


def test_its_keys_users_and_trust_file_are_read(loaded: Config) -> None:
    keys, trust = load_keys(loaded), load_trust(loaded.trust)
    assert trust.find("statement", gateway="test-gateway", kid=keys.statement.public.kid)
    for meter, signer in keys.meters.items():
        assert trust.find("meter", gateway="test-gateway", meter=meter, kid=signer.public.kid)
    assert (trust.receipts, trust.ledgers, trust.has_ledger_key("demo-ledger")) == (1, ("demo-ledger",), True)
    user = read_users(users_file(loaded))["installer-1"]
    assert user.role == "installer"
    assert matches(PASSWORD, user.hash)


def test_its_database_opens_with_everything_in_it(former: Path) -> None:
    path = load_config(former / "site" / "gateway.toml").database
    before = rows(path)
    assert {name for name in TABLES if before[name]} == TABLES
    Database(path).close()
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (VERSION,)
    after = rows(path)
    assert after == before


def test_its_books_hold(loaded: Config, store: Database) -> None:
    check_books(loaded)
    check_all_is_sealed(loaded)
    assert check_summaries(store) > 6
    assert store.flaws(whole=True) == []


def test_its_status_is_what_it_was(former: Path, loaded: Config) -> None:
    now, then = gateway_command("status", loaded.path, "--json").facts, facts(former)["status"]
    assert now.keys() == then.keys()
    for meters in (now["meters"], then["meters"]):
        for meter in meters:
            assert meter.pop("age_s") > 0
    # sentences are those of this version
    assert (now.pop("problems"), len(then.pop("problems"))) == (["the gateway is not running; nothing is recorded"], 1)
    for now_feed, then_feed in zip(now["feeds"], then["feeds"], strict=True):
        assert now_feed.pop("state") == "unknown: the gateway does not report it"
        assert then_feed.pop("state").startswith("unknown: ")
    for key in ("horizon", "web"):  # of this disk, of this folder
        now.pop(key), then.pop(key)
    assert now == then


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_its_readings_are_what_they_were(form: str, former: Path, loaded: Config) -> None:
    output = former / f"again.{form}"
    done = gateway_command("readings", loaded.path, "--from", "2020-01-01T00:00:00Z", "-o", output)
    assert done.code == 0, done.err
    assert output.read_bytes() == (former / f"readings.{form}").read_bytes()


@pytest.mark.parametrize("meter", ["export-main", "stack-co2", "pv-inverter"])
def test_its_proofs_are_the_same_bytes_and_verify(meter: str, former: Path, loaded: Config) -> None:
    kept = former / f"{meter}.mseal"
    answer = ledger_command("verify", kept, "--trust", loaded.trust, "--kind", "reading", "--json")
    assert answer.code == 0, answer
    record = f"{answer.facts['meter']}/{answer.facts['epoch']}/{answer.facts['seq']}"
    (batch,) = (
        path for path in batch_files(former) if path.name.endswith(f"-batch-{answer.facts['batch']:010d}.mbatch")
    )
    for done in (
        gateway_command("prove", loaded.path, record, "-o", former / "again.mseal"),
        ledger_command("prove", batch, record, "-o", former / "out-of-the-batch.mseal"),
    ):
        assert done.code == 0, done.err
    assert (former / "again.mseal").read_bytes() == kept.read_bytes()
    assert (former / "out-of-the-batch.mseal").read_bytes() == kept.read_bytes()


def test_its_batches_are_exported_as_the_same_bytes(former: Path, loaded: Config) -> None:
    kept = {path.name: path.read_bytes() for path in batch_files(former)}
    shutil.rmtree(former / "exports")
    assert gateway_command("export", loaded.path, "-o", f"{former / 'exports'}/").code == 0
    assert {path.name: path.read_bytes() for path in batch_files(former)} == kept


def test_nothing_is_found_against_its_batches(former: Path, loaded: Config) -> None:
    audit = ("audit", *batch_files(former), "--trust", loaded.trust, "--gateway", "test-gateway", "--json")
    answer = ledger_command(*audit)
    assert (answer.code, answer.facts["findings"], answer.facts["notes"]) == (0, [], [])
    assert answer.facts["records"] == facts(former)["status"]["records"]


def test_it_goes_on_where_it_ended(former: Path, loaded: Config) -> None:
    """Gateway and ledger start on what they kept; the chain of every meter, the batches and an audit go on."""
    before = rows(loaded.database)
    with embedded_ledger(former / "ledger", "demo-ledger") as ledger, plant(former / "site") as meters:
        bus = next(bus for bus in loaded.document.bus if not bus.serial)
        loaded = rewritten(
            loaded,
            (f"port = {bus.port}", f"port = {meters.lines()['inverter']['port']}"),
            (loaded.document.ledger[0].url, ledger.url),
        )
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("readings of every meter", lambda: len(_meters_since(loaded, before["records"][-1][0])) == 3)
        until("a new receipt", lambda: _receipts(loaded) > len(before["anchors"]))
        assert gateway.stop() == 0
        finish.finish(loaded, within_s=30)
    check_books(loaded)
    check_all_is_sealed(loaded)
    check_audit(loaded, "--gateway", "test-gateway")
    after = rows(loaded.database)
    for table in ("records", "batches", "anchors"):
        assert after[table][: len(before[table])] == before[table]
    first = parse_statement(after["batches"][len(before["batches"])][2]).statement
    assert (first.batch, first.prev) == (len(before["batches"]), before["batches"][-1][1])
    assert first.resume is None


def _meters_since(loaded: Config, last_id: int) -> set[str]:
    with closing(Database(loaded.database, read_only=True)) as store:
        return {row.meter for row in store.records.rows(last_id + 1, 1 << 60) if row.kind == "reading"}


def _receipts(loaded: Config) -> int:
    with closing(Database(loaded.database, read_only=True)) as store:
        return store.anchors.count_receipts()
