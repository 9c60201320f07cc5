"""Periodic alarm checks of the accounting: due statements and exports, lost hours, silent stacks, factors,
over-issued certificates. From what the keeper knows; reads the database only for exports; never waits for a ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from gateway.accounting.certified.asking import Registries
from gateway.accounting.certified.excess import ASK_S, Over, exceeded
from gateway.accounting.hours.ahead import Lost, wait_ms
from gateway.accounting.plans import catalog
from gateway.accounting.plans.history import History
from gateway.accounting.statements.keeper import Known
from gateway.accounting.statements.retention import Retention, export_waits, unreadable
from gateway.accounting.statements.stated import StatedRows
from gateway.accounting.statements.stating import FOLDER, due
from gateway.alarms.accounting_found import AccountingFound, Item
from gateway.alarms.checks import Conditions
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.alarm_kinds import KINDS, AlarmCode
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.storage.accounted import last_before_epoch_ms
from gateway.storage.capacity.forecast import horizon
from gateway.storage.capacity.pruning import may_go
from gateway.storage.database import Database
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.plan import Plan
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence


class AccountingChecks:
    """The checks of one epoch, which remember which lost hours they have named. One thread at a time."""

    def __init__(self) -> None:
        self._named_ms: dict[tuple[str, str], int] = {}
        """End of the newest lost time that was named, by plan and node."""
        self._before_ms: int | None = None
        self._registries: Registries | None = None
        self._rows: StatedRows | None = None
        self._config: Config | None = None

    def close(self) -> None:
        """Ledgers are asked no more."""
        if self._registries is not None:
            self._registries.close()

    def run(self, config: Config, known: Known, now_ms: int) -> AccountingFound:
        """One look at what the keeper knows. Never raises for what can be wrong with a site's files."""
        found = AccountingFound()
        try:
            store = Database(config.database, read_only=True)
        except GatewayError:
            return found
        try:
            self._look(config, store, known, now_ms, found)
        except (GatewayError, LedgerClientError):
            pass  # the recorder meets the same
        finally:
            store.close()
        return found

    def _look(self, config: Config, store: Database, known: Known, now_ms: int, found: AccountingFound) -> None:
        if not known.at_ms and not known.is_unreadable:
            return
        history = known.history
        found.alarms[AlarmCode.EXPORT_OVERDUE] = dict(_exports(config, store, known, now_ms))
        if known.problem is not None:
            return  # pruning says that a plan cannot be read
        found.alarms[AlarmCode.STATEMENT_OVERDUE] = dict(_statements(history, now_ms))
        found.alarms[AlarmCode.FACTOR_OUTDATED] = dict(_factors(history, now_ms))
        found.alarms[AlarmCode.HOUR_LOST] = dict(_lost(one) for one in known.lost if one.goes_on)
        found.past = [_lost(one) for one in self._ended(store, known)]
        if known.silent is not None:
            found.alarms[AlarmCode.STACK_SILENT] = {
                _of_node(one.plan, one.node): (
                    Message("stack-silent", plan=one.plan, node=one.node, since_ms=one.since_ms),
                    one.since_ms,
                )
                for one in known.silent
            }
        over = self._over_issued(config, history)
        if over is not None:
            found.alarms[AlarmCode.OVER_ISSUED] = over

    def _ended(self, store: Database, known: Known) -> Iterator[Lost]:
        """Lost time that is over and was not named yet, by this process or one before it."""
        if self._before_ms is None:
            self._before_ms = last_before_epoch_ms(store, store.epochs.newest()) or 0
        for one in known.lost:
            if one.goes_on:
                continue
            plan = known.history.of_plan(one.plan)[-1].plan
            before_ms = (self._before_ms - wait_ms(plan)) // plan.interval_ms * plan.interval_ms
            named_ms = self._named_ms.get((one.plan, one.node), before_ms)
            if one.to_ms > named_ms:
                self._named_ms[one.plan, one.node] = one.to_ms
                yield one._replace(from_ms=max(one.from_ms, named_ms))

    def _over_issued(self, config: Config, history: History) -> Conditions | None:
        """None: a ledger has not shown yet what is to be compared, or is away."""
        self._config = config
        if self._registries is None or self._rows is None:
            self._registries = Registries(lambda: self._config or config, ASK_S)
            self._rows = StatedRows(config.data / FOLDER)
        over = exceeded(self._registries, self._rows, history)
        return None if over is None else {_of_node(one.plan, one.node): _over_issued(one) for one in over}


def _exports(config: Config, store: Database, known: Known, now_ms: int) -> Iterator[Item]:
    """The oldest batch, where age and receipts would let it go and only its export is missing."""
    required = [entry.name for entry in config.document.ledger if entry.policy == "required"]
    keep_ms = config.document.store.keep
    batch = may_go(store, required, now_ms - keep_ms)
    if batch is None or now_ms - batch.sealed_ms < keep_ms + _delay_ms("export"):
        return
    waits = unreadable(known.problem) if known.problem else export_waits(known.history, store, batch)
    if waits is not None:
        room = horizon(config, store, now_ms, Retention().waits, running=True).message
        yield (GATEWAY, "export"), (Message("export-overdue", waits=waits, horizon=room), batch.sealed_ms + keep_ms)


def _delay_ms(what: str) -> int:
    return KINDS[f"{what}-overdue"].on_delay_ms


def _statements(history: History, now_ms: int) -> Iterator[Item]:
    """The first month of each plan that is over and not stated."""
    for name in history.names:
        part = None
        with suppress(GatewayError, LedgerClientError):  # a plan that begins later
            part = next(iter(due(history, name, now_ms)), None)
        if part is not None and now_ms - part.to_ms >= _delay_ms("statement"):
            sentence = Message("statement-overdue", plan=name, from_ms=part.from_ms, to_ms=part.to_ms)
            yield (GATEWAY, f"plan {name}"), (sentence, part.to_ms)


def _factors(history: History, now_ms: int) -> Iterator[Item]:
    """Nodes of the newest plans whose factor has a newer one, up to this civil year, among those of the product."""
    for name in history.names:
        plan = history.of_plan(name)[-1].plan
        year = civil(now_ms, plan.civil_min).year
        for node in plan.nodes.values():
            if node.factor_series is None or node.factor_rule == "fixed":
                continue
            used = _vintage(plan, node.factor_series, year)
            there = [int(f["vintage"]) for f in catalog.factors() if f["series"] == node.factor_series]
            newest = max((vintage for vintage in there if vintage <= year), default=0)
            if used < newest:
                sentence = Message(
                    "factor-outdated", plan=name, node=node.name, series=node.factor_series, year=used, newest=newest
                )
                yield _of_node(name, node.name), (sentence, None)


def _vintage(plan: Plan, series: str, year: int) -> int:
    """The year of the factor that a plan takes in a year (F2); 0: it has none."""
    return max((f.vintage for f in plan.factors if f.series == series and f.vintage <= year), default=0)


def _lost(one: Lost) -> Item:
    sentence = Message(
        "hour-lost", plan=one.plan, node=one.node, from_ms=one.from_ms, to_ms=one.to_ms, status=one.status
    )
    return _of_node(one.plan, one.node), (sentence, one.from_ms)


def _over_issued(one: Over) -> tuple[Sentence, int]:
    sentence = Message(
        "over-issued", plan=one.plan, node=one.node, ledger=one.ledger, units=one.units, months=one.months,
        from_ms=one.from_ms,
    )  # fmt: skip
    return sentence, one.from_ms


def _of_node(plan: str, node: str) -> tuple[str, str]:
    return GATEWAY, f"plan {plan}, node {node}"
