"""Devices of plans and what each made: the nodes of production with a `certificate`, and their rows in time. Pure.

Of a device's energy that is left out which no certificate may stand for: implausible (I6), of an unknown jump (I4),
retrospective (P2). Storage makes none: a discharge is no production.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.plan import Node
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.tables.stated import StatedRows

OFFSET: Final = "offset"
"""The scheme of a device that gets no certificate (C4)."""
_NEVER: Final = (words.IMPLAUSIBLE, words.UNKNOWN)


class DeviceRows(NamedTuple):
    """A statement, and what it says of a device: its node, that one's `certificate` (P4) and rows."""

    stated: StatedRows
    node: Node
    certificate: Mapping[str, Any]
    rows: Sequence[Row]


def devices(statements: Iterable[StatedRows]) -> dict[str, list[DeviceRows]]:
    """Device id → its statements in order of time, by the ids in order.

    Raises AccountingError: there is no device, two statements have one at a time (P6), or one between is left out.
    """
    found: dict[str, list[DeviceRows]] = {}
    for stated in sorted(statements, key=lambda one: one.span):
        for node in stated.plan.nodes.values():
            if node.certificate is not None and node.role == words.PRODUCTION:
                rows = [row for row in stated.rows if row.node == node.name]
                device_rows = DeviceRows(stated, node, node.certificate, rows)
                found.setdefault(node.certificate["id"], []).append(device_rows)
    if not found:
        refuse("P4", "rows", "no node of production of the plan has a `certificate`", "take the table hours or periods")
    for device, several in found.items():
        for before, after in pairwise(several):
            end_ms, begin_ms = before.stated.span[1], after.stated.span[0]
            if begin_ms < end_ms:
                problem = f"two statements have the device {device} at {utc_text(begin_ms)}"
                refuse("P6", "rows", problem, "give the rows of one of them")
            if begin_ms > end_ms:
                left_out = f"no statement has the device {device} from {utc_text(end_ms)} to {utc_text(begin_ms)}"
                refuse("T2", "rows", left_out, "give the rows of every statement between")
    return dict(sorted(found.items()))


def total_milli(several: Iterable[DeviceRows]) -> int:
    """All energy of the rows, in thousandths of a Wh."""
    return sum(row.amount or 0 for one in several for row in one.rows)


def left_out_milli(several: Iterable[DeviceRows]) -> int:
    """What of it no certificate may stand for, in thousandths of a Wh."""
    return sum(
        row.amount or 0 for one in several for row in one.rows if row.status in _NEVER or "retrospective" in row.facts
    )
