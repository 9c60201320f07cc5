"""Line plan of a configuration: what it asks of each line, and whether the line can carry it.

Touches no wire. The times are ``fieldbus.budget``'s; here they become a verdict: what is over 100 % is refused, by
`check` and `run` alike, with the numbers and with the shortest periods that work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gateway.devices.points import Profile
from gateway.devices.read_plan import BITS, Block
from gateway.devices.remarks import unbounded
from gateway.errors import ConfigError
from gateway.fieldbus.diagnosis import line_differences
from gateway.fieldbus.read_budget import FULL, NEARLY_FULL, MeterBudget, ReadBudget, budget
from gateway.fieldbus.schedule import DEAD_AFTER, PROBE_SHARE
from gateway.fieldbus.specs import LineSpec, MeterSpec

DAY_MS = 86_400_000
SILENT_BLOCKS = 2
"""Blocks of one poll that a meter may leave unanswered before the rest of the poll is not asked."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What cannot be: the key of gateway.toml, what is wrong, and the values that would do."""

    key: str
    problem: str
    way_out: str


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """One block of one meter: every ``read`` that it can be asked in, of those ``needed`` against late answers. More
    than one in ``sharing``: so many blocks have to do with the same shapes, and wait for each other."""

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
    address: int
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
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)


def line_plans(specs: Sequence[LineSpec]) -> list[LinePlan]:
    """The plan of every line, in the order given."""
    return [line_plan(spec) for spec in specs]


def refuse(config_path: Path, plans: Sequence[LinePlan]) -> None:
    """Raise ConfigError for the first problem, if there is one."""
    problems = [problem for plan in plans for problem in plan.problems]
    if problems:
        first, more = problems[0], f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(config_path, first.key, first.problem + more, first.way_out)


def line_plan(spec: LineSpec) -> LinePlan:
    """The plan of one line. SunSpec addresses are offsets in a model, which is found at run time."""
    found = budget(spec)
    pairs = _pairs(spec, found.meters)
    share = found.share if spec.port is not None else None
    warnings = []
    if share is not None and NEARLY_FULL < share <= FULL:
        warnings.append(f"{share:.0%} of the line's time is used: one slow answer will cost other polls")
    elif spec.type == "modbus-rtu-over-tcp" and found.share > NEARLY_FULL:
        behind = f"if the line behind {spec.where} runs at {spec.baudrate} baud"
        warnings.append(f"{behind}, it needs {found.share:.2f} s of each second")
    warnings += (warning for meter in spec.meters if (warning := _never_asleep(meter)))
    profiles = {meter.profile.name: meter.profile for meter in spec.meters}.values()
    warnings += (_kind_unsaid(profile) for profile in profiles if profile.kind_unsaid)
    problems = [*_overfull(spec, pairs, share), *(p for m, b in pairs if (p := _too_few_shapes(spec, m, b)))]
    if spec.port is not None:
        wire = f"{spec.port}, {spec.baudrate} baud 8{spec.parity}{spec.stopbits}"
    else:
        wire = f"{spec.where} ({spec.type})"
    return LinePlan(
        line=spec.name,
        wire=wire,
        meters=tuple(_meter(spec, meter, known) for meter, known in pairs),
        reads=tuple(_read(known, read) for _, known in pairs for read in known.reads),
        share=share,
        problems=tuple(problems),
        warnings=tuple(warnings),
        notes=(*line_differences(spec), *(note for profile in profiles if (note := _unbounded(profile)))),
    )


def _kind_unsaid(profile: Profile) -> str:
    """What points lack that are mostly counters, and are gauges where nothing is said."""
    return (
        f"profile {profile.name}: {', '.join(profile.kind_unsaid)} may be a counter or not, and count as gauges; "
        'write kind = "counter" if it only grows, kind = "gauge" if not'
    )


def _unbounded(profile: Profile) -> str:
    """The integers of which any pattern is a value; "" without one."""
    if not (names := ", ".join(unbounded(profile))):
        return ""
    return (
        f"profile {profile.name}: {names} have neither not_available nor low or high, so that a code for no value is "
        "recorded as a value"
    )


def _never_asleep(meter: MeterSpec) -> str | None:
    """What a device that may sleep lacks for its silence at night to be no fault."""
    profile, below = meter.profile, meter.profile.sleeps_below
    if not profile.may_sleep or meter.night is not None or below in {point.name for point in meter.points}:
        return None
    power = f"record its point {below}" if below else "write sleeps_below into a profile of your own"
    return (
        f"{meter.name} may sleep, but nothing tells when, so that its silence at night is an alarm; give it "
        f'sleeps = "20:00-06:00", or [gateway] latitude and longitude, or {power}'
    )


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


def _read(known: MeterBudget, read: ReadBudget) -> PlannedRead:
    what = "bits" if read.block.fc in BITS else "registers"
    reads = tuple(f"function {b.fc}, {b.count} {what} from {_where(b)}" for b in read.variants)
    sharing = len(known.sharing(read))
    return PlannedRead(known.meter, len(read.block.points), reads, read.needed, sharing, read.time_ms)


def _where(block: Block) -> str:
    model = block.points[0][0].model
    return str(block.address) if model is None else f"model {model} + {block.address}"


def _overfull(spec: LineSpec, pairs: Sequence[tuple[MeterSpec, MeterBudget]], share: float | None) -> Iterator[Problem]:
    """The line needs more than all of the time, or one meter more than its own period."""
    if share is None:
        return
    asks = ", ".join(f"{m.name} {b.poll_ms:.0f} ms every {m.period_ms / 1000:g} s" for m, b in pairs)
    slow = [m for m, b in pairs if b.poll_ms + m.profile.pause_ms > m.period_ms]
    if share > FULL:
        said = f"this line needs {share:.2f} s of each second ({asks}){_cut(spec, pairs)}"
    elif slow:
        pause = f" and a pause of {slow[0].profile.pause_ms} ms" if slow[0].profile.pause_ms else ""
        said = f"{slow[0].name} needs longer than its period{pause} ({asks})"
    else:
        return
    periods = shortest_periods(spec)
    others = "fewer points, a higher baudrate, or some of its meters on another line"
    works = f"the shortest that works is {_every(spec, periods)}; else {others}" if periods else others
    yield Problem(f"bus {spec.name!r}", said, works)


def _cut(spec: LineSpec, pairs: Sequence[tuple[MeterSpec, MeterBudget]]) -> str:
    """In words, if the line is overfull only because reads are cut shorter for want of longer ones."""
    slow = budget(replace(spec, meters=tuple(replace(m, period_ms=DAY_MS) for m in spec.meters)))
    in_one_shape = {known.meter: known for known in slow.meters}
    if sum(in_one_shape[m.name].poll_ms / m.period_ms for m, _ in pairs) > FULL:
        return ""
    return "".join(
        f"; {m.name} is asked in {len(b.reads)} reads in place of {len(in_one_shape[m.name].reads)}, because this "
        f"period needs {b.reads[0].needed} shapes of each and no read of it may be longer than "
        f"{m.profile.max_registers} registers"
        for m, b in pairs
        if len(b.reads) > len(in_one_shape[m.name].reads)
    )


def _short(meter: MeterSpec, known: MeterBudget) -> list[ReadBudget]:
    """The reads that are made more often than they have shapes for. How far a SunSpec model reaches, only the wire
    shows: its reads are not counted."""
    return [] if meter.profile.protocol == "sunspec" else known.short()


def _too_few_shapes(spec: LineSpec, meter: MeterSpec, known: MeterBudget) -> Problem | None:
    if not (short := _short(meter, known)):
        return None
    worst = min(short, key=lambda read: len(read.variants))
    life_ms, together = spec.answer_life_of(meter), known.sharing(worst)
    shapes = worst.shapes.union(*(read.shapes for read in together))
    read, ways = _read(known, worst).reads[0], []
    if len(together) > 1:
        said = f"{len(together)} reads, {read} and the like, have {len(shapes)} of the shapes between them"
    else:
        said = f"{read} can be asked in {len(shapes)} of the {worst.needed} shapes"
    if spec.type == "modbus-tcp" and len(spec.meters) == 1 and not meter.profile.direct:
        ways.append("if the meter itself has the Ethernet plug, direct = true at the top of its profile")
    if (period_ms := _shortest_by_shapes(spec, meter)) is not None:
        ways.append(f"the shortest that works is every = {_duration(period_ms)}")
    if (life_that_works := _longest_life_ms(spec, meter, len(shapes) / len(together))) is not None:
        ways.append(f"answer_life = {_duration(life_that_works)} on the bus, if nothing on it can answer later")
    return Problem(
        f"bus {spec.name!r}, meter {meter.name!r}, every",
        f"{meter.period_ms / 1000:g} s is too often: {said} that keep late answers apart "
        f"(answer life {life_ms / 1000:g} s)",
        "; or ".join([*ways, "fewer of its points"] if len(together) > 1 else ways)
        or "read it less often, or fewer of its points",
    )


def _shortest_by_shapes(spec: LineSpec, meter: MeterSpec) -> int | None:
    return _least(meter.period_ms, lambda ms: _has_shapes(spec, meter, ms), _step_ms(meter.period_ms))


def _has_shapes(spec: LineSpec, meter: MeterSpec, period_ms: int) -> bool:
    changed = replace(meter, period_ms=period_ms)
    meters = tuple(changed if m is meter else m for m in spec.meters)
    return not _short(changed, budget(replace(spec, meters=meters)).meters[spec.meters.index(meter)])


def _longest_life_ms(spec: LineSpec, meter: MeterSpec, shapes_each: float) -> int | None:
    """The longest answer life, in steps of 100 ms, for which the shapes that there are suffice; None: there is none."""
    most = int(shapes_each * meter.period_ms) - spec.timeout_of(meter)
    for life_ms in range(most // 100 * 100, 0, -100):
        if _has_shapes(replace(spec, answer_life_ms=life_ms), meter, meter.period_ms):
            return life_ms
    return None


def shortest_periods(spec: LineSpec) -> tuple[int, ...] | None:
    """The shortest periods in ms with which the line works: none shorter than now, none shorter than its meter's shapes
    allow, and else all stretched alike."""
    first = min(meter.period_ms for meter in spec.meters)
    found = budget(spec)
    allowed = [_shortest_by_shapes(spec, m) or DAY_MS if _short(m, b) else 0 for m, b in _pairs(spec, found.meters)]

    def stretched(period_ms: int) -> LineSpec:
        periods = [_up(m.period_ms * period_ms / first, _step_ms(m.period_ms)) for m in spec.meters]
        pairs = zip(spec.meters, periods, allowed, strict=True)
        return replace(spec, meters=tuple(replace(m, period_ms=max(p, least)) for m, p, least in pairs))

    least = first
    if not _carries(stretched(first)):
        least = _least(first, lambda period_ms: _carries(stretched(period_ms)), _step_ms(first)) or 0
    return tuple(m.period_ms for m in stretched(least).meters) if least else None


def _carries(spec: LineSpec) -> bool:
    """Neither overfull nor short of shapes."""
    found = budget(spec)
    pairs = _pairs(spec, found.meters)
    in_time = all(b.poll_ms + m.profile.pause_ms <= m.period_ms for m, b in pairs)
    return found.share <= FULL and in_time and not any(_short(m, b) for m, b in pairs)


def _pairs(spec: LineSpec, known: Sequence[MeterBudget]) -> list[tuple[MeterSpec, MeterBudget]]:
    return list(zip(spec.meters, known, strict=True))


def _least(first_ms: int, works: Callable[[int], bool], step_ms: int) -> int | None:
    """The least period from ``first_ms`` on, in whole steps, that works; longer ones work as well. None: no period."""
    low, high = first_ms // step_ms, first_ms // step_ms + 1
    while not works(high * step_ms):
        low, high = high, 2 * high
        if high * step_ms > DAY_MS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle * step_ms) else (middle, high)
    return high * step_ms


def _step_ms(period_ms: int) -> int:
    """Periods are proposed in tenths of a second, and in whole seconds from 10 s on."""
    return 100 if period_ms < 10_000 else 1000


def _up(ms: float, step_ms: int) -> int:
    return math.ceil(round(ms / step_ms, 9)) * step_ms


def _every(spec: LineSpec, periods_ms: Sequence[int]) -> str:
    if len(set(periods_ms)) == 1:
        return f"every = {_duration(periods_ms[0])}" + (" for all of its meters" if len(periods_ms) > 1 else "")
    pairs = zip(spec.meters, periods_ms, strict=True)
    return "every = " + ", ".join(f"{_duration(period_ms)} for {meter.name}" for meter, period_ms in pairs)


def _duration(ms: int) -> str:
    """As gateway.toml takes it."""
    return f'"{ms / 1000:g}s"'
