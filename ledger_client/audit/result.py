"""Audit result: findings, notes, batches and totals of each meter. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, NamedTuple

from ledger_client.audit.notes import Kind, Notes
from ledger_client.audit.records import Name
from ledger_client.errors import STEPS, VerificationError
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.statement import id_text
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.key_storage import SigningKey
from ledger_client.verification.trust import Place

MOST: Final = 100
"""Findings that are kept in words; the others are counted."""
CHAIN, COVERAGE, TIMES, DUE, KEYS, ENDS, RESUME = "chain", "coverage", "times", "due", "keys", "ends", "resume"
"""Steps of an audit beyond those of a proof."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: in which file and batch, of which record (None: of the batch), at which step."""

    file: str
    batch: int | None
    record: str | None
    step: str
    detail: str


@dataclass(frozen=True, slots=True)
class Audited:
    """One batch of an audit; ``no_later_than`` (Unix seconds) is None where too few ledgers vouch."""

    file: str
    batch: int
    records: int
    statement_id: bytes
    no_later_than: int | None
    receipts: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Change:
    """A field that a ``configuration`` event says otherwise than the one before it: of a meter (None: of the whole),
    from when until when (Unix s, by the events' own times; None: it was not changed again).

    ``record`` and ``batch`` are the event's, ``at`` says on which occasion. ``exchange``: whether an event
    ``meter-exchange`` brought it, of an identity; else None.
    """

    meter: str | None
    field: str
    before: Any
    after: Any
    record: str
    batch: int | None
    at: str
    since: int
    until: int | None = None
    exchange: bool | None = None


def median(counts: Counter[int]) -> int:
    """The lower median of values by how often each occurs, of which there is one at least."""
    values = sorted(counts)
    sums = list(accumulate(counts[value] for value in values))
    return values[bisect_left(sums, (sums[-1] + 1) // 2)]


class SeriesAccount(NamedTuple):
    """Of a meter that is not polled: its period (ms), how many messages came, and the median between two (s; None:
    there are no two)."""

    period_ms: int
    messages: int
    median_s: float | None


@dataclass(slots=True)
class PointAccount:
    """One point of a meter: how many readings have it, and how many with a value. ``lacking``: how many of those that
    ought to have it do not, the first and the last of them."""

    readings: int = 0
    values: int = 0
    lacking: int = 0
    lacking_ms: tuple[int, int] | None = None

    def lack(self, count: int, from_ms: int, to_ms: int) -> None:
        """Add ``count`` readings between two moments that do not have it."""
        self.lacking += count
        self.lacking_ms = (self.lacking_ms or (from_ms, 0))[0], to_ms

    def as_json(self, name: str) -> dict[str, Any]:
        """For ``--json``."""
        first_ms, last_ms = self.lacking_ms or (None, None)
        lacking = {"lacking": self.lacking, "lacking_from": _time(first_ms), "lacking_to": _time(last_ms)}
        return {"name": name, "readings": self.readings, "values": self.values, **lacking}


@dataclass(frozen=True, slots=True)
class FreeRun:
    """Due times in a row without a reading: their number, from the first of them until the next one that has a reading,
    or the end of what is known; the time that they stand for; and what coverage reports as missed then, by reason."""

    slots: int
    from_ms: int
    to_ms: int
    free_ms: int
    missed: Counter[str]

    def __str__(self) -> str:
        times = "due time" if self.slots == 1 else "due times"
        span = f"from {rfc3339_ms(self.from_ms)} to {rfc3339_ms(self.to_ms)}"
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.missed.items()))
        return f"{self.slots} {times} in a row without a reading, {span}; missed then: {reasons or 'none'}"

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        span = {"from": rfc3339_ms(self.from_ms), "to": rfc3339_ms(self.to_ms)}
        return {"slots": self.slots, **span, "missed": dict(sorted(self.missed.items()))}


@dataclass(slots=True)
class MeterAccount:
    """Account of one meter: its readings, and by its coverage the polls that were due and what became of them.

    Each poll is counted once: of time that is covered twice, the coverage that was anchored first counts. ``delays_s``:
    number of readings by their age in seconds when the ledgers had their batch. ``exchanged_by_hand``: exchanges that
    nothing but somebody's word shows.
    """

    readings: int = 0
    due: int = 0
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    from_ms: int | None = None
    to_ms: int | None = None
    begins: bool = False
    """Its first record of all is among the files."""
    covered_twice: list[tuple[int, int]] = field(default_factory=list)
    delays_s: Counter[int] = field(default_factory=Counter)
    exchanged: int = 0
    exchanged_by_hand: int = 0
    empty: int = 0
    """Readings without any value."""
    late: int = 0
    points: dict[str, PointAccount] = field(default_factory=dict)
    values_beyond: int = 0
    """Values of points for which there was no room."""
    longest_free: FreeRun | None = None
    """Of a meter with due times, those in a row that no reading answers; None: there are none, or it has none."""
    series: SeriesAccount | None = None

    @property
    def delay_s(self) -> tuple[int, int] | None:
        """(median, worst) delay of the readings in seconds; None where no ledger vouches for any."""
        if not self.delays_s:
            return None
        return median(self.delays_s), max(self.delays_s)


@dataclass(slots=True)
class Audit:
    """What an audit found. Nothing holds as long as ``sound`` is not true.

    With ``allow_resume`` what an announced loss left behind is noted, else it is a finding.
    """

    allow_resume: bool = False
    gateway: str | None = None
    batches: list[Audited] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    meters: dict[str, MeterAccount] = field(default_factory=dict)
    from_ms: int | None = None
    to_ms: int | None = None
    findings: list[Finding] = field(default_factory=list)
    findings_total: int = 0
    remarks: Notes = field(default_factory=Notes)
    changes: list[Change] = field(default_factory=list)
    """All of them, in order."""
    asked: dict[str, int | None] = field(default_factory=dict)
    """The ledgers that were asked, each with the gateway's last batch there (None: it holds none)."""
    keys: dict[Place, SigningKey] = field(default_factory=dict)
    """Those that signed records, statements and receipts, with when."""
    place: tuple[str, int | None] = "", None
    """The file and the batch of which is spoken."""
    losses: int = 0
    """How many losses were announced up to there: batches that say ``resume``."""

    @property
    def sound(self) -> bool:
        """Everything holds."""
        return bool(self.batches) and not self.findings_total

    @contextmanager
    def speaking_of(self, place: tuple[str, int | None]) -> Iterator[None]:
        """Findings in this block are about this file and batch."""
        before, self.place = self.place, place
        try:
            yield
        finally:
            self.place = before

    def account(self, meter: str) -> MeterAccount:
        """What the records of a meter tell."""
        account = self.meters.get(meter)
        if account is None:
            account = self.meters[meter] = MeterAccount()
        return account

    @property
    def signing_keys(self) -> list[SigningKey]:
        """All of ``keys``, those of meters first, then of the gateway, then of ledgers."""
        return sorted(self.keys.values(), key=_order)

    def signed(self, key: SigningKey) -> None:
        """A key has signed, between these times."""
        before = self.keys.get(key.key.place, key)
        first_s, last_s = min(before.first_s, key.first_s), max(before.last_s, key.last_s)
        self.keys[key.key.place] = SigningKey(key.key, first_s, last_s)

    def found(self, step: str, name: Name | None, detail: str) -> None:
        """Keep a finding: of a record, or of the batch (file) that is spoken of."""
        self.findings_total += 1
        if len(self.findings) < MOST:
            file, batch = self.place
            self.findings.append(Finding(file, batch, None if name is None else str(name), step, detail))

    def failed(self, error: VerificationError) -> None:
        """Keep a failed step as a finding."""
        self.found(STEPS[error.step], None, error.detail)

    def resumed(self, name: Name | None, detail: str, weight_ms: int = 0) -> None:
        """Keep what an announced loss left behind; ``weight_ms``: of how much time, where it is some."""
        if not self.allow_resume:
            self.found(RESUME, name, detail)
        else:
            text = f"{f'batch {self.place[1]}' if name is None else name}: {detail}"
            self.noted(text, Kind.LOST, name.meter if name and weight_ms else "", weight_ms)

    def contradicted(self, step: str, name: Name | None, detail: str, losses: int) -> None:
        """Keep a contradiction of what was so behind ``losses`` announced losses: a finding of this step, or of the
        step resume where a further loss was announced since."""
        if losses < self.losses:
            self.resumed(name, detail)
        else:
            self.found(step, name, detail)

    def noted(self, text: str, kind: Kind = Kind.OTHER, about: str = "", weight_ms: int = 0) -> None:
        """Keep what is no fault, and is to be known; as ``Notes.add``."""
        self.remarks.add(text, kind, about, weight_ms)

    @property
    def notes(self) -> list[str]:
        """All notes, in the order of their lines."""
        return self.remarks.texts()

    def as_json(self) -> dict[str, Any]:
        """The answer for ``--json``."""
        return {
            "sound": self.sound,
            "gateway": self.gateway,
            "from": _time(self.from_ms),
            "to": _time(self.to_ms),
            "records": sum(self.kinds.values()),
            "kinds": dict(sorted(self.kinds.items())),
            "batches": [_batch_json(batch) for batch in self.batches],
            "meters": [_meter_json(n, t) for n, t in sorted(self.meters.items()) if n != GATEWAY_ITSELF],
            "findings": [
                {"file": f.file, "batch": f.batch, "record": f.record, "step": f.step, "detail": f.detail}
                for f in self.findings
            ],
            "findings_total": self.findings_total,
            "notes": self.notes,
            "notes_total": self.remarks.total,
            "changes": [_change_json(change) for change in self.changes],
            "asked": self.asked,
            "keys": [key.as_json() for key in self.signing_keys],
        }


def _order(signing: SigningKey) -> tuple[int, str, bytes]:
    key = signing.key
    return ("meter", "statement", "ledger").index(key.role), key.meter or key.ledger or "", key.kid


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339_ms(ms)


def _batch_json(batch: Audited) -> dict[str, Any]:
    return {
        "file": batch.file,
        "batch": batch.batch,
        "records": batch.records,
        "statement_id": id_text(batch.statement_id),
        "no_later_than": None if batch.no_later_than is None else rfc3339(batch.no_later_than),
        "receipts": [{"ledger": ledger, "time": rfc3339(time)} for ledger, time in batch.receipts],
    }


def _series_json(series: SeriesAccount) -> dict[str, Any]:
    return {"period_s": series.period_ms / 1000, "messages": series.messages, "median_s": series.median_s}


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "meter": change.meter,
        "field": change.field,
        "before": _plain(change.before),
        "after": _plain(change.after),
        "since": rfc3339(change.since),
        "until": None if change.until is None else rfc3339(change.until),
        "exchange": change.exchange,
        "record": change.record,
        "batch": change.batch,
        "at": change.at,
    }


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _meter_json(name: str, account: MeterAccount) -> dict[str, Any]:
    delay = account.delay_s
    return {
        "name": name,
        "readings": account.readings,
        "from": _time(account.from_ms),
        "to": _time(account.to_ms),
        "due": account.due,
        "recorded": account.recorded,
        "missed": dict(account.missed),
        "told_twice": [{"from": rfc3339_ms(a), "to": rfc3339_ms(b)} for a, b in account.covered_twice],
        "exchanged": account.exchanged,
        "exchanged_by_hand": account.exchanged_by_hand,
        "series": None if account.series is None else _series_json(account.series),
        "delay_s": None if delay is None else {"median": delay[0], "worst": delay[1]},
        "empty": account.empty,
        "late": account.late,
        "points": [point.as_json(name) for name, point in account.points.items()],
        "values_beyond": account.values_beyond,
        "longest_free": None if account.longest_free is None else account.longest_free.as_json(),
    }
