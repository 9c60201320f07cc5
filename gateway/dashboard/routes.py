"""Dashboard routes: memory is read in the event loop; database and template work runs in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.accounting.certified.asking import Registries
from gateway.accounting.statements.stated import StatedRows
from gateway.accounting.statements.stating import FOLDER
from gateway.dashboard.actions import ACTS, MOST_FIELDS
from gateway.dashboard.figures.certified import BALANCE, balance, of_day
from gateway.dashboard.figures.choice import HOUR, Choice
from gateway.dashboard.figures.figures_page import EMISSIONS, ENERGY, figures, of_meter
from gateway.dashboard.live_events import source
from gateway.dashboard.pages import alarms, batches, meter, record
from gateway.dashboard.pages import overview as site_view
from gateway.dashboard.pages.diagnosis import Rounds
from gateway.dashboard.pages.line_load import Loads
from gateway.dashboard.pages.meter_list import meter_list
from gateway.dashboard.pages.sparklines import Sparks
from gateway.dashboard.pages.totals import site_totals
from gateway.dashboard.render.html import HTML
from gateway.dashboard.shell.html import Frame, Visitor
from gateway.dashboard.shell.page import Answer, NotFound, Pages, Rest, View
from gateway.dashboard.shell.sessions import Asked
from gateway.dashboard.shell.time.paging import number_of
from gateway.dashboard.time_views import TimeViews
from gateway.errors import GatewayError
from gateway.evidence import prove
from gateway.history.completeness import completeness
from gateway.messages.message import Message
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from gateway.totals.power import Newest, silences
from gateway.totals.reading import EnergyReader

Facts = Callable[[Database], dict[str, Any]]
MSEAL = "application/octet-stream"
FIRST_S = 0.3
"""Seconds that the site page waits for energies which were not read yet."""
WAIT_S = 1.0
"""Seconds that a page of figures waits for what is being read."""


def contents(site: GatewayContext) -> Pages[Database]:
    """The pages of one epoch of a gateway."""
    made = _Views(site)
    timed = TimeViews(site, made.rest)
    views: dict[str, View[Database]] = {
        "/": made.site,
        "/meters/{meter}": made.meter,
        "/meters/{meter}/prove/newest": made.prove_newest,
        "/meters/{meter}/prove/{epoch}/{seq}": made.prove,
        "/meters/{meter}/records": timed.records,
        "/meters/{meter}/records/{epoch}/{seq}": made.record,
        "/energy": partial(made.figures, ENERGY),
        "/emissions": partial(made.figures, EMISSIONS),
        "/balance": made.balance,
        "/charts": timed.charts,
        "/batches": timed.batches,
        "/batches/{batch}": made.batch,
        "/events": timed.events,
        "/alarms": made.alarms,
        "/completeness": made.completeness,
        "/diagnosis": made.diagnosis,
        "/configuration": made.configuration,
    }
    return Pages(
        views,
        partial(source, site, made.energies.sources),
        made.frame.login,
        made.frame.problem,
        HTML.static,
        made.close,
        {name: partial(act, site) for name, act in ACTS.items()},
        MOST_FIELDS,
    )


class _Views:
    """What the views of one epoch have in common."""

    def __init__(self, site: GatewayContext) -> None:
        self._loads, self._sparks = Loads(site.lines, site.clock), Sparks(site.in_force)
        self._rounds = Rounds(site.in_force, site.board, site.clock)
        self._rows = StatedRows(site.config.data / FOLDER)
        self._registries = Registries(site.in_force)
        self._gateway, self._now_ms = site.config.gateway_id, site.clock.now_ms
        self.frame = Frame(HTML, self._gateway, self._now_ms, lambda: site.config.zone)
        self.energies = EnergyReader(site.in_force, lambda: site.keeper.known, self._rows, self._now_ms, self._silent)
        self._site = site
        site.hub.listeners += (self._loads.hear, self._sparks.hear)

    def close(self) -> None:
        """End the questions to ledgers, and the listeners at the hub."""
        self._registries.close()
        self.energies.close()
        for listener in (self._loads.hear, self._sparks.hear):
            self._site.hub.listeners.remove(listener)

    def _silent(self) -> dict[str, str]:
        """The meters of the totals that give no reading now, and why. In the event loop."""
        seen, health = self._site.live.meters.values(), self._site.recorder.health()
        newest = {now.name: Newest.of(now) for now in seen}
        return silences(self.energies.sources(self._site.config), newest, health["every_poll"], self._now_ms())

    def rest(self, asked: Asked, template: str, facts: Facts, here: str = "") -> Rest[Database]:
        """What is left to do of a page in a thread."""
        now_ms, zone = self._now_ms(), self._site.config.zone
        common = {
            "brand": self._gateway,
            "here": here or template,
            "alarm_count": alarms.unacknowledged(self._site.board),
            "meters": tuple(self._site.config.meters),
            "labels": {name: meter.label for name, meter in self._site.config.meters.items() if meter.label},
            "reversed": frozenset(name for name, meter in self._site.config.meters.items() if meter.reversed),
        }

        def make(store: Database) -> Answer:
            visitor = Visitor.of(asked)
            return Answer(HTML.page(f"{template}.html", visitor, now_ms, zone, **common, **facts(store)).encode())

        return make

    def site(self, asked: Asked) -> Rest[Database]:
        """The whole gateway at a glance."""
        facts, config = site_view.look(self._site, self._loads, self._sparks), self._site.config
        facts = replace(facts, accounts=site_view.statements(self._site.keeper.look()))
        energies = self.energies.look()

        def whole(store: Database) -> dict[str, Any]:
            found = energies if energies.at_ms else self.energies.wait(FIRST_S)
            totals = site_totals(
                self.energies.sources(config), [now for seen in facts.seen.values() for now in seen],
                facts.health["every_poll"], facts.now_ms, found, config.zone,
            )  # fmt: skip
            shown = replace(site_view.complete(facts, config, store), totals=totals)
            listed = meter_list(shown.lines, asked.query)
            return {"site": shown, "listed": listed, "many_left": site_view.MANY_LEFT}

        return self.rest(asked, "site", whole)

    def meter(self, asked: Asked) -> Rest[Database]:
        """One meter."""
        query, now_ms, zone = asked.query, self._now_ms(), self._site.config.zone
        facts = meter.look(self._site, self._loads, asked.params["meter"], query.get("quantity"), query.get("span"))
        known = self._site.keeper.look()

        def whole(store: Database) -> dict[str, Any]:
            found = of_meter(known, self._rows, store, facts.name, now_ms)
            return {"meter": replace(meter.complete(facts, store, now_ms, zone), figures=found)}

        return self.rest(asked, "meter", whole, "site")

    def figures(self, page_: str, asked: Asked) -> Rest[Database]:
        """Energy or emissions of the plans' nodes."""
        self._site.keeper.look()
        choice, now_ms = Choice.of(asked.query), self._now_ms()

        def facts(store: Database) -> dict[str, Any]:
            known = self._site.keeper.wait(WAIT_S)
            found = figures(known, self._rows, store, page_, choice, now_ms)
            certified = {}
            if page_ == ENERGY and choice.view == HOUR:
                certified = of_day(known, found, self._registries, now_ms)
                if any(one.asking for one in certified.values()):
                    self._registries.wait(WAIT_S)
                    certified = of_day(known, found, self._registries, now_ms)
            return {"figures": found, "civil_of": found.civil_of, "certified": certified}

        return self.rest(asked, "figures", facts, page_)

    def balance(self, asked: Asked) -> Rest[Database]:
        """Statements and certificates of the nodes that can be certified."""
        self._site.keeper.look()
        choice, now_ms = Choice.of(asked.query), self._now_ms()

        def facts(store: Database) -> dict[str, Any]:
            known = self._site.keeper.wait(WAIT_S)
            found = balance(known, self._rows, store, self._registries, choice, now_ms)
            if found.asking:
                self._registries.wait(WAIT_S)
                found = balance(known, self._rows, store, self._registries, choice, now_ms)
            return {"balance": found}

        return self.rest(asked, "certificates", facts, BALANCE)

    def record(self, asked: Asked) -> Rest[Database]:
        """One record, and its way to the ledgers."""
        parts, whole = asked.params, "way" in asked.query
        name = (parts["meter"], parts["epoch"], parts["seq"])
        return self.rest(asked, "record", lambda store: {"record": record.record(store, *name, whole=whole)}, "batches")

    def batch(self, asked: Asked) -> Rest[Database]:
        """One batch."""
        number = number_of(asked.params["batch"])
        if number is None:
            raise NotFound(Message("page-no-batch-number", batch=asked.params["batch"]))
        return self.rest(asked, "batch", lambda store: {"row": batches.batch(store, number)}, "batches")

    def alarms(self, asked: Asked) -> Rest[Database]:
        """What stands, and what can be done about it."""
        facts = alarms.look(self._site.board, number_of(asked.query.get("tick")))
        return self.rest(asked, "alarms", lambda store: {"alarms": alarms.complete(facts, store)})

    def completeness(self, asked: Asked) -> Rest[Database]:
        """Which share of the due polls of each meter is recorded."""
        now_ms, meters = self._now_ms(), self._site.config.meters
        periods_ms = {name: meter.every for name, meter in meters.items()}
        return self.rest(asked, "completeness", lambda store: {"rows": completeness(store, periods_ms, now_ms)})

    def diagnosis(self, asked: Asked) -> Rest[Database]:
        """The page of the doctor's findings."""
        found = self._rounds.look(again="again" in asked.query)
        return self.rest(asked, "diagnosis", lambda store: {"diagnosis": found})

    def configuration(self, asked: Asked) -> Rest[Database]:
        """What has changed in gateway.toml, after somebody has looked, and the order to take it over."""
        state = self._site.reload_state()
        now = {key: state.get(key) for key in ("trial", "stuck", "reverted")}
        facts = {"path": str(self._site.config.path), "preview": asked.facts.get("preview"), **now}
        return self.rest(asked, "configuration", lambda store: facts, "diagnosis")

    def prove(self, asked: Asked) -> Rest[Database]:
        """The bundle of a record."""
        parts = asked.params
        return _bundle(f"{parts['meter']}/{parts['epoch']}/{parts['seq']}")

    def prove_newest(self, asked: Asked) -> Rest[Database]:
        """The bundle of a meter's newest reading that a ledger has given a receipt for."""
        return _bundle(asked.params["meter"])


def _bundle(name: str) -> Rest[Database]:
    def make(store: Database) -> Answer:
        try:
            row = prove.find(store, name)
        except GatewayError as error:
            raise NotFound(error.sentence, error.way_out) from None
        file = f"{row.id.replace('/', '_')}.mseal"
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        return Answer(prove.prove(store, row), MSEAL, headers=headers)

    return make
