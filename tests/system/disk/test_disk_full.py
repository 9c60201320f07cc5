"""A disk that another process fills to the last byte: a real file system of 64 MB under a real gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, parse_record
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, close_books, make_site, plant, until
from tests.system.disk.small import small_disk

FILL = """
import os, sys
with open(sys.argv[1], "wb", buffering=0) as file:
    for size in (1 << 20, 4096, 512, 1):
        try:
            while file.write(bytes(size)):
                pass
        except OSError:
            pass
"""
FREED = 10_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB of its own."""
    with small_disk(tmp_path / "disk", "64m") as folder:
        yield folder


def fill(path: Path) -> None:
    """Another process writes until not one byte more fits."""
    subprocess.run([sys.executable, "-c", FILL, str(path)], check=True)


def status_of(path: Path) -> tuple[int, dict[str, object]]:
    done = apart("gateway.cli", "status", path, "--json")
    return done.code, done.facts if done.out else {}


def test_recording_stops_on_a_full_disk_and_goes_on_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        site = make_site(tmp_path / "site", meters, ledger)
        text = site.path.read_text().replace('data = "data"', f'data = "{disk}/data"')
        assert str(disk) in text
        site.path.write_text(text)
        loaded = load_config(site.path)
        gateway = GatewayProcess(loaded)
        gateway.start()
        until("readings", lambda: status_of(loaded.path)[0] == 0)
        filler = disk / "another's file"
        fill(filler)
        _, facts = until("recording to stop", lambda: (s := status_of(loaded.path))[1]["recording"] == "stopped" and s)
        fill(disk / "what the reserve gave back")
        code, facts = status_of(loaded.path)
        assert code == 1
        assert any("disk-full" in str(p) and str(loaded.database) in str(p) for p in facts["problems"])  # type: ignore[attr-defined]
        os.truncate(filler, filler.stat().st_size - FREED)
        until("recording to go on", lambda: status_of(loaded.path)[1]["recording"] == "on")
        filler.unlink()
        (disk / "what the reserve gave back").unlink()
        until("all to be well again", lambda: status_of(loaded.path)[0] == 0)
        assert gateway.stop() == 0
        balances = close_books(loaded, ledger, meters)
        store = Database(loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60)]
        store.close()
    missed = sum(body.missed.get("disk-full", 0) for body in bodies if isinstance(body, Coverage))
    assert missed > 0
    for balance in balances.values():
        assert balance.due == balance.readings + balance.missed
    raised = [
        e.fields["raised"] for e in bodies if isinstance(e, Event) and e.fields.get("code") == "recording-stopped"
    ]
    assert raised == [True, False]
