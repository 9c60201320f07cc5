"""Audit of changes: what each ``configuration`` event says otherwise than the one before it. No I/O.

A change is no fault: a transformer is exchanged, a meter comes or goes. But whoever holds all keys may have other
ratios signed for an hour, and the old ones again. So each is noted, with both values and the time until it was changed
again, by the last configuration that is known, whatever lies between: a restart, missing files, a meter that was out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger_client.audit.records import Name
from ledger_client.audit.result import Audit, Change

CONFIG, CONFIGURED, IDENTITY = "config", "configured", "identity"
"""Fields of a change besides those of a meter in the event: the fingerprint of the whole configuration; whether it has
the meter. ``identity``: a first one, of a device that was not known, is no change."""
_Key = tuple[str | None, str]


@dataclass(slots=True)
class Changes:
    """The configurations of one gateway, in order. Not forgotten where batches are missing."""

    result: Audit
    _known: dict[_Key, Any] = field(default_factory=dict)
    """By meter and field what is configured, or was when the meter was configured last."""
    _last: dict[_Key, Change] = field(default_factory=dict)
    _exchanged_to: dict[str, set[str]] = field(default_factory=dict)
    """The identities that a meter was exchanged to since the last configuration."""
    _seen: set[Name] = field(default_factory=set)

    def exchanged(self, meter: str, identity: object) -> None:
        """An event ``meter-exchange``: from here on another device is the meter."""
        if isinstance(identity, str):
            self._exchanged_to.setdefault(meter, set()).add(identity)

    def configured(self, config: bytes, meters: Mapping[str, Mapping[str, Any]], at: str, name: Name, iat: int) -> None:
        """A whole configuration: its fingerprint and its meters' facts, of an event that was signed at ``iat``."""
        if name in self._seen:  # a proof of an event that stood in a batch, too
            return
        self._seen.add(name)
        begun = (None, CONFIG) in self._known
        event = _Event(name, at, iat)
        self._compare((None, CONFIG), config, event)
        for meter in [m for m, what in self._known if m is not None and m not in meters and what == CONFIGURED]:
            self._compare((meter, CONFIGURED), False, event)
        for meter, facts in meters.items():
            if begun:
                self._known.setdefault((meter, CONFIGURED), False)
            self._compare((meter, CONFIGURED), True, event)
            for what, fact in facts.items():
                self._compare((meter, what), fact, event)
            self._exchanged_to.pop(meter, None)

    def _compare(self, key: _Key, after: Any, event: _Event) -> None:
        before = self._known.get(key, after)
        self._known[key] = after
        if before == after:
            return
        meter, what = key
        exchange = None
        if what == IDENTITY and meter is not None:
            if before is None and key not in self._last:
                return
            exchange = (after or "") in self._exchanged_to.get(meter, ())
        if key in self._last:
            self._last[key].until = event.iat
        place = str(event.name), self.result.place[1], event.at
        change = Change(meter, what, before, after, *place, event.iat, exchange=exchange)
        self._last[key] = change
        self.result.changes.append(change)


@dataclass(frozen=True, slots=True)
class _Event:
    name: Name
    at: str
    iat: int
