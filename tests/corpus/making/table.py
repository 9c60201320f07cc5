"""What a case is: a bundle, a trust file and a time, and what whoever verifies is to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.corpus.making.evidence import NOW, bundle
from tests.corpus.making.trust_text import trust

PLAIN_TRUST = trust()
PLAIN_BUNDLE = bundle()


@dataclass(frozen=True)
class Made:
    """A case as it was made; ``verdict`` and ``step`` follow from docs/verifier.md, never from what the code says."""

    name: str
    bundle: bytes
    trust: bytes
    now: int
    verdict: str
    step: str | None
    why: str


def good(name: str, file: bytes, why: str, trusted: str = PLAIN_TRUST, now: int = NOW) -> Made:
    return Made(name, file, trusted.encode(), now, "good", None, why)


def bad(step: str, name: str, file: bytes, why: str, trusted: str = PLAIN_TRUST, now: int = NOW) -> Made:
    return Made(name, file, trusted.encode(), now, "bad", step, why)


def refused(name: str, trusted: str | bytes, why: str, file: bytes = PLAIN_BUNDLE) -> Made:
    """The trust file itself is not accepted, whatever the bundle holds."""
    data = trusted if isinstance(trusted, bytes) else trusted.encode()
    return Made(name, file, data, NOW, "trust", None, why)


def rows(*each: tuple[str, Any, str]) -> tuple[tuple[str, Any, str], ...]:
    """A table of cases: name, what is changed, why."""
    return each
