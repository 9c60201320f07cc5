"""Answers of the HTTP API, and their JSON: what is not known has no key, and a number has the decimals it was recorded
with.

These are the shapes of one gateway and of many: each item names its gateway. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from gateway.process.loop_turns import unhurried
from gateway.verdicts import Verdict
from ledger_client.formats.checks import NAME
from ledger_client.times import rfc3339_ms

T = TypeVar("T")

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
RecordId = Annotated[str, Field(description="METER/EPOCH/SEQ, as `meterseal prove` takes it.")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Recorded = Annotated[
    Any, WithJsonSchema({"type": ["number", "string", "boolean"], "description": "With the decimals as recorded."})
]
"""A value as it was recorded: int, float, Decimal, bool or text."""
State = Literal["live", "recorded", "sealed", "anchored", "elsewhere", "not-recorded"]


class Shape(BaseModel):
    """What is answered. A field that is None is left out of the JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listed(Shape, Generic[T]):
    """A page of a list. ``next``: the cursor of the next page; there is none behind the last one."""

    items: tuple[T, ...]
    next: Annotated[str | None, Field(description="Give it as `cursor` for the next page; absent at the end.")] = None


class Problem(Shape):
    """RFC 9457, with a code that does not change and, where something helps, what to do."""

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    detail: str
    fix: str | None = None


class Text(Shape):
    """A sentence in English; where it is a message of the gateway's catalogue also its code and facts."""

    text: str
    message: str | None = None
    facts: dict[str, Any] | None = None


class MeterCounts(Shape):
    """How many meters stand how. ``silent``: they give no reading, for whatever reason."""

    well: int
    asleep: int
    starting: int
    silent: int


class LedgerState(Shape):
    """One ledger. ``settled_to``: the last batch that it has given a receipt for."""

    name: str
    type: str
    required: bool
    state: Literal["refused", "away", "waiting", "settled", "new"]
    settled_to: int | None = None
    waiting: int
    detail: Text | None = None


class Gateway(Shape):
    """One gateway as it stands at ``time``. ``unacknowledged``: alarms that nobody has acknowledged."""

    gateway: Name
    time: Time
    recording: Literal["on", "stopped"]
    stopped: Text | None = None
    records_every: Annotated[int, Field(ge=1, description="1 of so many polls is recorded.")]
    meters: MeterCounts
    unacknowledged: int
    last_batch: int | None = None
    oldest_unanchored: Time | None = None
    ledgers: tuple[LedgerState, ...]


class Stretch(Shape):
    """A time, from its beginning to its end."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True)

    from_: Annotated[Time, Field(alias="from")]
    to: Time


class Window(Shape):
    """The polls of a meter in whole hours; those ``asleep`` are among the ``due``. ``share``: of those due and not
    asleep the recorded ones; absent where the polls are not known from ``from`` on, or none was due."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True)

    hours: int
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    due: int
    recorded: int
    asleep: int
    share: Annotated[float | None, Field(ge=0, le=1)] = None


class Completeness(Shape):
    """How complete the records of a meter are. ``late``: hours are over and not counted; ``gap``: the longest time
    without a record in 30 days."""

    late: bool
    windows: Annotated[tuple[Window, ...], Field(description="The last 24 h, 7 d and 30 d.")]
    gap: Stretch | None = None


class Meter(Shape):
    """One meter. ``last``: the time of its newest reading, whose worst value is ``quality``; ``cause``: why its last
    poll gave none, ``silent_since``: since when; ``reversed``: it hangs the wrong way round, and its values are as it
    says them."""

    gateway: Name
    meter: Name
    label: str | None = None
    line: Name
    profile: str
    role: str
    every_ms: int
    reversed: bool
    standing: Literal["well", "asleep", "starting", "silent"]
    last: Time | None = None
    quality: Verdict | None = None
    silent_since: Time | None = None
    cause: str | None = None
    completeness: Completeness | None = None


class Value(Shape):
    """One value of a reading. ``bits``: its quality bits, ``words`` what they say; ``time``: where it is not that of
    the reading. Without a value there is no ``value``."""

    point: str
    value: Recorded | None = None
    unit: str | None = None
    quality: Verdict
    bits: Annotated[int, Field(ge=0)]
    words: str | None = None
    time: Time | None = None


class Reading(Shape):
    """One reading as it was recorded. ``clock``: the letter of the gateway's clock (docs/formats.md). ``reversed``: the
    meter hangs the wrong way round, and the values are as it says them. ``state``: of a meter's newest reading alone;
    one that is ``not-recorded`` has no record and is in no list of readings."""

    gateway: Name
    meter: Name
    time: Time
    reversed: bool
    quality: Verdict
    record: RecordId | None = None
    clock: str | None = None
    state: State | None = None
    values: tuple[Value, ...]


class Ended(Shape):
    """Why a list ends early: the code of a message, and its English."""

    code: str
    detail: str


class Readings(Shape):
    """A page of readings. ``next``: as of every list; ``ended``: it ends early, since what follows was pruned, or
    cannot be read."""

    items: tuple[Reading, ...]
    next: str | None = None
    ended: Ended | None = None


class Summary(Shape):
    """What is kept of one point of a minute or an hour. ``count`` values; ``first`` and ``last`` as recorded, the rest
    for drawing; of text there is no ``low``, ``high`` and ``mean``. ``bits``: all quality bits, ``quality`` the
    worst."""

    point: str
    unit: str | None = None
    count: Annotated[int, Field(ge=0)]
    first: Recorded | None = None
    last: Recorded | None = None
    low: Recorded | None = None
    high: Recorded | None = None
    mean: Annotated[float | None, Field(description="To 16 bits of the way from `low` to `high`.")] = None
    quality: Verdict
    bits: Annotated[int, Field(ge=0)]


class Step(Shape):
    """One minute or hour of one meter. ``complete``: nothing is added to it any more. ``readings``: how many it is
    made of; ``missed``: polls by reason, of the coverage records that end in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True)

    gateway: Name
    meter: Name
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    reversed: bool
    complete: bool
    readings: Annotated[int, Field(ge=0)]
    missed: dict[str, int]
    points: tuple[Summary, ...]


class Vouched(Shape):
    """What one ledger has done with a batch. ``receipt``: the time in its receipt, by the ledger's clock."""

    ledger: str
    state: str
    since: Time
    receipt: Time | None = None
    place: str | None = None
    detail: Text | None = None


class Batch(Shape):
    """One sealed batch; ``from`` and ``to``: the earliest and the latest time of its records."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True)

    gateway: Name
    batch: int
    sealed: Time
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    size: int
    root: Hash
    statement: Hash
    resume: str | None = None
    meters: tuple[str, ...]
    anchors: tuple[Vouched, ...]


class Alarm(Shape):
    """One alarm; without ``meter`` it is the gateway's or a whole line's. ``since``: since when its condition is
    true."""

    gateway: Name
    id: int
    meter: Name | None = None
    code: str
    line: str
    severity: Literal["critical", "error", "warning", "notice"]
    active: bool
    text: str
    message: str | None = None
    facts: dict[str, Any] | None = None
    since: Time
    raised: Time
    cleared: Time | None = None
    acknowledged: Time | None = None
    acknowledged_by: str | None = None
    acknowledged_note: str | None = None
    shelved_until: Time | None = None
    shelved_by: str | None = None
    shelved_why: str | None = None
    times: int


class Event(Shape):
    """One signed event; without ``meter`` it is the gateway's. ``code``, ``raised``, ``line``: of an alarm. ``fields``:
    what it says besides; for a token of ``readings`` alone, since there are values among them."""

    gateway: Name
    meter: Name | None = None
    time: Time
    event: str
    code: str | None = None
    raised: bool | None = None
    line: str | None = None
    text: str | None = None
    message: str | None = None
    facts: dict[str, Any] | None = None
    fields: dict[str, Any] | None = None
    record: RecordId


class Coverage(Shape):
    """The account of a meter's polls between two times: due, recorded, and missed by reason."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, validate_by_name=True)

    from_: Annotated[Time, Field(alias="from")]
    to: Time
    due: int
    recorded: int
    missed: dict[str, int]


class Record(Shape):
    """One signed record and where it stands. ``hash``: SHA-256 of its bytes. ``batch``, ``ledgers``: the batch that
    holds it, and the ledgers that gave a receipt. One of ``reading``, ``coverage`` and ``event`` is its content."""

    gateway: Name
    meter: str
    epoch: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    seq: Annotated[int, Field(ge=0)]
    kind: Literal["reading", "coverage", "event"]
    time: Time
    hash: Hash
    size: Annotated[int, Field(ge=1, description="Bytes of the record.")]
    state: State
    batch: int | None = None
    ledgers: tuple[str, ...] | None = None
    reading: Reading | None = None
    coverage: Coverage | None = None
    event: Event | None = None


def at(ms: int) -> Time:
    """A time as the API writes it. ``ms``: Unix milliseconds."""
    return rfc3339_ms(ms)


def time(ms: int | None) -> Time | None:
    """The same of one that may be unknown."""
    return None if ms is None else rfc3339_ms(ms)


def message_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``message`` and ``facts`` of a map that has a message beside its English text; of another one nothing."""
    return {key: fields[key] for key in ("message", "facts") if key in fields}


def json_of(answer: BaseModel) -> bytes:
    """The JSON of an answer. A list is written item by item: a model is taken apart in one go, for which every other
    thread waits."""
    if not isinstance(answer, Listed):
        return _text(answer.model_dump(exclude_none=True)).encode()
    items = ",".join(_text(item.model_dump(exclude_none=True)) for item in unhurried(answer.items))
    following = "" if answer.next is None else f',"next":{_text(answer.next)}'
    return f'{{"items":[{items}]{following}}}'.encode()


def _text(value: Any) -> str:
    """JSON's own text, but that a number has all of its decimals, which none of Python's encoders keeps."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
