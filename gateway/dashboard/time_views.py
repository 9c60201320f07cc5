"""Views of pages that are asked for a time: charts, and lists of batches, events and records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from gateway.dashboard.pages import batches, charts_page, events, records
from gateway.dashboard.shell.page import Answer, Rest
from gateway.dashboard.shell.sessions import Asked
from gateway.dashboard.shell.time.asked_range import Bounds
from gateway.dashboard.shell.time.paging import Turn
from gateway.local_calendar import DAY_MS
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database

USUAL_MS: Final = DAY_MS
"""Time of a chart for which none is asked."""


class MakesRest(Protocol):
    """What is left to do of a page in a thread, by its template and the facts of the database."""

    def __call__(
        self, asked: Asked, template: str, facts: Callable[[Database], dict[str, Any]], here: str = ""
    ) -> Rest[Database]: ...


class TimeViews:
    """The views of one epoch; each raises BadQuery for an address that says no time."""

    def __init__(self, site: GatewayContext, rest: MakesRest) -> None:
        self._site, self._rest = site, rest

    def _bounds(self, asked: Asked) -> Bounds:
        return Bounds.of(asked.query, self._site.config.zone, self._site.clock.now_ms())

    def charts(self, asked: Asked) -> Rest[Database]:
        """Some quantities over any time."""
        bounds, config, now_ms = self._bounds(asked), self._site.config, self._site.clock.now_ms()
        window = bounds.window(USUAL_MS, now_ms, config.zone)
        names = [value for key, value in asked.pairs if key == "s"]
        found = charts_page.look(config, names, asked.query.get("more", ""), asked.query.get("by"), bounds, window)
        chosen = [one.name for one in found.picked]
        query = [*(("s", name) for name in chosen), *([("by", found.by)] if found.by != "auto" else [])]
        facts = {"address": f"/charts?{urlencode(query, safe=':')}", "names": chosen}
        return self._rest(
            asked, "charts", lambda store: {"charts": charts_page.complete(found, store, config.zone), **facts}
        )

    def batches(self, asked: Asked) -> Rest[Database]:
        """The list of batches."""
        bounds, waits = self._bounds(asked), self._site.recorder.held
        turn = Turn.of(asked.query, bounds.at_ms)
        return self._rest(asked, "batches", lambda store: {"list": batches.batches(store, bounds, turn, waits)})

    def events(self, asked: Asked) -> Rest[Database]:
        """What has happened."""
        bounds, of = self._bounds(asked), asked.query.get("of", "")
        turn = Turn.of(asked.query, bounds.at_ms)
        return self._rest(asked, "events", lambda store: {"list": events.events(store, bounds, turn, of)})

    def records(self, asked: Asked) -> Rest[Database]:
        """The records of a meter; of a single reading its own page."""
        config = self._site.config
        wanted = records.Wanted.of(asked.params["meter"], asked.query, self._bounds(asked))
        listed = self._rest(asked, "records", lambda store: {"list": records.records(store, config, wanted)}, "batches")

        def made(store: Database) -> Answer:
            address = records.single(store, wanted)
            return listed(store) if address is None else Answer(b"", status=303, headers={"Location": address})

        return made
