"""Audit of keys: which one each meter and the gateway itself signs with, from the gateway's events, in order. No I/O.

A key has one life: an event introduces it, a ``keys`` event replaces it, and behind the batch of that event it signs
nothing more. What an announced loss has put back (a batch that says ``resume``) is of that step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger_client.audit.events import NewKey
from ledger_client.audit.records import Name
from ledger_client.audit.result import KEYS, Audit
from ledger_client.audit.times import SECOND_MS
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.statement import SignedStatement

_Key = tuple[str, bytes]
"""Whose (a meter's, or the gateway's own), and its thumbprint."""


class _InForce(NamedTuple):
    """The key with which an owner signs; ``losses``: how many were announced when an event last named it."""

    kid: bytes
    losses: int


class _Replaced(NamedTuple):
    """By which event a key was replaced, behind how many announced losses."""

    by: Name
    losses: int


@dataclass(slots=True)
class Signers:
    """The keys of one gateway, in the order of its events."""

    result: Audit
    _introduced: set[_Key] = field(default_factory=set)
    _in_force: dict[str, _InForce] = field(default_factory=dict)
    _replaced: dict[bytes, dict[str, _Replaced]] = field(default_factory=dict)
    """By key, and by whose it was."""
    _of_batch: dict[_Key, _Replaced] = field(default_factory=dict)
    """Replaced in this batch, which either key may have signed."""
    _changed: dict[str, tuple[_InForce, Name]] = field(default_factory=dict)
    """By owner the key before, where a configuration of this batch has another one, and no ``keys`` event says so."""

    _unnamed: dict[bytes, tuple[tuple[str, int | None], int]] = field(default_factory=dict)
    """Keys of statements that no event has named yet: of which file and batch, signed when (Unix s)."""

    def begin_anew(self) -> None:
        """Batches are missing: which keys are in force is not known. What was replaced stays so."""
        self._introduced, self._in_force, self._changed, self._unnamed = set(), {}, {}, {}

    def end_proofs(self) -> None:
        """The events so far are from proofs, of before the next batch."""
        self._changed = {}
        self._settle()

    # — what the events say —

    def configured(self, kids: Mapping[str, bytes], name: Name) -> None:
        """A configuration has these keys; the ``keys`` event of one that is new may follow in its batch."""
        for owner, kid in sorted(kids.items()):
            before = self._in_force.get(owner)
            self._introduced.add((owner, kid))
            self._in_force[owner] = _InForce(kid, self.result.losses)
            if before is not None and before.kid == kid:
                continue
            if not self._returns(owner, kid, name, anywhere=before is not None) and before is not None:
                self._changed[owner] = before, name

    def keyed(self, key: NewKey, name: Name) -> None:
        """A ``keys`` event: a key takes the place of another one, or its owner is new."""
        owner, new, replaced = key
        before = self._changed.pop(owner)[0] if owner in self._changed else self._in_force.get(owner)
        known = before if before is not None and before.kid != new else None
        self._introduced |= {(owner, kid) for kid in (new, replaced) if kid is not None}
        self._returns(owner, new, name, anywhere=True)
        self._in_force[owner] = _InForce(new, self.result.losses)
        for kid in (replaced, known.kid if known else None):
            if kid is not None and kid != new:
                self._of_batch[owner, kid] = _Replaced(name, self.result.losses)
        if known is not None and replaced != known.kid:
            says = f"says that of {base64url(replaced)}" if replaced else "does not say so"
            text = (
                f"the key {base64url(new)} of {owner} takes the place of {base64url(known.kid)}, and the event {says}"
            )
            self.result.contradicted(KEYS, name, text, known.losses)

    def _returns(self, owner: str, kid: bytes, name: Name, *, anywhere: bool) -> bool:
        """Whether a key that is to sign from now on was replaced before, of its owner or of ``anywhere``: it is found,
        once. Two that exchange their keys do so in one batch."""
        at = self._of_batch.pop((owner, kid), None) or self._replaced.get(kid, {}).pop(owner, None)
        if at is None and anywhere:
            at = next(iter(self._replaced.get(kid, {}).values()), None)
        if at is not None:
            text = f"the key {base64url(kid)} of {owner} returns, and event {at.by} has replaced it"
            self.result.contradicted(KEYS, name, text, at.losses)
        return at is not None

    # — what was signed —

    def end_batch(self, kids: Iterable[_Key], signed: SignedStatement, *, configured: bool) -> None:
        """The keys by which the batch's records are, and its statement; ``configured``: a configuration is known."""
        statement = signed.kid
        for owner, (before, name) in sorted(self._changed.items()):
            kid = self._in_force[owner].kid
            text = f"the key of {owner} is {base64url(kid)} from here on, {base64url(before.kid)} before"
            self.result.contradicted(KEYS, name, f"{text}, and no keys event says so", before.losses)
        self._changed = {}
        signers = sorted(kids)
        for owner, kid in signers if configured else ():
            if (owner, kid) not in self._introduced:
                text = f"the key {base64url(kid)} of {owner} stands in no configuration or keys event so far"
                self.result.found(KEYS, None, text)
        whose = [(key, f"of {key[0]} signs") for key in signers]
        for key, what in [*whose, ((GATEWAY_ITSELF, statement), "signs its statement")]:
            if (at := self._replaced.get(key[1], {}).pop(key[0], None)) is not None:  # once
                text = f"the key {base64url(key[1])} {what}, and event {at.by} has replaced it before"
                self.result.contradicted(KEYS, None, text, at.losses)
        self._settle()
        if configured:
            self._ahead(signed)

    def _ahead(self, signed: SignedStatement) -> None:
        """A batch that was cut before a start is sealed behind it, by a key that a later batch introduces: the one with
        records from behind that moment at the latest."""
        introduced = {kid for kid in self._unnamed if (GATEWAY_ITSELF, kid) in self._introduced}
        self._unnamed = {kid: at for kid, at in self._unnamed.items() if kid not in introduced}
        for kid, (place, iat) in [*self._unnamed.items()]:
            if signed.statement.to_ms > (iat + 2) * SECOND_MS:
                del self._unnamed[kid]
                with self.result.speaking_of(place):
                    text = f"its statement is by the key {base64url(kid)}, which no configuration or keys event names"
                    self.result.found(KEYS, None, text)
        if (GATEWAY_ITSELF, signed.kid) not in self._introduced:
            self._unnamed.setdefault(signed.kid, (self.result.place, signed.statement.iat))

    def _settle(self) -> None:
        for (owner, kid), at in self._of_batch.items():
            self._replaced.setdefault(kid, {})[owner] = at
        self._of_batch = {}
