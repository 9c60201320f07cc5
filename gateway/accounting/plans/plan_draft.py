"""Draft of a plan file, from configuration and profiles: every recorded counter as a point, nodes as comments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.config.bus import Meter
from gateway.config.model import Config
from gateway.devices.knowledge.direction import turned
from gateway.devices.knowledge.quantities import QUANTITIES
from gateway.devices.points import Point
from gateway.field_types import duration_text
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil_text
from ledger_client.accounting.formats.units import COUNTER_UNITS

_ROLES: Final[Mapping[str, Mapping[str, str | None]]] = {
    "generation": {words.PRODUCTION: None},
    "consumption": {words.CONSUMPTION: None},
    "grid": {words.IMPORT: "import", words.EXPORT: "export"},
    "storage": {words.CHARGE: "import", words.DISCHARGE: "export"},
    "emission": {words.EMISSION: None},
    "auxiliary": {words.AUXILIARY: None},
}
"""By the role of a meter, the roles of its nodes. A meter with two has a node for each direction of its counters, as
seen from the grid."""
STRICT_MS = 18_000
"""Up to this period an hour can become ``measured`` under the profile ``hourly``."""
_HEAD = """\
# Accounting plan of {gateway}: what its registers mean. Rules: docs/accounting.md.
# Fill in what is commented, then:  meterseal plan check {config}  and  meterseal plan publish {config}

plan = "{name}"
from = "{begin}"  # the first interval that is stated; what lies before the publishing is marked `retrospective`
interval = 3600  # seconds: 3600 or 900
civil = "{civil}"  # months, quarters and years are cut by this offset from UTC
disclosure = "full"  # "root" keeps the totals out of the signed statement

[site]
# balanced = true  # production + import + discharge = consumption + export + charge
# [site.unused]  # meters that no node takes a point of, each with the reason
"""


def recorded_counters(config: Config, meter: Meter) -> list[Point]:
    """The counters of a meter that are recorded, in a unit of energy, mass or volume."""
    profile = config.profiles[meter.name]
    return [
        point
        for point in profile.points
        if point.kind == "counter"
        and point.unit in COUNTER_UNITS
        and (point.name in meter.points if meter.points else point.record)
    ]


def draft(config: Config, name: str, begin_ms: int, civil_min: int, civil: str) -> str:
    """The text of a plan file."""
    begin = civil_text(begin_ms, civil_min)
    head = _HEAD.format(gateway=config.gateway_id, config=config.path.name, name=name, begin=begin, civil=civil)
    parts = [head + "".join(f'# {meter} = ""\n' for meter in config.meters)]
    for meter in config.meters.values():
        counters = recorded_counters(config, meter)
        parts += ["\n".join(_point(meter, point)) + "\n" for point in counters]
        for role, direction in _ROLES[meter.role].items() if counters else ():
            parts.append("\n".join(_node(meter, role, _of(meter, counters, direction))) + "\n")
    return "\n".join(parts)


def _point(meter: Meter, point: Point) -> Iterator[str]:
    yield f'[points."{meter.name}/{point.name}"]'
    yield 'kind = "counter"'
    yield f'unit = "{point.unit}"'
    yield f'sample = "{duration_text(meter.every)}"'
    if point.max_per_hour is not None:
        yield f"max = {point.max_per_hour}  # the most in an hour, in {point.unit}: the profile's"
    else:
        yield f"# max =   # the most in an hour, in {point.unit}: nominal power × 1 h"
    if point.wraps_at is not None:
        yield f"wraps_at = {point.wraps_at}  # the first value that it does not show: the profile's"
    else:
        yield "# wraps_at =   # the first value that it does not show; without it a rollover counts as unknown"
    yield "# u = 0.01  # relative uncertainty, k = 2, with u_source"


def _of(meter: Meter, counters: list[Point], direction: str | None) -> list[Point]:
    """The counters of one direction as seen from the grid; None: all of them."""
    if direction is None:
        return counters
    names = {point.name: turned(point.name).name if meter.reversed else point.name for point in counters}
    return [p for p in counters if (found := QUANTITIES.get(names[p.name])) and found.direction == direction]


def _node(meter: Meter, role: str, counters: list[Point]) -> Iterator[str]:
    profile = "hourly" if meter.every <= STRICT_MS else "hourly-60s"
    yield f"# [nodes.{meter.name if len(_ROLES[meter.role]) == 1 else f'{meter.name}-{role}'}]"
    yield f'# role = "{role}"  # a guess from the role "{meter.role}" of the meter'
    if meter.reversed:
        yield "# The meter hangs the wrong way round (reversed): what it counts as import is export."
    terms = ", ".join(f'[1, "{meter.name}/{point.name}"]' for point in counters)
    yield f"# terms = [{terms}]  # keep those of one direction"
    yield f'# profile = "{profile}"'
    yield "# capacity =   # nominal power in W: what is above 1.1 × of it is implausible"
    yield '# reason = ""  # why it subtracts a register, or takes a meter of another role'
