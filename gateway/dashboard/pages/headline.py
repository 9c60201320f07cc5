"""Headline of a site: the first sentence of its page, and the meters that it must name. Pure.

It is green only where each meter is well or asleep (``gateway.standing``), nothing is wrong that has an alarm, and
readings are recorded. An alarm has a delay; a meter that gives nothing is named before it is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.messages.reasons import NO_ANSWER, why
from gateway.records import GATEWAY
from gateway.standing import Standing
from gateway.storage.alarm_tables import AlarmRow


class Headline(StrEnum):
    """The most serious first."""

    NEEDS = "needs"
    NOT_RECORDED = "not-recorded"
    SILENT = "silent"
    OVER = "over"
    STARTING = "starting"
    UNCERTAIN = "uncertain"
    WELL = "well"


class Seen(Protocol):
    """A meter as far as the headline goes."""

    @property
    def name(self) -> str:
        """Name of the meter in the configuration."""

    @property
    def standing(self) -> Standing:
        """Whether it gives what it should."""

    @property
    def cause(self) -> str | None:
        """Why its last poll gave no reading, a key of ``CAUSES``."""


class Unwell(NamedTuple):
    """Meters that give no reading for one cause; ``why`` has what to do as its fix."""

    why: Message
    meters: Sequence[str]


EXPLAINED: Mapping[str, frozenset[str]] = {
    AlarmCode.COMMS_LOST: NO_ANSWER | {"timeout-sends", "timeout-pushed", "timeout-overheard", "line-down-sends"},
    AlarmCode.METERS_SILENT: NO_ANSWER | {"timeout-sends", "timeout-pushed", "timeout-overheard", "line-down-sends"},
    AlarmCode.LINE_DOWN: NO_ANSWER
    | {"timeout-sends", "timeout-pushed", "timeout-overheard", "line-down-sends", "stopped"},
    AlarmCode.SITE_SILENT: NO_ANSWER
    | {"timeout-sends", "timeout-pushed", "timeout-overheard", "line-down-sends", "stopped"},
    AlarmCode.ANSWERS_DOUBTFUL: frozenset({"no-shape-overheard"}),
    AlarmCode.METER_EXCHANGED: frozenset({"exchanged"}),
    AlarmCode.METER_REFUSES: frozenset({"refused"}),
    AlarmCode.STRANGER: frozenset({"shared", "no-shape"}),
    AlarmCode.NOT_ASKED: frozenset({"shared", "no-shape"}),
    AlarmCode.LINE_OVERLOADED: frozenset({"skipped", "no-shape"}),
    AlarmCode.RECORDING_STOPPED: frozenset({"disk-full", "disk-error"}),
}
"""The causes that the alarms of a kind name, of the meter or the meters of the line that they are about."""
WHOLE_SITE = frozenset({AlarmCode.SITE_SILENT, AlarmCode.RECORDING_STOPPED})


def headline(
    standings: Collection[Standing], alarms: Collection[AlarmRow], *, recording: bool, uncertain: bool
) -> Headline:
    """The first sentence of a page.

    Args:
        standings: of every meter.
        alarms: active or not acknowledged, and not shelved.
        recording: readings are recorded.
        uncertain: every value that was read is uncertain for one reason.
    """
    if any(alarm.active for alarm in alarms):
        return Headline.NEEDS
    if not recording:
        return Headline.NOT_RECORDED
    if Standing.SILENT in standings:
        return Headline.SILENT
    if alarms:
        return Headline.OVER
    if Standing.STARTING in standings:
        return Headline.STARTING
    return Headline.UNCERTAIN if uncertain else Headline.WELL


def unexplained(meters: Iterable[tuple[str, Seen]], alarms: Iterable[AlarmRow]) -> Sequence[Unwell]:
    """The meters, each with its line, that give no reading and that no active alarm names: one entry a cause."""
    active = [alarm for alarm in alarms if alarm.active]
    found: dict[str, list[str]] = {}
    for line, meter in meters:
        cause = meter.cause or "late"
        if meter.standing == Standing.SILENT and not any(_tells(alarm, line, meter.name, cause) for alarm in active):
            found.setdefault(cause, []).append(meter.name)
    return [Unwell(why(cause), names) for cause, names in found.items()]


def _tells(alarm: AlarmRow, line: str, meter: str, cause: str) -> bool:
    """Whether an alarm explains why a meter of a line gives no reading."""
    about = alarm.source in (meter, GATEWAY) and (alarm.line == line or alarm.code in WHOLE_SITE)
    return about and cause in EXPLAINED.get(alarm.code, ())
