"""Ratios that a meter keeps in registers, and analogue signals, from poll to poll: values, flags and events."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.acquisition.poller import Poller
from gateway.acquisition.ratios import RATIO_CHANGED, Ratios
from gateway.config.bus import Meter
from gateway.devices.profile import parse_profile
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.records import RATIO_DIFFERS, PollResult
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality, Value
from tests.support.announced import check_shape
from tests.support.samples import Machine

Q = Quality
HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\n[defaults]\nfc = 3\n[points]\n'
METERED = """
power  = { address = 0, type = "uint16", unit = "W", factor_from = ["ratio"] }
plain  = { address = 1, type = "uint16", unit = "V" }
energy = { address = 2, type = "uint32", unit = "kWh", kind = "counter", factor_from = ["ratio"] }
ratio  = { address = 40, type = "uint16", kind = "scale" }
"""
SIGNAL = """
flow = { address = 0, type = "uint16", scale = -3, unit = "m3/s",
         span = { from = [4, 20], to = [0, 250], range = [3.8, 20.5], fault = [3.6, 21] } }
""".replace("\n  ", "")


class Polled:
    """A poller of one meter whose registers a test sets; every poll is a second after the one before."""

    def __init__(self, points: str, keys: str = "", **meter_keys: str) -> None:
        profile = parse_profile(HEAD.replace("[defaults]", f"{keys}\n[defaults]") + points, "own", "own.toml")
        self.blocks = plan(profile.select(), Limits())
        self.machine, self.finished, self.events = Machine(), list[PollResult](), list[Event]()
        self.clock = self.machine.clock()
        meter = Meter.model_validate({"name": "m", "profile": "own.toml", "address": 1, "every": "1s", **meter_keys})
        self.poller = Poller(
            {"m": meter}, self.clock, self.finished.append, {"m": profile}, lambda _, event: self.happened(event)
        )

    def happened(self, event: Event) -> None:
        check_shape(event)
        self.events.append(event)

    def answer(self, block: RegisterBlock, registers: Mapping[int, int]) -> BlockAnswer:
        words = tuple(registers.get(n, 0) for n in range(block.address, block.address + block.count))
        return BlockAnswer(block, words, self.clock.now_ms())

    def poll(self, registers: Mapping[int, int], *, failed: int | None = None, after_s: float = 1) -> dict[str, Value]:
        self.machine.passes(after_s)
        good = [block for n, block in enumerate(self.blocks) if n != failed]
        bad = tuple(BlockFailure(b, "timeout", "no answer") for n, b in enumerate(self.blocks) if n == failed)
        self.poller.poll(Poll("m", 0, tuple(self.answer(block, registers) for block in good), bad))
        reading = self.finished[-1].reading
        assert reading is not None
        return {value.name: value for value in reading.values}


def shown(ratio: int, energy: int = 100) -> dict[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">I", energy))
    return {0: 25, 1: 230, 2: high, 3: low, 40: ratio}


def test_a_ratio_that_changes_flags_its_values_once_and_is_an_event() -> None:
    meter = Polled(METERED)
    first = meter.poll(shown(40))
    assert {name: v.value for name, v in first.items()} == {"power": 1000, "plain": 230, "energy": 4000}
    assert {v.quality for v in first.values()} == {0}
    assert meter.events == []
    changed = meter.poll(shown(50))
    assert changed["power"][:4] == ("power", 1250, "W", Q.CONFIG_CHANGED)
    assert changed["energy"].quality & Q.CONFIG_CHANGED
    assert changed["plain"].quality == 0
    assert meter.events == [Event(RATIO_CHANGED, {"ratios": {"ratio": {"before": "40", "now": "50"}}})]
    assert meter.poll(shown(50))["power"].quality == 0
    assert len(meter.events) == 1


def test_a_ratio_that_flaps_has_one_event_a_minute_and_flags_every_change() -> None:
    meter = Polled(METERED)
    flags = [meter.poll(shown(40 + n % 2))["power"].quality for n in range(301)]
    assert flags == [0] + 300 * [Q.CONFIG_CHANGED]
    assert 2 <= len(meter.events) <= 6
    meter.poll(shown(45), after_s=120)
    meter.poll(shown(46))
    before = len(meter.events)
    meter.poll(shown(46), after_s=61)
    assert len(meter.events) == before + 1, "the change that waited is told, as long as it holds"
    assert meter.events[-1] == Event(RATIO_CHANGED, {"ratios": {"ratio": {"before": "45", "now": "46"}}})


CT = 'ratios = { ct = "ratio" }'


def test_a_ratio_that_is_not_the_configured_one_makes_its_values_implausible_and_is_an_event() -> None:
    meter = Polled(METERED, CT, ct="200/5")
    agreed = meter.poll(shown(40))
    assert {name: (v.value, v.quality) for name, v in agreed.items()} == {
        "power": (1000, 0), "plain": (230, 0), "energy": (4000, 0),
    }  # fmt: skip
    assert meter.events == []
    differs = {"ratio": {"configured": "40", "read": "50"}}
    first = meter.poll(shown(50))
    assert first["power"].value == 1250, "the meter's own ratio, as ever"
    assert first["power"].quality == Q.CONFIG_CHANGED | Q.IMPLAUSIBLE
    assert first["plain"].quality == 0
    assert meter.events[1:] == [Event(RATIO_DIFFERS, {"ratios": differs})]
    assert {name: v.quality for name, v in meter.poll(shown(50)).items()} == {
        "power": Q.IMPLAUSIBLE, "plain": 0, "energy": Q.IMPLAUSIBLE,
    }  # fmt: skip
    assert len(meter.events) == 2
    assert meter.poll(shown(40))["power"].quality == Q.CONFIG_CHANGED
    assert meter.poll(shown(40))["power"].quality == 0
    meter.poll(shown(40), after_s=61)
    assert meter.events[-1] == Event(RATIO_DIFFERS, {"ratios": {}}), "told within a minute of what was told before"


def test_a_ratio_that_differs_from_the_start_is_told_with_the_first_poll_and_again_of_another_meter() -> None:
    meter = Polled(METERED, CT, ct="200/5")
    assert meter.poll(shown(50))["power"].quality == Q.IMPLAUSIBLE
    assert [event.name for event in meter.events] == [RATIO_DIFFERS]
    meter.poller.poll(
        Poll("m", 0, tuple(meter.answer(block, shown(50)) for block in meter.blocks), flags=Q.METER_EXCHANGED)
    )
    assert [event.name for event in meter.events] == [RATIO_DIFFERS, RATIO_DIFFERS]


def test_a_ratio_that_the_meter_has_multiplied_by_concerns_what_transformers_pass_on() -> None:
    points = METERED.replace(', factor_from = ["ratio"]', "").replace("}\nratio", "}\nhertz = HERTZ\nratio")
    points = points.replace("HERTZ", '{ address = 4, type = "uint16", unit = "Hz" }')
    meter = Polled(points, CT, ct="200/5")
    values = meter.poll(shown(50))
    assert {name: (v.value, v.quality) for name, v in values.items()} == {
        "power": (25, Q.IMPLAUSIBLE), "plain": (230, 0), "energy": (100, Q.IMPLAUSIBLE), "hertz": (0, 0),
    }  # fmt: skip
    of_voltage = Polled(points, CT.replace("ct =", "pt ="), pt="40/1").poll(shown(50))
    assert {name for name, v in of_voltage.items() if v.quality} == {"power", "plain", "energy"}


def test_a_ratio_that_the_configuration_does_not_state_is_compared_with_nothing() -> None:
    meter = Polled(METERED, CT)
    assert meter.poll(shown(50))["power"].quality == 0
    assert meter.events == []


def test_a_clock_that_goes_back_holds_no_event_up() -> None:
    ratios = Ratios(parse_profile(HEAD + METERED, "own", "own.toml").points)
    changed = []
    for time_ms, ratio in ((3_600_000, 1), (3_601_000, 2), (0, 3)):
        ratios.see({(None, "ratio"): Fraction(ratio)}, time_ms)
        changed.append(bool(ratios.changes))
    assert changed == [False, True, True]


@pytest.mark.parametrize("ratio", [0, None])
def test_without_a_ratio_there_is_no_value(ratio: int | None) -> None:
    meter = Polled(METERED)
    meter.poll(shown(40))
    values = meter.poll(shown(40), failed=1) if ratio is None else meter.poll(shown(ratio))
    assert (values["power"].value, values["energy"].value) == (None, None)
    assert values["power"].quality & Q.DECODE_ERR
    assert values["plain"][:4] == ("plain", 230, "V", 0)
    assert meter.poll(shown(40))["power"].value == 1000


def test_a_counter_is_doubted_by_the_ratio_of_the_poll_before() -> None:
    """Its own block comes first; the ratio stands in another."""
    meter = Polled(METERED)
    meter.poll(shown(40, energy=100))
    block = meter.blocks[0]
    assert not meter.poller.doubts("m", meter.answer(block, shown(40, energy=101)))
    assert meter.poller.doubts("m", meter.answer(block, shown(40, energy=99)))
    meter.machine.passes(1)
    torn, good = (meter.answer(block, shown(40, energy=energy)) for energy in (99, 101))
    ratio = meter.answer(meter.blocks[1], shown(40))
    meter.poller.poll(Poll("m", 0, (torn, good, ratio), ()))
    reading = meter.finished[-1].reading
    assert reading is not None
    values = {value.name: value for value in reading.values}
    assert (values["energy"].value, values["energy"].quality) == (Decimal(4040), 0)
    assert values["energy.first"].value == 3960


@pytest.mark.parametrize(
    ("raw", "value", "flags"),
    [
        (12_000, 125, 0),
        (3_700, Decimal("-4.6875"), Q.RANGE_LOW),
        (20_600, Decimal("259.375"), Q.RANGE_HIGH),
        (3_599, None, Q.DEVICE_FAULT),
        (21_001, None, Q.DEVICE_FAULT),
    ],
)
def test_a_signal_outside_its_range_or_broken_is_flagged_in_the_reading(
    raw: int, value: Decimal | None, flags: int
) -> None:
    meter = Polled(SIGNAL)
    assert meter.poll({0: raw})["flow"][:4] == ("flow", value, "m3/s", flags)
    assert meter.poll({0: 12_000})["flow"][:4] == ("flow", 125, "m3/s", 0)
