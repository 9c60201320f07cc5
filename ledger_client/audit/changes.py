"""Audit of changes: what each ``configuration`` event says otherwise than the one before it. No I/O.

A change is no fault: a transformer is exchanged, a meter comes or goes. But whoever holds all keys may have other
ratios signed for an hour, and the old ones again. So each is noted, with both values and the time until it was changed
again, by the last configuration that is known, whatever lies between: a restart, missing files, a meter that was out.

In words there is a line for each meter and field, with the time of every value. Two values never look alike: letters
beyond ASCII are escapes, since those of another script may resemble them, and long values are cut only where they
differ before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ledger_client.audit.records import Name
from ledger_client.audit.result import Audit, Change
from ledger_client.times import rfc3339

CONFIG, CONFIGURED, IDENTITY = "config", "configured", "identity"
"""Fields of a change besides those of a meter in the event: the fingerprint of the whole configuration; whether it has
the meter. ``identity``: a first one, of a device that was not known, is no change."""
FIELDS: Final = (
    "role", "profile", "profile-hash", "ratios", "ratios-compared", "reversed", "series", "period", IDENTITY,
)  # fmt: skip
_Key = tuple[str | None, str]


@dataclass(slots=True)
class Changes:
    """The configurations of one gateway, in order. Not forgotten where batches are missing."""

    result: Audit
    _known: dict[_Key, Any] = field(default_factory=dict)
    """By meter and field what is configured, or was when the meter was configured last."""
    _last: dict[_Key, Change] = field(default_factory=dict)
    _exchanged_to: dict[str, list[str]] = field(default_factory=dict)
    """The identities that a meter was exchanged to since the last configuration."""
    _seen: set[Name] = field(default_factory=set)

    def exchanged(self, meter: str, identity: str) -> None:
        """An event ``meter-exchange``: from here on another device is the meter; "": it does not tell which."""
        self._exchanged_to.setdefault(meter, []).append(identity)

    def first_identity(self, meter: str, identity: str) -> None:
        """A meter's own event says which device it is; another one in the next configuration is a change."""
        key = meter, IDENTITY
        if self._known.get(key) is None and key not in self._last:
            self._known[key] = identity

    def of(self, meter: str) -> dict[str, Any]:
        """A meter's facts as it is configured, or was last; none: it never was."""
        if (meter, CONFIGURED) not in self._known:
            return {}
        exchanged = {IDENTITY: to[-1] or None} if (to := self._exchanged_to.get(meter)) else {}
        return {what: self._known.get((meter, what)) for what in FIELDS} | exchanged

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
        for meter, facts in sorted(meters.items()):
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


# — in words —

MOST: Final = 6
"""Changes of one field that are put in words; --json has all of them."""
_WIDE, _WIDE_HASH = 80, 16


def changes_in_words(changes: Sequence[Change]) -> Iterator[str]:
    """A line for each meter and field that was changed, the whole configuration first."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.meter or "", change.field), []).append(change)
    for (meter, what), those in sorted(groups.items()):
        yield f"{meter or 'the configuration'}, {what}: {_course(what, those)}"


def _course(what: str, changes: Sequence[Change]) -> str:
    """The values in order, each until when it was changed."""
    shown, left = changes[:MOST], len(changes) - MOST
    values = _apart(what, [shown[0].before, *(change.after for change in shown)])
    how = ["", *(" without a meter-exchange" if change.exchange is False else "" for change in shown)]
    values_since = [value + extra for value, extra in zip(values, how, strict=True)]
    ended = [f"{one} until {rfc3339(change.since)}" for one, change in zip(values_since, shown, strict=False)]
    last = f"{values_since[-1]}, and {left} changes more: --json has all" if left > 0 else values_since[-1]
    return f"{', '.join(ended)}, then {last}"


def _apart(what: str, values: Sequence[Any]) -> list[str]:
    wide = _WIDE_HASH if isinstance(values[0], bytes) else _WIDE
    texts = [one.encode("ascii", "backslashreplace").decode() for one in _texts(what, values)]
    short = [one if len(one) <= wide else f"{one[:wide]}…" for one in texts]
    return short if len({*short}) == len({*texts}) else texts


def _texts(what: str, values: Sequence[Any]) -> list[str]:
    if what == "ratios":
        changed = sorted({key for some in values for key in some if any(o.get(key) != some[key] for o in values)})
        return [", ".join(f"{key} {some[key]}" if key in some else f"no {key}" for key in changed) for some in values]
    return [_text(what, value) for value in values]


def _text(what: str, value: Any) -> str:
    if what == "configured":
        return "in the configuration" if value else "out of the configuration, where nothing is due,"
    if what == "period":
        return f"{value / 1000:g} s"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
