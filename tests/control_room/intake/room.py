"""A control room with receivers as processes of their own, and a gateway that sends it what it signs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control_room.intake.set_up import ensure_consumer
from control_room.settings import Settings, new_settings
from control_room.store import schema
from control_room.store.connection import connect
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.feed_messages import encode_records, topic
from ledger_client.formats.record import record_hash, sign_record
from tests.support.brokers.nats import Node
from tests.support.brokers.postgres import Database
from tests.support.evidence import GATEWAY, T0, claims, key, reading
from tests.support.processes import Server

WITHIN_S = 60.0


def signed(count: int, *, first: int = 0, signer: PrivateKey | None = None, **changes: Any) -> list[bytes]:
    """Readings of the meter, a second apart, chained among each other."""
    made: list[bytes] = []
    for seq in range(first, first + count):
        prev = record_hash(made[-1]) if made else None
        made.append(sign_record(claims(seq, prev=prev, **changes), reading((T0 + seq) * 1000), signer or key("meter")))
    return made


def message(records: list[bytes], *, first: int = 0) -> bytes:
    """A message of these records."""
    return encode_records(range(first, first + len(records)), records)


TOPIC = topic(GATEWAY, "records")


class Receiver(Server):
    """``meterseal-control run``; with ``hold`` it stops for ever at a fail point, and says so by making ``held``."""

    def __init__(self, settings: Settings, hold: str | None = None) -> None:
        folder = settings.path.parent
        self.held = folder / "held"
        environment = dict(os.environ) | ({"METERSEAL_HOLD": f"{hold}:{self.held}"} if hold else {})
        command = [sys.executable, "-m", "control_room.cli", "run", str(settings.path)]
        super().__init__("receiver", command, "receiving for", folder / "receiver.log", environment)


class Room:
    """A control room at these engines: settings, tables and consumer are made, no receiver runs."""

    def __init__(self, folder: Path, node: Node, database: Database, *, name: str, trust: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.trust = folder / "trust.toml"
        self.trust.write_text(trust)
        url, password = database.url, database.password_file
        self.settings, text = new_settings(
            folder / "CONTROL.toml", url, password, node.client_url, self.trust, name
        )  # fmt: skip
        self.settings.path.write_text(text)
        self.db = connect(url, password)
        schema.make(self.db)
        ensure_consumer(self.settings, database=schema.identity(self.db))

    def one(self, sql: Any, *values: object) -> Any:
        """The first column of the first row."""
        row = self.db.one(sql, *values)
        return row[0] if row else None

    def count(self, table: str, condition: str = "true") -> int:
        """How many rows of a table are so."""
        return int(self.one(f"SELECT count(*) FROM {table} WHERE {condition}"))

    def records(self) -> list[bytes]:
        """The bytes of every record, in the order of their numbers."""
        return [data for (data,) in self.db.all("SELECT bytes FROM records ORDER BY seq")]

    @property
    def repeated(self) -> int | None:
        """How many records of the gateway came again."""
        found: int | None = self.one("SELECT repeated FROM gateways")
        return found

    def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Wait until it holds."""
        pause, deadline = threading.Event(), time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, f"it never holds: {what}"
            pause.wait(0.02)

    def until_stored(self, count: int) -> None:
        """Wait until so many records are there."""
        self.until(lambda: self.count("records") >= count, f"{count} records")

    @contextmanager
    def receiver(self, hold: str | None = None) -> Iterator[Receiver]:
        """A running receiver."""
        made = Receiver(self.settings, hold)
        made.start()
        try:
            yield made
        finally:
            made.close()
