"""A disk whose syncs fail and which keeps the bytes all the same: the shipped gateway counts them when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gateway.config.load import load_config
from gateway.messages.alarm_kinds import AlarmCode
from gateway.records import START
from gateway.storage.database import Database
from ledger_client.formats.record import Event, parse_record
from tests.support.processes import embedded_ledger
from tests.system.demo_site import GatewayProcess, close_books, make_site, plant, until
from tests.system.disk.test_disk_full import status_of
from tests.system.disk.torn_disk import FAULTS, SYNCS, Control, build, environment


def open_files(pid: int, path: Path) -> Iterator[Path]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if (target := entry.readlink()) == path:
                yield target


def events(database: Path) -> list[Event]:
    store = Database(database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60)]
    store.close()
    return [body for body in bodies if isinstance(body, Event)]


def test_a_gateway_goes_on_by_itself_in_a_new_epoch_as_soon_as_it_can(tmp_path: Path) -> None:
    control = Control(tmp_path / "control")
    with plant(tmp_path / "plant") as meters, embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger:
        path = make_site(tmp_path / "site", meters, ledger).path
        path.write_text(path.read_text().replace('type = "http"', 'type = "http"\ntoken_file = "token"'))
        token = path.parent / "token"
        token.touch(0o600)
        token.write_text("token")
        loaded = load_config(path)
        gateway = GatewayProcess(loaded, environment(build(tmp_path), loaded.path.parent, control.path))
        gateway.start()
        assert gateway.process is not None
        process = gateway.process
        until("readings", lambda: status_of(loaded.path)[0] == 0)
        control.set(fault=FAULTS.index("eio"), kinds=SYNCS, at=1, sticky=1)
        control.arm()
        # other commits fail as well, and a reader beside it keeps SQLite from looking at the log's frames anew: only
        # the gateway's own word says that it has found them
        token.rename(path.parent / "gone")
        until("a new epoch", lambda: "beginning a new epoch" in gateway.log.read_text())
        control.arm(armed=False)
        until("that it cannot begin", lambda: "no new epoch yet" in gateway.log.read_text())
        assert not list(open_files(process.pid, loaded.database)), "what cannot begin keeps nothing open"
        (path.parent / "gone").rename(token)
        # those epochs that met the failing disk at their beginning may be kept, too
        until("it to begin", lambda: sum(body.name == START for body in events(loaded.database)) >= 2)
        until("readings again", lambda: status_of(loaded.path)[0] == 0)
        assert process.poll() is None
        assert gateway.stop() == 0
        balances = close_books(loaded, ledger, meters)
    alarms = [
        body.fields["raised"]
        for body in events(loaded.database)
        if body.fields.get("code") == AlarmCode.RECORDING_STOPPED
    ]
    assert alarms == [True, False]
    for balance in balances.values():
        assert balance.due == balance.readings + balance.missed
