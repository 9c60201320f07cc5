"""SIGKILL of a ledger while it takes a claim of each kind, at seeded random moments of the way from socket to receipt.

After each kill the ledger comes up again and the party repeats its claim, as it does when no receipt has come. Then the
books: the claim stands once, under its number; a receipt that left is the one that stands; a replay of the log finds no
entry that the rules do not admit, and gives what the ledger's tables hold.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from ledger_client.certificates.replay import Replay, replay
from ledger_client.claims.claim import Deed, Export, Issue, Retire, Transfer, Withdraw, parse_claim
from ledger_client.formats.receipt import check, parse_receipt
from ledger_client.formats.statement import statement_id
from ledger_client.transparency.ledger.directory import LOG, make_dir
from ledger_client.transparency.ledger.held_key import present_key
from ledger_client.transparency.log.entries import Reader
from ledger_client.transparency.log.log import Log
from tests.campaigns.ledgers.kills_books import answered, sent
from tests.campaigns.ledgers.kills_processes import Killable, ledger
from tests.support.certificates.claimed import UNITS, Party, enrol, issue

NAME = "registry"
KINDS = "issue", "transfer", "retire", "export", "withdraw"
_FIRST_SPAN_S = 0.03
"""Within which a claim is killed at the start; then within half as much again as the last whole one took."""


def run(kills: int, seed: int) -> dict[str, object]:
    """``kills_unanswered``: claims that were in the log before their receipt had left; ``kills_violations``: none."""
    with TemporaryDirectory() as name:
        rounds = _Rounds(Path(name), Random(seed))
        try:
            for number in range(kills):
                rounds.play(KINDS[number % len(KINDS)])
        finally:
            rounds.end()
    figures = {f"kills_{what}": rounds.counts[what] for what in ("answered", "unanswered", "not_taken")}
    return {"kills": kills, **figures, "kills_violations": rounds.violations}


class _Rounds:
    def __init__(self, folder: Path, chance: Random) -> None:
        self._folder, self._scratch, self._chance = folder / "ledger", folder, chance
        make_dir(self._folder, NAME)
        self._issuer, self._a, self._b = (
            Party(name, role, NAME) for name, role in (("issuer", "issuer"), ("a", "party"), ("b", "party"))
        )
        enrol(self._folder / "policy.toml", (self._issuer, self._a, self._b))
        self._receipts: dict[bytes, bytes] = {}
        self._issued = 0
        self._held: list[bytes] = []
        """Certificates that ``a`` holds whole."""
        self._span_s = _FIRST_SPAN_S
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._ledger, self._url = self._served()

    def play(self, kind: str) -> None:
        """A claim on its way, a kill, the same claim again, the books."""
        while kind != "issue" and not self._held:
            self._settle(self._sign("issue"))
        entry = self._sign(kind)
        asked = sent(self._url, "POST", "/entries", entry)
        time.sleep(self._chance.uniform(0, self._span_s))
        self._ledger.kill()
        status, first = answered(asked)
        with closing(Log.open(self._folder / LOG, read_only=True)) as log:
            stands = log.receipt(statement_id(entry)) is not None
        self.counts["answered" if status == 201 else "unanswered" if stands else "not_taken"] += 1
        if status == 201 and not stands:
            self.violations.append(f"{kind}: its receipt left, and it is not in the log")
        self._ledger, self._url = self._served()
        receipt = self._settle(entry)
        if status == 201 and receipt != first:
            self.violations.append(f"{kind}: another receipt than the one that left")
        self.violations += [f"{kind}: {fault}" for fault in self._faults()]

    def end(self) -> None:
        """End the ledger."""
        self._ledger.kill()

    def _settle(self, entry: bytes) -> bytes:
        """Offer a claim to a ledger that lives; its receipt."""
        began = time.perf_counter()
        status, receipt = answered(sent(self._url, "POST", "/entries", entry))
        self._span_s = max(0.004, 1.5 * (time.perf_counter() - began))
        assert status == 201, f"a ledger that lives answers {status}: {receipt!r}"
        self._receipts[entry] = receipt
        deed = parse_claim(entry).claim.deed
        if isinstance(deed, Issue):
            self._held.append(self._issuer.cert(deed))
        return receipt

    def _sign(self, kind: str) -> bytes:
        if kind == "issue":
            self._issued += 1
            return self._issuer.sign(issue("a", 1, self._issued))
        cert = self._held.pop()
        if kind == "withdraw":
            return self._issuer.sign(Withdraw(cert, "read wrongly"))
        begin = self._chance.randrange(UNITS - 1)
        part = begin, self._chance.randint(begin + 1, UNITS)
        moves: dict[str, Deed] = {
            "transfer": Transfer(cert, part, "b"),
            "retire": Retire(cert, part, "own use", 0, 900_000),
            "export": Export(cert, part, "elsewhere", "7"),
        }
        return self._a.sign(moves[kind])

    def _faults(self) -> list[str]:
        """What does not hold of the log and its tables."""
        with closing(Log.open(self._folder / LOG, read_only=True)) as log, log.read() as entries:
            made = replay(NAME, entries.entries(0, entries.size()))
            key, _ = present_key(self._folder, NAME, entries.own_entry_bytes())
            found = [f"entry {fault.number}: {fault.title}" for fault in made.faults]
            if sorted(signed.entry for _, signed in made.claims) != sorted(self._receipts):
                found.append("the log has other claims than those that have receipts")
            for entry, receipt in self._receipts.items():
                check(parse_receipt(receipt), entry, key.public)
                if entries.receipt(statement_id(entry)) != receipt:
                    found.append("a receipt is another one now")
            return found + _differences(entries, made)

    def _served(self) -> tuple[Killable, str]:
        process = Killable(ledger, self._folder, self._scratch / "ledger.log")
        return process, process.ready()


def _differences(entries: Reader, made: Replay) -> list[str]:
    """Where the ledger's tables hold something else than the replay."""
    found = []
    for cert in made.state.certificates.values():
        parts = made.state.parts[cert.id]
        tables = entries.claims
        if list(tables.slices(cert.id, (0, cert.units))) != parts:
            found.append(f"the slices of {cert.id.hex()} are not those of the replay")
        taken = None if parts[0].status == "withdrawn" else cert.id
        if tables.certificate(cert.id) != cert or tables.taken(cert.device, cert.quarters) != taken:
            found.append(f"the ledger has {cert.id.hex()} otherwise")
    return found
