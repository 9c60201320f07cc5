"""Pages of a site that runs in the test's own process, made without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.dashboard.routes import contents
from gateway.dashboard.shell.page import Answer
from gateway.dashboard.shell.sessions import Asked
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database


class Look(Protocol):
    """Makes a page for an installer in one go, by its pattern, parameters and query."""

    def __call__(
        self, path: str, store: Database, params: Mapping[str, str], query: Mapping[str, str], language: str = "zh"
    ) -> Answer: ...


def looker(running: GatewayContext) -> Look:
    """The pages of a running site."""
    pages = contents(running)

    def look(
        path: str, store: Database, params: Mapping[str, str], query: Mapping[str, str], language: str = "zh"
    ) -> Answer:
        asked = Asked(path, params, query, languages=language, user="ines", role="installer", form="A" * 43)
        return pages.views[path](asked)(store)

    return look
