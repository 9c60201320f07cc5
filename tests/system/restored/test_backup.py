"""A backup and exports beside a running gateway; the backup put back as docs/storage.md says, the exports audited."""

from __future__ import annotations

import shutil
from pathlib import Path

from gateway.config.load import load_config
from ledger_client.formats.statement import parse_statement
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, make_site, plant, until
from tests.system.restored.test_restore import Look, close, run_until_settled


def test_a_backup_is_made_and_put_back_and_the_exports_outlive_the_loss(tmp_path: Path) -> None:
    exports, file = tmp_path / "exports", tmp_path / "backup.db"
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger, seal_every="1s")
        look = Look(loaded)
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("two receipts", lambda: look.settled() >= 2)
        looked = apart("gateway.cli", "doctor", loaded.path, "--json").facts
        found = {entry["check"]: entry["result"] for entry in looked["checks"]}
        sure = ("database", "permissions", "line rs485-1", "line inverters", "keys", "ledger demo-ledger", "versions")
        assert {name: found[name] for name in sure} == dict.fromkeys(sure, "ok")
        assert looked["healthy"] == ("bad" not in found.values())
        run = apart("gateway.cli", "backup", loaded.path, "-o", file)
        assert run.code == 0, run.err
        assert f"the private keys in {loaded.keys}, " in run.out
        then = look.settled()
        until("three receipts more", lambda: look.settled() >= then + 3)
        done = apart("gateway.cli", "export", loaded.path, "-o", exports, "--json")
        assert done.code == 0, done.err
        exported = [entry["batch"] for entry in done.facts["written"]]
        assert exported == list(range(len(exported)))
        assert len(exported) >= 5
        gateway.kill()

        # as docs/storage.md says
        for name in ("meterseal.db", "meterseal.db-wal", "meterseal.db-shm"):
            (loaded.data / name).unlink(missing_ok=True)
        shutil.copy(file, loaded.database)
        run_until_settled(loaded, 2)
        entries = close(loaded, ledger)

        resumed = [s for s in (parse_statement(entry).statement for entry in entries) if s.resume is not None]
        assert len(resumed) == 1
        done = apart("gateway.cli", "export", loaded.path, "-o", exports, "--json")
        assert len(list(exports.iterdir())) >= len(entries) - 3  # what was anchored after the export, and lost
        for batch in (resumed[0].batch, resumed[0].batch + 1):
            one = tmp_path / f"{batch}.mbatch"
            assert apart("gateway.cli", "export", loaded.path, "--batch", batch, "-o", one).code == 0
            options = ("--trust", loaded.trust, "--allow-resume", "--json")
            beside = tmp_path.glob("*.mseal")
            alone = apart("ledger_client.cli", "audit", one, *beside, *options).facts
            assert alone["findings"] == []

        files = sorted(exports.iterdir())
        run = apart("ledger_client.cli", "audit", *files, "--trust", loaded.trust, "--json")
        assert run.code == 1
        assert any("goes on after a loss" in found["detail"] for found in run.facts["findings"])
        audit = apart("ledger_client.cli", "audit", *files, *options).facts
        assert audit["findings"] == []
        assert any("goes on after a loss" in note for note in audit["notes"])

        meter = audit["meters"][0]["name"]
        target = ("-o", tmp_path / "x.mseal")  # the first batch may have been cut before a reading came
        proofs = (apart("ledger_client.cli", "prove", file, meter, *target) for file in files)
        assert any(proof.code == 0 for proof in proofs)
        assert apart("ledger_client.cli", "verify", tmp_path / "x.mseal", "--trust", loaded.trust).code == 0


def test_an_older_backup_of_a_site_goes_on_in_a_new_folder_and_doubles_nothing(tmp_path: Path) -> None:
    archive, passphrase = tmp_path / "site.tar", tmp_path / "passphrase"
    passphrase.write_text("four words behind a door")
    secret = ("--passphrase-file", passphrase)
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger, seal_every="1s")
        gateway = GatewayProcess(loaded)
        gateway.start()
        look = Look(loaded)
        until("two receipts", lambda: look.settled() >= 2)
        made = apart("gateway.cli", "backup", loaded.path, "--site", "--with-keys", *secret, "-o", archive)
        assert made.code == 0, made.err
        then = look.settled()
        until("three receipts more", lambda: look.settled() >= then + 3)
        gateway.kill()  # and that machine stays off

        restored = apart("gateway.cli", "restore", archive, tmp_path / "new", *secret)
        assert restored.code == 0, restored.err
        new = load_config(tmp_path / "new" / "gateway.toml")
        run_until_settled(new, 2)
        entries = close(new, ledger)  # each record is sealed once, over all that the ledger holds
        statements = [parse_statement(entry).statement for entry in entries]
        assert [statement.batch for statement in statements] == list(range(len(statements)))
        assert len([statement for statement in statements if statement.resume is not None]) == 1
