"""China's months of a device in whole MWh, with carry and settlement, as 绿证 count them (rule B5), in Chinese. Pure.

A comparison: Meterseal issues no 绿证. Months are those of +08:00.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from ledger_client.accounting.formats.civil_time import month_around
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.tables.cn_monthly import KWH, settlement_notes
from ledger_client.accounting.tables.devices import OFFSET, DeviceRows, devices, left_out_milli, total_milli
from ledger_client.accounting.tables.settled import settled
from ledger_client.accounting.tables.stated import Cell, StatedRows, Table, civil_month, civil_time, written

HEADER: Final = (
    "月份", "设备编码", "设备名称", "能源类型", "技术类型", "绿证类别", "计量节点", "起始时间", "截止时间",
    "表计电量（kWh）", "不计入电量（kWh）", "上月结转（kWh）", "折合绿证（个）", "结转次月（kWh）", "有效期至",
    "结算电量（kWh）", "差值（表计−结算，kWh）", "备注",
)  # fmt: skip
CIVIL_MIN: Final = 480
MWH: Final = 10**9
"""In thousandths of a Wh: the energy of one 绿证."""
VALID_MONTHS: Final = 24
"""From the month of production on, that one included."""
_OLD, _OLD_UNTIL = "2024-01", "2025-12"
"""What was made before the one is valid at least until the end of the other."""
CLASSES: Final = {"tradable": "可交易绿证", "non-tradable": "不可交易绿证"}
"""By the word of a plan's `class`; the Chinese ones count, too."""


def gec_monthly(statements: Iterable[StatedRows]) -> Table:
    """A line for each device and month. Refuses plans of another civil time, and months that are left out."""
    return Table(HEADER, [line for of_device in devices(statements).values() for line in _device(of_device)])


def valid_until(month: str) -> str:
    """The last month in which a 绿证 of a month of production is valid, both as 2026-10."""
    year, number = map(int, month.split("-"))
    last = year * 12 + number - 1 + VALID_MONTHS - 1
    until = f"{last // 12:04d}-{last % 12 + 1:02d}"
    return max(until, _OLD_UNTIL) if month < _OLD else until


def _device(of_device: Sequence[DeviceRows]) -> Iterator[tuple[Cell, ...]]:
    """The months of one device, in order; what is less than a MWh goes on to the next."""
    for one in of_device:
        if one.stated.plan.civil_min != CIVIL_MIN:
            refuse("B5", "plan.civil", "its months are not those of +08:00", "take the table periods")
    carried, notes = 0, ["期初结转按 0 计"]
    for month, group in groupby(of_device, key=lambda one: civil_month(one.stated.plan, one.stated.span[0])):
        several = list(group)
        counted = several[-1].certificate["scheme"] != OFFSET
        whole, rest = divmod(carried + total_milli(several) - left_out_milli(several), MWH) if counted else (0, 0)
        yield _line(month, several, carried, (whole, rest) if counted else None, notes)
        carried, notes = rest, []


def _line(
    month: str, several: Sequence[DeviceRows], carried: int, counted: tuple[int, int] | None, notes: Sequence[str]
) -> tuple[Cell, ...]:
    last = several[-1]
    plan, device, name = last.stated.plan, last.certificate, last.node.name
    from_ms, to_ms = several[0].stated.span[0], last.stated.span[1]
    total, left_out = total_milli(several), left_out_milli(several)
    bill = settled(plan, name, last.stated.entries, from_ms, to_ms)
    whole, rest = counted or (None, None)
    return (
        month, device["id"], device["name"], device["source"], device["technology"],
        CLASSES.get(device["class"], device["class"]), name, civil_time(plan, from_ms), civil_time(plan, to_ms),
        written(total, KWH), written(left_out, KWH), written(carried, KWH) if counted else None, whole,
        written(rest, KWH), valid_until(month) if whole else None, written(bill.milli, KWH),
        written(total - (bill.milli or 0), KWH) if bill.matches else None,
        "；".join([*(notes if counted else ()), *_notes(several, left_out), *settlement_notes(bill)]) or None,
    )  # fmt: skip


def _notes(several: Sequence[DeviceRows], left_out: int) -> Iterator[str]:
    device = several[-1].certificate
    if device["scheme"] == OFFSET:
        yield "项目选择自愿减排机制，不折合绿证"
    if device["class"] not in {*CLASSES, *CLASSES.values()}:
        yield "类别不是可交易绿证或不可交易绿证"
    if left_out:
        yield "不合理、未知或追溯的电量不计入"
    begin_ms, end_ms = several[0].stated.span[0], several[-1].stated.span[1]
    if (begin_ms, end_ms) != month_around(begin_ms, CIVIL_MIN):
        yield "报表未覆盖整月"
    if not all(one.stated.fields["complete"] for one in several):
        yield "报表不完整"
