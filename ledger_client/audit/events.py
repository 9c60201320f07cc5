"""Gateway events that an audit counts by, parsed into facts (docs/evidence.cddl). Pure.

An event may say anything; what these say is demanded in their form: every function raises ``Malformed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ledger_client.errors import Malformed
from ledger_client.formats.checks import array, blob, line, name, table, text, time_ms, uint
from ledger_client.formats.record import COMMISSIONED, EXCHANGE
from ledger_client.recording_grid import Grid

CONFIGURATION, KEYS, CLOCK, PERIOD = "configuration", "keys", "clock", "recording-period"
REPAIRED, ROLLBACK, SCHEDULE = "repaired", "rollback", "schedule"
COUNTED: Final = frozenset({CONFIGURATION, KEYS, CLOCK, PERIOD, REPAIRED, ROLLBACK, SCHEDULE})
"""The events that an audit reads; others only have their place in the chain."""
OF_DEVICE: Final = frozenset({COMMISSIONED, EXCHANGE})
"""The events of a meter that say which device it is."""
SLOWED: Final = 9
"""Tenths of their speed at which record times run while they wait for a clock that is behind them."""
MOST_IDENTITY: Final = 4096
_AT: Final = frozenset({"start", "change", "day"})
_OF_METER: Final = {"key", "role", "grids", "period", "profile", "profile-hash"}
_OF_SOME: Final = {"ratios", "ratios-compared", "series", "reversed", "identity"}

Fields = Mapping[str, Any]
Lost = tuple[str, bytes, int, int]
"""Meter, epoch, first and last number of records that a signed event calls lost."""


class MeterConfiguration(NamedTuple):
    """What is configured of one meter: the thumbprint of its key, ms between two polls, the grids in force; whether it
    is a series, whose messages are due by arriving; and by their names all fields that do not change by themselves."""

    key: bytes
    period_ms: int
    grids: tuple[Grid, ...]
    series: bool
    facts: Mapping[str, Any]


class Configuration(NamedTuple):
    """One part of what is configured (``part`` of ``of``, from 1)."""

    at: str
    part: int
    of: int
    config: bytes
    meters: Mapping[str, MeterConfiguration]
    statement: bytes


class NewKey(NamedTuple):
    """A key that takes the place of another one, or is new to the gateway."""

    owner: str
    key: bytes
    before: bytes | None


class Correction(NamedTuple):
    """Record times before and after at one moment of an epoch, and whether they run at nine tenths from there.

    ``began_ms``: of an epoch of an unknown clock, when it really was; ``stopped``: what was due before it, by meter.
    """

    before_ms: int
    after_ms: int
    up_ms: int
    slow: bool
    began_ms: int | None
    stopped: Mapping[str, int]


def configuration(fields: Fields) -> Configuration:
    """A part of a configuration."""
    part, of = array(_of(fields, "part"), "part", 2, 2)
    part, of = uint(part, "part"), uint(of, "part")
    at = _of(fields, "at")
    if type(at) is not str or at not in _AT or not 1 <= part <= of:
        raise Malformed(f"configuration at {at!r}, part {part} of {of}")
    meters = _map(_of(fields, "meters"), "meters")
    return Configuration(
        at,
        part,
        of,
        blob(_of(fields, "config"), "config", 32),
        {name(meter, "meter"): _meter(meter, facts) for meter, facts in meters.items()},
        blob(_of(fields, "statement"), "statement", 32),
    )


def _meter(meter: str, value: object) -> MeterConfiguration:
    """Strict: a field under another name would be one that nobody compares."""
    of = table(value, f"configuration of {meter}", _OF_METER, _OF_SOME)
    period_ms, grids = uint(of["period"], "period"), _grids(of["grids"], meter)
    if not period_ms or not grids:
        raise Malformed(f"{meter} has a period of {period_ms} ms and {len(grids)} grids")
    for flag in ("series", "reversed"):
        if of.get(flag, True) is not True:
            raise Malformed(f"{flag} of {meter} is {of[flag]!r}; where it is not so it is left out")
    facts = {
        "role": line(of["role"], f"role of {meter}"),
        "profile": line(of["profile"], f"profile of {meter}"),
        "profile-hash": blob(of["profile-hash"], f"profile-hash of {meter}", 32),
        "ratios": _ratios(of, "ratios", meter),
        "ratios-compared": _ratios(of, "ratios-compared", meter),
        "reversed": "reversed" in of,
        "series": "series" in of,
        "period": period_ms,
        "identity": text(of["identity"], f"identity of {meter}", MOST_IDENTITY) if "identity" in of else None,
    }
    return MeterConfiguration(blob(of["key"], "key", 32), period_ms, grids, "series" in of, facts)


def _ratios(of: Fields, key: str, meter: str) -> dict[str, str]:
    ratios = _map(of.get(key, {}), f"{key} of {meter}")
    if not ratios and key in of:
        raise Malformed(f"{key} of {meter} are none; then they are left out")
    return {
        name(what, f"a ratio of {meter}"): line(ratio, f"ratio {what} of {meter}") for what, ratio in ratios.items()
    }


def commissioning(fields: Fields) -> dict[str, Any]:
    """What a commissioning record says of the configuration, by the names that are in it."""
    if type(_of(fields, "reversed")) is not bool:
        raise Malformed(f"reversed is {fields['reversed']!r}")
    return {
        "role": line(_of(fields, "role"), "role"),
        "profile": line(_of(fields, "profile"), "profile"),
        "profile-hash": blob(_of(fields, "profile-hash"), "profile-hash", 32),
        "ratios": _ratios(fields, "ratios", "a commissioning record"),
        "reversed": fields["reversed"],
        "identity": identity_of(fields),
    }


def identity_of(fields: Fields) -> str | None:
    """Which device a meter's event names; None: none."""
    identity = fields.get("identity") or None
    return None if identity is None else text(identity, "identity", MOST_IDENTITY)


def new_grids(fields: Fields) -> dict[str, tuple[Grid, ...]]:
    """The grids that begin with an event, by meter; none where it bears none."""
    return {name(m, "meter"): _grids(g, m) for m, g in _map(fields.get("grids", {}), "grids").items()}


def _grids(value: object, meter: str) -> tuple[Grid, ...]:
    pairs = [array(pair, f"a grid of {meter}", 2, 2) for pair in array(value, f"grids of {meter}", 1)]
    return tuple((time_ms(begins, "grid"), uint(period, "period")) for begins, period in pairs)


def factor(fields: Fields) -> int:
    """Every nth poll is recorded, by a ``recording-period`` event."""
    value = uint(_of(fields, "factor"), "factor")
    if value < 1:
        raise Malformed("a factor of 0")
    return value


def new_key(fields: Fields) -> NewKey:
    """The key of a ``keys`` event."""
    before = blob(fields["before"], "before", 32) if "before" in fields else None
    return NewKey(name(_of(fields, "owner"), "owner"), blob(_of(fields, "key"), "key", 32), before)


def correction(fields: Fields) -> Correction:
    """The correction of a ``clock`` event."""
    tenths = fields.get("tenths", 10)
    if type(tenths) is not int or tenths not in (10, SLOWED):
        raise Malformed(f"record times run at {tenths!r} tenths of their speed")
    return Correction(
        time_ms(_of(fields, "before"), "before"),
        time_ms(_of(fields, "after"), "after"),
        uint(_of(fields, "up"), "up"),
        tenths == SLOWED,
        time_ms(fields["began"], "began") if "began" in fields else None,
        stopped(fields),
    )


def stopped(fields: Fields) -> dict[str, int]:
    """By meter, how many polls were due before an epoch, as its ``clock`` event says, or a ``schedule`` behind that."""
    counts = _map(fields.get("stopped", {}), "stopped")
    return {name(meter, "meter"): uint(count, "stopped") for meter, count in counts.items()}


def lost(fields: Fields) -> list[Lost]:
    """The stretches of numbers that a ``repaired`` or ``rollback`` event calls lost; none where it names none."""
    rows = [array(row, "lost", 4, 4) for row in array(fields.get("ranges", []), "ranges", 0)]
    return [(name(m, "meter"), blob(e, "epoch", 8), uint(a, "first"), uint(z, "last")) for m, e, a, z in rows]


def by_hand(fields: Fields) -> bool:
    """Whether a meter was exchanged by somebody's word alone: as the event says, or because no device showed it."""
    value = fields.get("by-hand", False)
    if type(value) is not bool:
        raise Malformed(f"by-hand is {value!r}")
    new = fields.get("identity")
    return value or not new or new == fields.get("old")


def _of(fields: Fields, key: str) -> Any:
    if key not in fields:
        raise Malformed(f"it does not say {key!r}")
    return fields[key]


def _map(value: object, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise Malformed(f"{what} is no map")
    return value
