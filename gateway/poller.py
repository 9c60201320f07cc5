"""Finished polls → readings: decodes the blocks that answered, judges each value, hands the result to the recorder.

Touches no wire and no disk. Remembers, for each meter, the last good value of every point, because a counter that
falls can only be seen beside its past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.clock import Clock
from gateway.config import Meter
from gateway.devices.decode import Decoded, decode_points
from gateway.fieldbus.bus import BlockAnswer, BlockFailure, Poll
from gateway.quality import carry, judge_all
from gateway.recorder import Finished
from gateway.signer import stamp
from ledger_client.record import Quality, Reading, Value

ILLEGAL_ADDRESS, DEVICE_FAILURE = 2, 4  # Modbus exception codes


class Poller:
    """Turns the polls of all lines into what the recorder takes; ``poll`` is the callback of every line."""

    def __init__(self, meters: Mapping[str, Meter], clock: Clock, put: Callable[[Finished], None]) -> None:
        self._clock, self._put = clock, put
        self._factors = {name: meter.factors for name, meter in meters.items()}
        self._previous: dict[str, dict[str, Decoded]] = {name: {} for name in meters}

    def poll(self, poll: Poll) -> None:
        """Take one finished poll: a reading if at least one block answered, else its reason."""
        if not poll.answers:
            self._put(Finished(poll.meter, poll.due_ms, None, None, poll.missed or "timeout"))
            return
        reading = self.reading(poll)
        self._put(Finished(poll.meter, poll.due_ms, reading, stamp(self._clock)))

    def reading(self, poll: Poll) -> Reading:
        """The reading of a poll that was answered at least in part; its time is that of the first complete answer."""
        answers = sorted(poll.answers, key=lambda answer: answer.completed_ms)
        time_ms = answers[0].completed_ms
        judged = self._judged(poll.meter, answers)
        values = [
            Value(
                point.name,
                judged[point.name].value,
                point.unit,
                Quality(judged[point.name].quality | poll.flags),
                answer.completed_ms - time_ms,
            )
            for answer in answers
            for point, _ in answer.block.points
            if point.name in judged
        ]
        values += [
            Value(point.name, None, point.unit, _failure(failure) | Quality(poll.flags))
            for failure in poll.failures
            for point, _ in failure.block.points
            if point.kind != "scale"
        ]
        return Reading(time_ms, tuple(values))

    def _judged(self, meter: str, answers: Sequence[BlockAnswer]) -> dict[str, Decoded]:
        """Every recorded value of a poll, decoded and judged beside the last good one of its point."""
        pairs = [pair for answer in answers for pair in answer.block.slices(answer.registers)]
        points = {point.name: point for point, _ in pairs}
        decoded = decode_points(pairs, self._factors[meter])
        previous = self._previous[meter]
        judged = judge_all(points.values(), decoded, previous)
        for name, value in judged.items():
            kept = carry(points[name], previous.get(name), value)
            if kept is not None:
                previous[name] = kept
        return judged


def _failure(failure: BlockFailure) -> Quality:
    """The flag of a value whose block did not answer."""
    if failure.exception_code == ILLEGAL_ADDRESS:
        return Quality.NOT_FOUND
    return Quality.DEVICE_FAULT if failure.exception_code == DEVICE_FAILURE else Quality.COMM_FAIL
