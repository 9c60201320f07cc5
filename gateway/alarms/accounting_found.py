"""Result of the alarm checks of the accounting; that of a site without a plan, for which no check is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.accounting.statements.keeper import Known
from gateway.alarms.checks import Conditions
from gateway.messages.alarm_kinds import AlarmCode
from ledger_client.messages import Sentence

Item = tuple[tuple[str, str], tuple[Sentence, int | None]]
CODES: Final = (
    AlarmCode.EXPORT_OVERDUE,
    AlarmCode.STATEMENT_OVERDUE,
    AlarmCode.FACTOR_OUTDATED,
    AlarmCode.HOUR_LOST,
    AlarmCode.STACK_SILENT,
    AlarmCode.OVER_ISSUED,
)


@dataclass(slots=True)
class AccountingFound:
    """Conditions that are true, by kind; a kind that could not be looked for is not in it. ``past``: lost hours behind
    which there are others that are not lost; each is raised and cleared once."""

    alarms: dict[str, Conditions] = field(default_factory=dict)
    past: list[Item] = field(default_factory=list)


def without_plan(known: Known) -> AccountingFound | None:
    """What there is to find where no plan is known: nothing yet, then that none of them is so. None: there is more to
    look at."""
    if known.history.plans or known.problem is not None:
        return None
    return AccountingFound({code: {} for code in CODES} if known.at_ms else {})
