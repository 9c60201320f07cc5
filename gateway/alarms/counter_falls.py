"""Grouping of counters that decrease on several meters of one line: a converter or concentrator restarted. Pure.

A counter decreases in a moment: its alarm is raised, and its condition is over at once. So other rules hold than for
what lasts (grouping.py): each meter's alarm is raised, since its event in the meter's chain is what an exchange is
found by (accounting/plans/falls.py), and taken into the alarm of the line in the same moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from gateway.alarms.grouping import Lines, States, simultaneous
from gateway.alarms.state import AlarmKey, AlarmState
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.records import GATEWAY


class LineFall(NamedTuple):
    """The alarm of a line takes these single ones into it."""

    key: AlarmKey
    joining: list[AlarmState]
    since_ms: int
    sentence: Message


def line_falls(states: States, lines: Lines, now_ms: int) -> Iterator[LineFall]:
    """What becomes of falls: an alarm of a line whose three or more meters fell within a minute; and one more meter of
    an alarm that is active. One that was raised before this, or that somebody has acknowledged or shelved, is counted
    and stays as it is: with it nobody would see what it was raised for before."""
    fell: dict[str, list[AlarmState]] = {}
    for key, state in states.items():
        happened = state.condition or state.active
        if key.code == AlarmCode.COUNTER_BACK and key.source != GATEWAY and key.line in lines and happened:
            fell.setdefault(key.line, []).append(state)
    for line, singles in fell.items():
        key = AlarmKey(GATEWAY, AlarmCode.COUNTER_BACK, line)
        group = states.get(key)
        if group is not None and group.active:
            members, before = [state for state in singles if state.condition], _named(group)
        else:
            members, before = simultaneous(singles, None, now_ms), ()
        joining = [state for state in members if _is_new(state)]
        if joining:
            meters = tuple(dict.fromkeys((*before, *(state.key.source for state in members))))
            sentence = Message("counters-decreased", line=line, n=len(meters), total=len(lines[line]), meters=meters)
            yield LineFall(key, joining, members[0].since_ms, sentence)


def _is_new(state: AlarmState) -> bool:
    return state.row is None or (state.row.active_unacknowledged and state.row.times == 1)


def _named(group: AlarmState) -> Collection[str]:
    """The meters that an alarm of a line names."""
    message = group.row.message if group.row is not None else None
    what = message.facts.get("what", message) if message is not None else None
    meters = what.facts.get("meters") if isinstance(what, Message) else ()
    return [str(meter) for meter in meters] if isinstance(meters, tuple) else ()
