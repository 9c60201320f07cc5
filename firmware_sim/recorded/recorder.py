"""Recorder: reads a device as a client would, again and again, and gives the outcome of each read.

The blocks of the profile's points are read once in each interval; where the line is slower, without a pause between
two rounds. A SunSpec device is first asked for its chain, then for all registers of all models once, so that a client
that walks the chain finds in a replay what it would find in the device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from firmware_sim.errors import WireError
from firmware_sim.meters.pdu import Read
from firmware_sim.recorded.client import Wire
from firmware_sim.recorded.read_blocks import blocks, chain, placed, whole
from firmware_sim.recorded.recording import Answer
from gateway.devices.profile import Profile

SPOKEN = ("modbus", "sunspec")
"""Protocols of profiles that can be recorded."""


@dataclass
class Recorder:
    """One recording.

    Attributes:
        wire: open.
        profile: of the device.
        unit: its address.
        every_ms: the interval.
        length_ms: no round is begun later than this; None: there is no end. One round is always made.
        timeout_ms: how long an answer may take.
        clock: seconds that only grow.
        sleep: waits for so many seconds.
    """

    wire: Wire
    profile: Profile
    unit: int
    every_ms: int
    length_ms: int | None
    timeout_ms: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _began: float = field(default=0.0, init=False)

    def answers(self) -> Iterator[Answer]:
        """The outcome of each read; the first ones only when the device has answered one of them.

        Raises:
            WireError: it answers nothing in the first round, or a SunSpec device has no chain.
        """
        self._began = self.clock()
        silent: list[Answer] = []
        rounds = self._rounds()
        for answer in rounds:
            silent.append(answer)
            if answer.timeout_ms is None:
                break
        else:
            raise WireError(
                f"unit {self.unit} does not answer at {', '.join(f'{k} {v}' for k, v in self.wire.settings.items())}",
                "check the unit, the settings of the line, and the wires",
            )
        yield from silent
        yield from rounds

    def _rounds(self) -> Iterator[Answer]:
        """All rounds; but of a device that was silent all the time only the first."""
        answered = 0
        models = []
        if self.profile.protocol == "sunspec":
            looking, found = chain(), None
            while True:
                try:
                    read = looking.send(found)
                except StopIteration as ended:
                    models = ended.value
                    break
                yield (answer := self._asked(read))
                found = answer.words or None
                answered += answer.timeout_ms is None
            if answered and not models:
                raise WireError(
                    f"unit {self.unit} has no SunSpec models at 40000, 50000 or 0",
                    "check the unit, and that SunSpec is switched on in the device",
                )
            for read in whole(self.profile, models):
                yield self._asked(read)
            if not answered:
                return
        reads = blocks(self.profile, placed(self.profile, models))
        due_ms = self._now_ms()
        while True:
            for read in reads:
                yield (answer := self._asked(read))
                answered += answer.timeout_ms is None
            due_ms = max(due_ms + self.every_ms, self._now_ms())
            if not answered or (self.length_ms is not None and due_ms >= self.length_ms):
                return
            self.sleep(max(0, due_ms - self._now_ms()) / 1000)

    def _asked(self, read: Read) -> Answer:
        at_ms = self._now_ms()
        pdu = self.wire.ask(self.unit, read, self.timeout_ms / 1000)
        if self.profile.pause_ms:
            self.sleep(self.profile.pause_ms / 1000)
        if pdu is None:
            return Answer(at_ms, read, timeout_ms=self.timeout_ms)
        if pdu[0] & 0x80:
            return Answer(at_ms, read, exception=pdu[1])
        return Answer(at_ms, read, pdu[2:])

    def _now_ms(self) -> int:
        return round((self.clock() - self._began) * 1000)
