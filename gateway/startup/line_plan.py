"""Line plan of a configuration: what it asks of each line, and whether the line can carry it.

Touches no wire. The times are ``fieldbus.budget``'s; here they become a verdict: what is over 100 % is refused, by
`check` and `run` alike, with the numbers and with the shortest periods that work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gateway.devices.points import Profile
from gateway.devices.remarks import unbounded
from gateway.errors import ConfigError
from gateway.fieldbus.diagnosis import line_differences
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.listening.sources import Place, SourceKind, source_kind
from gateway.fieldbus.periods import (
    DAY_MS,
    decimal,
    every_text,
    has_shapes,
    pairs_of,
    seconds,
    short_of,
    shortest_by_shapes,
    shortest_periods,
)
from gateway.fieldbus.polling.schedule import DEAD_AFTER, PROBE_SHARE
from gateway.fieldbus.read_budget import FULL, NEARLY_FULL, MeterBudget, ReadBudget, budget
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from gateway.startup.profile_warnings import profile_warnings
from ledger_client.messages import Sentence

SILENT_BLOCKS = 2
"""Blocks of one poll without an answer after which its other blocks are not requested."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Reason to refuse a plan: the key of gateway.toml, what is wrong, and as its fix the values that work."""

    key: str
    message: Message

    @property
    def problem(self) -> str:
        """What is wrong, in English."""
        return self.message.problem

    @property
    def way_out(self) -> str:
        """The values that work, in English."""
        return self.message.way_out


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """One block of one meter: every ``read`` that it can be asked in, of those ``needed`` against late answers (0: it
    comes unasked). More than one in ``sharing``: so many blocks have to do with the same shapes, and wait for each
    other."""

    meter: str
    points: int
    reads: tuple[str, ...]
    needed: int
    sharing: int
    time_ms: float


@dataclass(frozen=True, slots=True)
class PlannedMeter:
    """One meter: the time of a poll, its share of the line, and what it costs the line when it is dead: ``silence_ms``
    of waiting until that is known, then ``probe_ms`` every ``probe_every_ms``."""

    meter: str
    address: Unit
    every_ms: int
    poll_ms: float
    share: float
    silence_ms: int
    probe_ms: int
    probe_every_ms: int


@dataclass(frozen=True, slots=True)
class LinePlan:
    """One line; ``share`` is what it needs of each second, None where its speed is not known (Modbus TCP, RTU over
    TCP). ``problems`` forbid the start, ``warnings`` do not; ``notes`` say what may be meant."""

    line: str
    wire: str
    meters: tuple[PlannedMeter, ...]
    reads: tuple[PlannedRead, ...]
    share: float | None
    problems: tuple[Problem, ...]
    warnings: tuple[Sentence, ...]
    notes: tuple[Sentence, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data, with its sentences in English."""
        plain = asdict(replace(self, problems=(), warnings=(), notes=()))
        problems = [{"key": p.key, "problem": p.problem, "way_out": p.way_out} for p in self.problems]
        texts = {
            "warnings": [str(sentence) for sentence in self.warnings],
            "notes": [str(sentence) for sentence in self.notes],
        }
        return plain | {"problems": problems} | texts


def line_plans(specs: Sequence[LineSpec]) -> list[LinePlan]:
    """The plan of every line, in the order given."""
    return [line_plan(spec) for spec in specs]


def refuse(config_path: Path, plans: Sequence[LinePlan]) -> None:
    """Raise ConfigError for the first problem, if there is one."""
    problems = [problem for plan in plans for problem in plan.problems]
    if problems:
        first, more = problems[0], len(problems) - 1
        what = Message("plan-problem-and-more", problem=first.message, n=more) if more else first.message
        raise ConfigError(config_path, first.key, what)


def line_plan(spec: LineSpec) -> LinePlan:
    """The plan of one line. SunSpec addresses are offsets in a model, which is found at run time."""
    if (kind := source_kind(spec)) is not None:
        return _listened(spec, kind)
    found = budget(spec)
    pairs = pairs_of(spec, found.meters)
    share = found.share if spec.sets_line else None
    warnings: list[Sentence] = []
    if share is not None and NEARLY_FULL < share <= FULL:
        warnings.append(Message("budget-high", share_percent=round(100 * share)))
    elif spec.type in ("modbus-rtu-over-tcp", "modbus-ascii") and not spec.sets_line and found.share > NEARLY_FULL:
        behind = Message(
            "budget-behind-converter", where=spec.where, baudrate=spec.baudrate, share=decimal(found.share)
        )
        warnings.append(behind)
    profiles = {meter.profile.name: meter.profile for meter in spec.meters}.values()
    warnings += profile_warnings(spec)
    problems = [*_overfull(spec, pairs, share), *(p for m, b in pairs if (p := _too_few_shapes(spec, m, b)))]
    return LinePlan(
        line=spec.name,
        wire=_wire(spec),
        meters=tuple(_meter(spec, meter, known) for meter, known in pairs),
        reads=tuple(_read(spec, known, read) for _, known in pairs for read in known.reads),
        share=share,
        problems=tuple(problems),
        warnings=tuple(warnings),
        notes=(*line_differences(spec), *(note for profile in profiles if (note := _unbounded(profile)))),
    )


def _wire(spec: LineSpec) -> str:
    if spec.sets_line:
        return f"{spec.where}, {spec.baudrate} baud {spec.databits}{spec.parity}{spec.stopbits}"
    if spec.listen is not None:
        return f"{spec.where} ({spec.type}, listening to {', '.join(map(str, spec.networks))})"
    return f"{spec.where} ({spec.type})"


def _listened(spec: LineSpec, kind: SourceKind) -> LinePlan:
    """The plan of a line on which nothing is asked: what is expected, and how often. It costs no time."""
    sent = {meter: _sent(place) for place, meter in kind.meters(spec).items()}
    return LinePlan(
        line=spec.name,
        wire=_wire(spec),
        meters=tuple(
            PlannedMeter(meter.name, meter.address, meter.period_ms, 0.0, 0.0, 0, 0, 0) for meter in spec.meters
        ),
        reads=tuple(PlannedRead(m.name, len(m.points), (str(sent[m.name]),), 0, 1, 0.0) for m in spec.meters),
        share=None,
        problems=tuple(problem for meter in spec.meters if (problem := _too_often(spec, meter))),
        warnings=profile_warnings(spec),
        notes=(Message("plan-passive"),) if spec.passive else (),
    )


def _too_often(spec: LineSpec, meter: MeterSpec) -> Problem | None:
    """A poll is the first message of its period: one must be sure to come in each."""
    least_ms = 2 * (meter.profile.interval_ms or 0)
    if meter.period_ms >= least_ms:
        return None
    sentence = Message("plan-interval", profile=meter.profile.name, least_s=seconds(least_ms))
    return Problem(f"bus {spec.name!r}, meter {meter.name!r}, every", sentence)


def _sent(place: Place) -> Message:
    """What comes unasked, in words."""
    return Message("read-sent-of-kind", block=place[1]) if len(place) > 1 else Message("read-overheard")


def _unbounded(profile: Profile) -> Message | None:
    """The integers of which any pattern is a value; None without one."""
    names = tuple(unbounded(profile))
    return Message("budget-unbounded", profile=profile.name, points=names) if names else None


def _meter(spec: LineSpec, meter: MeterSpec, known: MeterBudget) -> PlannedMeter:
    timeout_ms = spec.timeout_of(meter)
    return PlannedMeter(
        meter=meter.name,
        address=meter.address,
        every_ms=meter.period_ms,
        poll_ms=known.poll_ms,
        share=known.poll_ms / meter.period_ms,
        silence_ms=DEAD_AFTER * min(SILENT_BLOCKS, max(1, len(known.reads))) * timeout_ms,
        probe_ms=timeout_ms,
        probe_every_ms=min(spec.backoff_cap_ms, round(timeout_ms / PROBE_SHARE)),
    )


def _read(spec: LineSpec, known: MeterBudget, read: ReadBudget) -> PlannedRead:
    reads = tuple(str(DIALECTS[spec.type].read_name(block)) for block in read.variants)
    sharing = len(known.sharing(read))
    return PlannedRead(known.meter, len(read.block.points), reads, read.needed, sharing, read.time_ms)


def _overfull(spec: LineSpec, pairs: Sequence[tuple[MeterSpec, MeterBudget]], share: float | None) -> Iterator[Problem]:
    """The line needs more than all of the time, or one meter more than its own period."""
    if share is None:
        return
    asks = tuple(
        Message("budget-meter-share", meter=m.name, poll_ms=round(b.poll_ms), period_s=seconds(m.period_ms))
        for m, b in pairs
    )
    slow = [m for m, b in pairs if b.poll_ms + m.profile.pause_ms > m.period_ms]
    if share <= FULL and not slow:
        return
    periods = every_text(spec, shortest_periods(spec))
    if share > FULL:
        sentence = Message("budget-line-overfull", share=decimal(share), asks=asks, periods=periods)
        if cuts := _cuts(spec, pairs):
            sentence = Message("budget-line-overfull-cut", share=decimal(share), asks=asks, cuts=cuts, periods=periods)
    elif pause_ms := slow[0].profile.pause_ms:
        sentence = Message(
            "budget-meter-overfull-pause", meter=slow[0].name, pause_ms=pause_ms, asks=asks, periods=periods
        )
    else:
        sentence = Message("budget-meter-overfull", meter=slow[0].name, asks=asks, periods=periods)
    yield Problem(f"bus {spec.name!r}", sentence)


def _cuts(spec: LineSpec, pairs: Sequence[tuple[MeterSpec, MeterBudget]]) -> tuple[Message, ...]:
    """Which reads are cut shorter for want of longer ones, if the line is overfull only because of that."""
    slow = budget(replace(spec, meters=tuple(replace(m, period_ms=DAY_MS) for m in spec.meters)))
    in_one_shape = {known.meter: known for known in slow.meters}
    if sum(in_one_shape[m.name].poll_ms / m.period_ms for m, _ in pairs) > FULL:
        return ()
    return tuple(
        Message(
            "budget-cut",
            meter=m.name,
            n=len(b.reads),
            before=len(in_one_shape[m.name].reads),
            shapes=b.reads[0].needed,
            max_registers=m.profile.max_registers,
        )
        for m, b in pairs
        if len(b.reads) > len(in_one_shape[m.name].reads)
    )


def _too_few_shapes(spec: LineSpec, meter: MeterSpec, known: MeterBudget) -> Problem | None:
    if not (short := short_of(meter, known)):
        return None
    worst = min(short, key=lambda read: len(read.variants))
    life_ms, together = spec.answer_life_of(meter), known.sharing(worst)
    shapes = worst.shapes.union(*(read.shapes for read in together))
    period_s, life_s = seconds(meter.period_ms), seconds(life_ms)
    read_name = DIALECTS[spec.type].read_name(worst.variants[0])
    ways = []
    if spec.type == "modbus-tcp" and len(spec.meters) == 1 and not meter.profile.direct:
        ways.append(Message("budget-way-direct"))
    if (period_ms := shortest_by_shapes(spec, meter)) is not None:
        ways.append(Message("budget-way-period", every_s=seconds(period_ms)))
    if (life_that_works := _longest_life_ms(spec, meter, len(shapes) / len(together))) is not None:
        ways.append(Message("budget-way-answer-life", life_s=seconds(life_that_works)))
    if meter.profile.protocol == "dlt645":
        timeout_s = seconds(spec.timeout_of(meter))
        sentence = Message(
            "budget-identifier-again", period_s=period_s, life_s=life_s, timeout_s=timeout_s, ways=tuple(ways)
        )
    elif len(together) > 1:
        sentence = Message(
            "budget-shapes-together",
            period_s=period_s,
            n=len(together),
            read_name=read_name,
            shapes=len(shapes),
            life_s=life_s,
            ways=(*ways, Message("budget-way-points")),
        )
    else:
        sentence = Message(
            "budget-shapes-of-read",
            period_s=period_s,
            read_name=read_name,
            shapes=len(shapes),
            needed=worst.needed,
            life_s=life_s,
            ways=tuple(ways) or (Message("budget-way-less-often"),),
        )
    return Problem(f"bus {spec.name!r}, meter {meter.name!r}, every", sentence)


def _longest_life_ms(spec: LineSpec, meter: MeterSpec, shapes_each: float) -> int | None:
    """The longest answer life, in steps of 100 ms, for which the shapes that there are suffice; None: there is none."""
    most = int(shapes_each * meter.period_ms) - spec.timeout_of(meter)
    for life_ms in range(most // 100 * 100, 0, -100):
        if has_shapes(replace(spec, answer_life_ms=life_ms), meter, meter.period_ms):
            return life_ms
    return None
