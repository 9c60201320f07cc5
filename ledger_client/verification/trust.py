"""Trust: the keys, the ledgers and the number of ledgers that a verifier trusts. Nothing else is trusted.

Facts only, as a trust file says them: ``trust_file`` reads and ``trust_text`` writes it, ``trust_warnings`` finds what
a reader of it should know, ``trust_dates`` when it counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ledger_client.formats.cose_key import PublicKey
from ledger_client.messages import Message
from ledger_client.verification.witnesses import LogKey, Witness

PARTY_ROLES: Final = ("party", "issuer", "verifier")
"""The roles of keys that sign claims."""
HARDWARE: Final = "hardware"
Place = tuple[str, str | None, str | None, str | None, str | None, bytes]
"""Role, gateway, meter, ledger, party and kid of a key."""


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody answers for it that a private key is in hardware that does not give it out: ``by`` (a ledger's name),
    from ``at`` (Unix seconds) on, because of ``evidence``: what was looked at, where it is known.

    ``by`` and ``at`` are None in a ledger's own policy.toml: there it is this ledger, from its log's entry on.
    """

    by: str | None
    at: int | None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class TrustKey:
    """One key: its role, whose it is, and when it counts. Times are Unix seconds; valid from ``valid_from`` on, before
    ``valid_to`` (None: no end), and not from ``revoked`` on (None: not revoked; a revoked ledger key never counts)."""

    role: str
    key: PublicKey
    gateway: str | None
    meter: str | None
    ledger: str | None
    kid: bytes
    valid_from: int
    valid_to: int | None
    revoked: int | None
    revoked_reason: str | None
    identity: str | None = None
    """Of the device that a meter's key was enrolled for, where it was known."""
    party: str | None = None
    """Of one of ``PARTY_ROLES``: who signs claims with it. A name of a party is of another kind than a gateway's."""
    held: Held | None = None
    """None: nobody answers for more than a file that can be copied. Never of a party's key."""

    def counts_at(self, time: int) -> bool:
        """Whether it counts at a time (Unix seconds)."""
        until = self.valid_to is None or time < self.valid_to
        return self.valid_from <= time and until and (self.revoked is None or time < self.revoked)

    @property
    def place(self) -> Place:
        """What a lookup of it gives: role, names, kid. No two keys of a file have the same."""
        return self.role, self.gateway, self.meter, self.ledger, self.party, self.kid


@dataclass(frozen=True, slots=True)
class Chain:
    """An EVM ledger to be asked with ``--online``: the contract and the sender (20 bytes each) that count there.

    One entry a sender; ``sender`` is empty for a contract ClaimRegistry. A block is final with so many
    ``confirmations``, its own included; None: when the chain says it.
    """

    ledger: str
    chain_id: int
    contract: bytes
    sender: bytes
    confirmations: int | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust file that was read: ``receipts`` is k, ``ledgers`` the list, ``warnings`` what a reader should know.

    ``max_delay_s``: so many seconds may lie between a record's time and its ledgers' (None: any number). ``attested``:
    so many verifiers must have attested a certificate's statement. ``registries``: chains of claims. ``made`` and
    ``expires`` (Unix seconds; None: not said) are facts here; ``trust_dates`` judges by them. ``witnessed``: so many of
    ``witnesses`` must have cosigned a head of a ledger's log, signed by one of ``logs``.
    """

    receipts: int
    ledgers: tuple[str, ...]
    keys: tuple[TrustKey, ...]
    chains: tuple[Chain, ...]
    warnings: tuple[Message, ...]
    source: str
    max_delay_s: int | None = None
    attested: int = 0
    registries: tuple[Chain, ...] = ()
    made: int | None = None
    expires: int | None = None
    witnessed: int = 0
    witnesses: tuple[Witness, ...] = ()
    logs: tuple[LogKey, ...] = ()
    _index: dict[Place, TrustKey] = field(init=False, repr=False, compare=False)
    _gateways: frozenset[str] = field(init=False, repr=False, compare=False)
    _with_keys: frozenset[str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {key.place: key for key in self.keys})
        object.__setattr__(self, "_gateways", frozenset(key.gateway for key in self.keys if key.gateway is not None))
        object.__setattr__(self, "_with_keys", frozenset(key.ledger for key in self.keys))

    def find(
        self, role: str, *, gateway: str | None = None, meter: str | None = None, ledger: str | None = None,
        party: str | None = None, kid: bytes,
    ) -> TrustKey | None:  # fmt: skip
        """The key of this role, these names and this kid, or None."""
        return self._index.get((role, gateway, meter, ledger, party, kid))

    def has_gateway(self, gateway: str) -> bool:
        """True if some key is of this gateway."""
        return gateway in self._gateways

    def has_ledger_key(self, ledger: str) -> bool:
        """True if some key is this ledger's."""
        return ledger in self._with_keys
