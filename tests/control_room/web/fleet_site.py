"""A control room's pages over a real PostgreSQL: gateways of every kind, and a server in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from control_room.store.connection import Database, connect
from control_room.web.html import HTML
from control_room.web.pages import contents
from control_room.web.site import Site
from gateway.dashboard.shell.app import App
from gateway.dashboard.shell.asgi_server import AsgiServer
from gateway.dashboard.shell.kept_sessions import FILE, SessionFile
from gateway.dashboard.shell.readers import Readers
from gateway.dashboard.shell.sessions import Sessions
from gateway.dashboard.shell.users import Users, set_user
from ledger_client.http_server.listening import listen_at
from ledger_client.verification.trust_text import key_entry
from tests.gateway.dashboard.pages_site import PASSWORDS, ROLES
from tests.support.brokers import postgres
from tests.support.evidence import VALID_FROM, key

NOW_MS = 1_796_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
STATUS = {"online": True, "version": "0.1.0", "clock": "S", "disk": {"used": 1_000_000, "free": 5_000_000}}
EVIL = "</title><script>alert(1)</script>"
"""In a topic, in an alarm's line and in a meter's name."""


def trust_file(path: Path, gateways: Sequence[str]) -> Path:
    """A trust file that has these gateways."""
    entries = (key_entry("meter", key("meter").public, VALID_FROM, gateway=name, meter="m") for name in gateways)
    path.write_text('[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n' + "".join(entries))
    return path


def gateway(db: Database, name: str) -> int:
    """A gateway of which everything is here and proven, at ``NOW_MS``."""
    db.run(
        "INSERT INTO gateways (name, heard, newest, clock, status, status_at, records) VALUES "
        "(%s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), 'S', %s::jsonb, to_timestamp(%s / 1000.0), 500)",
        name, NOW_MS - 10_000, NOW_MS - 20_000, json.dumps(STATUS), NOW_MS - 30_000,
    )  # fmt: skip
    row = db.one("SELECT id FROM gateways WHERE name = %s", name)
    assert row is not None
    db.run("INSERT INTO days VALUES (%s, to_timestamp(%s / 1000.0)::date, 100, 100)", row[0], NOW_MS)
    batch(db, row[0], 1, NOW_MS - 2 * MINUTE, "proven")
    return int(row[0])


def batch(db: Database, of: int, number: int, to_ms: int, state: str) -> None:
    """A batch of a gateway whose records are of the minute up to ``to_ms``."""
    db.run(
        "INSERT INTO batches (gateway, batch, statement_id, entry, from_at, to_at, size, iat, arrived, state) VALUES "
        "(%s, %s, sha256(%s::text::bytea), '', to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), 10, "
        "to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), %s)",
        of, number, f"{of} {number}", to_ms - MINUTE, to_ms, to_ms, to_ms, state,
    )  # fmt: skip
    if state == "proven":
        db.run("UPDATE gateways SET proven = greatest(proven, to_timestamp(%s / 1000.0)) WHERE id = %s", to_ms, of)


def alarm(db: Database, of: int | None, code: str, source: str = "gateway") -> int:
    """An active alarm; ``of`` None: the control room's."""
    db.run(
        "INSERT INTO alarms (gateway, source, code, line, text, since, raised) "
        "VALUES (%s, %s, %s, %s, 'it happened', to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0))",
        of, source, code, EVIL, NOW_MS - HOUR, NOW_MS - HOUR,
    )  # fmt: skip
    row = db.one("SELECT max(id) FROM alarms")
    assert row is not None
    return int(row[0])


def refusal(db: Database, name: str, code: str = "control-null-character") -> None:
    """A message that was published under a gateway's name and not believed."""
    why = {"message": code, "facts": {"name": "meter"}}
    db.run(
        "INSERT INTO refused (at, topic, gateway, step, why, kid, size, bytes, hash) "
        "VALUES (to_timestamp(%s / 1000.0), %s, %s, 2, %s::jsonb, '\\x0102', 3, 'abc', sha256(%s::text::bytea))",
        NOW_MS - MINUTE, f"meterseal-records/v1/{EVIL}/records", name, json.dumps(why), name,
    )  # fmt: skip


def meter(db: Database, of: int, name: str = "grid") -> int:
    """A meter with a reading each minute of the last three hours, and an hour without any."""
    db.run("INSERT INTO meters (gateway, name) VALUES (%s, %s)", of, name)
    db.run("INSERT INTO epochs (gateway, epoch) VALUES (%s, %s)", of, bytes(8))
    db.run(
        "INSERT INTO shapes (points, names, units, decimals) VALUES (%s, %s, %s, %s)",
        bytes([of % 256]) * 32, ["active_power_total", "x_state"], ["W", ""], [1, 102],
    )  # fmt: skip
    found = db.one(
        "SELECT m.id, e.id, max(s.id) FROM meters m, epochs e, shapes s "
        "WHERE m.gateway = %s AND m.name = %s AND e.gateway = m.gateway GROUP BY m.id, e.id",
        of,
        name,
    )
    assert found is not None
    rows = [
        (NOW_MS - n * MINUTE, 1000 - n, found[0], found[1], found[2], [0, 8] if n == 5 else None, [1500.5 + n, None])
        for n in range(1, 180)
        if not 60 <= n < 120
    ]
    db.run_each(
        "INSERT INTO readings (time, seq, meter, epoch, shape, quality, num) "
        "VALUES (to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s, %s)",
        rows,
    )
    db.run(
        "INSERT INTO ranges (meter, epoch, newest, newest_reading) "
        "VALUES (%s, %s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0))",
        found[0], found[1], rows[0][0], rows[0][0],
    )  # fmt: skip
    return int(found[0])


def opened(database: postgres.Database) -> Database:
    """One more connection."""
    return connect(database.url, database.password_file)


@contextmanager
def served(folder: Path, database: postgres.Database, trusted: Sequence[str]) -> Iterator[tuple[int, Site]]:
    """The pages for ines, who may acknowledge, and vera: port and site."""
    site = Site("grid-operations", trust_file(folder / "trust.toml", trusted), folder / "archive", lambda: NOW_MS)
    for name, role in ROLES.items():
        set_user(folder / "web.users", name, role, PASSWORDS[name])
    listener, loop, ended = listen_at("127.0.0.1:0", "listen"), asyncio.new_event_loop(), threading.Event()
    server = AsgiServer(HTML, None)

    async def run() -> None:
        kept = SessionFile(folder / FILE, Sessions(), lambda: NOW_MS)
        with closing(Readers(partial(opened, database))) as readers:
            app = App(
                contents(site, partial(opened, database)), readers, Users(folder / "web.users"), ("127.0.0.1",), kept
            )
            serving = asyncio.ensure_future(server.serve(app, listener))
            await asyncio.get_running_loop().run_in_executor(None, ended.wait)
            serving.cancel()
            await asyncio.wait({serving})

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="pages of a control room")
    thread.start()
    try:
        yield listener.getsockname()[1], site
    finally:
        ended.set()
        thread.join()
        loop.close()
        listener.close()
