"""Months of devices as 绿证 count them: golden figures of 国能发新能规〔2024〕67号, and what is compared with them.

The sentences of the rules stand beside the figures; docs/claims.md says where they were read.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.accounting.formats.civil_time import month_ms
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.tables.gec_monthly import gec_monthly, valid_until
from ledger_client.accounting.tables.stated import StatedRows
from tests.ledger_client.accounting.plans import counter, node, plan_fields

KWH = 1_000_000
"""In thousandths of a Wh."""
DEVICE = {
    "id": "CN-HY-1", "name": "一号机组", "source": "hydro", "technology": "turbine", "capacity": 1_000_000,
    "commissioned": "2023-06-01", "location": "23.13,113.26", "configuration": 3, "class": "tradable", "scheme": "gc",
}  # fmt: skip


def edges(month: int) -> tuple[int, int]:
    """A month of 2026 by +08:00, in ms."""
    return month_ms(2026, month, 480), month_ms(2026, month + 1, 480)


def stated(
    kwh: int, month: int, *entries: Entry, device: dict[str, Any] | None = None, rows: tuple[Row, ...] = (), **plan: Any
) -> StatedRows:
    """A month of one station of so many kWh."""
    fields = plan_fields(nodes={"station": node("production", "export/energy", certificate=device or DEVICE)}, **plan)
    begin, end = edges(month)
    all_rows = (Row("station", begin, begin + 3_600_000, "measured", kwh * KWH, {}), *rows)
    period = {"from": begin, "to": end, "version": 1, "complete": True, "plan": b"\x02" * 32}
    return StatedRows(bytes([month]) * 32, period, parse_plan(fields), all_rows, entries)


def lines(*statements: StatedRows) -> list[dict[str, Any]]:
    table = gec_monthly(statements)
    return [dict(zip(table.header, line, strict=True)) for line in table.lines]


def settlement(month: int, kwh: str) -> Entry:
    begin, end = edges(month)
    return Entry(b"\x03" * 32, "settlement", "station", begin, end, {"value": Decimal(kwh)}, "kWh", "", "", None, ())


def test_one_of_them_is_1000_kwh_and_the_rest_goes_on_to_the_next_month() -> None:
    """1个绿证单位对应1000千瓦时可再生能源电量；不足核发1个绿证的当月电量结转至次月 (67号, on issuing)."""
    table = lines(stated(2_700, 9), stated(400, 10), stated(900, 11))
    keys = ("月份", "表计电量（kWh）", "上月结转（kWh）", "折合绿证（个）", "结转次月（kWh）", "有效期至")
    assert [tuple(line[key] for key in keys) for line in table] == [
        ("2026-09", "2700.000000", "0.000000", 2, "700.000000", "2028-08"),
        ("2026-10", "400.000000", "700.000000", 1, "100.000000", "2028-09"),
        ("2026-11", "900.000000", "100.000000", 1, "0.000000", "2028-10"),
    ]
    assert [line["备注"] for line in table] == ["期初结转按 0 计", None, None]


@pytest.mark.parametrize(
    ("month", "until"),
    [("2026-10", "2028-09"), ("2026-01", "2027-12"), ("2024-01", "2025-12"), ("2023-12", "2025-12"),
     ("2023-03", "2025-12")],
)  # fmt: skip
def test_valid_for_two_years_from_the_month_of_production(month: str, until: str) -> None:
    """绿证有效期2年，时间自电量生产自然月（含）起计算；2024年1月1日（不含）之前的电量延至2025年底 (67号)."""
    assert valid_until(month) == until


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=4))
def test_nothing_is_lost_between_months(milli: list[int]) -> None:
    table = lines(*(stated(0, 1 + n, rows=(Row("station", edges(1 + n)[0] + 3_600_000, edges(1 + n)[0] + 7_200_000,
                                              "measured", m, {}),)) for n, m in enumerate(milli)))  # fmt: skip
    certified = 10**9 * sum(line["折合绿证（个）"] for line in table)
    assert certified + int(Decimal(table[-1]["结转次月（kWh）"]) * KWH) == sum(milli)
    assert all(0 <= Decimal(line["结转次月（kWh）"]) < 1000 for line in table)


def test_the_class_is_the_plans_in_the_words_of_the_rules() -> None:
    """核发可交易绿证 … 核发绿证但暫不参与交易: two classes (67号, on what is issued)."""
    words = [("tradable", "可交易绿证"), ("non-tradable", "不可交易绿证"), ("可交易绿证", "可交易绿证")]
    for given_, shown in words:
        (line,) = lines(stated(1, 9, device=DEVICE | {"class": given_}))
        assert (line["绿证类别"], line["备注"]) == (shown, "期初结转按 0 计")
    (line,) = lines(stated(1, 9, device=DEVICE | {"class": "gold"}))
    assert (line["绿证类别"], line["备注"]) == ("gold", "期初结转按 0 计；类别不是可交易绿证或不可交易绿证")


def test_a_device_of_the_other_scheme_has_none() -> None:
    """An hour serves one scheme: 核发交易绿证 or 申请 CCER, by choice (国能综通新能〔2024〕124号 一)."""
    (line,) = lines(stated(2_700, 9, settlement(9, "2700"), device=DEVICE | {"scheme": "offset"}))
    assert [line[key] for key in ("折合绿证（个）", "上月结转（kWh）", "结转次月（kWh）", "有效期至")] == [None] * 4
    assert (line["表计电量（kWh）"], line["差值（表计−结算，kWh）"]) == ("2700.000000", "0.000000")
    assert line["备注"] == "项目选择自愿减排机制，不折合绿证"


def test_a_discharge_makes_none() -> None:
    """储能设施放电电量不核发绿证: only nodes of production count."""
    nodes = {
        "station": node("production", "export/energy", certificate=DEVICE),
        "battery": node("discharge", "battery/energy", certificate=DEVICE | {"id": "CN-BAT-1"}),
    }
    points = {"export/energy": counter(), "battery/energy": counter()}
    plain = stated(2_700, 9)
    statement = StatedRows(
        plain.record, plain.fields, parse_plan(plan_fields(points=points, nodes=nodes)),
        [*plain.rows, plain.rows[0]._replace(node="battery")], (),
    )  # fmt: skip
    assert [line["设备编码"] for line in lines(statement)] == ["CN-HY-1"]


def test_what_no_certificate_may_stand_for_is_left_out() -> None:
    begin = edges(9)[0] + 3_600_000
    more = [
        Row("station", begin, begin + 3_600_000, "implausible", 500 * KWH, {}),
        Row("station", begin + 3_600_000, begin + 7_200_000, "measured", 300 * KWH, {"retrospective": True}),
        Row("station", begin + 7_200_000, begin + 14_400_000, "unallocated", 200 * KWH, {}),
        Row("station", begin + 14_400_000, begin + 18_000_000, "unknown", 7 * KWH, {}),
    ]
    (line,) = lines(stated(900, 9, rows=tuple(more)))
    assert (line["表计电量（kWh）"], line["不计入电量（kWh）"]) == ("1907.000000", "807.000000")
    assert (line["折合绿证（个）"], line["结转次月（kWh）"]) == (1, "100.000000")
    assert line["备注"] == "期初结转按 0 计；不合理、未知或追溯的电量不计入"


def test_a_month_beside_its_settlement() -> None:
    (line,) = lines(stated(2_700, 9, settlement(9, "2699.5")))
    assert (line["结算电量（kWh）"], line["差值（表计−结算，kWh）"]) == ("2699.500000", "0.500000")


def test_a_part_of_a_month_says_so() -> None:
    whole = stated(2_700, 9)
    part = StatedRows(whole.record, {**whole.fields, "to": edges(9)[0] + 86_400_000}, whole.plan, whole.rows, ())
    assert lines(part)[0]["备注"] == "期初结转按 0 计；报表未覆盖整月"


@pytest.mark.parametrize(
    ("statements", "rule", "problem"),
    [
        ((stated(1, 9), stated(1, 11)), "T2", "no statement has the device CN-HY-1 from 2026-09-30T16:00:00Z to"),
        ((stated(1, 9), stated(1, 9, plan="other")), "P6", "two statements have the device CN-HY-1"),
        ((stated(1, 9, civil=0),), "B5", "not those of \\+08:00"),
    ],
)
def test_what_gives_no_months(statements: tuple[StatedRows, ...], rule: str, problem: str) -> None:
    with pytest.raises(AccountingError, match=problem) as refused:
        gec_monthly(statements)
    assert refused.value.rule == rule


def test_a_plan_without_a_device_has_no_months() -> None:
    plain = stated(1, 9)
    bare = StatedRows(plain.record, plain.fields, parse_plan(plan_fields()), plain.rows, ())
    with pytest.raises(AccountingError, match="no node of production of the plan has a `certificate`"):
        gec_monthly([bare])
