"""Grouping of simultaneous alarms: the meters of one line, the lines of one site. Pure, over states."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.alarms.state import AlarmKey, AlarmState
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.records import GATEWAY
from ledger_client.message_formats import named
from ledger_client.messages import Sentence

LEAST_MEMBERS = 3
OF_METERS = {"alarm-of-meter", "alarm-of-meters"}
"""Codes of messages that name the meters of a line behind ``what`` is said of it."""
WINDOW_MS = 60_000
"""Conditions that come true within it have one cause."""
SITE = "site"
"""Field ``line`` of an alarm about several lines."""

Lines = Mapping[str, Mapping[str, int]]
"""Each physical line by its name: its meters by theirs, with their periods in ms."""
States = Mapping[AlarmKey, AlarmState]


def lines_of(specs: Iterable[LineSpec]) -> Lines:
    """Lines with their meters' periods."""
    return {spec.name: {meter.name: meter.period_ms for meter in spec.meters} for spec in specs}


class GroupRaised(NamedTuple):
    """A group alarm is to be raised. Of its members those in ``withdrawn`` were raised a moment before, and nobody has
    touched them: they are cleared."""

    key: AlarmKey
    members: list[AlarmState]
    withdrawn: list[AlarmState]
    since_ms: int
    sentence: Message


class GroupContinues(NamedTuple):
    """The condition of an active group alarm is true; its members may be others than before."""

    group: AlarmState
    sentence: Message


class GroupEnds(NamedTuple):
    """The condition of an active group alarm is not true any more."""

    group: AlarmState
    sentence: Message


GroupChange = GroupRaised | GroupContinues | GroupEnds


class Candidate(NamedTuple):
    """Single alarms in whose place one group alarm may be raised.

    ``group``: its state, if there is one. ``total``: meters of the line, or lines of the site, that may be members.
    ``whole_site_count``: how many are all lines of a site; None for a line, all of whose meters are `line-down` anyway.
    ``line_silent``: the line itself does not answer.
    """

    key: AlarmKey
    group: AlarmState | None
    singles: list[AlarmState]
    total: int
    whole_site_count: int | None
    line_silent: bool

    @property
    def suppresses(self) -> bool:
        """Whether another alarm is active in the place of the single ones."""
        return self.line_silent or (self.group is not None and self.group.active)


class Grouping:
    """Rules by which one alarm is raised for many of one cause. Event loop only; changes no state itself."""

    def __init__(self, lines: Lines, asleep: Callable[[str], bool], host: Callable[[str], str | None]) -> None:
        """``asleep``: whether all meters of a line sleep; ``host``: where a line leads over the network, None for a
        serial port."""
        self._asleep, self._host = asleep, host
        self.reconfigure(lines)

    def reconfigure(self, lines: Lines) -> None:
        """Take the lines of another configuration. Its longest period is the window, if it is longer."""
        self.lines = lines
        periods = (period for meters in lines.values() for period in meters.values())
        self._window_ms = max(WINDOW_MS, *periods)

    def candidates(self, states: States) -> list[Candidate]:
        """What may be grouped: lines that are down, and silent meters line by line."""
        lost: dict[str, list[AlarmState]] = {}
        down: list[AlarmState] = []
        for state in states.values():
            line = state.key.line
            if state.key.code == AlarmCode.COMMS_LOST and line in self.lines:
                lost.setdefault(line, []).append(state)
            elif state.key.code == AlarmCode.METERS_SILENT and line in self.lines:
                lost.setdefault(line, [])
            elif state.key.code == AlarmCode.LINE_DOWN:
                down.append(state)
        silent = {state.key.line for state in down if state.condition}
        awake = len(self._lines_awake())
        site = AlarmKey(GATEWAY, AlarmCode.SITE_SILENT, SITE)
        found = [Candidate(site, states.get(site), down, awake, awake, line_silent=False)]
        for line, singles in lost.items():
            key, total = AlarmKey(GATEWAY, AlarmCode.METERS_SILENT, line), len(self.lines[line])
            found.append(Candidate(key, states.get(key), singles, total, None, line_silent=line in silent))
        return found

    def change(self, candidate: Candidate, now_ms: int) -> GroupChange | None:
        """What becomes of a group alarm; None: nothing, as no group is active and none is to be raised."""
        group, true = candidate.group, [state for state in candidate.singles if state.condition]
        if group is not None and group.active:
            if is_group(len(true), candidate.whole_site_count):
                return GroupContinues(group, self._sentence(candidate.key, true, candidate.total))
            n, total = len(true), candidate.total
            over = Message("alarm-cleared-partly", kind=group.kind.code, n=n, total=total)
            return GroupEnds(group, over) if group.condition else None
        if candidate.line_silent:
            return None
        members = simultaneous(true, candidate.whole_site_count, now_ms, self._window_ms)
        return self._raised(candidate, members) if members else None

    def _raised(self, candidate: Candidate, members: list[AlarmState]) -> GroupRaised:
        whole = len(members) == candidate.total
        since_ms = members[-1].since_ms if whole else next(state.since_ms for state in members if not state.active)
        near = (state for state in members if abs(state.since_ms - since_ms) <= self._window_ms)
        withdrawn = [state for state in near if state.row is not None and state.row.active_unacknowledged]
        sentence = self._sentence(candidate.key, members, candidate.total)
        return GroupRaised(candidate.key, members, withdrawn, since_ms, sentence)

    def contradicted(self, key: AlarmKey, heard: Collection[str]) -> bool:
        """Whether an alarm cannot be active any more, these meters having answered."""
        if key.code == AlarmCode.SITE_SILENT:
            awake = self._lines_awake()
            silent = [line for line in awake if not self.lines[line].keys() & heard]
            return not is_group(len(silent), len(awake))
        if key.code == AlarmCode.METERS_SILENT:
            return not is_group(len(self.lines[key.line].keys() - heard), None)
        return key.source in heard or (key.source == GATEWAY and bool(self.lines[key.line].keys() & heard))

    def explained(self, key: AlarmKey, heard: Collection[str], asleep: Collection[str]) -> bool:
        """Whether an alarm of silence is over because these meters sleep and those have answered."""
        if key.code == AlarmCode.LINE_DOWN:
            return self._asleep(key.line)
        if key.code == AlarmCode.COMMS_LOST:
            return key.source in asleep
        if key.code == AlarmCode.METERS_SILENT:
            return self.contradicted(key, {*heard, *asleep})
        return key.code == AlarmCode.SITE_SILENT and self.contradicted(key, heard)

    def _lines_awake(self) -> list[str]:
        """The lines but for those whose meters all sleep."""
        return [line for line in self.lines if not self._asleep(line)]

    def _sentence(self, key: AlarmKey, members: Sequence[AlarmState], total: int) -> Message:
        n = len(members)
        if key.code == AlarmCode.METERS_SILENT:
            meters = tuple(state.key.source for state in members)
            return Message("meters-not-responding", line=key.line, n=n, total=total, meters=meters)
        by_line = {state.key.line: _cause(state) for state in members}
        lines, causes = tuple(by_line), tuple(by_line[line] for line in named(tuple(by_line)))
        meters_n = sum(len(self.lines.get(line, ())) for line in lines)
        if one_subnet(map(self._host, lines)):
            return Message(
                "lines-not-responding-one-subnet", n=n, total=total, meters_n=meters_n, lines=lines, causes=causes
            )
        return Message("lines-not-responding", n=n, total=total, meters_n=meters_n, lines=lines, causes=causes)


def is_group(count: int, whole_site_count: int | None) -> bool:
    """Whether so many are a group: ``LEAST_MEMBERS``, or two and more that are the whole site (None: no such rule)."""
    return count >= LEAST_MEMBERS or (whole_site_count is not None and count == whole_site_count >= 2)


def simultaneous(
    states: Sequence[AlarmState], whole_site_count: int | None, now_ms: int, window_ms: int = WINDOW_MS
) -> list[AlarmState]:
    """Those of these states to be raised as one alarm, oldest first; none while none of them is due to be raised.

    The whole site, whenever each condition came true; else ``LEAST_MEMBERS`` or more that did within ``window_ms``.
    """
    found = sorted(states, key=lambda state: state.since_ms)
    if len(found) == whole_site_count and is_group(len(found), whole_site_count):
        return found if any(state.raise_due(now_ms) for state in found) else []
    best: list[AlarmState] = []
    start = 0
    for end, state in enumerate(found):
        while state.since_ms - found[start].since_ms > window_ms:
            start += 1
        near = found[start : end + 1]
        if len(near) >= LEAST_MEMBERS and len(near) > len(best) and any(one.raise_due(now_ms) for one in near):
            best = near
    return best


def one_subnet(hosts: Iterable[str | None]) -> bool:
    """Whether all of these are addresses of one subnet, as far as addresses alone tell it: of one /24, or one /64. A
    serial line (None) and a name are none."""
    found = set()
    for host in hosts:
        try:
            address = ipaddress.ip_address(host or "")
        except ValueError:
            return False
        found.add(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
    return len(found) == 1


def _cause(state: AlarmState) -> Sentence:
    """Why one line of many does not answer, without its meters and what to do about it."""
    sentence = state.sentence
    what = sentence.facts["what"] if isinstance(sentence, Message) and sentence.code in OF_METERS else sentence
    return what if isinstance(what, Message) else str(what)
