"""Where a dishonest history meets whoever may notice: running ledgers, their operators' commands, verify and audit.

All are asked as a stranger would ask them, by their commands; an answer with another exit code than 0 says something.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from ledger_client.errors import STEPS, Refused
from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Pending
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.verification.trust_text import key_entry
from tests.campaigns.dishonest.forged_history import History, Sealed
from tests.campaigns.honest.honest_history import TAKES_S, honest
from tests.support.certificates.town import Town, town
from tests.support.commands import Answer, ledger_command
from tests.support.processes import EmbeddedLedger, embedded_ledger

LEDGERS = "demo-ledger", "second-ledger"
ACCOMPLICE = "accomplice"
"""A ledger whose operator signs whatever the owner wants to have signed."""
AGO_S = 100
"""Seconds since the end of the honest history."""


class Objection(NamedTuple):
    """Who did not let something pass, at which step or under which title, and in which words."""

    by: str
    where: str
    text: str


def no(answer: Answer, by: str, where: str = "usage") -> list[Objection]:
    """What a command said, unless it did what it was asked."""
    return (
        [] if answer.code == 0 else [Objection(by, f"{where}, exit {answer.code}", (answer.err or answer.out).strip())]
    )


@dataclass
class Stage:
    """What every case may use; ``of(name)`` is that of one case, whose gateway bears its name."""

    folder: Path
    ledgers: Mapping[str, EmbeddedLedger]
    seed: int
    now_s: float
    name: str = "stage"
    accomplice: PrivateKey = field(default_factory=lambda: PrivateKey.generate(EDDSA))
    ends: ExitStack = field(default_factory=ExitStack)
    towns: list[Town] = field(default_factory=list)

    def of(self, name: str) -> Stage:
        """The same for one case."""
        made = Stage(self.folder / "cases" / name, self.ledgers, self.seed, self.now_s, name, self.accomplice)
        made.ends, made.towns = self.ends, self.towns
        made.folder.mkdir(parents=True)
        made.__dict__["recorded"] = self.recorded
        return made

    @cached_property
    def recorded(self) -> History:
        """The honest history that most cases begin with; it ended ``AGO_S`` ago."""
        chance = random.Random(self.seed)
        return honest(self.folder / "honest", self.now_s - AGO_S - TAKES_S, chance)

    @property
    def town(self) -> Town:
        """A party whose balance leaves nothing, one for all cases; it has a registry of its own."""
        if not self.towns:
            (folder := self.folder / "town").mkdir()
            self.towns.append(self.ends.enter_context(town(folder)))
        return self.towns[0]

    @cached_property
    def chance(self) -> random.Random:
        """Which record it strikes: another one with another seed."""
        return random.Random(f"{self.seed} {self.name}")

    # — a history, and where it goes —

    def history(self, ledgers: Sequence[str] = LEDGERS[:1]) -> History:
        """The honest history under a gateway of this case's name, enrolled at these ledgers."""
        return self.enrolled(self.recorded.under(self.name), ledgers)

    def enrolled(self, history: History, ledgers: Sequence[str] = LEDGERS[:1]) -> History:
        """Its statement key is known to these ledgers from now on."""
        entry = key_entry("statement", history.keys[GATEWAY_ITSELF].public, 0, gateway=history.gateway)
        for name in ledgers:
            policy = self.ledgers[name].folder / "policy.toml"
            policy.write_text(policy.read_text() + "\n" + entry)
        return history

    @contextmanager
    def client(self, ledger: str = LEDGERS[0]) -> Iterator[HttpLedger]:
        """A connection to a running ledger."""
        client = HttpLedger(ledger, self.ledgers[ledger].url)
        try:
            yield client
        finally:
            client.close()

    def submit(self, sealed: Iterable[Sealed], ledger: str = LEDGERS[0]) -> list[bytes]:
        """Give a ledger batch after batch, and take its receipts; raises ``Refused``."""
        with self.client(ledger) as client:
            receipts = [client.submit(batch.entry) for batch in sealed]
        assert not any(isinstance(receipt, Pending) for receipt in receipts)
        return [receipt for receipt in receipts if isinstance(receipt, bytes)]

    def signed_off(self, entry: bytes, time_s: float | None = None) -> bytes:
        """The accomplice's receipt for any entry, of any time."""
        tree = Tree([leaf_hash(data) for data in (b"policy", entry)])
        path, at_s = tree.path(1), int(self.now_s if time_s is None else time_s)
        sub = id_text(statement_id(entry))
        return sign_receipt(ACCOMPLICE, sub, at_s, tree.size, 1, path, tree.root, self.accomplice)

    def file(self, batch: Sealed, receipts: Sequence[bytes], name: str = "") -> Path:
        """Write a batch file."""
        return batch.file(self.folder / f"{name}{batch.number:04}.mbatch", receipts)

    def trust(
        self,
        history: History,
        ledgers: Sequence[str] = LEDGERS[:1],
        *,
        policy: str = "",
        revoked: Mapping[str, str] | None = None,
        more: str = "",
    ) -> Path:
        """The trust file of somebody who knows the site, with more lines in ``[policy]``, in an owner's entry, at the
        end."""
        listed = ", ".join(f'"{name}"' for name in ledgers)
        text = f"[policy]\nreceipts = 1\nledgers = [{listed}]\n{policy}\n"
        for owner, signer in history.keys.items():
            role, meter = ("statement", None) if owner == GATEWAY_ITSELF else ("meter", owner)
            text += key_entry(role, signer.public, 0, gateway=history.gateway, meter=meter)
            text += (revoked or {}).get(owner, "")
        for name in ledgers:
            is_accomplice = name == ACCOMPLICE
            text += key_entry("ledger", self.accomplice.public, 0, ledger=name) if is_accomplice else self._key_of(name)
        path = self.folder / f"trust-{len(list(self.folder.glob('trust*')))}.toml"
        path.write_text(text + more)
        return path

    def _key_of(self, name: str) -> str:
        return trust_entry(self.ledgers[name].folder)

    def health(self, ledger: str = LEDGERS[0]) -> str:
        """Status and text of a ledger's /healthz."""
        connection = HTTPConnection("127.0.0.1", self.ledgers[ledger].port, timeout=30)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return f"{answer.status} {answer.read().decode()}"
        finally:
            connection.close()

    # — who may notice —

    def tell(
        self, history: History, *options: object, ledgers: Sequence[str] = LEDGERS[:1], **trust: Any
    ) -> list[Objection]:
        """Sign all of it, have it anchored, audit it: what is said against it, by the ledger or by the audit."""
        sealed = history.sealed()
        try:
            receipts = self.anchored(sealed, ledgers)
        except Refused as error:
            return [Objection("ledger", error.title, error.detail)]
        files = [self.file(batch, [receipt]) for batch, receipt in zip(sealed, receipts, strict=True)]
        return self.audit(files, self.trust(history, ledgers, **trust))

    def anchored(self, sealed: Sequence[Sealed], ledgers: Sequence[str] = LEDGERS[:1]) -> list[bytes]:
        """The receipts of the first of these ledgers; raises ``Refused``."""
        if ledgers[0] == ACCOMPLICE:
            return [self.signed_off(batch.entry) for batch in sealed]
        return self.submit(sealed, ledgers[0])

    def audit(self, files: Sequence[Path], trust: Path, *options: object) -> list[Objection]:
        """What ``audit`` finds, and behind that what it notes, and the lines in which it says what was changed."""
        answer = ledger_command("audit", *files, "--trust", trust, "--json", *options)
        if not answer.out:
            return no(answer, "audit")
        findings, notes = answer.facts["findings"], answer.facts["notes"]
        assert bool(findings) == bool(answer.code), answer.out
        found = [Objection("audit", f["step"], f"{f['record'] or f['batch']}: {f['detail']}") for f in findings]
        noted = [Objection("audit", "note", text) for text in notes]
        return [*found, *noted, *(self._changes(files, trust, *options) if answer.facts["changes"] else ())]

    def _changes(self, files: Sequence[Path], trust: Path, *options: object) -> Iterator[Objection]:
        for text in ledger_command("audit", *files, "--trust", trust, *options).out.splitlines():
            if text.startswith("  changed "):
                yield Objection("audit", "changed", text.split(maxsplit=1)[1])

    def verify(self, bundle: bytes, trust: Path, *options: object) -> list[Objection]:
        """What ``verify`` says against a proof."""
        path = self.folder / f"{len(list(self.folder.glob('*.mseal')))}.mseal"
        path.write_bytes(bundle)
        answer = ledger_command("verify", path, "--trust", trust, "--json", *options)
        if answer.code == 0 or not answer.out:
            return no(answer, "verify")
        facts = answer.facts
        return [
            Objection("verify", STEPS.get(facts["step"], str(facts["step"])), f"{facts['error']}: {facts['detail']}")
        ]


Story = Callable[[Stage], list[Objection]]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that somebody with keys may try: who must catch it, at which step or under which title, and in which
    words (a regular expression). Caught for another reason is not caught."""

    by: str
    where: str
    says: str
    story: Story


@contextmanager
def stage(folder: Path, seed: int, now_s: float) -> Iterator[Stage]:
    """Running ledgers in an empty folder."""
    with embedded_ledger(folder / "one", LEDGERS[0]) as one, embedded_ledger(folder / "two", LEDGERS[1]) as two:
        made = Stage(folder, dict(zip(LEDGERS, (one, two), strict=True)), seed, now_s)
        with made.ends:
            yield made
