"""SunSpec discovery: the three bases, the chain, its end, and a search that was interrupted."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import cast

import pytest

from gateway.devices.profile import load_profile
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.sunspec_discovery import ModelSearch
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal, Silence
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import Sent, answer, packet, refuse, running, serving, tcp_line, tcp_talk

SUNS = (0x5375, 0x6E53)


def text(words: str, registers: int) -> tuple[int, ...]:
    return struct.unpack(f">{registers}H", words.encode().ljust(2 * registers, b"\0"))


def chain(base: int, *models: tuple[int, Sequence[int]], end: bool = True) -> dict[int, int]:
    """A register image: the marker, each model's ID, length and registers, and the end mark."""
    words = list(SUNS)
    for model, body in models:
        words += [model, len(body), *body]
    words += [0xFFFF, 0] if end else []
    return {base + i: word for i, word in enumerate(words)}


COMMON = (1, (*text("Maker", 16), *text("Type", 16), *text("", 8), *text("1", 8), *text("SN-1", 16), 1, 0x8000))
INVERTER = (103, [7] * 50)


class Image:
    """Answers reads from a register image; addresses outside are refused, and so are reads over ``longest``."""

    def __init__(self, registers: dict[int, int], longest: int = 125) -> None:
        self.registers, self.longest = registers, longest
        self.asked: list[Request] = []

    async def ask(self, questions: Sequence[Question]) -> Outcome:
        fresh = [q for q in questions if q.key not in {a.key for a in self.asked}]
        request = cast(Request, (fresh or list(questions))[0])
        self.asked.append(request)
        words = [self.registers.get(request.address + i) for i in range(request.count)]
        if None in words or request.count > self.longest:
            return Refusal(request, refused(2, 3))
        return Answer(request, struct.pack(f">{request.count}H", *[w for w in words if w is not None]), 0.0)


@pytest.mark.parametrize("base", [40000, 0, 50000])
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("longest", [125, 2])
def test_the_chain_is_found_at_each_base(base: int, direct: bool, longest: int) -> None:
    image = Image(chain(base, COMMON, INVERTER), longest)
    search = ModelSearch(1, direct=direct)
    assert asyncio.run(search.run(image.ask)) is None
    assert search.models == {1: base + 2, 103: base + 70}
    if direct:
        assert {r.count for r in image.asked} == {2}


def test_behind_a_converter_no_two_reads_of_a_search_have_one_shape() -> None:
    image = Image(chain(50000, COMMON, INVERTER, (160, [0] * 48), (122, [0] * 44)))
    search = ModelSearch(1, direct=False)
    assert asyncio.run(search.run(image.ask)) is None
    shapes = [r.key for r in image.asked]
    refused = [r for r in image.asked if r.count == 2]
    assert len(set(shapes)) >= len(shapes) - len(refused) + 1
    assert search.models == {1: 50002, 103: 50070, 160: 50122, 122: 50172}


def test_the_first_instance_of_a_model_counts_and_a_map_may_end_without_its_mark() -> None:
    search = ModelSearch(1, direct=True)
    assert asyncio.run(search.run(Image(chain(0, COMMON, INVERTER, INVERTER, end=False)).ask)) is None
    assert search.models == {1: 2, 103: 70}


def test_a_device_without_a_map_is_refused_and_may_be_asked_again() -> None:
    image = Image({40000 + i: 0 for i in range(200)})
    search = ModelSearch(1, direct=True)
    assert isinstance(asyncio.run(search.run(image.ask)), Refusal)
    image.registers = chain(0, COMMON)
    assert asyncio.run(search.run(image.ask)) is None


def test_an_interrupted_search_goes_on_where_it_was() -> None:
    whole, broken = Image(chain(0, COMMON, INVERTER)), Image(chain(0, COMMON, INVERTER))
    assert asyncio.run(ModelSearch(1, direct=True).run(whole.ask)) is None
    turn = iter(range(1000))

    async def every_second(questions: Sequence[Question]) -> Outcome:
        if next(turn) % 2:
            return Silence("timeout", Message("answer-none"), questions[0])
        return await broken.ask(questions)

    search, interruptions = ModelSearch(1, direct=True), 0
    while asyncio.run(search.run(every_second)) is not None:
        interruptions += 1
    assert interruptions >= 3
    assert broken.asked == whole.asked, "nothing was asked twice"
    assert search.models == {1: 2, 103: 70}


def test_a_length_that_leads_out_of_the_address_space_ends_the_chain() -> None:
    search = ModelSearch(1, direct=True)
    registers = chain(50000, COMMON, (64000, [1]))
    registers[50071] = 0xFFF0  # its length
    assert asyncio.run(search.run(Image(registers).ask)) is None
    assert search.models == {1: 50002}


def test_a_whole_inverter_line_with_a_model_that_is_not_there() -> None:
    async def test() -> None:
        image = chain(40000, COMMON, end=True)

        def device(tid: int, request: Request) -> Sent:
            words = [image.get(request.address + i) for i in range(request.count)]
            if None in words:
                return [(0.0, packet(tid, refuse(request)))]
            data = struct.pack(f">{request.count}H", *[w for w in words if w is not None])
            return [(0.0, packet(tid, answer(request, data)))]

        found = load_profile("sunspec-inverter")
        points = found.select(("manufacturer", "serial_number", "active_power"))
        asked: list[Request] = []
        async with serving(tcp_talk(device, asked)) as server:
            spec = tcp_line(server.port, MeterSpec("inverter", found, 1, 200, points), life_ms=400)
            async with running(spec) as (_, polls):
                poll = await polls.until(lambda p: bool(p.answers), count=3)
                heads = [r for r in asked if r.address == 40000]
                assert len(heads) == 1, "found once for a connection"
        assert poll.identity == "manufacturer=Maker, device_model=Type, serial_number=SN-1"
        assert not poll.flags & Quality.IDENTITY_UNPROVEN
        missing = [f for f in poll.failures if (f.refused and f.refused.code) == 2]
        assert {p.name for f in missing for p in f.block.points} >= {"active_power"}
        assert "model 103" in str(missing[0].detail)

    asyncio.run(test())


@pytest.mark.parametrize(("models", "read"), [((101,), 101), ((102, 103), 103), ((102, 101), 101), ((160,), None)])
def test_a_point_stands_in_the_first_model_of_its_layout_that_the_device_has(
    models: tuple[int, ...], read: int | None
) -> None:
    search = ModelSearch(1, direct=True)
    image = Image(chain(40000, COMMON, *((model, [7] * 50) for model in models)))
    assert asyncio.run(search.run(image.ask)) is None
    profile = load_profile("sunspec-inverter")
    resolved, points, missing = search.resolved(profile, profile.select())
    assert [p.name for p in missing] == ([] if read else [p.name for p in profile.select()])
    power = [p for p in (*points, *resolved.points) if p.name == "active_power"]
    assert [(p.model, p.address) for p in power] == ([(read, search.models[read] + 14)] * 2 if read else [])
