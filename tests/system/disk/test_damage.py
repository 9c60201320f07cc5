"""A database that was damaged while its gateway stood still: real processes, a real ledger, real proofs."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.support.books import check_books
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, make_site, plant, until
from tests.system.restored.test_restore import Look, close, run_until_settled, status

PAGE = 4096


def test_a_damaged_database_is_recovered_and_its_batches_go_on_at_the_ledger(tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        loaded = make_site(tmp_path / "site", meters, ledger, seal_every="1s")
        look = Look(loaded)
        run_until_settled(loaded, 4)
        was = look.settled()
        early = "SELECT meter, epoch, seq FROM records WHERE kind = 'reading' ORDER BY id LIMIT 1"
        ((meter, epoch, seq),) = look(lambda store: store.all(early))
        old = f"{meter}/{epoch.hex()}/{seq}"
        newest = look(lambda store: store.all("SELECT data FROM records WHERE id > (SELECT max(last_id) FROM batches)"))
        content = bytearray(loaded.database.read_bytes())
        hit = {0, content.index(bytes(newest[0][0])) // PAGE}  # the schema, and a page of records that no batch holds
        for page in hit:
            content[page * PAGE : (page + 1) * PAGE] = os.urandom(PAGE)
        loaded.database.write_bytes(content)

        for arguments in (
            ["status", loaded.path],
            ["readings", loaded.path],
            ["prove", loaded.path, old, "-o", tmp_path / "x"],
        ):
            done = apart("gateway.cli", *arguments)
            assert (done.code, done.out) == (1, "")
            assert "fix: restart the gateway with `meterseal run CONFIG`" in done.err
            assert "Traceback" not in done.err
        assert loaded.database.read_bytes() == content

        gateway = GatewayProcess(loaded)
        gateway.start()
        until("batches to go on", lambda: look.settled() > was)
        code, facts = status(loaded)
        assert code == 1
        kept = min(loaded.data.glob("meterseal.db.damaged-*"))
        assert kept.read_bytes() == content
        assert any(f"the damaged database is kept as {kept.name}" in problem for problem in facts["problems"])
        assert "database-repaired" in [alarm["code"] for alarm in facts["alarms"]]
        assert gateway.stop() == 0
        check_books(loaded)
        store = Database(loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == "gateway"]
        assert [body.name for body in bodies if isinstance(body, Event)].count("repaired") == 1
        store.close()
        close(loaded, ledger)
        for record in (old, "export-main"):
            proof = tmp_path / "reading.mseal"
            made = apart("gateway.cli", "prove", loaded.path, record, "-o", proof)
            assert made.code == 0, made.err
            verified = apart("ledger_client.cli", "verify", proof, "--trust", loaded.trust)
            assert verified.code == 0, verified.err
