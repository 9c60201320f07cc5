"""What every format of an export does with readings."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway.history.value_lines import ReadingLines


class Writer(ABC):
    """Writes readings in one format into a binary file."""

    @abstractmethod
    def write(self, reading: ReadingLines) -> None:
        """One reading."""

    @abstractmethod
    def end(self) -> None:
        """No more will come."""
