"""`meterseal init`: what it asks for, and a ledger that is known from the beginning."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.app import main
from gateway.commissioning.preflight import prepare
from gateway.config.load import load_config
from tests.support.processes import embedded_ledger
from tests.system.demo_site import command

URL = "http://127.0.0.1:8700"


def init(folder: Path, *options: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["init", str(folder), *map(str, options)])
    return done.exit_code, done.output


def test_a_ledger_that_is_named_is_trusted_from_the_start(tmp_path: Path) -> None:
    with embedded_ledger(tmp_path / "ledger", "north") as ledger:
        shown = command("ledger_client.cli", "show", ledger.folder, "--trust").stdout
        (tmp_path / "north.toml").write_text(shown)
        code, said = init(tmp_path / "site", "--ledger", ledger.url, "--ledger-key", tmp_path / "north.toml")
    assert (code, "append the ledger's key" in said) == (0, False), said
    config = load_config(tmp_path / "site" / "gateway.toml")
    assert [(entry.name, entry.url) for entry in config.document.ledger] == [("north", ledger.url)]
    assert prepare(config, may_be_missing=True).trust.ledgers == ("north",)


@pytest.mark.parametrize("text", ["", "[[key]]\nrole = 'x'\n", "{", "[policy]\nreceipts = 1\n"])
def test_a_file_that_is_no_ledgers_key_is_refused_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.toml").write_text(text)
    code, said = init(tmp_path / "site", "--ledger", URL, "--ledger-key", tmp_path / "key.toml")
    assert (code, str(tmp_path / "key.toml") in said) == (2, True), said
    assert not (tmp_path / "site").exists()


def test_a_ledger_needs_its_key(tmp_path: Path) -> None:
    code, said = init(tmp_path / "site", "--ledger", URL)
    assert (code, "--ledger and --ledger-key go together" in said) == (2, True), said
