"""A control room's pages, API and metrics in a process of their own, asked over HTTP, beside a filled database."""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from control_room.judged import Judged, JudgedRecord, Refusal
from control_room.store.connection import Database
from control_room.store.incoming.portions import store
from gateway.api.shapes.token_file import add_token, tokens_file
from gateway.api.shapes.tokens import Scope
from gateway.messages.message import Message
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.record import Event, parse_record, record_hash, sign_record
from ledger_client.verification.trust_text import key_entry
from tests.control_room.completeness.room import Room, room
from tests.control_room.web.filled import LISTED, Filled, fill
from tests.support.audit_batches import OTHER, Gateway, signer_of
from tests.support.brokers import postgres
from tests.support.evidence import GATEWAY, VALID_FROM, key, trust_text
from tests.support.processes import Server

V1 = "/api/v1"


@dataclass
class Asked:
    """``record``: path of a record whose batch is in the archive; ``unsealed``: of one that no statement counts."""

    room: Room
    filled: Filled
    folder: Path
    port: int
    record: str
    unsealed: str
    tokens: dict[str, str]
    gateway: Gateway
    signed: bytes
    url: str = ""
    lost: str = ""
    """The meter whose record is missing."""

    def fork(self) -> None:
        """The gateway signs another record under the number of one that is here."""
        before = parse_record(self.signed)
        body = Event("odd", {"why": "another history"})
        data = sign_record(before.claims, body, signer_of(before.claims.meter))
        other = parse_record(data)
        judged = JudgedRecord(
            GATEWAY, other.claims.meter, other.claims.epoch, other.claims.seq, other.time_ms, other.kind, None,
            record_hash(data), data, body,
        )  # fmt: skip
        assert store(self.db, [Judged(records=(judged,))], self.room.now_ms).forked == 1

    def lose_a_record(self) -> None:
        """One record of a batch does not come in, and time for it is over."""
        batch = self.room.file(self.gateway.write(), without=[3])
        self.lost = parse_record([*batch.records()][3]).claims.meter
        self.room.round()
        self.room.round(3000)

    def let_a_batch_be_late(self) -> None:
        """A batch has no receipt, and is given none within the time for it."""
        self.room.file(self.gateway.write(receipts=[]))
        self.room.round()
        self.room.round(3_600_000)

    @property
    def db(self) -> Database:
        """A connection that may write."""
        return self.room.db

    def token(self, name: str, scope: Scope, gateway: str | None = None, meter: str | None = None) -> str:
        """A new token."""
        file = tokens_file(self.folder / "keys")
        self.tokens[name] = add_token(file, name, scope, meter, None, secrets.token_bytes(32), gateway)
        return self.tokens[name]

    def raw(self, path: str, token: str = "proofs") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; asked again where it was too fast."""
        while True:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            given = {"Authorization": f"Bearer {self.tokens.get(token, token)}"} if token else {}
            link.request("GET", path, headers=given)
            answer = link.getresponse()
            found = answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
            link.close()
            if found[0] != 429:
                return found
            time.sleep(0.2)

    def json(self, path: str, token: str = "proofs") -> Any:
        """What is answered; numbers as they are written."""
        status, headers, body = self.raw(V1 + path, token)
        assert (status, headers["content-type"]) == (200, "application/json"), body
        return json.loads(body, parse_float=Decimal)

    def refused(self, path: str, token: str = "proofs") -> tuple[int, str]:
        """Status and code of a refusal."""
        status, headers, body = self.raw(V1 + path, token)
        assert headers["content-type"] == "application/problem+json", body
        return status, json.loads(body)["code"]

    def all(self, path: str, limit: int) -> list[Any]:
        """Every item of a list, by pages."""
        joint, items, cursor = "&" if "?" in path else "?", [], ""
        while True:
            page = self.json(f"{path}{joint}limit={limit}{cursor}")
            assert len(page["items"]) <= limit
            items += page["items"]
            if "next" not in page:
                return items
            cursor = f"&cursor={page['next']}"

    def figures(self) -> dict[str, float]:
        """The series of `/metrics`."""
        status, _, body = self.raw("/metrics", "")
        assert status == 200
        lines = [line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


def refuse(db: Database, gateway: str, data: bytes, now_ms: int) -> None:
    """A message of a gateway is not believed."""
    topic = f"meterseal-records/v1/{gateway}/records"
    refusal = Refusal(topic, gateway, 3, Message("token-missing"), data, None)
    store(db, [Judged(refusals=(refusal,))], now_ms)


@contextmanager
def asked_room(database: postgres.Database, folder: Path) -> Iterator[Asked]:
    """Filled with everything of ``filled``, and with the batches of a gateway whose records are really signed."""
    (folder / "exported").mkdir()
    gateway = Gateway(folder / "exported")
    with room(database, folder / "archive") as made:
        filled = fill(made.db, time.time_ns() // 1_000_000)
        paths = [gateway.write() for _ in range(2)]
        for path in paths:
            batch = made.file(path)
        assert made.round() == 2
        first, *_, last = batch.records()
        name = parse_record(last).id
        unsealed = parse_record(gateway.usual()[0])
        made.records([(10_000, unsealed.data)])
        others = [key_entry("meter", key(OTHER).public, VALID_FROM, gateway=GATEWAY, meter=OTHER)]
        for one in sorted(LISTED):
            others.append(key_entry("statement", PrivateKey.generate().public, VALID_FROM, gateway=one))
        (folder / "trust.toml").write_text(trust_text(extra="".join(others)))
        (folder / "CONTROL.toml").write_text(
            f'[control]\nname = "main"\n[database]\nurl = "{database.url}"\n'
            f'password_file = "{database.password_file}"\n'
            '[intake]\nurl = "nats://127.0.0.1:4222"\n[web]\nlisten = "127.0.0.1:0"\n'
        )
        (folder / "keys").mkdir(mode=0o700)
        found = Asked(made, filled, folder, 0, f"{GATEWAY}/{name}", f"{GATEWAY}/{unsealed.id}", {}, gateway, first)
        for scope in ("status", "readings", "proofs"):
            found.token(scope, scope)
        command = [sys.executable, "-m", "control_room.cli", "web", str(folder / "CONTROL.toml")]
        with closing(Server("pages", command, "pages at", folder / "pages.log")) as server:
            found.port = int(server.start().rpartition(":")[2].strip("/ \n"))
            found.url = f"http://127.0.0.1:{found.port}"
            yield found
