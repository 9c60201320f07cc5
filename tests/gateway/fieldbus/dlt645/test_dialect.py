"""What a DL/T 645 meter is asked: blocks and their values, what its refusals teach, and the time that reads take."""

from __future__ import annotations

import pytest

from gateway.devices.decode_bcd import DataBlock
from gateway.fieldbus.dlt645.dialect import OVER_DLT645
from gateway.fieldbus.dlt645.framing import DLT645, MORE, refused
from gateway.fieldbus.dlt645.learned_refusals import RETRY_S, TIMES, Refusals
from gateway.fieldbus.dlt645.reads import blocks_of, single_of
from gateway.fieldbus.read_budget import budget, identity_every_s
from gateway.fieldbus.wire.dialect import Keys, ReadPlan, Reads
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.dlt645 import meters

ADDRESS = "123456789012"
TOTAL = meters.point("total", "0001FF00", part=1, kind="counter")
SHARP = meters.point("sharp", "0001FF00", part=2)
VALLEY = meters.point("valley", "0001FF00", part=5)
VOLTS = meters.point("volts_b", "0201FF00", "XXX.X", part=2)
POWER = meters.point("power", "02030000", "XX.XXXX")
NUMBER = meters.point("number", "04000402", "NNNNNNNNNNNN", record=False)
SECOND_NUMBER = meters.point("own", "04000401", "NNNNNNNNNNNN", record=False)
POINTS = TOTAL, SHARP, VALLEY, VOLTS, POWER
PROFILE = meters.profile(*POINTS, NUMBER, SECOND_NUMBER, identity=("number", "own"), timeout_ms=500)


def line(period_ms: int = 60_000, **keys: object) -> LineSpec:
    return LineSpec(
        "line", "dlt645", (meters.meter("m", ADDRESS, PROFILE, period_ms),), port="/dev/x",
        baudrate=2400, parity="E", **keys,  # type: ignore[arg-type]
    )  # fmt: skip


def plan(learned: Refusals | None = None, avoid: Keys = frozenset(), *, armed: bool = True) -> ReadPlan:
    spec = line()
    return OVER_DLT645.plan(spec, spec.meters[0], PROFILE, POINTS, learned=learned, avoid=avoid, armed=armed)


def asked(found: ReadPlan) -> list[str]:
    """The identifiers of a poll, in their order."""
    return [question.key[1] for block in found.blocks for question in block.questions]


@pytest.mark.parametrize(
    ("di", "part", "single"),
    [
        ("0001FF00", 1, "00010000"),
        ("0001FF00", 5, "00010400"),
        ("0008FF00", 2, "00080100"),
        ("0201FF00", 1, "02010100"),
        ("0202FF00", 3, "02020300"),
        ("0203FF00", 1, "02030000"),
        ("0203FF00", 4, "02030300"),
        ("0206FF00", 2, "02060100"),
        ("0207FF00", 1, "02070100"),
        ("0001FF01", 1, "00010001"),
        ("01010000", 1, None),
        ("00010000", 0, None),
    ],
)
def test_the_identifier_of_one_value_of_a_block(di: str, part: int, single: str | None) -> None:
    assert single_of(di, part) == single


def test_blocks_are_read_whole_and_each_once() -> None:
    found = plan()
    assert asked(found) == ["0001FF00", "0201FF00", "02030000"]
    assert [question.needs for block in found.blocks for question in block.questions] == [20, 4, 3]  # type: ignore[attr-defined]
    assert [block.questions[0].key for block in found.identity] == [(ADDRESS, "04000402"), (ADDRESS, "04000401")]
    assert found.first_only
    assert found.k == 1
    assert all(question.unit == ADDRESS for block in found.blocks for question in block.questions)


def test_a_block_that_another_master_reads_is_read_value_by_value() -> None:
    avoid = frozenset({("0001FF00",)})
    assert asked(plan(avoid=avoid)) == ["00010000", "00010100", "00010400", "0201FF00", "02030000"]
    assert plan(avoid=avoid).avoid == avoid
    assert asked(plan(avoid=avoid, armed=False)) == asked(plan())


NO_SUCH, GOES_ON = refused(0x02), Refused(MORE, Message("dlt645-no-such-data"), Quality.COMM_FAIL)


def reads(answers: dict[str, Refused | None], learned: Refusals) -> Reads:
    """A poll of these identifiers."""
    blocks = [block for block in blocks_of(POINTS, learned.divided) if block.di in answers]
    return [(block, block, answers[block.di]) for block in blocks]


def test_a_block_that_is_refused_again_and_again_is_divided() -> None:
    learned = Refusals(POINTS)
    answers = {"0001FF00": NO_SUCH, "02030000": None}
    for _ in range(TIMES - 1):
        assert not learned.note(reads(answers, learned), 0.0)
    assert asked(plan(learned)) == asked(plan())
    assert learned.note(reads(answers, learned), 0.0)
    assert asked(plan(learned)) == ["00010000", "00010100", "00010400", "0201FF00", "02030000"]
    assert learned.holes == {}


def test_a_single_value_that_is_refused_is_left_out_and_tried_once_a_day() -> None:
    learned = Refusals(POINTS)
    learned.divided.add("0001FF00")
    for turn in range(TIMES):
        changed = learned.note(reads({"00010400": NO_SUCH, "02030000": None}, learned), 10.0)
        assert changed == (turn == TIMES - 1)
    assert [point.name for point in learned.missing()] == ["valley"]
    assert asked(plan(learned)) == ["00010000", "00010100", "0201FF00", "02030000"]
    assert not learned.retry(10.0 + RETRY_S - 1)
    assert learned.retry(10.0 + RETRY_S)
    assert "00010400" in asked(plan(learned))


def test_a_refusal_between_answers_teaches_nothing() -> None:
    learned = Refusals(POINTS)
    for answer in (NO_SUCH, NO_SUCH, None, NO_SUCH, NO_SUCH):
        assert not learned.note(reads({"0201FF00": answer, "02030000": None}, learned), 0.0)


def test_a_meter_that_answers_nothing_may_only_be_starting() -> None:
    learned = Refusals((POWER,))
    for _ in range(5 * TIMES):
        assert not learned.note(reads({"02030000": NO_SUCH}, learned), 0.0)
    learned = Refusals(POINTS)
    for _ in range(5 * TIMES):
        learned.note(reads({"0001FF00": NO_SUCH, "0201FF00": NO_SUCH}, learned), 0.0)
    assert learned.holes == {}
    assert learned.divided == {"0001FF00", "0201FF00"}, "it may have single values alone"


def test_a_block_that_goes_on_is_divided_at_once_and_a_single_value_never() -> None:
    learned = Refusals(POINTS)
    assert learned.note(reads({"0001FF00": GOES_ON}, learned), 0.0)
    assert learned.divided == {"0001FF00"}
    for _ in range(2 * TIMES):
        assert not learned.note(reads({"02030000": GOES_ON, "0201FF00": None}, learned), 0.0)


def test_a_refused_block_says_what_lacks() -> None:
    assert OVER_DLT645.hole(POWER) == NO_SUCH
    assert (NO_SUCH.flag, NO_SUCH.lasting, NO_SUCH.of_place) == (Quality.NOT_FOUND, True, True)
    for error in (0x01, 0x04, 0x08, 0x10, 0x20, 0x40):
        busy = refused(error)
        assert (busy.flag, busy.lasting, busy.of_place) == (Quality.COMM_FAIL, False, False)
    assert refused(0x06).flag == Quality.NOT_FOUND
    block = OVER_DLT645.unread([POWER])
    assert isinstance(block, DataBlock)
    assert block.di == "02030000"
    assert str(OVER_DLT645.read_name(block)) == "identifier 02030000"


def test_the_budget_is_that_of_2400_baud_with_parity() -> None:
    found = budget(line())
    (meter,) = found.meters
    block, _, power = meter.reads
    silence_ms, char_ms = 2 * 3.5 * 11 / 2400 * 1000, 11 / 2400 * 1000
    assert block.time_ms == pytest.approx((40 + 20) * char_ms + silence_ms + 20)
    assert power.time_ms == pytest.approx((40 + 3) * char_ms + silence_ms + 20)
    assert meter.short() == []
    assert identity_every_s(line()) == 60


def test_a_period_below_answer_life_and_time_out_is_too_short() -> None:
    busy_ms = 3000 + 500
    assert budget(line(busy_ms)).meters[0].short() == []
    assert len(budget(line(busy_ms - 1)).meters[0].short()) == 3
    over_tcp = LineSpec("line", "dlt645", line(10_499).meters, host="10.0.0.1", tcp_port=26)
    assert len(budget(over_tcp).meters[0].short()) == 3


def test_how_long_an_answer_may_take() -> None:
    assert DLT645.answer_chars((ADDRESS, "02010100")) < DLT645.answer_chars((ADDRESS, "0001FF00")) <= 12 + 200
