"""`/metrics`: the control room's figures for Prometheus, one series a gateway and figure. docs/metrics.md lists them.

A label takes names of the trust file, of receivers and of this program alone: whoever sends under another name adds to
the series whose gateway is "". The text is written here: of ten thousand gateways the client library would need a
second for it.
"""

from __future__ import annotations

import asyncio
import math
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from control_room.store import figures as rows
from control_room.store.connection import Database
from control_room.store.figures import Intake
from control_room.store.incoming.receivers import ALIVE_S
from control_room.web.fleet import AWAY_MS, Fleet, GatewayFacts, fleet, severity
from control_room.web.site import Site
from gateway.api.shapes.portions import Reader
from gateway.dashboard.shell.request_guard import refused_figures
from gateway.errors import GatewayError
from gateway.messages.alarm_kinds import SEVERITIES

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FRESH_S: Final = 2.0
"""So old may figures be: whoever asks all the time costs the database no more than that."""
GATEWAY: Final = ("gateway",)

FIGURES: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "meterseal_control_build_info": (
        "gauge",
        "Always 1; identifies the control room.",
        ("control", "version", "python"),
    ),
    "meterseal_control_records_total": ("counter", "Records stored since the database was made.", GATEWAY),
    "meterseal_control_records_repeated_total": ("counter", "Records that came in and were there already.", GATEWAY),
    "meterseal_control_records_forked_total": (
        "counter",
        "Other bytes under the number of a record that was there.",
        GATEWAY,
    ),
    "meterseal_control_refused_total": ("counter", "Messages and records that were not believed.", ()),
    "meterseal_control_refused_messages": ("gauge", "Messages among the newest refused ones, which are kept.", GATEWAY),
    "meterseal_control_holes": ("gauge", "Open holes: what statements count and what is not there.", GATEWAY),
    "meterseal_control_unproven_batches": (
        "gauge",
        "Batches that lack records, the batch before, a key or receipts.",
        GATEWAY,
    ),
    "meterseal_control_unanchored_timestamp_seconds": (
        "gauge",
        "Time of the oldest record that is known to have no receipt.",
        GATEWAY,
    ),
    "meterseal_control_heard_timestamp_seconds": ("gauge", "When something that holds came in last.", GATEWAY),
    "meterseal_control_record_timestamp_seconds": ("gauge", "Time of the newest record.", GATEWAY),
    "meterseal_control_gateway_up": (
        "gauge",
        "1: it was heard in the last three minutes and did not go offline.",
        GATEWAY,
    ),
    "meterseal_control_due_polls": ("gauge", "Due polls of today (UTC), by signed coverage.", GATEWAY),
    "meterseal_control_recorded_polls": ("gauge", "Those of them that were recorded.", GATEWAY),
    "meterseal_control_alarms": (
        "gauge",
        "Active alarms; without a gateway: of the control room.",
        ("gateway", "severity"),
    ),
    "meterseal_control_receiver_pending_messages": (
        "gauge",
        "Messages that wait at the broker, as a receiver sees it.",
        ("receiver",),
    ),
    "meterseal_control_receiver_held_messages": (
        "gauge",
        "Messages that a receiver holds and has not stored.",
        ("receiver",),
    ),
    "meterseal_control_intake_lag_seconds": ("gauge", "How old the newest records are when they come in.", ()),
    "meterseal_control_database_up": ("gauge", "1: the database answers; without it there are no other figures.", ()),
    "meterseal_control_trust_up": ("gauge", "1: the trust file is in force as it stands.", ()),
}
"""Type, meaning and labels by name."""


class Text:
    """Figures in Prometheus' text format, put in one by one."""

    def __init__(self) -> None:
        self._series: dict[str, list[str]] = {name: [] for name in FIGURES}

    def put(self, name: str, value: float | None, *labels: str) -> None:
        """One series: its labels in the order of the list. What is not known has none."""
        if value is None:
            return
        named = ",".join(f'{key}="{label}"' for key, label in zip(FIGURES[name][2], labels, strict=True))
        self._series[name].append(f"{name}{{{named}}} {value}" if named else f"{name} {value}")

    def encode(self) -> bytes:
        """All of it."""
        lines = []
        for name, series in self._series.items():
            kind, meaning, _ = FIGURES[name]
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *series]
        return ("\n".join(lines) + "\n").encode()


class Sheet:
    """The figures as they are, or were a moment ago."""

    def __init__(self, site: Site, reader: Reader[Database]) -> None:
        self._site, self._reader, self._turn = site, reader, asyncio.Lock()
        self._text, self._until = b"", -math.inf

    def routes(self, token: Callable[[], str | None], *, loopback: bool) -> list[Route]:
        """Routes `/metrics`, `/healthz` and `/readyz`; ``token`` and ``loopback`` as of ``refused_figures``."""

        async def metrics(request: Request) -> Response:
            refused = refused_figures(request, token, loopback=loopback)
            return refused or Response(await self.text(), headers={"Content-Type": CONTENT_TYPE})

        async def healthz(_: Request) -> Response:
            return PlainTextResponse("ok\n")

        async def readyz(_: Request) -> Response:
            well = b"meterseal_control_database_up 1" in await self.text()
            return PlainTextResponse("ok\n" if well else "not ok\n", 200 if well else 503)

        endpoints = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
        return [Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints.items()]

    async def text(self) -> bytes:
        """In Prometheus' text format. Never fails: without the database it has what is known without it."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if loop.time() >= self._until:
                self._text = await self._made()
                self._until = loop.time() + FRESH_S
            return self._text

    async def _made(self) -> bytes:
        trusted, now_ms, site = self._site.trusted(), self._site.now_ms(), self._site
        text = Text()
        text.put("meterseal_control_build_info", 1, site.name, version("meterseal"), platform.python_version())
        text.put("meterseal_control_trust_up", int(site.trouble is None))
        try:
            await self._reader.call(
                lambda db: put(text, fleet(db, trusted, now_ms), rows.intake(db, now_ms, ALIVE_S), trusted)
            )
        except GatewayError:
            text = Text()
            text.put("meterseal_control_build_info", 1, site.name, version("meterseal"), platform.python_version())
            text.put("meterseal_control_trust_up", int(site.trouble is None))
            text.put("meterseal_control_database_up", 0)
        return text.encode()


def put(text: Text, found: Fleet, intake: Intake, trusted: frozenset[str]) -> None:
    """Put in what the database knows."""
    text.put("meterseal_control_database_up", 1)
    text.put("meterseal_control_refused_total", intake.refused)
    for receiver, pending, held in intake.receivers:
        text.put("meterseal_control_receiver_pending_messages", pending, receiver)
        text.put("meterseal_control_receiver_held_messages", held, receiver)
    listed = [one for one in found.gateways if one.listed]
    for one in listed:
        _gateway(text, one, found.now_ms)
    strange = sum(count for name, count in intake.refused_of.items() if name not in trusted)
    for one in listed:
        text.put("meterseal_control_refused_messages", one.row.refused, one.name)
    text.put("meterseal_control_refused_messages", strange, "")
    of_room = dict.fromkeys(SEVERITIES, 0)
    for alarms in found.room_alarms:
        of_room[severity(alarms.code)] += alarms.count
    for each, count in of_room.items():
        text.put("meterseal_control_alarms", count, "", each)
    text.put("meterseal_control_intake_lag_seconds", _lag_s(found))


def _gateway(text: Text, one: GatewayFacts, now_ms: int) -> None:
    row = one.row
    up = row.heard_ms is not None and now_ms - row.heard_ms <= AWAY_MS and one.online is not False
    figures: Mapping[str, float | None] = {
        "records_total": row.records,
        "records_repeated_total": row.repeated,
        "records_forked_total": row.forked,
        "holes": row.holes,
        "unproven_batches": row.unproven,
        "unanchored_timestamp_seconds": _s(one.oldest_ms),
        "heard_timestamp_seconds": _s(row.heard_ms),
        "record_timestamp_seconds": _s(row.newest_ms),
        "gateway_up": int(up),
        "due_polls": row.due,
        "recorded_polls": row.recorded,
    }
    for name, value in figures.items():
        text.put(f"meterseal_control_{name}", value, one.name)
    for each, count in one.alarms.items():
        text.put("meterseal_control_alarms", count, one.name, each)


def _s(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _lag_s(found: Fleet) -> float | None:
    """By the gateway whose newest record was the youngest when it came in, of those heard within a minute: what waits
    at the broker delays all of them. Where none was heard, since when."""
    heard = [one.row for one in found.gateways if one.row.heard_ms is not None]
    if not heard:
        return None
    last_ms = max(_times(row.heard_ms for row in heard))
    recent = [row for row in heard if row.heard_ms is not None and found.now_ms - row.heard_ms < 60_000]
    ages = [row.heard_ms - row.newest_ms for row in recent if row.heard_ms is not None and row.newest_ms is not None]
    return max(0, found.now_ms - last_ms, min(ages, default=0)) / 1000


def _times(times: Iterable[int | None]) -> list[int]:
    return [time for time in times if time is not None]
