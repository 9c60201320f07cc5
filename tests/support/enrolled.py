"""A gateway as a ledger sees it: a statement key and a chain of statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ledger_client.enrolment.request import Enrolment, sign_request
from ledger_client.formats.cose_key import EDDSA, PrivateKey
from ledger_client.formats.statement import Range, Statement, sign_statement, statement_id
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import LedgerDir
from ledger_client.verification.trust_text import key_entry

EPOCH = bytes(range(8))
TIMES_MS = 1_700_000_000_000, 1_700_000_060_000


def policy_with(folder: LedgerDir, gateways: Iterable[Gateway]) -> CommittedPolicy:
    """The policy of an open ledger in which the statement keys of these gateways are enrolled."""
    entries = [key_entry("statement", gateway.key.public, 0, gateway=gateway.name) for gateway in gateways]
    folder.policy.write_text("\n".join(entries))
    return CommittedPolicy.begun(folder)


class Gateway:
    """``statement(n)`` is batch n of its one chain; ``name`` and key are its own."""

    def __init__(self, name: str, alg: int = EDDSA) -> None:
        self.name = name
        self.key = PrivateKey.generate(alg)
        self._chain: list[bytes] = []

    def request(self, folder: Path, time_s: int = 0) -> Path:
        """Its enrolment request of that time, as a file in ``folder``."""
        path = folder / f"{self.name}.enrol"
        asked = Enrolment(self.name, time_s, self.key.public)
        path.write_bytes(sign_request(asked, {self.key.public.kid: self.key}))
        return path

    def statement(self, batch: int) -> bytes:
        """The entry of a batch of the chain."""
        while len(self._chain) <= batch:
            prev = statement_id(self._chain[-1]) if self._chain else None
            self._chain.append(self.sign(len(self._chain), prev))
        return self._chain[batch]

    def sign(
        self,
        batch: int,
        prev: bytes | None,
        *,
        resume: str | None = None,
        mark: int = 0,
        meters: Mapping[str, tuple[Range, ...]] | None = None,
        times_ms: tuple[int, int] = TIMES_MS,
        iat: int | None = None,
    ) -> bytes:
        """Any statement; ``mark`` makes another one of the same batch."""
        if meters is None:
            meters = {"export-main": (Range(EPOCH, batch * 10, batch * 10 + 9),)}
        statement = Statement(
            gateway=self.name,
            batch=batch,
            iat=-(-times_ms[1] // 1000) if iat is None else iat,
            prev=prev,
            root=bytes([mark]) * 32,
            size=sum(len(stretch) for stretches in meters.values() for stretch in stretches),
            from_ms=times_ms[0],
            to_ms=times_ms[1],
            meters=meters,
            config=bytes(32),
            software="meterseal/0.1.0",
            resume=resume,
        )
        return sign_statement(statement, self.key)
