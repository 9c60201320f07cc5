"""Refusals of accounting: which rule (docs/accounting.md), where, what is wrong, and the fix."""

from __future__ import annotations

from typing import NoReturn

from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence


class AccountingError(LedgerClientError):
    """A plan, an entry or a period that no statement can be made of. ``rule``: its id in docs/accounting.md."""

    def __init__(self, rule: str, where: str, problem: str, way_out: str) -> None:
        super().__init__(problem, way_out)
        self.rule, self.where = rule, where

    @property
    def sentence(self) -> Sentence:
        """With its place and its rule."""
        return f"{self.where}: {self.problem} ({self.rule})"


def refuse(rule: str, where: str, problem: str, way_out: str = "") -> NoReturn:
    """Raise AccountingError."""
    raise AccountingError(rule, where, problem, way_out)
