"""Replay of a registry's log: who holds what, as the rules say, and every claim in it that they do not admit.

A replay believes no table of the ledger: it reads the entries in their order, the policy from the ledger's own, and
applies each claim as the ledger should have done. What the log holds against the rules, an hour that is issued twice
above all, is named. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger_client.claims.claim import CONTENT_CLAIM, SignedClaim, parse_claim
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import apply
from ledger_client.errors import Malformed, Refused, VerificationError
from ledger_client.formats import cose
from ledger_client.formats.checks import MAX_TIME_S
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.transparency.policy.key_entries import about, applied, parse_change
from ledger_client.transparency.policy.ledger_keys import LEDGER_CONTENTS
from ledger_client.verification.trust import Place, TrustKey

UNSOUND = "Unsound entry"
"""Of an entry that is no claim, or of a signature or a key that does not count; the other titles are the registry's."""


class Fault(NamedTuple):
    """An entry of the log that should not be in it: its number, the title of the refusal that it should have got."""

    number: int
    title: str
    detail: str


@dataclass(slots=True)
class Replay:
    """What a log gives: the registry's state, the claims that were admitted, the faults, and the leaves of the tree.

    A claim that is at fault changes nothing here, whatever the ledger made of it.
    """

    registry: str
    state: MemoryState = field(default_factory=MemoryState)
    claims: list[tuple[int, SignedClaim]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    _keys: Mapping[Place, TrustKey] = field(default_factory=dict)

    @property
    def root(self) -> bytes:
        """Of the log's tree, to be compared with a head that the ledger signed."""
        return Tree(self.leaves).root

    def take(self, number: int, entry: bytes) -> None:
        """The next entry of the log. Raises Malformed where it is not the next one."""
        if number != len(self.leaves):
            raise Malformed(f"entry {number} of the log stands where {len(self.leaves)} is expected")
        self.leaves.append(leaf_hash(entry))
        try:
            content = cose.Sign1.parse(entry).protected.get(cose.CONTENT_TYPE)
            if content == CONTENT_CLAIM:
                self._claim(number, entry)
            elif content in LEDGER_CONTENTS and about(entry) is not None:
                self._keys = applied(self._keys, [parse_change(entry)])
        except VerificationError as error:
            self.faults.append(Fault(number, UNSOUND, error.detail))
        except Refused as error:
            self.faults.append(Fault(number, error.title, error.detail))

    def _claim(self, number: int, entry: bytes) -> None:
        signed = parse_claim(entry)
        claim = signed.claim
        keys = [key for key in self._keys.values() if key.party == claim.party and key.kid == signed.kid]
        if not keys:
            raise Malformed(f"no key of {claim.party} with this kid is enrolled by the entries before it")
        signed.sign1.verify(keys[0].key)
        if not keys[0].valid_from <= claim.iat < (keys[0].valid_to or MAX_TIME_S + 1):
            raise Malformed(f"the key of {claim.party} did not count when the claim was signed")
        apply(self.state, claim, self._role, self.registry)
        self.claims.append((number, signed))

    def _role(self, party: str) -> str | None:
        """By the keys that the log has not revoked at this place."""
        counting = (key for key in self._keys.values() if key.party == party and key.revoked is None)
        return next((key.role for key in counting), None)


def replay(registry: str, entries: Iterable[tuple[int, bytes]]) -> Replay:
    """Replay (number, entry) of a whole log, from entry 0 on. Raises Malformed where one is left out."""
    made = Replay(registry)
    for number, entry in entries:
        made.take(number, entry)
    return made
