"""Background task: interface of what runs beside recording, such as dashboard, feeds, alarms and watchdog."""

from __future__ import annotations

from abc import ABC, abstractmethod


class BackgroundTask(ABC):
    """Task beside recording: created before the first record of the epoch, cancelled at its end. When it fails it is
    started again; recording continues."""

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled."""

    def reloaded(self) -> None:  # noqa: B027 — most need do nothing
        """Another configuration is in force: meters and ledgers may have changed."""

    def close(self) -> None:  # noqa: B027
        """Release of listeners and resources after its end, also when it never began."""
