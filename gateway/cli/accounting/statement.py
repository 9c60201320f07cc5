"""Command statement: the figures of a period, signed by the running gateway, with their rows beside."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.terminal.common import CONFIG, JSON
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError, NotYet
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.process import control_socket
from gateway.process.failpoints import failpoint
from gateway.storage.database import Database
from ledger_client.accounting.formats import words

if TYPE_CHECKING:
    from gateway.accounting.plans.history import History
    from gateway.accounting.statements.stating import Made, Part


@click.command()
@CONFIG
@click.option("--period", metavar="MONTH|FROM/TO", help="Such as 2026-10, or two times on the grid of intervals.")
@click.option("--all-due", is_flag=True, help="Every month that is over and not stated; for a timer.")
@click.option("--plan", "name", help="Name of the plan.  [default: the only one]")
@click.option("--reason", help="State the next version of a period, and why.")
@click.option("--dry-run", is_flag=True, help="Show the figures; write and sign nothing.")
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder of the .mrows files.  [default: statements in the data folder]",
)  # fmt: skip
@JSON
def statement(
    config_path: Path,
    period: str | None,
    all_due: bool,
    name: str | None,
    reason: str | None,
    dry_run: bool,
    folder: Path | None,
    as_json: bool,
) -> None:
    """State a period: hours, energy and emissions of each node, from the records of sealed batches.

    The rows go to a .mrows file, the statement into an event that the running gateway signs. What is stated already
    stays; --reason states it anew as the next version.
    """
    from gateway.accounting.plans.history import history_of
    from gateway.accounting.statements import stating

    if (period is None) == (not all_due):
        raise click.UsageError("give --period or --all-due")
    config = load_config(config_path)
    if not dry_run:
        control_socket.give(config.data, "health")
    folder = folder or config.data / stating.FOLDER
    with closing(Database(config.database, read_only=True)) as store:
        history = history_of(store)
        for note in history.notes:
            click.echo(f"note: {note}", err=True)
        found = []
        for plan in [name] if name else _names(history, config, all_due=all_due):
            for part in _parts(history, plan, period):
                found.append(_stated(config, store, history, part, folder, reason, dry_run=dry_run, as_json=as_json))
                history.read_on(store)
        if as_json:
            click.echo(json.dumps({"statements": found}))
        elif not found:
            click.echo("nothing is due")


def _names(history: History, config: Config, *, all_due: bool) -> Sequence[str]:
    names = history.names
    if not names:
        raise GatewayError(Message("statement-no-plans", config=str(config.path)))
    if len(names) > 1 and not all_due:
        raise GatewayError(Message("statement-which-plan", names=tuple(names)))
    return names


def _parts(history: History, name: str, period: str | None) -> list[Part]:
    from gateway.accounting.plans.moments import period_ms
    from gateway.accounting.statements import stating

    if period is None:
        return stating.due(history, name, time.time_ns() // 1_000_000)
    plans = history.of_plan(name)
    return stating.parts(history, name, *period_ms(period, plans[-1].plan.civil_min if plans else 0))


def _stated(
    config: Config,
    store: Database,
    history: History,
    part: Part,
    folder: Path,
    reason: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> dict[str, Any]:
    """State one part, or say that it is; the facts for `--json`."""
    from gateway.accounting.plans import signing
    from gateway.accounting.statements import stating, summary
    from ledger_client.accounting.tables.stated import civil_time
    from ledger_client.collector import seldom

    plan = part.signed.plan
    title = f"{plan.name} {civil_time(plan, part.from_ms)} to {civil_time(plan, part.to_ms)}"
    facts: dict[str, Any] = {"plan": plan.name, "from": part.from_ms, "to": part.to_ms}
    earlier = stating.already(history, part)
    if earlier is not None and reason is None and not dry_run:
        version, record_hash = earlier.fields["version"], earlier.record.hex()
        if not as_json:
            click.echo(f"{title}: stated already, version {version}: record {record_hash}")
        return facts | {"version": version, "record": record_hash, "signed": False}
    try:
        with seldom():
            made = stating.make(store, history, part, folder, reason)
    except NotYet as error:
        raise _waits(config, error) from None
    record: str | None = None
    if not dry_run:
        stating.keep_rows(made)
        fields = signing.encoded(made.statement.fields)
        record = control_socket.give(config.data, signing.SIGN, event=words.PERIOD, fields=fields)["record"]
        failpoint("stated")
    if not as_json:
        complete = "complete" if made.statement.fields["complete"] else "not complete"
        click.echo(f"{title}: version {made.choice.version}, {complete}")
        for line in (*summary.lines(plan, made.span, made.statement.rows), *_besides(made)):
            click.echo(line)
        click.echo(f"rows: {made.rows}\nrecord: {record}" if record else "nothing was written or signed")
    return facts | _facts(made, record)


def _waits(config: Config, error: NotYet) -> NotYet:
    """Why there is no statement yet; what the next batch waits for, where nothing is sealed at present."""
    health = control_socket.ask(config.data, "health") or {}
    if (held := health.get("sealing")) is None:
        return error
    held = sentence_in(health.get("sealing_said") or {}, held)
    return NotYet(Message("statement-sealing-waits", why=error.sentence, waits=held))


def _besides(made: Made) -> list[str]:
    found = [f"finding {name}: {count}" for name, count in made.statement.fields["findings"].items()]
    return [*found, *(f"note: {note}" for note in made.statement.notes)]


def _facts(made: Made, record: str | None) -> dict[str, Any]:
    from gateway.accounting.statements import summary
    from ledger_client.accounting.formats.rows import parse_row

    rows = [parse_row(row) for row in made.statement.rows]
    return {
        "version": made.choice.version,
        "record": record,
        "signed": record is not None,
        "complete": made.statement.fields["complete"],
        "batches": [batch for batch, _ in made.choice.batches],
        "records_read": made.records,
        "file": str(made.rows),
        "findings": dict(made.statement.fields["findings"]),
        "notes": list(made.statement.notes),
        "nodes": summary.as_json(made.plan, rows),
        "by_fuel": summary.by_fuel_json(made.plan, made.span, rows),
    }
