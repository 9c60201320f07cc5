"""Difference between two configurations of one gateway, in words and as line specifications. Pure.

What a running gateway cannot take over is refused here: its name, its database and its keys are those of the process.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.fieldbus.specs import LineSpec
from ledger_client.times import rfc3339_ms
from ledger_client.verification.trust import Trust, TrustKey

FIXED = {"id": "its records would be another gateway's", "data": "the database is open", "keys": "the keys are in use"}
"""Keys of [gateway] that only a new start can change, and why."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change of configuration means. ``lines``: by name, the new spec of each that is new or changed."""

    before: Config
    after: Config
    text: tuple[str, ...]
    """Lines that begin with "- " (before) or "+ " (after): what stands in one and not in the other."""
    lines: Mapping[str, LineSpec]
    closed: frozenset[str]
    """Names of the lines that end: the changed ones and those that are no more."""
    specs: Sequence[LineSpec]
    """All lines of the new configuration."""
    trust: bool = False
    """The trust file says something else."""

    @property
    def nothing(self) -> bool:
        """Both say the same, profiles and trust file included."""
        return self.before.fingerprint() == self.after.fingerprint() and not self.trust

    @property
    def read_anew(self) -> list[str]:
        """The meters whose lines are opened again, or for the first time."""
        return [meter.name for spec in self.lines.values() for meter in spec.meters]

    @property
    def added(self) -> list[str]:
        """The meters that are new."""
        return [name for name in self.after.meters if name not in self.before.meters]

    @property
    def gone(self) -> list[str]:
        """The meters that are no more."""
        return [name for name in self.before.meters if name not in self.after.meters]

    @property
    def both(self) -> list[str]:
        """The meters that stand in both."""
        return [name for name in self.after.meters if name in self.before.meters]

    def ledgers_changed(self) -> bool:
        """Anything about ledgers, or about whom their receipts are believed by, is another."""
        return self.before.document.ledger != self.after.document.ledger or self.trust

    def with_trust(self, before: Trust, after: Trust) -> Difference:
        """The same, with what the two trust files say."""
        if before == after:
            return self
        changes = _compared([_trusted(key) for key in before.keys], [_trusted(key) for key in after.keys])
        text = (*self.text, *(changes or ["+ trust file: another policy or chain"]))
        return replace(self, text=text, trust=True)


def difference(
    before: Config, after: Config, specs_before: Mapping[str, LineSpec], specs_after: Sequence[LineSpec]
) -> Difference:
    """Compare. Raises ConfigError for what needs a new start."""
    for key, why in FIXED.items():
        old, new = (getattr(config.document.gateway, key) for config in (before, after))
        if old != new:
            problem = f"is {new!r}, the running gateway has {old!r}: {why}"
            way_out = f"put back {old!r}, or stop the gateway and start it"
            raise ConfigError(after.path, f"gateway, {key}", problem, way_out)
    lines = {spec.name: spec for spec in specs_after if specs_before.get(spec.name) != spec}
    names = {spec.name for spec in specs_after}
    closed = frozenset(name for name in specs_before if name in lines or name not in names)
    changes = _compared(list(_lines(before)), list(_lines(after)))
    return Difference(before, after, tuple(changes), lines, closed, tuple(specs_after))


def _compared(old: Sequence[str], new: Sequence[str]) -> list[str]:
    return [line for line in difflib.ndiff(old, new) if line.startswith(("- ", "+ "))]


def _trusted(key: TrustKey) -> str:
    whose = key.ledger or "/".join(part for part in (key.gateway, key.meter) if part)
    until = f" until {rfc3339_ms(key.valid_to * 1000)}" if key.valid_to is not None else ""
    return f"trust file: {key.role} key of {whose}, {key.kid.hex()[:16]}…{until}{', revoked' if key.revoked else ''}"


def _lines(config: Config) -> Iterator[str]:
    yield from _flat(config.written, "")
    for meter, profile in config.profiles.items():
        digest = hashlib.sha256(repr(profile).encode()).hexdigest()
        yield f"meter {meter}, content of profile {profile.name} = {digest[:12]}"


def _flat(value: Any, at: str) -> Iterator[str]:
    """One line a setting, each with its place by names: lists of tables have a ``name`` in every row."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{at}, {key}" if at else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for row in value:
            yield from _flat({k: v for k, v in row.items() if k != "name"}, f"{at} {row.get('name', '')}")
    elif value not in ("", []):
        yield f"{at} = {value}"
