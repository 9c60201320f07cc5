"""Attestations of ISO 14064-3: levels and verdicts, and whose verdict counts. Pure.

A registry takes any word: a verifier of another standard has others. Only the verdict ``unmodified`` counts, and of one
verifier the last one that is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ledger_client.claims.claim import Attest

LIMITED, REASONABLE = "limited", "reasonable"
LEVELS: Final = (LIMITED, REASONABLE)
"""Of assurance (ISO 14064-3)."""
UNMODIFIED, MODIFIED, ADVERSE = "unmodified", "modified", "adverse"
VERDICTS: Final = (UNMODIFIED, MODIFIED, ADVERSE)
"""Opinions (ISO 14064-3)."""


class Opinion(NamedTuple):
    """What a verifier says, since when its registry has it (Unix seconds), and under which number of its claims."""

    verifier: str
    time_s: int
    number: int
    deed: Attest


def last_words(opinions: Iterable[Opinion]) -> Mapping[str, Opinion]:
    """By verifier the last one, by the registry's time and then by number; all are of one thing."""
    return {one.verifier: one for one in sorted(opinions, key=lambda one: (one.time_s, one.number))}


def unmodified(opinions: Iterable[Opinion]) -> tuple[tuple[str, str], ...]:
    """(verifier, level) of those whose last verdict is ``unmodified``, each verifier once, by name."""
    last = last_words(opinions)
    return tuple((name, last[name].deed.level) for name in sorted(last) if last[name].deed.verdict == UNMODIFIED)
