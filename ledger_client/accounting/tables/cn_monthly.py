"""China's monthly table of electricity: the meter's figure beside the settled one, in kWh, in Chinese. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.tables.settled import Settled, settled
from ledger_client.accounting.tables.stated import Cell, StatedRows, Table, base_unit, civil_month, civil_time, written

HEADER: Final = (
    "月份", "计量节点", "角色", "起始时间", "截止时间", "正向有功电能（kWh）", "反向有功电能（kWh）", "状态",
    "结算电量（kWh）", "差值（表计−结算，kWh）", "备注",
)  # fmt: skip
KWH: Final = -6
"""A thousandth of a Wh, in kWh."""
_REVERSE: Final = (words.EXPORT, words.PRODUCTION, words.DISCHARGE)
_ROLES: Final = {
    words.PRODUCTION: "发电", words.CONSUMPTION: "用电", words.IMPORT: "下网", words.EXPORT: "上网",
    words.AUXILIARY: "厂用电", words.CHARGE: "充电", words.DISCHARGE: "放电", words.FUEL: "燃料",
}  # fmt: skip
STATUSES: Final = {
    words.MEASURED: "实测", words.SPLIT: "按比例分摊", words.BRIDGED: "换表衔接", words.IMPLAUSIBLE: "不合理",
    words.UNALLOCATED: "未分配到时段", words.UNKNOWN: "未知",
}  # fmt: skip


def cn_monthly(statements: Iterable[StatedRows]) -> Table:
    """A line for each month and node of electricity. Refuses statements without one."""
    months: dict[tuple[str, str, str], list[StatedRows]] = {}
    for stated in statements:
        plan = stated.plan
        for name, node in plan.nodes.items():
            if node.role in _ROLES and base_unit(plan, name) == "Wh":
                months.setdefault((civil_month(plan, stated.span[0]), plan.name, name), []).append(stated)
    if not months:
        refuse("P4", "rows", "no node of the plan counts electricity", "take the table hours or periods")
    return Table(HEADER, [_line(month, node, months[month, plan, node]) for month, plan, node in sorted(months)])


def _line(month: str, name: str, several: Sequence[StatedRows]) -> tuple[Cell, ...]:
    several = sorted(several, key=lambda stated: stated.span)
    plan, rows = several[-1].plan, [row for stated in several for row in stated.rows if row.node == name]
    from_ms, to_ms = several[0].span[0], several[-1].span[1]
    gaps = any(before.span[1] != after.span[0] for before, after in pairwise(several))
    total = sum(row.amount or 0 for row in rows) if rows else None
    bill = settled(plan, name, several[-1].entries, from_ms, to_ms)
    matches = bill.matches and not gaps and total is not None
    notes = settlement_notes(bill)
    if bill.matches and not matches:
        notes.append("报表时段不连续，未计算差值")
    if not all(stated.fields["complete"] for stated in several):
        notes.append("报表不完整")
    shown, reverse = written(total, KWH), plan.nodes[name].role in _REVERSE
    return (
        month, name, _ROLES[plan.nodes[name].role], civil_time(plan, from_ms), civil_time(plan, to_ms),
        None if reverse else shown, shown if reverse else None, _statuses(rows), written(bill.milli, KWH),
        written((total or 0) - (bill.milli or 0), KWH) if matches else None, "；".join(notes) or None,
    )  # fmt: skip


def settlement_notes(bill: Settled) -> list[str]:
    """What is to be said of a settlement: that there is no difference, and why."""
    if bill.contradicting:
        return ["结算条目相互矛盾"]
    return ["结算时段与报表时段不一致，未计算差值"] if bill.milli is not None and not bill.matches else []


def _statuses(rows: Sequence[Row]) -> str:
    """How many rows have each status."""
    counted = {status: sum(row.status == status for row in rows) for status in STATUSES}
    return "；".join(f"{STATUSES[status]} {count}" for status, count in counted.items() if count)
