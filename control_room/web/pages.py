"""Pages of the control room: what is asked for, and the facts of each page. Read only, but for acknowledging here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from control_room.store import alarms as alarm_rows
from control_room.store import listed
from control_room.store import meters as meter_rows
from control_room.store.connection import Database
from control_room.store.meters import MeterRow
from control_room.store.recorded import recorded
from control_room.web import fleet as facts_of
from control_room.web import meter_chart
from control_room.web.findings import Finding, Level, claims, findings, level_of, rank
from control_room.web.fleet import Fleet, GatewayFacts, severity
from control_room.web.html import HTML
from control_room.web.site import Site
from gateway.dashboard.shell.html import Frame, Visitor
from gateway.dashboard.shell.page import Answer, NotFound, Pages, Rest, View
from gateway.dashboard.shell.sessions import Asked, Done
from gateway.dashboard.shell.time.paging import number_of
from gateway.errors import Declined
from gateway.messages.message import Message
from gateway.process.threads import in_thread

ROWS: Final = 100
"""Of a list, on one page."""
FEW: Final = 10
"""Of each list on a gateway's own page."""
LONGEST: Final = 200
MOST_METERS: Final = 1_000
Facts = Callable[[Database], dict[str, Any]]


def contents(site: Site, opened: Callable[[], Database]) -> Pages[Database]:
    """The pages of a control room. ``opened``: a connection that may write, for what somebody acknowledges."""
    made = _Views(site)
    views: dict[str, View[Database]] = {
        "/": made.fleet,
        "/gateways/{gateway}": made.gateway,
        "/gateways/{gateway}/meters/{meter}": made.meter,
        "/holes": made.holes,
        "/refused": made.refused,
        "/alarms": made.alarms,
    }
    acts = {"acknowledge": partial(_acknowledge, site, opened)}
    return Pages(views, None, made.frame.login, made.frame.problem, HTML.static, acts=acts)


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One gateway in the list, with its worst finding."""

    facts: GatewayFacts
    level: Level
    first: Finding | None
    more: int


class _Views:
    """What the views have in common."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.frame = Frame(HTML, site.name, site.now_ms, lambda: UTC)

    def rest(self, asked: Asked, template: str, facts: Facts, here: str = "") -> Rest[Database]:
        """What is left to do of a page in a thread."""
        now_ms, trouble = self._site.now_ms(), self._site.trouble

        def make(db: Database) -> Answer:
            common = {
                "brand": self._site.name,
                "here": here or template,
                "alarm_count": alarm_rows.unacknowledged(db),
                "trouble": trouble,
            }
            page = HTML.page(f"{template}.html", Visitor.of(asked), now_ms, UTC, **common, **facts(db))
            return Answer(page.encode())

        return make

    def fleet(self, asked: Asked) -> Rest[Database]:
        """Every gateway, the worst first."""
        trusted, now_ms, query = self._site.trusted(), self._site.now_ms(), asked.query
        find, wanted, begin = query.get("find", "").strip()[:LONGEST], query.get("level", ""), _begin(query)
        trouble = self._site.trouble

        def facts(db: Database) -> dict[str, Any]:
            found = facts_of.fleet(db, trusted, now_ms)
            levels = {one.name: level_of(one, now_ms) for one in found.gateways}
            chosen = [
                one
                for one in sorted(found.gateways, key=lambda one: rank(levels[one.name]))
                if (not wanted or levels[one.name] == wanted) and find.casefold() in one.name.casefold()
            ]
            counts = {level: sum(one is level for one in levels.values()) for level in Level}
            return {
                "fleet": found,
                "rows": [_row(one, now_ms) for one in chosen[begin : begin + ROWS]],
                "counts": counts,
                "worst": Level.BAD if trouble else _worst(found, counts),
                "room_alarms": [(one, severity(one.code)) for one in found.room_alarms],
                "turn": Turn(begin, len(chosen)),
                "find": find,
                "wanted": wanted,
                "levels": list(Level),
            }

        return self.rest(asked, "fleet", facts)

    def gateway(self, asked: Asked) -> Rest[Database]:
        """One gateway: what is wrong, what is known, its meters, its newest batches."""
        name, trusted, now_ms = _gateway(asked.params["gateway"]), self._site.trusted(), self._site.now_ms()

        def facts(db: Database) -> dict[str, Any]:
            found = _known(db, trusted, name, now_ms)
            return {
                "one": found,
                "level": level_of(found, now_ms),
                "findings": findings(found, now_ms),
                "claims": claims(found.row.status),
                "meters": meter_rows.meters(db, MOST_METERS, gateway=name),
                "batches": listed.batches(db, FEW, gateway=name),
                "holes": listed.holes(db, FEW, gateway=name),
                "refused": listed.refused(db, FEW, gateway=name),
                "forks": listed.forks(db, FEW, gateway=name),
                "alarms": alarm_rows.alarms(db, FEW, gateway=name),
                "severity": severity,
            }

        return self.rest(asked, "gateway", facts, "fleet")

    def meter(self, asked: Asked) -> Rest[Database]:
        """One meter: its newest reading as recorded, and a chart."""
        gateway, meter = _gateway(asked.params["gateway"]), asked.params["meter"]
        now_ms, query = self._site.now_ms(), asked.query

        def facts(db: Database) -> dict[str, Any]:
            found = _meter(db, gateway, meter)
            newest = meter_rows.newest(db, [found]).get(found.id)
            points = [] if newest is None else meter_rows.points(db, newest.shape)
            chart = meter_chart.chart(db, found, points, query.get("point", ""), query.get("span", ""), now_ms)
            return {
                "meter": found,
                "newest": newest,
                "values": [] if newest is None else recorded(db, newest),
                "points": points,
                "chart": chart,
                "spans": list(meter_chart.SPANS),
            }

        return self.rest(asked, "meter", facts, "fleet")

    def holes(self, asked: Asked) -> Rest[Database]:
        """What the gateways' statements count and what is not there."""
        return self._list(asked, "holes", partial(listed.holes, closed="closed" in asked.query))

    def refused(self, asked: Asked) -> Rest[Database]:
        """What was not believed, and why; and other bytes under numbers that were there."""
        gateway = _gateway(asked.query.get("gateway", "")) or None
        rest = partial(listed.forks, limit=ROWS, gateway=gateway)
        return self._list(asked, "refused", listed.refused, lambda db: {"forks": rest(db)})

    def alarms(self, asked: Asked) -> Rest[Database]:
        """Alarms of the gateways and of the control room."""
        over = "all" in asked.query
        return self._list(
            asked, "alarms", partial(alarm_rows.alarms, over=over), lambda db: {"severity": severity, "over": over}
        )

    def _list(
        self,
        asked: Asked,
        template: str,
        rows: Callable[..., Sequence[Any]],
        more: Facts = lambda db: {},
    ) -> Rest[Database]:
        gateway, before = _gateway(asked.query.get("gateway", "")) or None, number_of(asked.query.get("before"))

        def facts(db: Database) -> dict[str, Any]:
            found = rows(db, ROWS + 1, gateway=gateway, before=before)
            older = found[ROWS - 1].id if len(found) > ROWS else None
            return {"rows": found[:ROWS], "older": older, "newest": before is None, "gateway": gateway, **more(db)}

        return self.rest(asked, template, facts)


@dataclass(frozen=True, slots=True)
class Turn:
    """Which rows of ``count`` are shown, from ``begin`` on."""

    begin: int
    count: int

    @property
    def first(self) -> int:
        """Number of the first row."""
        return min(self.begin + 1, self.count)

    @property
    def last(self) -> int:
        """Number of the last one."""
        return min(self.begin + ROWS, self.count)

    @property
    def before(self) -> int | None:
        """Where the page in front begins, as an address says it."""
        return max(0, self.begin - ROWS) + 1 if self.begin else None

    @property
    def behind(self) -> int | None:
        """Where the page behind begins."""
        return self.begin + ROWS + 1 if self.begin + ROWS < self.count else None


def _begin(query: Mapping[str, str]) -> int:
    return max(1, number_of(query.get("from")) or 1) - 1


def _row(one: GatewayFacts, now_ms: int) -> FleetRow:
    found = findings(one, now_ms)
    level = found[0].level if found else Level.GOOD
    return FleetRow(one, level, found[0] if found else None, max(0, len(found) - 1))


def _worst(found: Fleet, counts: Mapping[Level, int]) -> Level:
    """Of the whole: no gateway at all is no good news, and alarms of the control room count, too."""
    raised = {severity(one.code) for one in found.room_alarms}
    if raised & {"critical", "error"}:
        return Level.BAD
    worst = next((level for level in Level if counts[level]), Level.WAIT)
    return Level.WARN if raised and rank(worst) > rank(Level.WARN) else worst


def _gateway(text: str) -> str:
    """A name that an address says. Raises NotFound: PostgreSQL has no text with this character."""
    if "\0" in text:
        raise NotFound(Message("gateway-unknown", gateway="U+0000"))
    return text


def _known(db: Database, trusted: frozenset[str], name: str, now_ms: int) -> GatewayFacts:
    found = facts_of.gateway(db, trusted, name, now_ms)
    if found is None:
        raise NotFound(Message("gateway-unknown", gateway=name))
    return found


def _meter(db: Database, gateway: str, meter: str) -> MeterRow:
    found = None if "\0" in meter else meter_rows.meter_of(db, gateway, meter)
    if found is None:
        raise NotFound(Message("meter-unknown", meter=meter))
    return found


async def _acknowledge(site: Site, opened: Callable[[], Database], user: str, form: Mapping[str, str]) -> Done:
    number, note = number_of(form.get("id")), form.get("note", "").strip()[:LONGEST]
    if number is None:
        raise Declined(Message("act-field-missing", field="id"))
    now_ms = site.now_ms()

    def write() -> bool:
        with closing(opened()) as db:
            return alarm_rows.acknowledge(db, number, user, note.replace("\0", ""), now_ms)

    if not await in_thread(write, "acknowledge"):
        raise Declined(Message("control-alarm-seen"))
    return Done(Message("control-alarm-acknowledged"))


def address_of(gateway: str, meter: str = "") -> str:
    """The page of a gateway, or of one of its meters."""
    return f"/gateways/{quote(gateway, safe='')}" + (f"/meters/{quote(meter, safe='')}" if meter else "")
