"""Status of a gateway: meters, buffer, batches, ledgers, feeds and alarms as facts, and what of it is a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, TypeVar

from gateway.config.field_types import duration_text
from gateway.messages.alarm_kinds import AlarmCode
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.capacity.forecast import Forecast
from gateway.storage.rows import Batch
from ledger_client.times import rfc3339_ms

OVERDUE_PERIODS, OVERDUE_MS = 3, 5_000
"""A reading is overdue after so many periods and so many milliseconds more."""
HELD_MS = 180_000
"""So long may sealing wait for a ledger after a start before the status calls it a problem."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Recording and sealing as the running gateway reports them.

    ``stopped_reason``, ``stopped_text``: why it does not record, None while it does. ``every_poll``: every so-many-th
    poll is recorded. ``sealing_waits``: for what sealing waits, None: it does not. ``waiting_since_ms``: the start of
    the epoch in which it waits.
    """

    stopped_reason: str | None = None
    stopped_text: str | None = None
    every_poll: int = 1
    sealing_waits: str | None = None
    waiting_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ClosingLine:
    """A line whose device closes each connection behind an answer; a new one takes ``connect_ms``."""

    line: str
    connect_ms: float
    text: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of the database: records and readings that are there, records pruned, batches and receipts ever."""

    records: int
    readings: int
    pruned: int
    batches: int
    receipts: int


@dataclass(frozen=True, slots=True)
class MeterStatus:
    """One meter's newest reading, and its missed polls by reason in the newest coverage record.

    ``last_ms``, ``age_s``, ``record``: of the newest reading, None where there is none. ``values``: how many it has;
    ``verdict``: that of the worst of them; ``not_asked``: the points that were not asked for.
    """

    name: str
    every_ms: int
    last_ms: int | None
    age_s: int | None
    values: int
    verdict: str
    missed: Mapping[str, int]
    not_asked: Sequence[str]
    record: str | None

    @property
    def overdue(self) -> bool:
        """Its newest reading is older than its period allows."""
        return self.age_s is not None and self.age_s * 1000 > OVERDUE_PERIODS * self.every_ms + OVERDUE_MS

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "every_ms": self.every_ms,
            "last": self.last_ms,
            "age_s": self.age_s,
            "values": self.values,
            "verdict": self.verdict,
            "missed": dict(self.missed),
            "not_asked": list(self.not_asked),
            "record": self.record,
        }


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How many batches one ledger has settled, and how many are on their way to it, by state.

    ``refused``: one of them was refused, ``detail`` says why.
    """

    name: str
    policy: str
    settled: int
    states: Mapping[str, int]
    refused: bool
    detail: str | None

    @property
    def waiting(self) -> int:
        """How many batches it has not settled."""
        return sum(self.states.values())

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "policy": self.policy,
            "settled": self.settled,
            "waiting": self.waiting,
            "states": dict(self.states),
            "state": "refused" if self.refused else "waiting" if self.waiting else "settled",
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One feed: its state in words, and readings: waiting to be sent, sent live, sent as history, and left to be."""

    name: str
    type: str
    url: str
    connected: bool
    state: str
    waiting: int
    live: int
    history: int
    left: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The batch of a ledger from which this database goes on, and its records that enter no batch of its own."""

    batch: int
    ledger: str
    since_ms: int
    reason: str
    sealed_elsewhere: int
    unsealed_for_ever: int

    @property
    def text(self) -> str:
        """The same in words."""
        since = rfc3339_ms(self.since_ms)
        text = f"since {since} this database goes on from batch {self.batch} of ledger {self.ledger}"
        if self.sealed_elsewhere:
            text += f"; {self.sealed_elsewhere} of its records are sealed in batches that only the ledger holds"
        if n := self.unsealed_for_ever:
            text += f"; {n} of its records stay unsealed for ever, since no ledger can tell if they are sealed already"
        return text

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "batch": self.batch,
            "ledger": self.ledger,
            "since": self.since_ms,
            "reason": self.reason,
            "sealed_elsewhere": self.sealed_elsewhere,
            "unsealed_for_ever": self.unsealed_for_ever,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class DashboardStatus:
    """The dashboard's address, and its certificate's SHA-256 fingerprint; None without one."""

    address: str
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a gateway at ``now_ms``. What can be missing is None.

    ``pid``: the process that runs, if one does. ``forecast``: the room that is left. ``unsealed``: records that no
    batch holds yet. ``repairs``, ``conflicts``: damaged databases and equivocations, in words. ``closing``, ``alarms``:
    while it runs. ``asked_feeds``: the running gateway was asked about its feeds.
    """

    gateway: str
    now_ms: int
    pid: int | None
    recording: Recording
    totals: Totals
    unsealed: int
    last_batch: Batch | None
    forecast: Forecast | None
    meters: Sequence[MeterStatus]
    closing: Sequence[ClosingLine]
    ledgers: Sequence[LedgerStatus]
    feeds: Sequence[FeedStatus]
    asked_feeds: bool
    alarms: Sequence[AlarmRow]
    shelved: Sequence[AlarmRow]
    conflicts: Sequence[str]
    repairs: Sequence[str]
    restored: Restored | None
    dashboard: DashboardStatus | None

    @property
    def running(self) -> bool:
        """A gateway works in the data folder."""
        return self.pid is not None

    @property
    def stopped(self) -> bool:
        """The running gateway records nothing."""
        return self.recording.stopped_reason is not None

    @property
    def waits_too_long(self) -> bool:
        """Sealing has waited for a ledger for longer than a start takes, and no conflict is the reason."""
        since_ms = self.recording.waiting_since_ms
        return since_ms is not None and not self.conflicts and self.now_ms - since_ms > HELD_MS

    def problems(self) -> list[str]:
        """What needs a look, in words, the most serious first."""
        return [text for rules in PROBLEMS for text in rules.problems(self)]

    def as_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``; ``healthy`` is false where there are problems."""
        recording, last, problems = self.recording, self.last_batch, self.problems()
        return {
            "horizon": self.forecast.as_json() if self.forecast else None,
            "gateway": self.gateway,
            "running": self.pid,
            **asdict(self.totals),
            "unsealed": self.unsealed,
            "recording": "stopped" if self.stopped else "on" if self.running else "off",
            "records_every": recording.every_poll,
            "sealing": recording.sealing_waits,
            "restored": self.restored.as_json() if self.restored else None,
            "repairs": list(self.repairs),
            "conflicts": list(self.conflicts),
            "web": asdict(self.dashboard) if self.dashboard else None,
            "last_batch": {"batch": last.batch, "size": last.size, "sealed": last.sealed_ms} if last else None,
            "meters": [meter.as_json() for meter in self.meters],
            "closing": [asdict(line) for line in self.closing],
            "ledgers": [ledger.as_json() for ledger in self.ledgers],
            "feeds": [asdict(feed) for feed in self.feeds],
            "alarms": [alarm.as_json() for alarm in self.alarms],
            "shelved": [alarm.as_json() for alarm in self.shelved],
            "healthy": not problems,
            "problems": problems,
        }


T = TypeVar("T")


@dataclass(frozen=True)
class Rules(Generic[T]):
    """Rules on one part of the status: each of its things is a problem where a row's condition is true."""

    of: Callable[[Status], Iterable[T]]
    table: Sequence[tuple[Callable[[Status, T], bool], Callable[[T], str]]]

    def problems(self, status: Status) -> Iterator[str]:
        """The problems of this part, in words."""
        for thing in self.of(status):
            yield from (text(thing) for condition, text in self.table if condition(status, thing))


def _told_otherwise(status: Status, alarm: AlarmRow) -> bool:
    """Another rule reports what this alarm is about."""
    told = alarm.code in (AlarmCode.EQUIVOCATION, AlarmCode.LEDGER_REFUSED)
    return told or (status.stopped and alarm.code == AlarmCode.RECORDING_STOPPED)


PROBLEMS: Final[Sequence[Rules[Any]]] = (
    Rules[Recording](
        lambda status: [status.recording],
        [
            (lambda s, _: s.stopped, lambda r: f"recording stopped ({r.stopped_reason}): {r.stopped_text}"),
            (lambda s, _: not s.running, lambda _: "the gateway is not running: nothing is being recorded"),
        ],
    ),
    Rules[MeterStatus](
        lambda status: status.meters,
        [
            (lambda _, m: m.last_ms is None, lambda m: f"meter {m.name}: no reading yet"),
            (
                lambda s, m: s.running and m.overdue,
                lambda m: f"meter {m.name}: last reading {m.age_s} s ago, due every {duration_text(m.every_ms)}",
            ),
        ],
    ),
    Rules[Recording](
        lambda status: [status.recording],
        [(lambda s, _: s.waits_too_long, lambda r: str(r.sealing_waits))],
    ),
    Rules[str](lambda status: status.conflicts, [(lambda *_: True, str)]),
    Rules[AlarmRow](
        lambda status: status.alarms,
        [(lambda s, a: not _told_otherwise(s, a), lambda a: f"{a.text} (since {rfc3339_ms(a.since_ms)})")],
    ),
    Rules[LedgerStatus](
        lambda status: status.ledgers,
        [(lambda _, x: x.refused, lambda x: f"ledger {x.name}: {x.detail}")],
    ),
    Rules[FeedStatus](
        lambda status: status.feeds,
        [(lambda s, f: s.asked_feeds and not f.connected, lambda f: f"feed {f.name}: {f.state}")],
    ),
)
"""What is a problem, and its text; in the order in which they are listed."""
