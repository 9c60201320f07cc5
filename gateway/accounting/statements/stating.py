"""Statements: what is due of a plan, and the statement of one period with its rows file, up to its signing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.accounting.hours.feeding import feed
from gateway.accounting.hours.stretch import stretch_of
from gateway.accounting.plans.history import History, SignedPeriod, SignedPlan
from gateway.errors import Declined, GatewayError, output_to
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from gateway.storage.database import Database
from ledger_client.accounting.assembly import history_from_ms
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.civil_time import civil, month_around, month_of_ms, months
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.rows import SECRET_SIZE, SUFFIX, Row, Rows, by_node
from ledger_client.accounting.statement import Choice, Statement, check_period, state
from ledger_client.durable_files import whole_file
from ledger_client.errors import VerificationError

FOLDER = "statements"
"""Folder of rows files, within the data folder."""


@dataclass(frozen=True, slots=True)
class Part:
    """A period of one plan, or as much of one as it rules."""

    signed: SignedPlan
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Made:
    """A statement that can be signed. ``rows``: path of its rows file, which may not be written yet; ``secret``: the
    bytes from which the salts of the rows follow; ``records``: number of records that were read."""

    plan: Plan
    choice: Choice
    statement: Statement
    rows: Path
    secret: bytes
    records: int

    @property
    def span(self) -> tuple[int, int]:
        """Beginning and end of the period, in ms."""
        return self.choice.from_ms, self.choice.to_ms


def parts(history: History, name: str, from_ms: int, to_ms: int) -> list[Part]:
    """A period cut at civil months and where another plan of the name begins to rule (P2, N6). Raises GatewayError."""
    ruled = history.ruled(name)
    if not ruled:
        raise GatewayError(Message("statement-no-plan", name=name))
    found = []
    for signed, begin_ms, end_ms in ruled:
        for start_ms, stop_ms in months(max(begin_ms, from_ms), min(end_ms, to_ms), signed.plan.civil_min):
            check_period(signed.plan, start_ms, stop_ms)
            found.append(Part(signed, start_ms, stop_ms))
    if not found:
        raise GatewayError(Message("statement-before-plan", name=name, time_ms=ruled[0][1]))
    return found


def due(history: History, name: str, now_ms: int) -> list[Part]:
    """The months that are over at ``now_ms`` and not stated; none where all nodes were closed."""
    from_ms = history.unstated_ms(name)
    if from_ms is None:
        return []
    plan = history.of_plan(name)[-1].plan
    to_ms = month_of_ms(now_ms, plan.civil_min)
    return parts(history, name, from_ms, to_ms) if from_ms < to_ms else []


def already(history: History, part: Part) -> SignedPeriod | None:
    """The newest statement of exactly this period."""
    same = [p for p in history.stated(part.signed.plan.name) if (p.from_ms, p.to_ms) == (part.from_ms, part.to_ms)]
    return same[-1] if same else None


def make(store: Database, history: History, part: Part, folder: Path, reason: str | None) -> Made:
    """Make the statement of a period, the next version where it is stated already; nothing is written.

    Args:
        store: the database, with all batches of the period.
        history: plans, entries and statements that were signed before.
        part: the period, and the plan that rules it.
        folder: of the rows files of earlier statements.
        reason: why the period is stated again; of a first version it is left out.

    Raises:
        NotYet: it is not over, or not sealed.
        Declined: it overlaps another statement, or leaves a gap behind one.
        GatewayError: records or rows are not there.
        AccountingError: no statement can be made of it.
    """
    plan, earlier = part.signed.plan, already(history, part)
    before = _before(history, part)
    uses = _uses(history, part, before)
    stretch = stretch_of(store, history, part.signed, before, earlier, part.from_ms, part.to_ms)
    first, last = stretch.first, stretch.last
    choice = Choice(
        plan=part.signed.record,
        plan_ms=part.signed.iat_ms,
        from_ms=part.from_ms,
        to_ms=part.to_ms,
        batches=((first.batch, first.statement_id), (last.batch, last.statement_id)),
        before=before.record if before else None,
        version=int(earlier.fields["version"]) + 1 if earlier else 1,
        supersedes=earlier.record if earlier else None,
        reason=reason if earlier else None,
        uses=tuple(period.record for period in uses),
    )
    rows = folder / rows_name(plan, choice)
    fed = feed(Books(plan, stretch.entries), store, first.first_id, last.last_id)
    secret = _secret(rows)
    statement = state(fed.books, choice, secret, _history(uses, folder))
    return Made(plan, choice, statement, rows, secret, fed.records)


def rows_name(plan: Plan, choice: Choice) -> str:
    """The name of a rows file: plan, civil month or times, version."""
    begin, end = civil(choice.from_ms, plan.civil_min), civil(choice.to_ms, plan.civil_min)
    whole = (choice.from_ms, choice.to_ms) == month_around(choice.from_ms, plan.civil_min)
    period = f"{begin:%Y-%m}" if whole else f"{begin:%Y%m%dT%H%M}-{end:%Y%m%dT%H%M}"
    return f"{plan.name}-{period}-v{choice.version}{SUFFIX}"


def _before(history: History, part: Part) -> SignedPeriod | None:
    """The statement that this one follows; statements of a plan tile time (T2, T4)."""
    stated = history.stated(part.signed.plan.name)
    same = (part.from_ms, part.to_ms)
    for period in stated:
        if (period.from_ms, period.to_ms) != same and period.from_ms < part.to_ms and part.from_ms < period.to_ms:
            raise Declined(Message("statement-overlaps", from_ms=period.from_ms, to_ms=period.to_ms))
    earlier = [period for period in stated if period.to_ms <= part.from_ms]
    if earlier and earlier[-1].to_ms != part.from_ms:
        raise Declined(Message("statement-gap", from_ms=earlier[-1].to_ms, to_ms=part.from_ms))
    return earlier[-1] if earlier else None


def _uses(history: History, part: Part, before: SignedPeriod | None) -> list[SignedPeriod]:
    """The statements whose rows are populations of this one, oldest first: as far back as its rules look (T5)."""
    begin_ms, found = history_from_ms(part.signed.plan, part.from_ms), list[SignedPeriod]()
    by_record = {period.record: period for period in history.periods}
    while before is not None and before.to_ms > begin_ms:
        found.append(before)
        before = by_record.get(bytes(before.fields.get("before", b"")))
    return found[::-1]


def _history(uses: list[SignedPeriod], folder: Path) -> Mapping[str, list[Row]]:
    """The rows of these statements by node, from their rows files."""
    roots = {bytes(period.fields["rows"][1]): period for period in uses}
    rows: dict[bytes, Rows] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")) if roots else ():
        with suppress(VerificationError, OSError):
            read = Rows.parse(path.read_bytes())
            rows[read.root] = read
    for root, period in roots.items():
        if root not in rows:
            raise GatewayError(
                Message("statement-rows-missing", folder=str(folder), from_ms=period.from_ms, to_ms=period.to_ms)
            )
    return by_node(rows[root].rows for root in roots)


def _secret(path: Path) -> bytes:
    """The secret of a run that was ended between its rows file and its signing, else a new one."""
    with suppress(VerificationError, OSError):
        return Rows.parse(path.read_bytes()).secret
    return secrets.token_bytes(SECRET_SIZE)


def keep_rows(made: Made) -> None:
    """Write the rows file, whole and durable, before anything is signed. Raises GatewayError."""
    with output_to(made.rows):
        made.rows.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(made.rows) as file:
            file.write(Rows(made.secret, made.statement.rows).encode())
    failpoint("rows")
