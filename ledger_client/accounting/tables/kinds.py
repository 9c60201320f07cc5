"""Kinds of tables by the name that a command gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ledger_client.accounting.tables.cn_monthly import cn_monthly
from ledger_client.accounting.tables.fuel import fuel
from ledger_client.accounting.tables.gec_monthly import gec_monthly
from ledger_client.accounting.tables.hours import hours
from ledger_client.accounting.tables.mrr import mrr
from ledger_client.accounting.tables.periods import periods
from ledger_client.accounting.tables.stated import StatedRows, Table

KINDS: Final[Mapping[str, Callable[[Sequence[StatedRows]], Table]]] = {
    "hours": hours, "periods": periods, "mrr": mrr, "cn-monthly": cn_monthly, "gec-monthly": gec_monthly,
    "fuel": fuel,
}  # fmt: skip
