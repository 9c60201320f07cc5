"""Texts of a DTU: what it says of its own between frames, such as its name when it connects, and a heartbeat. Pure."""

from __future__ import annotations

from collections.abc import Iterable


class Texts:
    """Known texts, which stand where a frame could begin. Each ends where it ends: nothing marks it, and a frame may
    follow at once."""

    def __init__(self, texts: Iterable[bytes] = ()) -> None:
        self._texts = sorted(texts, key=len, reverse=True)

    def length(self, head: bytes | bytearray) -> int | None:
        """Of the text that bytes begin with (of several the longest); None: one may have begun; 0: none has."""
        if not self._texts:
            return 0
        if any(len(text) > len(head) and text.startswith(head) for text in self._texts):
            return None
        return next((len(text) for text in self._texts if head.startswith(text)), 0)


NO_TEXTS = Texts()
