"""Any history of a gateway whose clock, disk, meters and process misbehave, drawn from a seed, on a real database.

A journal in the test's hands, on a machine whose time goes on only as the history says: no threads, no real time. The
books are opened at its end: nothing in them ever changes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.clock import KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.errors import DiskFull, StartAgain, StoreError
from gateway.evidence.sealing import seal_next
from gateway.fieldbus.listening.expected import Series
from gateway.fieldbus.polling.schedule import Schedule
from gateway.recording.config_change import Change
from gateway.recording.coverage import CoverageCounter
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import ALARM, GATEWAY, PollResult, Timestamp
from gateway.storage.capacity import disk_space
from gateway.storage.database import Database
from ledger_client.formats.cose_key import load_private_key
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.books import check_books
from tests.support.samples import Machine
from tests.support.timely import check_times
from tests.support.tokens.away_key import AwayKey

PERIODS_MS = 250, 333, 1000
SERIES_SHARE = 0.5
"""In so many histories the last meter sends unasked, and every message is a record."""
STEPS = 60
STEP_S = 0.1
TIMEOUT_MS = 1000
STEPS_S = (0.0, 0.0, 0.0, 0.4, -0.4, 1.0, 5.0, -5.0, 60.0, -60.0)
"""How wrong the system's clock may be set; most often it is set right."""
LIMIT = disk_space.Space(0, 1 << 40, 1 << 40)


class Killed(BaseException):
    """SIGKILL: nobody catches it."""


class FrailStore(Database):
    """A database whose next transactions end as somebody says: slowly, not at all, kept though refused, or killed."""

    def __init__(self, path: Path, machine: Machine) -> None:
        super().__init__(path)
        self.run("PRAGMA synchronous = OFF")  # the power stays on
        self.passes: Callable[[float], object] = machine.passes
        self.fates: list[tuple[str, float]] = []
        """What becomes of the next transactions, and how many seconds each takes."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        fate, seconds = self.fates.pop(0) if self.fates else ("good", 0.0)
        self.passes(seconds)
        with super().transaction():
            yield
            if fate == "killed before":
                raise Killed
            if fate in ("refused", "full"):
                raise (DiskFull if fate == "full" else StoreError)("the disk failed", "wait for the test")
        if fate == "killed behind":
            raise Killed
        if fate == "kept":
            raise StoreError("the disk failed, and kept it", "wait for the test")


@dataclass
class Polled:
    """One meter on a line of its own: its polls of one epoch, as handed over."""

    line: Schedule
    next_due_ms: int
    under_way: tuple[int, int] | None = None
    """The poll that waits for its answer: due, and when it ends."""
    silent_until_ms: int = 0
    wanted: int = 0

    @classmethod
    def begin(cls, meter: str, period_ms: int, anchor_ms: int) -> Polled:
        return cls(Schedule({meter: period_ms}, anchor_ms), anchor_ms)


@dataclass
class Sender:
    """One meter that sends unasked, by messages more or less a period apart."""

    line: Series
    next_ms: int
    silent_until_ms: int = 0


@dataclass
class History:
    """One history; ``run`` it. ``done``: what befell it, and how often. ``away``: the statement key is in a token, too,
    which stops and goes on."""

    loaded: Config
    chance: random.Random
    machine: Machine = field(default_factory=Machine)
    epochs: int = 0
    done: Counter[str] = field(default_factory=Counter)
    away: bool = False
    events: int = 0
    """Events of the gateway, numbered in their ``line``, that were handed to a recorder."""
    _wrong_ms: int = 0

    def run(self, epochs: int) -> None:
        """``epochs``, each of which ends by a kill or a stop; then the books hold."""
        series = self.chance.random() < SERIES_SHARE
        self._rules, self._keys = _with_periods(Rules.of(self.loaded), series=series), load_keys(self.loaded)
        if self.away:
            key = load_private_key(self.loaded.keys / "statement.pem")
            self._token = AwayKey(key=key)
            self._keys = replace(self._keys, statement=self._token)
        for old in self.loaded.data.glob("*"):
            old.unlink()
        for _ in range(epochs):
            self._open()
            try:
                self._live()
            except Killed:
                self.done["killed"] += 1
            except StartAgain:
                self.done["start again"] += 1
            self.store.close()
            if self.chance.random() < 0.5:
                self.machine.passes(self.chance.choice((0.01, 0.3, 2.0, 8.0, 90.0)))
            if self.chance.random() < 0.5:
                self._set_clock()
        check_books(self.loaded)
        check_times(self.loaded)
        self._check_events()

    def _check_events(self) -> None:
        """No event of the gateway was signed twice, and each in its turn."""
        store = Database(self.loaded.database, read_only=True)
        bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == GATEWAY]
        store.close()
        alarms = [body.fields for body in bodies if isinstance(body, Event) and body.name == ALARM]
        numbers = [int(fields["line"]) for fields in alarms if fields["code"] == "clock"]
        assert numbers == sorted(set(numbers)), "events of the gateway are out of order, or doubled"

    def end(self) -> None:
        """One more epoch, which ends in order: all that was recorded is covered and sealed."""
        self._open()
        self.journal.finish()
        with self.store.transaction():
            self.store.batches.cut()
        while seal_next(self.store, self._rules.issuer(self._keys.statement), self.clock.now_ms()):
            pass
        self.store.close()

    def _open(self) -> None:
        if self.away:
            self._token.go_on()  # a start waits for it
            self._token.waits = lambda: self._passes(5.0)
        self.store = FrailStore(self.loaded.database, self.machine)
        self.clock = self.machine.clock(self.store.records.latest_ms())
        self.epochs += 1
        epoch = self.epochs.to_bytes(8, "big")
        rules = replace(self._rules, seal_every_ms=self.chance.choice((2_000, 10_000, 60_000)))
        self.recorder = Recorder(self.store, self._keys, rules, self.clock, epoch)  # its thread never starts
        self.journal = self.recorder._journal
        self._latest_ms = self.clock.now_ms()
        anchor_ms = self.recorder.open()
        self.closed: set[str] = set()
        self.store.passes = self._passes
        periods_ms = self.journal.rules.periods_ms
        self.polls, self.senders = dict[str, Polled](), dict[str, Sender]()
        for meter in periods_ms:
            self._begin(meter, anchor_ms)
        self.gone: dict[str, Polled] = {}
        self._slow_start = self.chance.random() < 0.3

    def _begin(self, meter: str, anchor_ms: int) -> None:
        """A meter is read from then on."""
        if self._is_series(meter):
            line = Series(self._period_ms(meter), anchor_ms, self.journal.last_moment(meter))
            self.senders[meter] = Sender(line, anchor_ms + self.chance.randint(0, self._period_ms(meter)))
        else:
            self.polls[meter] = Polled.begin(meter, self._period_ms(meter), anchor_ms)

    def _is_series(self, meter: str) -> bool:
        return self._rules.configured[meter].series

    def _live(self) -> None:
        acts: list[tuple[Callable[[], None], int]] = [
            (self._pass, 60),
            (self._set_clock, 6),
            (self._lose_clock, 2),
            (self._fall_silent, 4),
            (self._frail, 4),
            (self._thin, 1),
            (self._change, 1),
            *([(self._token_turns, 5), (self._event, 4)] if self.away else []),
        ]
        if self._slow_start:
            self._fall_silent()
        for _ in range(self.chance.randint(3, STEPS)):
            (act,) = self.chance.choices([a for a, _ in acts], [w for _, w in acts])
            self.done[act.__name__] += 1
            act()
            assert self.clock.now_ms() >= self._latest_ms, "record times ran backwards"
            self._latest_ms = self.clock.now_ms()
        if self.chance.random() < 0.6:
            raise Killed
        self.store.fates = []
        self._write_on()
        self.journal.finish()
        self.done["stopped"] += 1
        if self.journal.trouble is None:
            self._check_counts()

    def _pass(self) -> None:
        """Time goes by, and the polls that have come to an end meanwhile are handed over."""
        self._passes(self.chance.choice((0.01, 0.05, 0.1, 0.25, 0.25, 1.0, 1.0, 3.0)))
        if self.chance.random() < 0.1 and (items := self.recorder._portion(self.chance.randint(1, 20))):
            self._write(items)
        else:
            self._write_on()

    def _passes(self, seconds: float) -> None:
        """Time goes by, and polls come to an end; also while the writer waits for the disk."""
        while seconds > 0:
            self.machine.passes(min(seconds, STEP_S))
            seconds -= STEP_S
            for meter in [meter for meter in self.polls if meter not in self.closed]:
                self._hand_over(meter, self.polls[meter])
            for meter in [meter for meter in self.senders if meter not in self.closed]:
                self._listen(meter, self.senders[meter])

    def _write_on(self) -> None:
        """The writer takes in what waits, until nothing does."""
        while items := self.recorder._portion():
            self._write(items)
        self.journal._queue.taken_in(Timestamp.now(self.clock))
        self.journal.keep_time()

    def _write(self, items: list[Any]) -> None:
        for item in items:
            if isinstance(item, PollResult) and not self._is_series(item.meter):
                counter = self.journal._accounting.counters[item.meter]
                assert isinstance(counter, CoverageCounter)
                self._whose(item.meter).wanted += counter.wanted(item.due_ms)
            self.recorder._handle(item)
        self.journal.keep_time()

    def _whose(self, meter: str) -> Polled:
        return self.polls[meter] if meter in self.polls else self.gone[meter]

    def _hand_over(self, meter: str, polled: Polled) -> None:
        """What the line of a meter does now, as its schedule says."""
        now = self.clock.schedule_ms()
        if polled.under_way is not None:
            due_ms, ends_ms = polled.under_way
            if now < max(ends_ms, polled.silent_until_ms):
                return
            polled.under_way = None
            answered = now - ends_ms < TIMEOUT_MS and self.chance.random() < 0.9
            self._put(meter, polled, due_ms, None if answered else "timeout")
            polled.line.finished(meter, now, answered, 20)
        for _, due_ms, reason in polled.line.settle(now):
            self._put(meter, polled, due_ms, reason)
        if (chosen := polled.line.choose(now)) is not None:
            polled.under_way = chosen[1], now + self.chance.choice((0, 0, 20, 300))

    def _listen(self, meter: str, sender: Sender) -> None:
        """What comes of a meter that sends, and what does not."""
        now, period_ms = self.clock.schedule_ms(), self._period_ms(meter)
        for due_ms in sender.line.missed(now):
            self.recorder.put(PollResult(meter, due_ms, None, Timestamp.now(self.clock), "timeout"))
        if now < max(sender.next_ms, sender.silent_until_ms):
            return
        late, stamp = self.chance.random() < 0.1, Timestamp.now(self.clock)
        sender.next_ms = now + round(period_ms * self.chance.choice((0.2, 0.9, 1.0, 1.0, 1.0, 1.2, 4.0)))
        heard_ms = sender.line.heard(now, late=late)
        assert heard_ms is not None
        value = Value("count", now, "count", int(Quality.LATE) if late else 0)
        self.recorder.put(PollResult(meter, heard_ms, Reading(stamp.time_ms, (value,)), stamp))
        self.done["messages"] += 1

    def _put(self, meter: str, polled: Polled, due_ms: int, reason: str | None) -> None:
        now = Timestamp.now(self.clock)
        reading = Reading(now.time_ms, (Value("count", due_ms, "count"),)) if reason is None else None
        self.recorder.put(PollResult(meter, due_ms, reading, now, reason))
        polled.next_due_ms = due_ms + self._period_ms(meter)

    def _set_clock(self) -> None:
        wrong_ms = round(1000 * self.chance.choice(STEPS_S))
        self.done["clock set"] += wrong_ms != self._wrong_ms
        self.machine.wall_ms += wrong_ms - self._wrong_ms
        self._wrong_ms, self.machine.kernel = wrong_ms, KernelClock(True, 20)

    def _lose_clock(self) -> None:
        self.machine.kernel = KernelClock(False, None)

    def _fall_silent(self) -> None:
        """Polls of some or all meters take their time to come to an end."""
        until_ms = self.clock.schedule_ms() + self.chance.choice((500, 1500, 3000, 30_000))
        share = self.chance.choice((0.5, 1.0))
        meters: list[Polled | Sender] = [*self.polls.values(), *self.senders.values()]
        for meter in meters:
            if self.chance.random() < share:
                meter.silent_until_ms = until_ms

    def _frail(self) -> None:
        fates = ("good", "good", "good", "refused", "full", "kept", "killed before", "killed behind")
        seconds = (0.0, 0.1, 3.0, 20.0, 120.0)
        coming = [(self.chance.choice(fates), self.chance.choice(seconds)) for _ in range(self.chance.randint(1, 4))]
        self.done["disk frail"] += any(fate not in ("good", "killed before", "killed behind") for fate, _ in coming)
        self.store.fates += coming

    def _token_turns(self) -> None:
        """The token stops, at once or within the next signatures, or goes on."""
        if self.chance.random() < 0.4:
            self._token.go_on()
        else:
            self._token.stop(self.chance.choice((0, 0, 1, 2, 5)), known=self.chance.random() < 0.3)
            self.done["key stopped"] += 1

    def _event(self) -> None:
        """Something that the gateway itself signs."""
        self.events += 1
        facts = {"code": "clock", "line": f"{self.events}", "text": "by chance", "raised": True}
        self.recorder.happened(GATEWAY, Event(ALARM, facts))

    def _thin(self) -> None:
        factor = self.chance.choice((1, 2, 5, 10))
        if self.journal.trouble is None and factor != self.journal._accounting.factor:
            self.journal._record_every(factor, LIMIT)
            self.done["thinned"] += self.journal._accounting.factor == factor

    def _change(self) -> None:
        """A changed configuration: some meters are read anew, at other periods, or are no more."""
        names, read = [*self._rules.periods_ms], self.polls.keys() | self.senders.keys()
        going = {meter for meter in names if self.chance.random() < 0.2}
        anew = {meter for meter in names if self.chance.random() < 0.6 or meter not in read} - going
        periods_ms = {m: p for m, p in self.journal.rules.periods_ms.items() if m not in going}
        periods_ms |= {meter: self.chance.choice(PERIODS_MS) for meter in names if meter in anew}
        self.closed = (anew | going) & read
        self._write_on()
        before = {m: (polled.next_due_ms, self._period_ms(m)) for m, polled in self.polls.items()}
        tallies = {meter: deepcopy(self.journal._accounting.counters[meter]) for meter in before}
        rules = replace(self.journal.rules, periods_ms=periods_ms)
        try:
            at_ms = self.journal.change(Change(rules, self._keys, anew, {"why": "test"}))
        except StoreError:
            return
        finally:
            self.closed = set()
        for meter in (anew | going) & before.keys():
            next_ms, period_ms = before[meter]
            tally = tallies[meter]
            assert isinstance(tally, CoverageCounter)
            self.polls[meter].wanted += sum(map(tally.wanted, range(next_ms, at_ms, period_ms)))
        self.done["changed"] += 1
        self.gone |= {meter: self.polls.pop(meter) for meter in going & self.polls.keys()}
        for meter in going & self.senders.keys():
            del self.senders[meter]
        for meter in sorted(anew):
            before_it = self.polls.get(meter) or self.gone.pop(meter, None)
            self._begin(meter, at_ms)
            if meter in self.polls:
                self.polls[meter].wanted = before_it.wanted if before_it is not None else 0

    def _period_ms(self, meter: str) -> int:
        return self.journal.rules.periods_ms[meter]

    def _check_counts(self) -> None:
        """An epoch that was stopped in order counts in all as many polls as came to an end."""
        for meter, polled in (self.polls | self.gone).items():
            bodies = [parse_record(row.data) for row in self.store.records.rows(1, 1 << 60) if row.meter == meter]
            of_epoch = [r.body for r in bodies if r.claims.epoch == self.epochs.to_bytes(8, "big")]
            counted = sum(body.due for body in [b for b in of_epoch if isinstance(b, Coverage)][1:])
            assert counted == polled.wanted, f"{meter}: {counted} polls are counted, {polled.wanted} came to an end"


def _with_periods(rules: Rules, *, series: bool) -> Rules:
    periods_ms, configured = dict(zip(rules.periods_ms, PERIODS_MS, strict=True)), dict(rules.configured)
    *_, last = periods_ms
    configured[last] = replace(configured[last], series=series)
    return replace(rules, periods_ms=periods_ms, configured=configured, commit_every_ms=500)
