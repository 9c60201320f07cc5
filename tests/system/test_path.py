"""The path that a user walks, command by command, with real processes; then the books are opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.storage.database import Database
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, close_books, make_site, plant, until


def test_from_init_to_a_verified_reading(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger)
        for key in loaded.keys.glob("*.pem"):
            assert key.stat().st_mode & 0o777 == 0o600
        checked = apart("gateway.cli", "check", loaded.path)
        assert checked.code == 0, checked.err
        assert "function 4" in checked.out
        once = apart("gateway.cli", "read", loaded.path, "stack-co2", "--json")
        assert once.code == 0, once.err
        assert {"co2", "temperature"} <= {value["name"] for value in once.facts["values"]}

        gateway = GatewayProcess(loaded, dict(os.environ))
        gateway.start()
        try:
            store = until("a database", lambda: loaded.database.exists()) and Database(loaded.database, read_only=True)
            until("a receipt for each meter", lambda: all(store.records.newest_anchored(m) for m in loaded.meters))
            store.close()
            facts = apart("gateway.cli", "status", loaded.path, "--json").facts
            assert facts["running"]
            assert facts["receipts"] >= 1
            second = apart("gateway.cli", "run", loaded.path)
            assert second.code == 2
            assert "Traceback" not in second.err
            shown = apart("gateway.cli", "readings", loaded.path, "export-main", "--json")
            record = shown.facts["readings"][0]["record"]
            until("its batch", lambda: prove(loaded.path, record, tmp_path / "x.mseal") == 0)
        finally:
            assert gateway.stop() == 0

        text = apart("ledger_client.cli", "verify", tmp_path / "x.mseal", "--trust", loaded.trust)
        assert text.code == 0, text.err
        assert "export-main" in text.out
        assert "demo-ledger" in text.out
        facts = apart("ledger_client.cli", "verify", tmp_path / "x.mseal", "--trust", loaded.trust, "--json").facts
        assert facts["verified"] is True
        assert (facts["gateway"], facts["meter"], facts["kind"]) == ("test-gateway", "export-main", "reading")

        balances = close_books(loaded, ledger, meters)
        assert all(balance.readings > 2 for balance in balances.values())


def prove(config_path: Path, record: str, output: Path) -> int:
    return apart("gateway.cli", "prove", config_path, record, "-o", output).code


@pytest.mark.parametrize("missing", ["database", "meter", "record"])
def test_what_is_not_there_is_said_plainly(missing: str, tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger)
    if missing == "database":
        done = apart("gateway.cli", "readings", loaded.path)
    elif missing == "meter":
        done = apart("gateway.cli", "read", loaded.path, "export-min")
    else:
        Database(loaded.database).close()
        done = apart("gateway.cli", "prove", loaded.path, "export-main/0011223344556677/5", "-o", tmp_path / "x")
    assert done.code == 2
    assert "fix: " in done.err
    assert "Traceback" not in done.err
