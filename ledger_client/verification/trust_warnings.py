"""Warnings about a trust file that is accepted: what it lets count that its reader may not have meant.

A warning changes no verdict. Where one would have to, the file is refused, in ``trust_file``.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger_client.messages import Message
from ledger_client.verification.trust import Chain, TrustKey
from ledger_client.verification.witnesses import LogKey


def warnings_of(
    receipts: int, ledgers: tuple[str, ...], keys: tuple[TrustKey, ...], chains: tuple[Chain, ...]
) -> Iterator[Message]:
    """What is accepted of a file with k ``receipts``, these ledgers, keys and chains, and may still let others in."""
    if receipts * 2 <= len(ledgers):
        yield Message("trust-no-majority", receipts=receipts, ledgers_n=len(ledgers))
    sources = {key.ledger for key in keys} | {chain.ledger for chain in chains}
    for ledger in ledgers:
        if ledger not in sources:
            yield Message("trust-ledger-no-key", ledger=ledger)
    for extra in sorted({key.ledger for key in keys if key.ledger} - set(ledgers)):
        yield Message("trust-ledger-not-listed", ledger=extra)
    for number, key in enumerate(keys, 1):
        if key.held is not None and key.ledger is not None and key.held.by == key.ledger:
            yield Message("trust-held-by-itself", number=number, ledger=key.ledger)
        if key.held is not None and key.ledger is None and key.held.by is not None and key.held.by not in ledgers:
            yield Message("trust-held-by-unknown", number=number, by=key.held.by, ledgers=ledgers or ("–",))
    yield from _shared(keys)


def unwitnessed(ledgers: tuple[str, ...], chains: tuple[Chain, ...], logs: tuple[LogKey, ...]) -> Iterator[Message]:
    """The ledgers whose logs no witness can be asked about: a log has its key here, or stands on a chain."""
    sources = {log.ledger for log in logs} | {chain.ledger for chain in chains}
    for ledger in ledgers:
        if ledger not in sources:
            yield Message("trust-ledger-no-log", ledger=ledger)


def _shared(keys: tuple[TrustKey, ...]) -> Iterator[Message]:
    """One key of two meters or gateways: each could sign for the other."""
    owners: dict[bytes, tuple[int, TrustKey]] = {}
    for number, key in enumerate(keys, 1):
        first, other = owners.setdefault(key.key.kid, (number, key))
        if (other.gateway, other.meter) != (key.gateway, key.meter):
            yield Message("trust-key-shared", number=number, other=first, one=_owner(other), another=_owner(key))


def _owner(key: TrustKey) -> Message:
    if key.meter is None:
        return Message("gateway-itself", gateway=key.gateway or "")
    return Message("meter-of-gateway", meter=key.meter, gateway=key.gateway or "")
