"""Tales of honest meters that are slow, read seldom, asleep, overheard, doubted, or send by themselves; and of a
process that was stopped for a minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tests.campaigns.honest.honest_lines import DoubtedLine, PassiveLine, ScheduledLine, SeriesLine
from tests.campaigns.honest.honest_scene import Scene, TimedTale

METER: Final = "export-main"
MINUTELY: Final = {"export-main": "1m", "stack-co2": "1m", "pv-inverter": "1m"}


def _asleep_at_night(scene: Scene) -> None:
    """An inverter sleeps for sixteen hours, as in winter."""
    scene.begin(seal_every_ms=3_600_000)
    scene.live(3600, step_s=5)
    scene.live(16 * 3600, lambda meter, _: "asleep" if meter == "pv-inverter" else None, step_s=20)
    scene.live(3600, step_s=5)
    scene.stop()


def _quarter_hourly(scene: Scene) -> None:
    scene.begin(seal_every_ms=600_000)
    scene.live(2 * 3600, step_s=5)
    scene.stop()
    scene.off(1000)
    scene.begin(seal_every_ms=600_000)
    scene.live(3600, step_s=5)
    scene.stop()


def _slow_meter(scene: Scene) -> None:
    """A meter that is polled every ten seconds takes eight to thirteen to answer."""
    for _ in range(2):
        scene.begin()
        scene.lines.append(ScheduledLine(scene, METER, lambda: scene.chance.randint(8_000, 13_000)))
        scene.live(250)
        scene.stop()
        scene.off(7)


def _stopped_for_a_minute(scene: Scene) -> None:
    """SIGSTOP, and SIGCONT a minute later, with polls under way: their answers wait in the socket."""
    scene.begin()
    for meter in [*scene.due]:
        scene.lines.append(ScheduledLine(scene, meter, lambda: 4_000))
    for seconds in (93, 57, 131):
        scene.live(seconds)
        scene.machine.passes(60)
    scene.live(150)
    scene.stop()


def _passive_line(scene: Scene) -> None:
    scene.begin()
    scene.lines.append(PassiveLine(scene, METER))
    scene.live(500)
    scene.stop()


def _doubted_reads(scene: Scene) -> None:
    scene.begin()
    line = DoubtedLine(scene, METER)
    scene.lines.append(line)
    scene.live(500)
    scene.stop()
    assert line.doubted, "nothing was read twice"


def _upload(scene: Scene) -> None:
    """A logger loses its connection for ten minutes, and uploads them then."""
    configured = dict(scene.rules().configured)
    configured[METER] = replace(configured[METER], series=True)
    scene.begin(configured=configured)
    line = SeriesLine(scene, METER)
    scene.lines.append(line)
    scene.live(305)
    line.connected = False
    scene.live(600)
    line.connected = True
    scene.live(305)
    scene.stop()


TALES: Mapping[str, TimedTale] = {
    "asleep-at-night": TimedTale(_asleep_at_night, 18 * 3600, periods=MINUTELY),
    "quarter-hourly": TimedTale(_quarter_hourly, 3 * 3600 + 1000, periods={**MINUTELY, METER: "15m"}),
    "slow-meter": TimedTale(_slow_meter, 600),
    "stopped-for-a-minute": TimedTale(_stopped_for_a_minute, 700),
    "passive-line": TimedTale(_passive_line, 600),
    "doubted-reads": TimedTale(_doubted_reads, 700),
    "hj212-upload": TimedTale(_upload, 1300, periods=MINUTELY),
}
