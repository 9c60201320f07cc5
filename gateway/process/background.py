"""Background task: interface of what runs beside recording, such as dashboard, feeds, alarms and watchdog."""

from __future__ import annotations

from abc import ABC, abstractmethod


class BackgroundTask(ABC):
    """A task beside the recording one. It is made before the first record of the epoch is written and cancelled at its
    end; when it fails it is started again, and recording goes on."""

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled."""

    def reloaded(self) -> None:  # noqa: B027 — most need do nothing
        """The site has another configuration: meters and ledgers may have come and gone."""

    def close(self) -> None:  # noqa: B027
        """It has ended, or never begun: take its listeners away, and give back what it holds."""
