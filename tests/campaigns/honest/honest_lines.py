"""Lines of an honest gateway, by its own rules for each kind, on a machine whose time is moved: ``live`` tells each of
them that time has passed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from gateway.acquisition.poller import Poller
from gateway.config.bus import Meter
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.devices.read_plan import Limits, plan
from gateway.fieldbus.listening.expected import Series, State
from gateway.fieldbus.listening.pairs import Pairs
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.passive import UNANSWERED
from gateway.fieldbus.modbus.passive_source import Blocks, overheard_points
from gateway.fieldbus.polling.schedule import Schedule
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard
from gateway.records import PollResult, Timestamp
from ledger_client.formats.senml import Quality, Reading, Value
from tests.campaigns.honest.honest_scene import Scene
from tests.support.samples import finished

PROFILE: Final = parse_profile(
    'vendor = "T"\ndevice = "T"\nsource = "T"\nreadable = [{ fc = 3, first = 0, last = 60 }]\n[points]\n'
    'energy = { fc = 3, address = 0, type = "uint32", unit = "Wh", kind = "counter" }\n'
    'power = { fc = 3, address = 40, type = "uint16", unit = "W" }\n',
    "counter",
    "counter.toml",
)
ENERGY, POWER = Request(1, 3, 0, 2), Request(1, 3, 40, 1)


def _poller(scene: Scene, meter: str, put: Callable[[PollResult], None], profile: Profile = PROFILE) -> Poller:
    entry = Meter.model_validate({"name": meter, "profile": "counter.toml", "address": 1, "every": "10s"})
    return Poller({meter: entry}, scene.clock, put, {meter: profile})


class ScheduledLine:
    """A line with one meter that is polled; each poll takes so many ms."""

    def __init__(self, scene: Scene, meter: str, takes_ms: Callable[[], int]) -> None:
        self.scene, self.meter, self.takes_ms = scene, meter, takes_ms
        self.schedule = Schedule({meter: scene.journal.rules.periods_ms[meter]}, scene.due.pop(meter))
        self.under_way: tuple[int, int, int] | None = None
        """A poll: when it was due, began and will end."""

    def __call__(self) -> None:
        now_ms = self.scene.clock.schedule_ms()
        if self.under_way is not None:
            due_ms, began_ms, ends_ms = self.under_way
            if now_ms < ends_ms:
                return
            self.under_way = None
            self.answered(due_ms)
            self.schedule.finished(self.meter, now_ms, True, ends_ms - began_ms)
        for meter, due_ms, reason in self.schedule.settle(now_ms):
            self.scene.journal.poll(PollResult(meter, due_ms, None, Timestamp.now(self.scene.clock), reason))
        if (chosen := self.schedule.choose(now_ms)) is not None:
            self.under_way = chosen[1], now_ms, now_ms + self.takes_ms()

    def answered(self, due_ms: int) -> None:
        """The poll ends with an answer."""
        self.scene.journal.poll(finished(self.meter, due_ms, self.scene.clock, value=due_ms // 1000))


class DoubtedLine(ScheduledLine):
    """Its meter's counter is torn, or not there, in some of its answers: they are read twice."""

    def __init__(self, scene: Scene, meter: str) -> None:
        super().__init__(scene, meter, lambda: 40)
        self.poller = _poller(scene, meter, scene.journal.poll)
        self.blocks = plan(PROFILE.select(), Limits())
        self.energy_wh = 65_400
        self.doubted = 0

    def answered(self, due_ms: int) -> None:
        self.energy_wh += 9
        first, second = self.blocks
        shown = self.scene.chance.choice([self.energy_wh, self.energy_wh, 65_536, 0])
        answers = [BlockAnswer(first, struct.unpack(">HH", struct.pack(">I", shown)), self.scene.clock.now_ms())]
        if self.poller.doubts(self.meter, answers[0]):
            self.doubted += 1
            self.scene.machine.passes(0.05)
            words = struct.unpack(">HH", struct.pack(">I", self.energy_wh))
            answers.append(BlockAnswer(first, words, self.scene.clock.now_ms()))
        answers.append(BlockAnswer(second, (230,), self.scene.clock.now_ms()))
        self.poller.poll(Poll(self.meter, due_ms, tuple(answers)))


class PassiveLine:
    """Another master asks its meter, now for one block, now for both, and sometimes for none."""

    def __init__(self, scene: Scene, meter: str) -> None:
        every_ms = scene.journal.rules.periods_ms[meter]
        spec = MeterSpec(meter, PROFILE, 1, every_ms, PROFILE.select())
        self.scene, self.meter = scene, meter
        self.expected = State(every_ms, scene.due.pop(meter))
        self.blocks = Blocks(overheard_points(spec))
        self.pairs = Pairs(LineSpec("line", "modbus-rtu", (spec,), port="/dev/null", passive=True), spec)
        self.poller = _poller(scene, meter, scene.journal.poll)

    def __call__(self) -> None:
        now_ms, chance = self.scene.clock.schedule_ms(), self.scene.chance
        for due_ms in self.expected.missed(now_ms):
            stamp = Timestamp.now(self.scene.clock)
            if (poll := self.pairs.poll(due_ms)) is not None and poll.answers:
                self.poller.poll(poll)
            else:
                self.scene.journal.poll(PollResult(self.meter, due_ms, None, stamp, "timeout"))
        for question, share in ((ENERGY, 0.15), (POWER, 0.3)):
            if chance.random() < share:
                answered = chance.random() < 0.9
                words = (1, now_ms // 1000 % 60_000)[-question.count :] if answered else ()
                refused = None if answered else UNANSWERED
                block = self.blocks.of(question)
                self.pairs.take(Heard(1, block, words, self.scene.clock.now_ms(), refused=refused))


class SeriesLine:
    """A logger (HJ 212) that sends a message of two parts a period, as long as it is connected, and uploads later what
    it could not send."""

    def __init__(self, scene: Scene, meter: str) -> None:
        self.scene, self.meter = scene, meter
        self.every_ms = scene.journal.rules.periods_ms[meter]
        anchor_ms = scene.due.pop(meter)
        self.series = Series(self.every_ms, anchor_ms, scene.journal.last_moment(meter))
        self.next_ms = anchor_ms + self.every_ms
        self.connected, self.waiting = True, 0

    def __call__(self) -> None:
        now_ms = self.scene.clock.schedule_ms()
        for due_ms in self.series.missed(now_ms):
            reason = "timeout" if self.connected else "line-down"
            stamp = Timestamp.now(self.scene.clock)
            self.scene.journal.poll(PollResult(self.meter, due_ms, None, stamp, reason))
        while self.next_ms <= now_ms:
            self.next_ms += self.every_ms
            self.waiting += 1
        if self.connected:
            for left in range(self.waiting, 0, -1):
                for point in ("a34013-Rtd", "a21026-Rtd"):
                    self._hear(point, late=left > 1)
            self.waiting = 0
        self.scene.journal.taken_in(Timestamp.now(self.scene.clock))

    def _hear(self, point: str, *, late: bool) -> None:
        self.scene.machine.passes(0.02)
        due_ms = self.series.heard(self.scene.clock.schedule_ms(), late=late)
        assert due_ms is not None
        now, flags = Timestamp.now(self.scene.clock), int(Quality.LATE) if late else 0
        reading = Reading(now.time_ms, (Value(point, 4, "mg/l", flags),))
        self.scene.journal.poll(PollResult(self.meter, due_ms, reading, now))
