"""Damaged frames on a line at work: whose values they make uncertain, and whom the alarm names."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.specs import Alarm
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import Pty, Sent, addresses, answer, bus, meter, rtu_line, running


def test_two_devices_with_one_address_make_that_meters_values_uncertain_and_no_others(tmp_path: Path) -> None:
    async def test() -> None:
        asked, raised = count(), list[Alarm]()

        def torn(request: Request) -> Sent:
            """Every other answer has a wrong checksum."""
            frame = answer(request)
            return [(0.0, frame if next(asked) % 2 else frame[:-1] + bytes([frame[-1] ^ 0xFF]))]

        pty = Pty(tmp_path / "line", bus({1: addresses, 2: torn}))
        spec = rtu_line(pty.link, meter("good", 1, 200), meter("twice", 2, 200), life_ms=100)
        async with running(spec, on_alarm=raised.append) as (_, polls):
            await polls.until(lambda poll: poll.meter == "twice" and bool(poll.flags & Quality.IMPLAUSIBLE), count=2)
            await polls.until(lambda poll: poll.meter == "good" and bool(poll.answers), count=3)
        assert not any(poll.flags & Quality.IMPLAUSIBLE for poll in polls if poll.meter == "good")
        assert [(alarm.code, alarm.meter) for alarm in raised if alarm.raised] == [("crc-rate", "twice")]
        pty.unplug()

    asyncio.run(test())
