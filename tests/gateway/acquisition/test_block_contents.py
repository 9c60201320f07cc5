"""Block contents: a counter block is decoded once, from the very answer that the reading is made of."""

from __future__ import annotations

# not quick: blocks by chance, 1 s of CPU
import operator
import struct
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.acquisition.block_contents import MOST_FORMS, BlockDecoder
from gateway.acquisition.poller import Poller
from gateway.config.bus import Meter
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile, parse_profile
from gateway.devices.read_plan import Limits, plan, shape_sets
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.records import PollResult
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.register_points import as_found
from tests.support.samples import Machine

HEAD = 'vendor = "T"\ndevice = "T"\nsource = "T"\n[defaults]\nfc = 3\n[points]\n'
COUNTER = parse_profile(
    HEAD + 'energy = { address = 0, type = "uint32", unit = "kWh", scale = -2, kind = "counter" }\n'
    'voltage = { address = 2, type = "float32", unit = "V" }\n',
    "counter",
    "counter.toml",
)
SCALED = parse_profile(
    "format = 2\n"
    + HEAD
    + 'energy = { address = 0, type = "uint32", unit = "kWh", factor_from = ["ratio"], kind = "counter" }\n'
    'ratio = { address = 40, type = "uint16", kind = "scale" }\n',
    "scaled",
    "scaled.toml",
)
(BLOCK,) = plan(COUNTER.select(), Limits())


class Watched(tuple[int, ...]):
    """The registers of an answer, which count how often they are taken apart."""

    taken = 0

    def __getitem__(self, place: Any) -> Any:
        self.taken += 1
        return super().__getitem__(place)


def words(energy: int, voltage: float = 230.0) -> Watched:
    return Watched(struct.unpack(">4H", struct.pack(">If", energy, voltage)))


class Polled:
    """A poller of one meter, on clocks that the test moves."""

    def __init__(self, profile: Profile = COUNTER) -> None:
        self.machine, self.finished = Machine(), list[PollResult]()
        self.clock = self.machine.clock()
        meter = Meter.model_validate({"name": "m", "profile": "own.toml", "address": 1, "every": "1s"})
        self.poller = Poller({"m": meter}, self.clock, self.finished.append, {"m": profile})

    def answer(self, registers: tuple[int, ...], block: RegisterBlock = BLOCK) -> BlockAnswer:
        self.machine.passes(0.05)
        return BlockAnswer(block, registers, self.clock.now_ms())

    def reading(self, *answers: BlockAnswer, failures: tuple[BlockFailure, ...] = (), flags: int = 0) -> Reading:
        self.poller.poll(Poll("m", 0, answers, failures, flags=flags))
        reading = self.finished[-1].reading
        assert reading is not None
        return reading

    def values(self, *answers: BlockAnswer) -> dict[str, Value]:
        return {value.name: value for value in self.reading(*answers).values}


def test_a_counter_block_is_decoded_once() -> None:
    meter = Polled()
    registers = words(70_000)
    answer = meter.answer(registers)
    assert not meter.poller.doubts("m", answer)
    once = registers.taken
    assert once > 0
    assert meter.values(answer)["energy"].value == Decimal("700.00")
    assert registers.taken == once
    blocks = BlockDecoder({}, set())
    looked = blocks.look(answer, {})
    assert looked is not None
    contents = looked.contents
    (decoded,), _ = blocks.decode([answer])
    assert decoded is looked
    assert decoded.contents is contents


def test_a_block_without_a_counter_is_not_decoded_before_the_reading() -> None:
    (block,) = plan([p for p in COUNTER.points if p.kind != "counter"], Limits())
    meter = Polled()
    registers = Watched(words(0)[2:])
    assert not meter.poller.doubts("m", answer := meter.answer(registers, block))
    assert registers.taken == 0
    assert meter.values(answer)["voltage"].value == 230.0


def test_the_second_look_at_a_damaged_answer_is_decoded_from_its_own_bytes() -> None:
    """Once in place of the first answer, which was taken out, and once behind it."""
    meter = Polled()
    meter.values(meter.answer(words(70_000)))
    torn = meter.answer(words(65_536, 1.0))
    assert meter.poller.doubts("m", torn)
    alone = meter.values(meter.answer(words(70_001, 2.0)))
    assert (alone["energy"].value, alone["energy"].quality, alone["voltage"].value) == (Decimal("700.01"), 0, 2.0)
    torn = meter.answer(words(65_537, 3.0))
    assert meter.poller.doubts("m", torn)
    both = meter.values(torn, meter.answer(words(70_002, 4.0)))
    assert (both["energy"].value, both["energy.first"].value) == (Decimal("700.02"), Decimal("655.37"))
    assert both["voltage"].value == 3.0, "what is no counter is that of the first answer"


@pytest.mark.parametrize("asked_again", [True, False])
def test_a_poll_that_was_given_up_leaves_nothing_behind(asked_again: bool) -> None:
    meter = Polled()
    meter.values(meter.answer(words(70_000)))
    given_up = meter.answer(words(70_001, 1.0))
    assert not meter.poller.doubts("m", given_up)
    meter.poller.poll(Poll("m", 0, missed="exchanged"))
    assert meter.poller._meters["m"]._blocks._kept == {}
    answer = meter.answer(words(70_002, 2.0))
    if asked_again:
        assert not meter.poller.doubts("m", answer)
    values = meter.values(answer)
    assert (values["energy"].value, values["voltage"].value) == (Decimal("700.02"), 2.0)
    assert meter.poller._meters["m"]._blocks._kept == {}


def test_a_scale_that_changes_behind_the_first_look_holds() -> None:
    """The counter's block comes first and is looked at by the ratio of the poll before."""
    first, second = plan(SCALED.select(), Limits())
    meter = Polled(SCALED)
    for ratio, value in ((40, 4_000), (40, 4_000), (50, 5_000), (0, None)):
        energy = meter.answer((0, 100), first)
        meter.poller.doubts("m", energy)
        assert meter.values(energy, meter.answer((ratio,), second))["energy"].value == value


def test_every_block_has_a_key_of_its_own_and_equal_ones_share_their_form() -> None:
    device = replace(COUNTER, readable=())
    blocks = [b for _ in range(3) for found in shape_sets((BLOCK,), 4, Limits.of(device)) for b in found]
    copies = [replace(block, points=block.points) for block in blocks]
    assert len({block.key for block in (*blocks, *copies)}) == 2 * len(blocks)
    assert all(map(operator.eq, blocks, copies))
    decoder = BlockDecoder({}, set())
    for block in (*blocks, *copies):
        (one,), _ = decoder.decode([BlockAnswer(block, words(7, 8.0), 0)])
        assert one.contents == [Decimal("0.07"), 8.0]
    assert len(decoder._forms) == len(set(blocks))


def test_forms_are_bounded() -> None:
    decoder = BlockDecoder({}, set())
    for address in range(2 * MOST_FORMS):
        decoder.decode([BlockAnswer(replace(BLOCK, address=address), words(address), 0)])
        assert len(decoder._forms) <= MOST_FORMS


@settings(max_examples=60)
@given(
    st.sampled_from(["eastron-sdm630", "sunspec-inverter", "scaled"]),
    st.lists(st.randoms(use_true_random=False), min_size=1, max_size=5),
)
def test_a_reading_is_the_same_whether_its_blocks_were_looked_at_or_not(name: str, turns: Sequence[Any]) -> None:
    """Any registers, any blocks once or twice, some taken out after they were looked at, some polls given up."""
    profile = SCALED if name == "scaled" else load_profile(name)
    profile = as_found(profile)
    looked, unasked = Polled(profile), Polled(profile)
    blocks = plan(profile.points, Limits.of(profile))
    for turn in turns:
        answers, failures = [], []
        for block in blocks:
            for _ in range(turn.choice([1, 1, 2])):
                pool = turn.choice([(0,), (0xFFFF,), (0x8000,), (0, 1, 2), tuple(range(65536))])
                answers.append(looked.answer(tuple(turn.choice(pool) for _ in range(block.count)), block))
                unasked.machine.passes(0.05)
                if turn.random() < 0.8:
                    looked.poller.doubts("m", answers[-1])
                if turn.random() < 0.2:
                    failures.append(BlockFailure(block, "timeout", ""))
                    answers.pop()
        flags = turn.choice([0, 0, int(Quality.METER_EXCHANGED)])
        if not answers or turn.random() < 0.1:
            for meter in (looked, unasked):
                meter.poller.poll(Poll("m", 0, missed="timeout"))
            continue
        readings = [
            meter.reading(*map(_again, answers) if meter is unasked else answers, failures=tuple(failures), flags=flags)
            for meter in (looked, unasked)
        ]
        assert repr(readings[0]) == repr(readings[1])


def _again(answer: BlockAnswer) -> BlockAnswer:
    return BlockAnswer(*answer)
