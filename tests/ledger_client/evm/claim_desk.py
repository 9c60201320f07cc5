"""The embedded ledger in a walk of random claims: it takes and refuses what the contract does, of the same parties."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ledger_client.certificates.replay import replay
from ledger_client.claims.certificate import Slice
from ledger_client.claims.claim import MAX_NUMBER, Deed
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import UNKNOWN_PARTY
from ledger_client.errors import Refused
from ledger_client.formats.cose_key import PublicKey
from ledger_client.transparency.ledger.admission import KEY_NOT_VALID
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import LedgerDir, open_dir
from ledger_client.transparency.ledger.service import Service
from ledger_client.verification.trust_text import key_entry
from tests.ledger_client.evm.claims import REGISTRY, Cert, h
from tests.support.certificates.claimed import Party

_TITLES = {KEY_NOT_VALID: UNKNOWN_PARTY}
"""How the contract says it: it knows a revoked account no more."""


@dataclass(slots=True)
class _Key:
    """An entry of the policy file."""

    party: str
    role: str
    public: PublicKey
    revoked: int | None = None

    def toml(self) -> str:
        return key_entry(self.role, self.public, 0, party=self.party, revoked=self.revoked)


@dataclass(slots=True)
class Desk:
    """A ledger, the keys that were ever enrolled at it, and what it has given for each claim."""

    folder: LedgerDir
    service: Service
    parties: dict[str, Party] = field(default_factory=dict)
    keys: list[_Key] = field(default_factory=list)
    given: dict[tuple[str, int], tuple[bytes, bytes]] = field(default_factory=dict)
    begun_s: int = field(default_factory=lambda: int(time.time()))
    offered: int = 0

    @classmethod
    def opened(cls, path: Path) -> Desk:
        folder = open_dir(path, REGISTRY)
        return cls(folder, Service(folder, CommittedPolicy.begun(folder)))

    def register(self, name: str, role: str) -> None:
        """A name gets a key, its first or another one."""
        party = Party(name, role, REGISTRY)
        self.parties[name] = party
        self.keys.append(_Key(name, role, party.key.public))
        self._write()

    def revoke(self, name: str) -> None:
        """No key of the name counts any more."""
        for key in self.keys:
            if key.party == name and key.revoked is None:
                key.revoked = int(time.time())
        self._write()

    def rotate(self, name: str) -> None:
        """Another key in the place of the present one."""
        role = self.parties[name].role
        self.revoke(name)
        self.register(name, role)

    def claim(self, who: str, number: int, deed: Deed) -> str | None:
        """Offer a claim; why it is refused. What is refused leaves the log as it was.

        No two are signed in one second: else the very claim of a taken number would get its first receipt (R5), where
        the contract, which cannot tell it from another one, says that the number is taken.
        """
        self.offered += 1
        entry, size = self.parties[who].sign(deed, number, iat=self.begun_s - self.offered), self.size()
        try:
            _, receipt = self.service.submit(entry)
        except Refused as refused:
            assert self.size() == size
            return _TITLES.get(refused.title, refused.title)
        assert self.size() == size + 1
        self.given[who, number] = entry, receipt
        return None

    def again(self, who: str, number: int) -> None:
        """The claim of this number once more: it has its first receipt, and nothing is added."""
        entry, receipt = self.given[who, number]
        size = self.size()
        assert self.service.submit(entry)[1] == receipt
        assert self.size() == size

    def size(self) -> int:
        with self.folder.log.read() as log:
            return log.size()

    def compare(self, cert: Cert, state: MemoryState) -> None:
        """What the ledger's tables hold of a certificate and of its quarters of an hour."""
        device = h(cert.device)
        with self.folder.log.read() as log:
            assert list(log.claims.slices(cert.id, (0, MAX_NUMBER))) == state.slices(cert.id, (0, MAX_NUMBER))
            for quarter in range(cert.begin // 900, -(-cert.end // 900)):
                assert log.claims.taken(device, range(quarter, quarter + 1)) == state.origins.get((device, quarter))

    def next(self, name: str) -> int:
        with self.folder.log.read() as log:
            return log.claims.next_number(name)

    def replayed(self) -> MemoryState:
        """What the log gives by itself; every entry of it is one that the rules admit."""
        with self.folder.log.read() as log:
            made = replay(REGISTRY, log.entries(0, log.size()))
        assert made.faults == []
        assert len(made.claims) == len(self.given)
        return made.state

    def close(self) -> None:
        self.folder.close()

    def _write(self) -> None:
        self.folder.policy.write_text("\n".join(key.toml() for key in self.keys))
        self.service.register_policy()


def opened(path: Path) -> closing[Desk]:
    """The same, closed at the end."""
    return closing(Desk.opened(path))


def doubles(state: MemoryState) -> int:
    """Quarters of an hour of a device that stand in more than one certificate that is not withdrawn."""
    seen: set[tuple[bytes, int]] = set()
    twice = 0
    for made in state.certificates.values():
        first: Slice = state.parts[made.id][0]
        if first.status != "withdrawn":
            quarters = {(made.device, quarter) for quarter in made.quarters}
            twice += len(quarters & seen)
            seen |= quarters
    return twice
