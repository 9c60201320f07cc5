"""The thread of the accounting's keeper, as a background task of the epoch."""

from __future__ import annotations

from gateway.accounting.statements.keeper import Keeper
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread


class KeeperTask(BackgroundTask):
    """Runs the keeper; where that fails it is started again."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def run(self) -> None:
        """Read until the keeper is closed."""
        await in_thread(self._keeper.go_on, "accounting")

    def close(self) -> None:
        """The thread ends behind the portion that it reads."""
        self._keeper.close()
