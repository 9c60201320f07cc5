"""Foresight of a registry's judgement: claims applied to what it shows, before the first of them is sent. Network.

What a registry shows is not proven, so nothing is decided by it but whether sending is worth while: the registry and
whoever replays its log judge by the same function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from ledger_client.certificates.holding.sending import Sender
from ledger_client.claims.answers import Shown
from ledger_client.claims.certificate import digest, withdrawn
from ledger_client.claims.claim import HOUR_MS, Claim, Deed, Export, Issue, Retire, Transfer, Withdraw
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import apply
from ledger_client.errors import Refused
from ledger_client.ledgers.registry import RegistryClient


def foresee(sender: Sender, deeds: Sequence[Deed], shown: Iterable[Shown]) -> list[Refused | None]:
    """How the registry would answer these claims one behind the other; None: it takes it. ``shown``: ``shown_of`` them.

    Raises LedgerUnavailable, Refused.
    """
    registry, party = sender.registry, sender.party.name

    @cache
    def role_of(name: str) -> str | None:
        return registry.party(name)[1]

    state = state_of(shown)
    state.numbers[party] = registry.party(party)[0]
    found: list[Refused | None] = []
    for deed in deeds:
        try:
            apply(state, Claim(party, state.next_number(party), registry.name, 0, deed), role_of, registry.name)
        except Refused as error:
            found.append(error)
        else:
            found.append(None)
    return found


def state_of(shown: Iterable[Shown]) -> MemoryState:
    """A registry's state as far as it shows these certificates."""
    state = MemoryState()
    for one in shown:
        made = one.certificate
        state.certificates[made.id] = made
        state.parts[made.id] = list(one.slices)
        if not withdrawn(one.slices):
            state.origins |= {(made.device, quarter): made.id for quarter in made.quarters}
    return state


def shown_of(registry: RegistryClient, deeds: Sequence[Deed]) -> list[Shown]:
    """What the registry shows of all certificates that deeds are about, or whose hours they would take."""
    origins = [deed.origin for deed in deeds if isinstance(deed, Issue)]
    certs = {deed.cert for deed in deeds if isinstance(deed, Transfer | Retire | Export | Withdraw)}
    found = [one for cert in certs if (one := registry.certificate(cert)) is not None]
    for device in {origin.device for origin in origins}:
        of_device = [origin for origin in origins if origin.device == device]
        begin_ms, end_ms = min(origin.from_ms for origin in of_device), max(origin.to_ms for origin in of_device)
        found += registry.of_device(digest(device), max(begin_ms - HOUR_MS, 0), end_ms)
    return found
