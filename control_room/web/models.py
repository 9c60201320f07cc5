"""Answers of the control room's API: the gateway API's shapes, where something may be unknown here without that key,
and with what only a control room knows. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gateway.api.shapes import models
from gateway.api.shapes.models import Hash, Name, RecordId, Shape, Text, Time
from gateway.verdicts import Verdict


class Gateway(Shape):
    """One gateway as it stands at ``time``. ``listed``: the trust file has it; ``level``, ``why``: how it
    stands by the worst of what is found, as on the pages; ``heard``: when something of it that
    holds last came in; ``last``: the latest time of its records; ``online`` and ``version``: as it says itself;
    ``due`` and ``recorded``: polls of today (UTC) by its signed coverage; ``records``, ``repeated``, ``forked``: since
    the database was made; ``refused``: messages among those that are kept; ``holes``: open ones; ``unproven``: batches
    that lack something."""

    gateway: Name
    time: Time
    listed: bool
    level: Literal["bad", "warn", "wait", "good"]
    why: tuple[Text, ...]
    heard: Time | None = None
    last: Time | None = None
    online: bool | None = None
    version: str | None = None
    clock: Literal["synchronised", "informative", "unknown"] | None = None
    due: int | None = None
    recorded: int | None = None
    records: int
    repeated: int
    forked: int
    refused: int
    holes: int
    unproven: int
    alarms: dict[str, int]
    unacknowledged: int
    last_batch: int | None = None
    oldest_unanchored: Time | None = None


class Meter(Shape):
    """One meter. ``profile``, ``role``, ``every_ms`` and ``reversed``: as its gateway's newest signed configuration
    says; ``last``: the time of its newest reading, whose worst value is ``quality``."""

    gateway: Name
    meter: Name
    profile: str | None = None
    role: str | None = None
    every_ms: int | None = None
    reversed: bool | None = None
    last: Time | None = None
    quality: Verdict | None = None


class Reading(Shape):
    """One reading as it was recorded. ``clock``: the letter of the gateway's clock, where a record is asked for by its
    name; ``reversed``: the meter hangs the wrong way round, and the values are as it says them; absent: no
    configuration of its gateway came in."""

    gateway: Name
    meter: Name
    time: Time
    reversed: bool | None = None
    quality: Verdict
    record: RecordId
    clock: str | None = None
    values: tuple[models.Value, ...]


class Readings(Shape):
    """A page of readings. ``next``: as of every list; ``ended``: it ends early."""

    items: tuple[Reading, ...]
    next: str | None = None
    ended: models.Ended | None = None


class Receipt(Shape):
    """What stands behind a batch: a ledger's receipt, or a place on its chain. ``receipt``: the time in it, by the
    ledger's clock."""

    ledger: str
    receipt: Time | None = None
    place: str | None = None


class Batch(Shape):
    """One batch by its statement. ``state``: ``open`` (something is missing, ``why``), ``complete`` (every record is
    there), ``proven`` (and the receipts that the policy asks for; it is in the archive)."""

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
    arrived: Time
    state: Literal["open", "complete", "proven"]
    why: Text | None = None
    proven: Time | None = None
    anchors: tuple[Receipt, ...]


class Alarm(Shape):
    """One alarm; without ``gateway`` it is the control room's, without ``meter`` the gateway's or a whole line's.
    ``source``: who raised it. ``acknowledged``: here, of which no gateway hears."""

    gateway: Name | None = None
    id: int
    source: Literal["gateway", "control"]
    meter: str | None = None
    code: str
    line: str
    severity: Literal["critical", "error", "warning", "notice"]
    active: bool
    text: str
    message: str | None = None
    facts: dict[str, object] | None = None
    since: Time | None = None
    raised: Time
    cleared: Time | None = None
    acknowledged: Time | None = None
    acknowledged_by: str | None = None
    acknowledged_note: str | None = None


class Record(Shape):
    """One signed record and where it stands. ``hash``: SHA-256 of its bytes. ``state``: ``recorded`` (no statement that
    came in counts it), ``sealed`` (one does: ``batch``), ``anchored`` (and that is proven). One of ``reading``,
    ``coverage`` and ``event`` is its content."""

    gateway: Name
    meter: str
    epoch: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    seq: Annotated[int, Field(ge=0)]
    kind: Literal["reading", "coverage", "event"]
    time: Time
    hash: Hash
    size: Annotated[int, Field(ge=1, description="Bytes of the record.")]
    state: Literal["recorded", "sealed", "anchored"]
    batch: int | None = None
    ledgers: tuple[str, ...] | None = None
    reading: Reading | None = None
    coverage: models.Coverage | None = None
    event: models.Event | None = None


class Hole(Shape):
    """What a statement says must be there, and is not: records ``first`` to ``last`` of a meter's epoch, which
    ``batch`` has, or the batches ``first_batch`` to ``last_batch``. ``asked``: how often the gateway was asked for it;
    ``gone``: why it cannot send it, as it says."""

    gateway: Name
    id: int
    meter: str | None = None
    epoch: str | None = None
    first: int | None = None
    last: int | None = None
    batch: int | None = None
    first_batch: int | None = None
    last_batch: int | None = None
    since: Time
    asked: int
    next_ask: Time | None = None
    gone: Literal["pruned", "lost", "unknown"] | None = None


class Refused(Shape):
    """A message that was not believed. ``step``: of the verification (docs/verifier.md); ``key``: the id of the key
    that the trust file does not have, in hexadecimal; ``gateway``: of the topic, where it names one."""

    id: int
    time: Time
    topic: str
    gateway: str | None = None
    step: int
    why: Text
    key: str | None = None
    size: int
