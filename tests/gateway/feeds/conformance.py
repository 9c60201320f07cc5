"""Which conformance ids (tck-id-…) of the Sparkplug 3.0 specification a test shows; docs/sparkplug.md lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
SHOWN: dict[str, list[str]] = {}
"""Names of tests by conformance id, without ``tck-id-``."""


def shows(*ids: str) -> Callable[[F], F]:
    """Mark a test; the ids without ``tck-id-``, several in one text with blanks between them."""

    def mark(test: F) -> F:
        for each in " ".join(ids).split():
            SHOWN.setdefault(each, []).append(test.__name__)
        return test

    return mark
