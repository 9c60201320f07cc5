"""`meterseal init`: a site that runs as it is, and a ledger that is known from the beginning or added later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.startup.preflight import prepare
from gateway.storage.database import Database
from tests.support.commands import gateway_command
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, Plant, plant, until

URL = "http://127.0.0.1:8700"
READINGS = "SELECT count(*) FROM records JOIN batches ON id BETWEEN first_id AND last_id WHERE kind = 'reading'"
SETTLED = "SELECT count(*) FROM anchors WHERE state = 'settled'"
SETTLED_FIRST = "SELECT count(*) FROM anchors WHERE state = 'settled' AND batch = 0"


def init(folder: Path, *options: object) -> tuple[int, str]:
    done = gateway_command("init", folder, *options)
    return done.code, done.output


def test_a_ledger_that_is_named_is_trusted_from_the_start(tmp_path: Path) -> None:
    with embedded_ledger(tmp_path / "ledger", "north") as ledger:
        shown = apart("ledger_client.cli", "show", ledger.folder, "--trust").out
        (tmp_path / "north.toml").write_text(shown)
        code, printed = init(tmp_path / "site", "--ledger", ledger.url, "--ledger-key", tmp_path / "north.toml")
    assert (code, "append the ledger's key" in printed) == (0, False), printed
    config = load_config(tmp_path / "site" / "gateway.toml")
    assert [(entry.name, entry.url) for entry in config.document.ledger] == [("north", ledger.url)]
    assert prepare(config, may_be_missing=True).trust.ledgers == ("north",)


@pytest.mark.parametrize("text", ["", "[[key]]\nrole = 'x'\n", "{", "[policy]\nreceipts = 1\n"])
def test_a_file_that_is_no_ledgers_key_is_refused_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.toml").write_text(text)
    code, printed = init(tmp_path / "site", "--ledger", URL, "--ledger-key", tmp_path / "key.toml")
    assert (code, str(tmp_path / "key.toml") in printed) == (2, True), printed
    assert not (tmp_path / "site").exists()


def test_a_ledger_needs_its_key(tmp_path: Path) -> None:
    code, printed = init(tmp_path / "site", "--ledger", URL)
    assert (code, "--ledger and --ledger-key go together" in printed) == (2, True), printed


@pytest.fixture
def unanchored(tmp_path: Path) -> Iterator[Config]:
    """A site of plain `meterseal init`, beside its plant; only ports and periods are made fit for a test."""
    with plant(tmp_path / "plant") as meters:
        code, printed = init(tmp_path / "site")
        assert (code, "it runs without a ledger" in printed) == (0, True), printed
        yield load_config(quick(tmp_path / "site" / "gateway.toml", meters))


def quick(path: Path, meters: Plant) -> Path:
    lines, text = meters.lines(), path.read_text()
    changes = {
        '"rs485-1"  ': f'"{lines["rs485-1"]["port"]}"  ',
        "5020": str(lines["inverter"]["port"]),
        '"60s"': '"2s"',
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def check(config: Config) -> tuple[int, str]:
    done = gateway_command("check", config.path)
    return done.code, done.output


def count(config: Config, sql: str) -> int:
    if not config.database.exists():
        return 0
    store = Database(config.database, read_only=True)
    found = store.count(sql)
    store.close()
    return found


def recorded(config: Config, what: str, sql: str) -> None:
    """Run the gateway until the statement counts something."""
    gateway = GatewayProcess(config)
    gateway.start()
    try:
        until(what, lambda: count(config, sql))
    finally:
        assert gateway.stop() == 0


def test_a_site_without_a_ledger_is_valid_and_records_and_anchors_at_a_later_one(
    tmp_path: Path, unanchored: Config
) -> None:
    """The lines of the ledger are there as comments, and `check` names in turn each that is still missing."""
    assert (checked := check(unanchored))[0] == 0, checked
    assert checked[1].endswith(f"{unanchored.path}: valid\n")
    recorded(unanchored, "a sealed reading", READINGS)
    assert count(unanchored, SETTLED) == 0
    with embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        text = unanchored.path.read_text().replace("http://127.0.0.1:8700", ledger.url)
        unanchored.path.write_text(re.sub(r"(?m)^# (?=\[\[ledger|(name|type|policy|url) =)", "", text))
        code, printed = check(unanchored)
        assert (code, 'fix: add [policy] with receipts = 1 and ledgers = ["demo-ledger"]' in printed) == (2, True), (
            printed
        )
        trust = unanchored.trust
        trust.write_text(re.sub(r"(?m)^# (?=\[policy|(receipts|ledgers) =)", "", trust.read_text()))
        code, printed = check(unanchored)
        assert (code, "[[key]] of ledger 'demo-ledger'" in printed) == (2, True), printed
        with trust.open("a") as file:
            file.write("\n" + apart("ledger_client.cli", "show", ledger.folder, "--trust").out)
        assert (checked := check(unanchored))[0] == 0, checked
        request = unanchored.keys / "gateway.enrol"
        assert apart("ledger_client.cli", "enroll", ledger.folder, request, "--yes").code == 0
        recorded(load_config(unanchored.path), "a receipt of the first batch", SETTLED_FIRST)
