"""Status of a gateway: meters, buffer, batches, ledgers, feeds and alarms as facts, and what of it is a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, TypeVar

from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.messages.reasons import why
from gateway.standing import Standing
from gateway.status.listeners import ListenerStatus
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.capacity.forecast import Forecast
from gateway.storage.rows import Batch
from ledger_client.messages import Sentence

HELD_MS = 180_000
"""Time for which sealing may wait for a ledger after a start before the status calls it a problem."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Recording and sealing as the running gateway reports them.

    ``stopped_reason``, ``stopped``: why recording stopped, None while it goes on. ``every_poll``: decimation, 2 records
    every 2nd poll. ``sealing_waits``: what sealing waits for, None: it does not wait. ``waiting_since_ms``: the start
    of the epoch in which it waits.
    """

    stopped_reason: str | None = None
    stopped: Sentence | None = None
    every_poll: int = 1
    sealing_waits: Sentence | None = None
    waiting_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ClosingLine:
    """A line whose device closes each connection behind an answer; a new one takes ``connect_ms``."""

    line: str
    connect_ms: float
    sentence: Sentence

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"line": self.line, "connect_ms": self.connect_ms, "text": _english(self.sentence)}


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
    ``verdict``: that of the worst of them; ``not_asked``: the points that were not asked for. ``reversed``: it
    hangs the wrong way round; its values are as it says them. ``reversed_phase``: one phase runs against both others,
    and no commissioning record has the reason.
    ``standing``: whether it gives what it should, as the pages say it (``gateway.standing``); ``cause``: why its last
    poll gave no reading, None where it gave one, or where no gateway runs.
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
    reversed: bool = False
    reversed_phase: Message | None = None
    standing: Standing = Standing.WELL
    cause: str | None = None

    @property
    def silent(self) -> Message:
        """That it gives no reading, since when, and as its fix what to do about that."""
        last_s, cause = self.age_s, self.cause and why(self.cause)
        if last_s is None:
            found = Message("status-no-reading", meter=self.name)
            return found if not cause else Message("status-no-reading-why", meter=self.name, why=cause)
        if not cause:
            return Message("status-reading-old", meter=self.name, age_s=last_s, every_ms=self.every_ms)
        return Message("status-reading-old-why", meter=self.name, age_s=last_s, every_ms=self.every_ms, why=cause)

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
            "reversed": self.reversed,
            "standing": self.standing,
            "cause": self.cause,
            "record": self.record,
        }


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How many batches one ledger has settled, and how many are on their way to it, by state.

    ``refused``: one of them was refused, ``detail``: the reason.
    """

    name: str
    policy: str
    settled: int
    states: Mapping[str, int]
    refused: bool
    detail: Sentence | None

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
            "detail": None if self.detail is None else str(self.detail),
        }


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One feed: its state, and counts of readings: waiting, published live, published as history, left to backfill."""

    name: str
    type: str
    url: str
    connected: bool
    state: Sentence
    waiting: int
    live: int
    history: int
    left: int

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"state": _english(self.state)}


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
    def message(self) -> Message:
        """What became of the database, and of its records."""
        sentence = Message("status-restored", found_ms=self.since_ms, batch=self.batch, ledger=self.ledger)
        if self.sealed_elsewhere:
            sentence = Message("status-restored-elsewhere", restored=sentence, n=self.sealed_elsewhere)
        if self.unsealed_for_ever:
            sentence = Message("status-restored-unsealed", restored=sentence, n=self.unsealed_for_ever)
        return sentence

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "batch": self.batch,
            "ledger": self.ledger,
            "since": self.since_ms,
            "reason": self.reason,
            "sealed_elsewhere": self.sealed_elsewhere,
            "unsealed_for_ever": self.unsealed_for_ever,
            "text": self.message.problem,
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
    batch holds yet. ``repairs``, ``conflicts``: damaged databases and equivocations.
    ``closing``, ``listening``, ``alarms``: while it runs. ``asked_feeds``: the running gateway was asked about its
    feeds.
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
    conflicts: Sequence[Sentence]
    repairs: Sequence[Sentence]
    restored: Restored | None
    dashboard: DashboardStatus | None
    listening: Sequence[ListenerStatus] = ()
    commissioning: Sequence[Sentence] = ()
    """Why commissioning records that wait are not signed."""

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

    def problems(self) -> list[Sentence]:
        """What needs attention, the most serious first."""
        return [sentence for rules in PROBLEMS for sentence in rules.problems(self)]

    def as_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``; ``healthy`` is false where there are problems."""
        last, problems, waits = self.last_batch, self.problems(), self.recording.sealing_waits
        return {
            "horizon": self.forecast.as_json() if self.forecast else None,
            "gateway": self.gateway,
            "running": self.pid,
            **asdict(self.totals),
            "unsealed": self.unsealed,
            "recording": "stopped" if self.stopped else "on" if self.running else "off",
            "records_every": self.recording.every_poll,
            "sealing": None if waits is None else _english(waits),
            "restored": self.restored.as_json() if self.restored else None,
            "repairs": [_english(sentence) for sentence in self.repairs],
            "conflicts": [str(sentence) for sentence in self.conflicts],
            "web": asdict(self.dashboard) if self.dashboard else None,
            "last_batch": {"batch": last.batch, "size": last.size, "sealed": last.sealed_ms} if last else None,
            "meters": [meter.as_json() for meter in self.meters],
            "closing": [line.as_json() for line in self.closing],
            "listening": [line.as_json() for line in self.listening],
            "ledgers": [ledger.as_json() for ledger in self.ledgers],
            "feeds": [feed.as_json() for feed in self.feeds],
            "alarms": [alarm.as_json() for alarm in self.alarms],
            "shelved": [alarm.as_json() for alarm in self.shelved],
            "healthy": not problems,
            "problems": [str(sentence) for sentence in problems],
        }


def _english(sentence: Sentence) -> str:
    """For ``--json``, with the fix."""
    return str(sentence)


T = TypeVar("T")


@dataclass(frozen=True)
class Rules(Generic[T]):
    """Rules on one part of the status: each of its things is a problem where a row's condition is true."""

    of: Callable[[Status], Iterable[T]]
    table: Sequence[tuple[Callable[[Status, T], bool], Callable[[T], Sentence]]]

    def problems(self, status: Status) -> Iterator[Sentence]:
        """The problems of this part."""
        for thing in self.of(status):
            yield from (sentence(thing) for condition, sentence in self.table if condition(status, thing))


def _reported_elsewhere(status: Status, alarm: AlarmRow) -> bool:
    """Another rule reports the cause of this alarm."""
    elsewhere = alarm.code in (AlarmCode.EQUIVOCATION, AlarmCode.LEDGER_REFUSED)
    return elsewhere or (status.stopped and alarm.code == AlarmCode.RECORDING_STOPPED)


PROBLEMS: Final[Sequence[Rules[Any]]] = (
    Rules[Recording](
        lambda status: [status.recording],
        [
            (
                lambda s, _: s.stopped,
                lambda r: Message("recording-stopped", reason=r.stopped_reason or "", why=r.stopped or ""),
            ),
            (lambda s, _: not s.running, lambda _: Message("status-not-running")),
        ],
    ),
    Rules[MeterStatus](
        lambda status: status.meters,
        [
            (
                lambda s, m: m.last_ms is None or (s.running and m.standing == Standing.SILENT),
                lambda m: m.silent,
            ),
            (
                lambda _, m: m.standing != Standing.SILENT and m.reversed_phase is not None,
                lambda m: Message("status-reversed-phase", meter=m.name, why=m.reversed_phase or ""),
            ),
        ],
    ),
    Rules[Recording](
        lambda status: [status.recording],
        [(lambda s, _: s.waits_too_long, lambda r: r.sealing_waits or "")],
    ),
    Rules[Sentence](lambda status: status.conflicts, [(lambda *_: True, lambda sentence: sentence)]),
    Rules[Sentence](lambda status: status.commissioning, [(lambda *_: True, lambda sentence: sentence)]),
    Rules[AlarmRow](
        lambda status: status.alarms,
        [
            (
                lambda s, a: not _reported_elsewhere(s, a),
                lambda a: Message("status-alarm", alarm=a.with_advice, since_ms=a.since_ms),
            )
        ],
    ),
    Rules[LedgerStatus](
        lambda status: status.ledgers,
        [(lambda _, x: x.refused, lambda x: Message("status-ledger", ledger=x.name, detail=x.detail or ""))],
    ),
    Rules[FeedStatus](
        lambda status: status.feeds,
        [
            (
                lambda s, f: s.asked_feeds and not f.connected,
                lambda f: Message("status-feed", feed=f.name, state=f.state),
            )
        ],
    ),
)
"""What is a problem, and its message; in the order in which they are listed."""
