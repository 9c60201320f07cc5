"""Live events: the newest values of every meter in short, and the facts of the page header.

In no language: numbers and units as they are written in all of them, and codes whose words each page brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from gateway.config.model import Config
from gateway.dashboard.pages import values
from gateway.dashboard.pages.headline import headline
from gateway.dashboard.pages.ledgers import oldest_unanchored_ms
from gateway.dashboard.pages.overview import doubts_of_all, meter_row
from gateway.dashboard.pages.totals import kilo, power_of, state_of
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.page import Document
from gateway.messages.reasons import NO_ANSWER
from gateway.recording.live_state import MeterNow
from gateway.records import NotRecorded
from gateway.runtime.context import GatewayContext
from gateway.standing import Standing
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from gateway.totals.sources import Source
from gateway.verdicts import worst


def source(site: GatewayContext, sources: Callable[[Config], Mapping[str, Source]]) -> Callable[[Database], Document]:
    """The part of the document that memory has; the rest is read from the database. ``sources``: the meters of the
    totals."""
    config, seen = site.config, [now.copy() for now in site.live.meters.values()]
    listed, health, now_ms = site.board.listed(), site.recorder.health(), site.clock.now_ms()
    head: dict[str, Any] = {
        "alarms": [alarm.id for alarm in listed if not alarm.acknowledged],
        "over": [alarm.id for alarm in listed if not alarm.active],
        "acked": [alarm.id for alarm in listed if alarm.acknowledged],
        "texts": crc32("".join(alarm.text for alarm in listed).encode()),
    }

    def rest(store: Database) -> Document:
        last = store.batches.last()
        batch = {"oldest": oldest_unanchored_ms(config, store), "batch": last.batch if last else None}
        power = power_of(sources(config), seen, health["every_poll"], now_ms)
        first = {"headline": _headline(config, seen, listed, health, now_ms), "totals": state_of(power)}
        return {
            "meters": {now.name: meter(config, now) for now in seen},
            "totals": {name: formats.compared(kilo(flow.amount)) for name, flow in power.items()},
            "head": head | batch | first,
        }

    return rest


def _headline(
    config: Config, seen: Sequence[MeterNow], listed: Sequence[AlarmRow], health: Mapping[str, Any], now_ms: int
) -> list[str]:
    """The first sentence of the site page, for which causes meters give no reading, and which ones: where that changes,
    it is asked for anew."""
    every_poll, known = health["every_poll"], [now for now in seen if now.name in config.meters]
    rows = [meter_row(config, now, now_ms, every_poll=every_poll) for now in known]
    uncertain = bool(doubts_of_all(rows))
    now_stands = headline(
        [row.standing for row in rows], listed, recording=not health["recording"], uncertain=uncertain
    )
    silent = sorted((row.cause or "", row.name) for row in rows if row.standing == Standing.SILENT)
    return [now_stands, *sorted({cause for cause, _ in silent}), str(crc32(repr(silent).encode()))]


def meter(config: Config, now: MeterNow) -> Mapping[str, Any]:
    """One meter as pages show it: ``t`` its time, ``q`` verdict and ``f`` flags, ``s`` state, ``v`` short values by
    point, ``o`` the points outside their limits, ``n`` the number of its sparkline, ``since`` and ``why`` of its
    silence, ``a`` whether it was asked and did not answer, ``g`` when the last gap of its sparkline begins."""
    silence: dict[str, Any] = {"since": now.silent_since_ms, "why": now.cause, "g": now.fell_silent_ms}
    silence["a"] = now.cause in NO_ANSWER
    reading = now.reading
    if reading is None:
        return silence
    configured, profile = config.meters[now.name], config.profiles[now.name]
    turned_as, limits = values.turns(configured, profile), config.limits.get(now.name)
    shown = values.by_name(reading, values.headline(configured, profile), turned_as)
    flags = 0
    for value in reading.values:
        flags |= value.quality
    sized, ways = values.with_ways(shown, profile.positive)
    short = {value.name: formats.short(*formats.of_one(*value[:3])) for value in sized}
    return silence | {
        "t": reading.time_ms,
        "q": worst(value.quality for value in reading.values),
        "f": flags,
        "s": "not-recorded" if isinstance(now.newest, NotRecorded) else "live",
        "v": {point: [text.digits, text.unit, ways.get(point, "")] for point, text in short.items()},
        "n": values.number(shown[0]) if shown else None,
        **({"o": [one.point for one in values.beyond(reading, limits, turned_as)]} if limits else {}),
    }
