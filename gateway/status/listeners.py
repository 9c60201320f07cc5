"""Listeners in the status: what lines that are listened to took, refused, and found unnamed in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """One line as the running gateway reports it: ``refused`` packets by reason, and ``unnamed`` factors of messages by
    meter, which no point of its profile stands for. ``counters``: packets that were taken, by what became of them."""

    line: str
    counters: Mapping[str, int]
    refused: Mapping[str, int]
    unnamed: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, line: str, facts: Mapping[str, Any]) -> ListenerStatus:
        """That of a line's facts in the order ``health``."""
        return cls(line, facts.get("counters", {}), facts.get("refused", {}), facts.get("unnamed", {}))

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "line": self.line,
            "counters": dict(self.counters),
            "refused": dict(self.refused),
            "unnamed": {meter: list(names) for meter, names in self.unnamed.items()},
        }
