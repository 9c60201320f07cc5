"""Listeners in the status: what lines that are listened to took, refused, and found unnamed in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """One line as the running gateway reports it: ``refused`` packets by reason, and ``unnamed`` factors of messages by
    meter, which no point of its profile stands for. ``counters``: packets that were taken, by what became of them.
    ``commands``: those of known stations that no meter stands for, by CN.

    Of a P1 port: ``telegrams`` by what became of them (``heard``, ``unchecked``, or why they are damaged), bytes
    outside of any (``skipped_bytes``), and by meter the codes whose values come in another unit than its points'
    (``units``).

    Of a line on which another master asks: ``exchanges`` by what became of them, and by meter the points that it
    never asks for (``never_asked``).
    """

    line: str
    counters: Mapping[str, int]
    refused: Mapping[str, int]
    unnamed: Mapping[str, Sequence[str]]
    commands: Mapping[str, int]
    exchanges: Mapping[str, int] | None
    never_asked: Mapping[str, Sequence[str]]
    telegrams: Mapping[str, int] | None
    skipped_bytes: int
    units: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, line: str, facts: Mapping[str, Any]) -> ListenerStatus:
        """That of a line's facts in the order ``health``."""
        keys = "counters", "refused", "unnamed", "commands", "never_asked", "units"
        found = {key: facts.get(key, {}) for key in keys}
        exchanges, telegrams = facts.get("exchanges"), facts.get("telegrams")
        skipped_bytes = facts.get("skipped_bytes", 0)
        return cls(line, **found, exchanges=exchanges, telegrams=telegrams, skipped_bytes=skipped_bytes)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        if self.telegrams is not None:
            units = {meter: dict(units) for meter, units in self.units.items()}
            facts = {"telegrams": dict(self.telegrams), "skipped_bytes": self.skipped_bytes, "units": units}
            return {"line": self.line, **facts}
        return {
            "line": self.line,
            "counters": dict(self.counters),
            "refused": dict(self.refused),
            "unnamed": {meter: list(names) for meter, names in self.unnamed.items()},
            "commands": dict(self.commands),
            "exchanges": dict(self.exchanges or {}),
            "never_asked": {meter: list(names) for meter, names in self.never_asked.items()},
        }
