"""Lists of recorded readings: as the command `readings` writes them, and as items of the API; portion by portion."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from gateway.api.shapes.reading_lines import ReadingLines
from gateway.api.shapes.reading_writers import CUT_SHORT, MEDIA, ItemsWriter, MakeWriter, Writer
from gateway.errors import GatewayError
from gateway.process.loop_turns import between_turns

D = TypeVar("D")
R = TypeVar("R")
_D = TypeVar("_D", contravariant=True)

PORTION: Final = 250
"""Readings of a portion at most."""


class Source(Protocol[_D, R]):
    """Where readings come from, each as a row ``R`` that is made into lines when its turn comes."""

    @property
    def over(self) -> bool:
        """Whether the last row was taken."""
        ...

    def begin(self, store: _D) -> None:
        """Find where the readings lie. Raises GatewayError."""
        ...

    def take(self, store: _D, most: int) -> Sequence[R]:
        """Up to so many further rows. Raises GatewayError: there is no more."""
        ...

    def lines(self, row: R) -> ReadingLines | None:
        """The reading of a row; None: it is not wanted. Raises GatewayError: it cannot be read."""
        ...


class ReadingList(Generic[D, R]):
    """A list of readings (``gateway.api.shapes.portions``)."""

    def __init__(
        self, source: Source[D, R], form: str, prepare: Callable[[D], MakeWriter], headers: Mapping[str, str]
    ) -> None:
        """
        Args:
            source: the readings.
            form: a key of ``MEDIA``.
            prepare: looks whether there is such a list, in the thread before the source begins, and gives its writer.
            headers: of the answer; ``prepare`` may add to them.
        """
        self._source, self._prepare, self._cut_short = source, prepare, CUT_SHORT[form]
        self.media_type, self.headers = MEDIA[form], headers
        self._rows = deque[R]()
        self._file = io.BytesIO()
        self._writer: Writer | None = None
        self.over = False

    def begin(self, store: D) -> None:
        """Find where the readings lie."""
        make = self._prepare(store)
        self._source.begin(store)
        self._writer = make(self._file)

    def portion(self, store: D, most_bytes: int) -> bytes:
        """Up to ``PORTION`` readings, each written before the next one is looked at; fewer where so many bytes are
        written before."""
        assert self._writer is not None
        if not self._rows and not self._source.over:
            self._rows.extend(self._source.take(store, PORTION))
        while self._rows and self._file.tell() < most_bytes:
            between_turns()
            reading = self._source.lines(self._rows.popleft())
            if reading is not None:
                self._writer.write(reading)
        if self._source.over and not self._rows:
            self.over = True
            self._writer.end()
        return self._taken()

    def cut_short(self, error: GatewayError) -> bytes:
        """What was written, and why there is no more."""
        assert self._writer is not None
        self.over = True
        if isinstance(self._writer, ItemsWriter):
            self._writer.error = error
        self._writer.end()
        return self._taken() + self._cut_short(error)

    def _taken(self) -> bytes:
        """What was written. The room stays: giving it back and growing it anew cost a twelfth of a portion's time."""
        written = self._file.tell()
        self._file.seek(0)
        data = self._file.read(written)
        self._file.seek(0)
        return data
