"""A SunSpec map on a device that closes TCP behind each answer: found once a minute, not once a connection."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import cast

from gateway.devices.profile import load_profile
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.fieldbus.wire.link import Answer, Manners, Outcome, Refusal
from tests.gateway.fieldbus.polling.test_meter_state import Meter, Moved, Scripted
from tests.gateway.fieldbus.test_sunspec import COMMON, INVERTER, chain
from tests.support.register_points import registers_of

MARKER, MOVED = 40000, 50000


class Mapped(Scripted):
    """A link to a SunSpec device."""

    def __init__(self, clock: Moved) -> None:
        super().__init__(clock)
        self.registers = chain(MARKER, COMMON, INVERTER)

    async def read(self, questions: Sequence[Question], manners: Manners) -> Outcome:
        request = cast(Request, questions[0])
        self.asked.append(request)
        words = [self.registers.get(request.address + n) for n in range(request.count)]
        if None in words:
            return Refusal(request, refused(2, 3))
        data = struct.pack(f">{request.count}H", *[word for word in words if word is not None])
        return Answer(request, data, self.clock.now, len(self.asked))


def inverter() -> Meter:
    found = load_profile("sunspec-inverter")
    one = Meter(MeterSpec("inverter", found, 1, 1000, found.select(("serial_number", "active_power"))))
    one.link = Mapped(one.clock)
    return one


def test_a_sunspec_map_counts_for_a_minute_over_connections_that_the_device_closed() -> None:
    one = inverter()
    assert isinstance(one.link, Mapped)
    assert one.poll().poll.answers
    assert MARKER in one.link.addresses
    for _ in range(60):
        one.link.renewals += 1
        assert one.poll().poll.answers
        assert MARKER not in one.link.addresses, "found less than a minute ago"
    one.link.registers = chain(MOVED, COMMON, INVERTER)
    one.link.renewals += 1
    one.poll()
    assert {MARKER, MOVED} <= set(one.link.addresses), "after a minute it is looked for again"
    one.link.renewals += 1
    poll = one.poll().poll
    assert all(registers_of(answer.block).address > MOVED for answer in poll.answers)
    assert poll.answers


def test_a_sunspec_map_is_found_again_on_a_connection_behind_which_may_stand_another_device() -> None:
    one = inverter()
    one.poll()
    assert MARKER in one.link.addresses
    one.link.generation += 1
    one.poll()
    assert MARKER in one.link.addresses
