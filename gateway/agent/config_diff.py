"""Difference between two configurations of one gateway, in words and as line specifications. Pure.

What a running gateway cannot take over is refused here: its name, its database and the folder of its keys are those of
the process. The keys in that folder may change.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gateway.config.device_keys import Keys
from gateway.config.model import Config
from gateway.config.notify import concealed_url
from gateway.errors import ConfigError
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.languages import in_language
from gateway.messages.message import Message
from gateway.records import sentence_fields
from ledger_client.messages import Sentence
from ledger_client.verification.trust import Trust, TrustKey

FIXED = {
    "id": Message("change-id-fixed"),
    "data": Message("change-data-fixed"),
    "keys": Message("change-keys-fixed"),
}
"""Keys of [gateway] that only a new start can change, and why."""


class ChangedLine(NamedTuple):
    """What is in one configuration and not in the other; ``sign``: "-" before, "+" after."""

    sign: str
    sentence: Sentence

    def __str__(self) -> str:
        return f"{self.sign} {in_language(self.sentence, 'en')}"

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"sign": self.sign, **sentence_fields(self.sentence)}


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change of configuration means. ``lines``: by name, the new spec of each that is new or changed."""

    before: Config
    after: Config
    changes: tuple[ChangedLine, ...]
    lines: Mapping[str, LineSpec]
    closed: frozenset[str]
    """Names of the lines that end: the changed ones and those that are no more."""
    specs: Sequence[LineSpec]
    """All lines of the new configuration."""
    trust: bool = False
    """Whether the trust file has changed."""
    keys: bool = False
    """Whether the statement key, or the key of a meter that stands in both, is another one."""

    @property
    def nothing(self) -> bool:
        """Both say the same, profiles, trust file and keys included."""
        return self.before.fingerprint() == self.after.fingerprint() and not self.trust and not self.keys

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
        changes = changes or [ChangedLine("+", Message("change-trust-policy"))]
        return replace(self, changes=(*self.changes, *changes), trust=True)

    def with_keys(self, before: Keys, after: Keys) -> Difference:
        """The same, with the keys that sign."""
        pairs = [(Message("own-statement-key"), before.statement, after.statement)]
        pairs += [(Message("own-meter-key", meter=m), before.meters[m], after.meters[m]) for m in self.both]
        changes = [
            ChangedLine(sign, Message("change-key", whose=whose, kid=key.public.kid.hex()[:16]))
            for whose, *keys in pairs
            if keys[0].public.kid != keys[1].public.kid
            for sign, key in zip("-+", keys, strict=True)
        ]
        return replace(self, changes=(*self.changes, *changes), keys=bool(changes))


def difference(
    before: Config, after: Config, specs_before: Mapping[str, LineSpec], specs_after: Sequence[LineSpec]
) -> Difference:
    """The difference between two configurations of one gateway.

    Args:
        before: in force.
        after: the other one.
        specs_before: lines in force, by name.
        specs_after: lines of the other one.

    Raises:
        ConfigError: a key differs that only a new start can change.
    """
    for key, why in FIXED.items():
        old, new = (getattr(config.document.gateway, key) for config in (before, after))
        if old != new:
            fixed = Message("change-needs-restart", new=str(new), old=str(old), why=why)
            raise ConfigError(after.path, f"gateway, {key}", fixed)
    lines = {spec.name: spec for spec in specs_after if specs_before.get(spec.name) != spec}
    names = {spec.name for spec in specs_after}
    closed = frozenset(name for name in specs_before if name in lines or name not in names)
    changes = _compared(list(_lines(before)), list(_lines(after)))
    return Difference(before, after, tuple(changes), lines, closed, tuple(specs_after))


def _compared(old: Sequence[Sentence], new: Sequence[Sentence]) -> list[ChangedLine]:
    by_text = {in_language(line, "en"): line for line in (*old, *new)}
    before, after = ([in_language(line, "en") for line in lines] for lines in (old, new))
    found = [line for line in difflib.ndiff(before, after) if line.startswith(("- ", "+ "))]
    return [ChangedLine(line[0], by_text[line[2:]]) for line in found]


def _trusted(key: TrustKey) -> Message:
    whose = key.ledger or key.party or "/".join(part for part in (key.gateway, key.meter) if part)
    kid = key.kid.hex()[:16]
    if key.revoked:
        return Message("trust-key-line-revoked", role=key.role, whose=whose, kid=kid)
    if key.valid_to is not None:
        return Message("trust-key-line-until", role=key.role, whose=whose, kid=kid, until_s=key.valid_to)
    return Message("trust-key-line", role=key.role, whose=whose, kid=kid)


def _lines(config: Config) -> Iterator[Sentence]:
    receivers = [{**row, "url": concealed_url(str(row["url"]))} for row in config.written.get("notify", ())]
    yield from _flat({**config.written, **({"notify": receivers} if receivers else {})}, "")
    for meter, profile in config.profiles.items():
        digest = hashlib.sha256(repr(profile).encode()).hexdigest()
        yield Message("profile-content-line", meter=meter, profile=profile.name, hash=digest[:12])


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
