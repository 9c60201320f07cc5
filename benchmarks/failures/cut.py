"""Meters are cut off: how long until the alarm is to be seen, where, and what it names.

The gateway is the shipped command, with pages, figures and both feeds, a real broker, a browser's half of HTTP, a
client of the plain feed and a Sparkplug host of another library; each is a process or a thread of its own.

- ``meter_…``: one of three meters on an emulated line of 9600 baud falls silent; by channel the seconds from the first
  due poll that went unanswered, less the delay of the alarm's kind; whether meter and line are named, and since when.
- ``site_…``: a hundred Modbus TCP meters, a line each, fall silent at once; beside the same, how many alarms were
  raised (signed events) until ``seconds`` after the last channel showed it. ``names_meter`` is that none is named.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.failures.cut_channels import Channel, Shown
from benchmarks.failures.cut_plant import CUT, LINE, cut_plant
from benchmarks.failures.cut_site import Place, line_site, watched
from gateway.alarms.grouping import SITE
from gateway.messages.alarm_kinds import KINDS, AlarmCode
from ledger_client.formats.record import Event
from tests.support.gateways.farm import farm
from tests.support.gateways.tcp_gateway import tcp_site

LOOK_S, WITHIN_S = 0.05, 60.0
SMALLEST = ({"seconds": 0, "meters": 10},)


def run(seconds: float = 20.0, meters: int = 100) -> dict[str, object]:
    """For so long it is waited whether more alarms than one are raised when so many ``meters`` fall silent at once."""
    with tempfile.TemporaryDirectory() as name:
        return _meter(Path(name) / "meter") | _site(Path(name) / "site", seconds, meters)


def _meter(folder: Path) -> dict[str, object]:
    with cut_plant(folder / "plant") as plant, watched(folder, partial(line_site, folder / "site", plant)) as place:
        cut_ms = time.time_ns() // 1_000_000
        plant.cut()
        seen = _seen(place, AlarmCode.COMMS_LOST)
        alarms = [event for event in place.events() if event.name == "alarm"]
        return {
            "meter_delay_s": KINDS[AlarmCode.COMMS_LOST].on_delay_ms / 1000,
            "meter_alarms_raised": len(alarms),
            "meter_since_after_last_answer_s": (_since_ms(alarms) - place.newest_ms(CUT)) / 1000,
            "meter_since_after_cut_s": (_since_ms(alarms) - cut_ms) / 1000,
            "meter_channels": _channel_facts(seen, _since_ms(alarms), AlarmCode.COMMS_LOST, CUT, LINE),
        }


def _site(folder: Path, seconds: float, count: int) -> dict[str, object]:
    with ExitStack() as stack:
        meters = stack.enter_context(farm(count))
        place = stack.enter_context(watched(folder, partial(tcp_site, folder / "site", meters.ports, every="1s")))
        cut_ms = time.time_ns() // 1_000_000
        os.kill(meters.pid, signal.SIGSTOP)
        stack.callback(os.kill, meters.pid, signal.SIGCONT)
        seen = _seen(place, AlarmCode.SITE_SILENT)
        time.sleep(seconds)
        raised = [event for event in place.events() if event.name == "alarm" and event.fields["raised"]]
        return {
            "site_delay_s": KINDS[AlarmCode.LINE_DOWN].on_delay_ms
            / 1000,  # what it stands for is true for so long before
            "site_alarms_raised": len(raised),
            "site_codes": sorted({str(event.fields["code"]) for event in raised}),
            "site_meters": count,
            "site_since_after_cut_s": (_since_ms(raised) - cut_ms) / 1000,
            "site_channels": _channel_facts(seen, _since_ms(raised), AlarmCode.LINE_DOWN, None, SITE),
            "site_alarms_shown": {name: len(place.shown(name)) for name in place.channels},
        }


def _seen(place: Place, code: str) -> dict[str, tuple[int, Shown]]:
    """By channel: when it first showed an alarm of this code, in Unix ms, and what it showed."""
    with ThreadPoolExecutor(len(place.channels)) as pool:
        looks = {name: pool.submit(_first, partial(_of, channel, code)) for name, channel in place.channels.items()}
        return {name: look.result() for name, look in looks.items()}


def _first(shown: Callable[[], list[Shown]]) -> tuple[int, Shown]:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if found := shown():
            return time.time_ns() // 1_000_000, found[0]
        time.sleep(LOOK_S)
    raise AssertionError(f"no alarm within {WITHIN_S:g} s")


def _of(channel: Channel, code: str) -> list[Shown]:
    return [alarm for alarm in channel.shown() if alarm.code == code]


def _since_ms(events: list[Event]) -> int:
    return int(str(events[0].fields["since"]))


def _channel_facts(
    seen: Mapping[str, tuple[int, Shown]], since_ms: int, code: str, meter: str | None, line: str
) -> dict[str, dict[str, object]]:
    return {
        name: {
            "seconds_over_delay": (at_ms - since_ms - KINDS[code].on_delay_ms) / 1000,
            "names_meter": alarm.meter == meter,
            "names_line": alarm.line == line,
            "since_ms": alarm.since_ms,
        }
        for name, (at_ms, alarm) in seen.items()
    }
