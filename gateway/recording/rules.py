"""Rules of recording, from the configuration: how records are committed, cut, sealed and kept. Plain facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from gateway.config.model import Config, Configured
from gateway.evidence.sealing import Issuer
from gateway.storage.capacity import disk_space
from ledger_client.formats.cose_key import Signer


@dataclass(frozen=True, slots=True)
class Rules:
    """How records are committed, cut, sealed and kept: periods in ms, ledgers by name (``required``: those whose
    receipts a batch needs before it may be pruned), what statements say of the gateway, each meter's points that are
    counters."""

    gateway: str
    periods_ms: Mapping[str, int]
    configured: Mapping[str, Configured]
    commit_every_ms: int
    seal_every_ms: int
    seal_count: int
    ledgers: Sequence[str]
    required: Sequence[str]
    config: bytes
    software: str
    limits: disk_space.Limits
    counters: Mapping[str, frozenset[str]]

    @staticmethod
    def of(config: Config) -> Rules:
        """How this configuration commits and seals, and what its statements say of the gateway."""
        document = config.document
        return Rules(
            gateway=config.gateway_id,
            periods_ms={name: meter.every for name, meter in config.meters.items()},
            configured=config.configured,
            commit_every_ms=document.store.commit_every,
            seal_every_ms=document.seal.every,
            seal_count=document.seal.count,
            ledgers=tuple(ledger.name for ledger in document.ledger),
            required=tuple(ledger.name for ledger in document.ledger if ledger.policy == "required"),
            config=config.fingerprint(),
            software=f"meterseal/{version('meterseal')}",
            limits=disk_space.Limits.of(config),
            counters={
                name: frozenset(point.name for point in profile.points if point.kind == "counter")
                for name, profile in config.profiles.items()
            },
        )

    def issuer(self, key: Signer) -> Issuer:
        """Who seals by these rules, with the statement key."""
        return Issuer(self.gateway, self.software, self.config, self.ledgers, key)
