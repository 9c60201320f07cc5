"""What judging and storing a record costs, by one receiver and by two at once; and what a row takes on disk."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet.fleet_messages import Made, made
from benchmarks.fleet.fleet_records import VALUES
from benchmarks.fleet.fleet_records import records as fleet_records
from benchmarks.fleet.fleet_verify import bare_us
from control_room.store import schema
from control_room.store.connection import Database, connect
from ledger_client.formats.cose_key import PrivateKey
from tests.support.brokers import postgres
from tests.support.gateways.weight import TICKS_PER_S

PORTION = 500
_GATEWAYS, _METERS = 20, 50
_SIZES = """
    SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'records'::regclass),
        (SELECT sum(length(bytes)) FROM records),
        (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'readings'::regclass),
        (SELECT count(*) FROM readings)
"""


def store_figures(cluster: postgres.Cluster, records: int, runs: int, begin_ms: int) -> dict[str, object]:
    """Microseconds of CPU a record: of judging and of storing in the receiver, of PostgreSQL; the bare verification
    over these; then the same for two receivers at once over one's, everything counted; and bytes on disk.

    Of ``runs`` the least is taken, of the bare verification, too: whatever else runs on the machine only adds.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = made(records, _GATEWAYS, min(_METERS, records // _GATEWAYS), begin_ms, 1000)
        (folder / "trust.toml").write_text(content.trust)
        key = PrivateKey.generate()
        data = list(fleet_records(min(records, 2_000), 10, begin_ms, 1000, "float32", 1, key))
        bare, one, two = [], [], []
        sizes: dict[str, object] = {}
        for _ in range(runs):
            bare.append(bare_us(key.public, data))
            one.append(_run(cluster, folder, content, 1, sizes))
            two.append(_run(cluster, folder, content, 2, {}))
    judging_us, storing_us, database_us = min(one, key=sum)
    whole, twice = min(map(sum, one)), min(map(sum, two))
    bare_least_us = min(bare)
    return {
        "stored_records": content.records,
        "portion": PORTION,
        "judging_us": judging_us,
        "storing_us": storing_us,
        "database_us": database_us,
        "store_ratio": bare_least_us / (judging_us + storing_us),
        "store_with_database_ratio": bare_least_us / whole,
        "two_receivers_us": twice,
        "two_receivers_ratio": twice / whole,
        **sizes,
    }


def _run(
    cluster: postgres.Cluster, folder: Path, content: Made, receivers: int, sizes: dict[str, object]
) -> tuple[float, float, float]:
    """Microseconds a record of judging, storing and PostgreSQL, by so many receivers that take the messages in turn."""
    database = cluster.database("stored")
    db = connect(database.url, database.password_file)
    try:
        schema.make(db)
        shares = [_share(folder, content.messages[n::receivers], n) for n in range(receivers)]
        processes = [_start(database, folder, share) for share in shares]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        before = _cpu_s(cluster)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(process.communicate()[0]) for process in processes]
        database_s = _cpu_s(cluster) - before
        assert sum(each["new"] for each in found) == content.records
        if not sizes:
            sizes |= _sizes(db)
        judging_s, storing_s = (sum(each[part] for each in found) for part in ("judging_s", "storing_s"))
        us = 1e6 / content.records
        return judging_s * us, storing_s * us, database_s * us
    finally:
        db.close()
        database.drop()


def _share(folder: Path, messages: Sequence[tuple[str, bytes]], number: int) -> Path:
    path = folder / f"messages-{number}"
    path.write_bytes(pickle.dumps(list(messages)))
    return path


def _start(database: postgres.Database, folder: Path, share: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "benchmarks.fleet.fleet_receiver", database.url, str(database.password_file)]
    line += [str(folder / "trust.toml"), str(share), str(PORTION)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _cpu_s(cluster: postgres.Cluster) -> float:
    """CPU seconds of a cluster: its processes, and those that have ended."""
    assert cluster.process is not None
    pids = [cluster.process.pid, *postgres.children(cluster.process.pid)]
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended: its parent has it
            continue
        ticks += sum(int(field) for field in fields[11 : 15 if pid == pids[0] else 13])
    return ticks / TICKS_PER_S


def _sizes(db: Database) -> dict[str, object]:
    records, signed, readings, rows = db.one(_SIZES) or (0, 1, 0, 1)
    return {
        "records_ratio": float(records / signed),
        "readings_bytes_a_value": float(readings / rows / VALUES),
    }
