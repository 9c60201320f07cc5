"""Over-issued certificates of this gateway (C3): more than its own newest statement gives, by what ledgers show.

Periods that were stated again are compared, and of each plan the newest one. Blocks the calling thread for the
database and the rows files, never for a ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from gateway.accounting.certified.asking import Question, Registries
from gateway.accounting.plans.history import History, SignedPeriod, SignedPlan
from gateway.accounting.statements.stated import StatedRows
from gateway.errors import GatewayError
from ledger_client.accounting.formats.civil_time import month_around, month_of_ms
from ledger_client.certificates.issuing import units_of, why_not
from ledger_client.certificates.over_issued import Issued, OverIssue, made_up, over_issued
from ledger_client.claims.answers import Shown
from ledger_client.claims.certificate import RETIRED, Certificate, digest
from ledger_client.claims.claim import parse_claim
from ledger_client.errors import LedgerClientError

ASK_S: Final = 3600.0
"""Seconds between two looks at the ledgers for the alarm."""


class Over(NamedTuple):
    """Certificates of a node beyond its newest statement: ``units`` Wh too many at a ledger, in ``months`` months, the
    first of which begins at ``from_ms``."""

    plan: str
    node: str
    ledger: str
    units: int
    months: int
    from_ms: int


class _Period(NamedTuple):
    signed: SignedPlan
    period: SignedPeriod


class _Of(NamedTuple):
    device: bytes
    ledger: str
    civil_min: int


def exceeded(registries: Registries, rows: StatedRows, history: History) -> list[Over] | None:
    """What is over-issued by now at the ledgers that the newest plans name. None: one has not shown yet what the
    judgement needs."""
    found: list[Over] = []
    for name in history.names:
        plan = history.of_plan(name)[-1].plan
        for node in plan.nodes.values():
            if node.certificate is None or node.registry not in registries.names:
                continue
            device, periods = digest(node.certificate["id"]), _compared(history, name)
            months = _of_device(registries, rows, _Of(device, node.registry, plan.civil_min), periods)
            if months is None:
                return None
            if months:
                units = sum(month.units for month in months)
                found.append(Over(name, node.name, node.registry, units, len(months), months[0].month_ms))
    return found


def _compared(history: History, name: str) -> list[_Period]:
    """The statements of a plan that are compared: each stated again, and the newest."""
    by_record = {signed.record: signed for signed in history.of_plan(name)}
    stated = history.stated(name)
    again = [period for period in stated if period.fields["version"] > 1 or period is stated[-1]]
    return [_Period(by_record[bytes(period.fields["plan"])], period) for period in again]


def _of_device(registries: Registries, rows: StatedRows, of: _Of, periods: Sequence[_Period]) -> list[OverIssue] | None:
    """The months with an excess; None: not known yet. Whatever was retired in such a month makes up for it, of hours
    that are not compared, too."""
    shown: list[Shown] = []
    for span in sorted({month_around(period.from_ms, of.civil_min) for _, period in periods}):
        answered = _shown_by(registries, of, Question(of.device, *span))
        if answered is None:
            return None
        shown += answered
    given, month_of = partial(_given, rows, periods), partial(month_of_ms, civil_min=of.civil_min)
    months = over_issued([Issued(one.certificate, one.slices, 0) for one in shown], given, month_of)
    if not months:
        return []
    claimed, wanted = [], {month.month_ms for month in months}
    for one in shown:
        units = _made_up(registries, of, one) if month_of(one.certificate.from_ms) in wanted else 0
        claimed.append((one, units))
    if any(units is None for _, units in claimed):
        return None
    return over_issued([Issued(one.certificate, one.slices, units or 0) for one, units in claimed], given, month_of)


def _shown_by(registries: Registries, of: _Of, question: Question) -> tuple[Shown, ...] | None:
    return next((answer.shown for answer in registries.look(question) if answer.ledger == of.ledger), None)


def _made_up(registries: Registries, of: _Of, one: Shown) -> int | None:
    """How much of a certificate was retired to make up for an excess; its claims are asked for. None: not known yet."""
    if not any(part.status == RETIRED for part in one.slices):
        return 0
    certificate = one.certificate
    whole = _shown_by(
        registries, of, Question(certificate.device, certificate.from_ms, certificate.to_ms, certificate.id)
    )
    if whole is None:
        return None
    try:
        return made_up(parse_claim(claim.entry).claim for shown in whole for claim in shown.claims)
    except LedgerClientError:
        return 0


def _given(rows: StatedRows, periods: Sequence[_Period], certificate: Certificate) -> int | None:
    """What may be certified of its interval by the newest statement here; None: none is of it, or its rows are gone."""
    begin, end = certificate.from_ms, certificate.to_ms
    for signed, period in periods:
        if period.from_ms <= begin and end <= period.to_ms:
            try:
                return sum(_units(signed, rows, period, certificate))
            except GatewayError:
                return None
    return None


def _units(signed: SignedPlan, rows: StatedRows, period: SignedPeriod, certificate: Certificate) -> Iterator[int]:
    plan, (begin, end) = signed.plan, (certificate.from_ms, certificate.to_ms)
    for node in plan.nodes.values():
        if node.certificate is not None and digest(node.certificate["id"]) == certificate.device:
            for row in rows.rows(plan, period, node.name, begin, end):
                if begin <= row.from_ms and row.to_ms <= end and not any(why_not(plan, row)):
                    yield units_of(row)
