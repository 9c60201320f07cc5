"""SIGKILL within enrolling, revoking and registering: of the commands, and of the ledger that serves meanwhile.

Each round lets a gateway in, shuts one out (by the command, or by hand in policy.toml, which a ledger that serves
registers by itself), or only registers statements; a statement of the gateway is on its way at the same time, and where
only statements are registered a second one that tells numbers again, which is refused whatever comes first. Some
milliseconds after the act has begun, by a seeded chance, the command or the ledger is killed, or the PostgreSQL that
has the log. Then the ledger comes up
again, if it is down, and its books are opened: log and table of ranges are consistent, what the log tells is what the
file asks for and what is applied, a receipt that left stands, no refused statement is in the log, and none behind its
key's revocation.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from ledger_client.durable_files import write_text
from ledger_client.formats.statement import Range, statement_id
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.ledgers.kills_books import Books, answered, ask, sent
from tests.campaigns.ledgers.kills_processes import Killable, command, ledger
from tests.support.brokers.postgres import Database, cluster, database
from tests.support.enrolled import EPOCH, Gateway
from tests.support.ledger_site import until
from tests.support.stored_log import Stored

SMALLEST: tuple[dict[str, Any], ...] = ({"kills": 20, "seed": 7},)
ACTS = "enroll", "revoke", "register"
_FIRST_SPANS_S = {"command": 0.05, "ledger": 0.03}
"""Within how many seconds of its begin an act is killed at the start; then within half as much again as it took."""


def run(kills: int = 200, seed: int = 1, store: str = "sqlite") -> dict[str, object]:
    """``kills``: rounds with a kill each, by a seeded chance; "violations" must be empty. ``store``: of the log; where
    it is ``postgresql``, so is that server killed now and then, and the ledger is to go on by itself."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        server = stack.enter_context(cluster()) if store == "postgresql" else None
        log = stack.enter_context(database(server, 1)) if server is not None else None
        rounds = _Rounds(Path(name), Random(seed), log)
        try:
            for number in range(kills):
                rounds.play(ACTS[number % len(ACTS)])
        finally:
            rounds.end()
    return {"kills": kills, "seed": seed, "store": store, **rounds.counts(), "violations": rounds.violations}


class _Rounds:
    def __init__(self, folder: Path, chance: Random, database: Database | None) -> None:
        self._scratch, self._folder, self._chance = folder, folder / "ledger", chance
        self._server = None if database is None else database.cluster
        Stored(self._folder, database).make()
        self._books = Books(self._folder)
        self._ledger, self._url = self._served()
        self._spans_s = dict(_FIRST_SPANS_S)
        self._gateways: list[tuple[Gateway, int]] = []
        """Those that are let in, each with its next batch."""
        self._receipts: dict[bytes, bytes] = {}
        self._twins: set[bytes] = set()
        """The ids of all statements over numbers that another statement has."""
        self._counts: Counter[str] = Counter()
        self.violations: list[str] = []
        for _ in range(3):
            self._let_in(Gateway(self._name()))

    def play(self, act: str) -> None:
        """One round: an act, a kill within it, and the books."""
        victims = ["ledger"] if act == "register" else ["command", "ledger"]
        victim = self._chance.choice([*victims, "database"] if self._server is not None else victims)
        self._counts[f"{act}, {victim} killed"] += 1
        if act == "enroll":
            gateway, batch = Gateway(self._name()), 0
        elif act == "revoke":
            gateway, batch = self._chance.choice(self._gateways)
        else:
            gateway, batch = max(self._gateways, key=lambda pair: pair[1])  # the only one that can tell numbers again
        words, by_hand = self._words(act, gateway)
        delay_s = self._chance.uniform(0, self._spans_s["command" if victim == "command" else "ledger"])
        process = None
        if victim != "command":
            if by_hand is not None:
                write_text(self._folder / "policy.toml", by_hand)
            twin = self._twin(gateway, batch) if act == "register" and batch else None
            second = self._send(twin) if twin is not None and self._chance.random() < 0.5 else None
            asked = self._submit(gateway, batch)
            if twin is not None and second is None:
                second = self._send(twin)
            time.sleep(delay_s)
            self._kill(victim)
            if second is not None and twin is not None:
                self._count_twin(twin, second)
        else:
            began = time.perf_counter()
            process = Killable(command, words, self._scratch / "commands.log")
            asked = self._submit(gateway, batch)
            time.sleep(max(0.0, delay_s - (time.perf_counter() - began)))
            process.kill()
        status, answer = answered(asked)
        if self._server is not None and victim == "database":
            self._server.start()
            assert until(lambda: ask(self._url, "GET", "/healthz") == (200, b"ok\n")), "it does not go on by itself"
            status = 0 if status == 503 else status
        self._counts["cut short between file and log"] += self._books.between()
        self._settle(act, gateway, batch, status, answer)
        if victim == "ledger":
            self._ledger, self._url = self._served()
        self._judge(act, gateway, batch, status)

    def _kill(self, victim: str) -> None:
        if victim == "ledger":
            self._ledger.kill()
        elif self._server is not None:
            self._server.kill()

    def end(self) -> None:
        """End the ledger."""
        self._ledger.kill()

    def counts(self) -> dict[str, object]:
        """How many rounds of each kind, answers and interruptions there were."""
        return dict(sorted(self._counts.items()))

    def _judge(self, act: str, gateway: Gateway, batch: int, status: int) -> None:
        id_ = statement_id(gateway.statement(batch))
        refused = self._twins | ({id_} if status == 403 else set())
        for fault in self._books.faults(self._url, refused, self._receipts):
            self.violations.append(f"{act} of {gateway.name}: {fault}")
        self._receipts.clear()
        self._follow(gateway, batch)

    def _settle(self, act: str, gateway: Gateway, batch: int, status: int, answer: bytes) -> None:
        self._counts[f"answer {status or 'none'}"] += 1
        if status == 201:
            self._receipts[statement_id(gateway.statement(batch))] = answer
        elif status not in (0, 403):
            self.violations.append(f"{act} of {gateway.name}: the ledger answers {status}, {answer[:300]!r}")

    def _follow(self, gateway: Gateway, batch: int) -> None:
        """What has become of the gateway by now."""
        held = self._books.next_batch(gateway.name, gateway.key.public.kid)
        self._gateways = [(other, number) for other, number in self._gateways if other is not gateway]
        if held is not None:
            self._gateways.append((gateway, held))
        while len(self._gateways) < 3:
            self._let_in(Gateway(self._name()))

    def _let_in(self, gateway: Gateway) -> None:
        """Enrol without a kill; how long that takes is how long the next is waited for."""
        began = time.perf_counter()
        words = ("enroll", str(self._folder), str(gateway.request(self._scratch)), "--yes")
        assert Killable(command, words, self._scratch / "commands.log").end() == 0
        self._spans_s["command"] = min(1.0, 1.5 * (time.perf_counter() - began))
        self._gateways.append((gateway, 0))

    def _words(self, act: str, gateway: Gateway) -> tuple[tuple[str, ...], str | None]:
        """The command of an act, and what policy.toml is after the same by hand; ``None``: nothing is done to it."""
        text = (self._folder / "policy.toml").read_text()
        if act == "enroll":
            entry = key_entry("statement", gateway.key.public, 0, gateway=gateway.name)
            return ("enroll", str(self._folder), str(gateway.request(self._scratch)), "--yes"), f"{text}\n{entry}"
        if act == "revoke":
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            head, name, tail = text.partition(f'gateway = "{gateway.name}"')
            return ("revoke", str(self._folder), gateway.name), f"{head}{name}\nrevoked = {now}{tail}"
        return (), None

    def _submit(self, gateway: Gateway, batch: int) -> HTTPConnection | None:
        return self._send(gateway.statement(batch))

    def _send(self, entry: bytes) -> HTTPConnection | None:
        """A statement on its way."""
        return sent(self._url, "POST", "/entries", entry)

    def _twin(self, gateway: Gateway, batch: int) -> bytes:
        """A statement in place of this batch, or some way above it under ``resume``, that tells a number again."""
        prev, resume = statement_id(gateway.statement(batch - 1)), self._chance.random() < 0.5
        last = batch * 10 - 1  # the numbers of batch n are those from 10 n on
        meters = {"export-main": (Range(EPOCH, self._chance.randrange(batch * 10), last + 10),)}
        number = batch + self._chance.randrange(1, 9) if resume else batch
        return gateway.sign(number, prev, resume="told again" if resume else None, mark=1, meters=meters)

    def _count_twin(self, twin: bytes, asked: HTTPConnection) -> None:
        status, _ = answered(asked)
        self._counts[f"twin answered {status or 'not'}"] += 1
        self._twins.add(statement_id(twin))
        if status not in (0, 409) and (self._server is None or status != 503):
            self.violations.append(f"a statement that tells numbers again is answered {status}")

    def _served(self) -> tuple[Killable, str]:
        process = Killable(ledger, self._folder, self._scratch / "ledger.log")
        return process, process.ready()

    def _name(self) -> str:
        self._counts["gateways"] += 1
        return f"gw-{self._counts['gateways']}"
