"""Two gateways in one folder whose lock somebody has deleted: the older stops by itself, and the books still hold."""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import load_config
from gateway.config.model import Config
from ledger_client.ledgers.http import HttpLedger
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, make_site, plant, until
from tests.system.restored.test_restore import Look, close


def only_tcp(loaded: Config) -> Config:
    """The same site without its serial line, which one process alone can open."""
    head, *buses = loaded.path.read_text().split("\n[[bus]]\n")
    kept = [bus for bus in buses if 'type = "modbus-tcp"' in bus]
    loaded.path.write_text("\n[[bus]]\n".join([head, *kept]))
    return load_config(loaded.path)


def test_one_folder_one_gateway_whatever_the_lock_says(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = only_tcp(make_site(tmp_path / "site", meters, ledger, seal_every="1s"))
        look = Look(loaded)
        older, newer = GatewayProcess(loaded), GatewayProcess(loaded)
        newer.log = tmp_path / "newer.log"
        older.start()
        until("batches with receipts", lambda: look.settled() >= 1)
        refused = apart("gateway.cli", "run", loaded.path)
        assert refused.code == 2
        assert older.process is not None
        assert f"another gateway process (pid {older.process.pid}) uses this folder" in refused.err
        (loaded.data / "meterseal.lock").unlink()
        newer.start()
        assert older.process.wait(30) == 2
        log = older.log.read_text()
        assert "another gateway process has begun a newer epoch in this database; this process stops" in log
        assert "fix: run one gateway in this folder" in log
        assert "Traceback" not in log
        before = look.settled()
        until("the newer one to go on", lambda: look.settled() >= before + 2)
        assert newer.stop() == 0
        entries = close(loaded, ledger)
        assert len(entries) == look.batches()
        held = HttpLedger(ledger.name, ledger.url)
        assert held.last(loaded.gateway_id) is not None
        held.close()
