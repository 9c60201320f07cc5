"""Commands of the accounting plan: plan init, check, publish."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.terminal.common import CONFIG, JSON
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError, output_to
from gateway.messages.message import Message
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.click_help import HELP

if TYPE_CHECKING:
    from gateway.accounting.plans.plan_check import Checked
    from ledger_client.accounting.formats.plan import Plan

FILE = click.option(
    "--file", "plan_path", type=click.Path(path_type=Path), help="Plan file.  [default: plan.toml beside CONFIG]"
)


@click.group(context_settings=HELP)
def plan() -> None:
    """Write, check and publish the accounting plan: what registers mean (docs/accounting.md)."""


def _path(config: Config, plan_path: Path | None) -> Path:
    from gateway.accounting.plans.plan_file import NAME

    return plan_path or config.path.parent / NAME


@plan.command()
@CONFIG
@FILE
@click.option("--name", default="main", show_default=True, help="Name of the plan.")
def init(config_path: Path, plan_path: Path | None, name: str) -> None:
    """Write a commented plan file from CONFIG and its profiles. Never overwrites a file."""
    from gateway.accounting.plans.plan_draft import draft
    from ledger_client.accounting.formats.civil_time import month_ms, offset_text
    from ledger_client.durable_files import write_text

    config = load_config(config_path)
    path = _path(config, plan_path)
    if path.exists():
        raise GatewayError(Message("plan-exists", path=str(path)))
    now = datetime.fromtimestamp(time.time(), UTC)
    offset = datetime(now.year, 1, 1, tzinfo=config.zone).utcoffset() or timedelta()
    civil_min = int(offset.total_seconds()) // 60
    local = now + offset
    begin_ms = month_ms(local.year, local.month, civil_min)
    with output_to(path):
        write_text(path, draft(config, name, begin_ms, civil_min, offset_text(civil_min)))
    click.echo(f"wrote {path}\nnext: fill in its nodes; then: meterseal plan check {config_path}")


@plan.command()
@CONFIG
@FILE
@JSON
def check(config_path: Path, plan_path: Path | None, as_json: bool) -> None:
    """Check the plan file; show what the hours of each node can become, what its counters count as seen from the grid,
    and what a regulator will find unusual."""
    from gateway.accounting.plans.plan_check import check_plan
    from gateway.accounting.plans.plan_file import read_plan

    config = load_config(config_path)
    fields = read_plan(_path(config, plan_path))
    checked = check_plan(config, fields, _others(config, fields))
    if as_json:
        found: dict[str, Any] = {"problems": [str(p) for p in checked.problems]}
        found |= {"notes": [str(n) for n in checked.notes], "nodes": [o.as_json() for o in checked.outlooks]}
        click.echo(json.dumps({"ok": not checked.problems, **found, **_shown(checked)}))
    else:
        for outlook in checked.outlooks:
            interval = f"{checked.plan.interval_ms // 60_000} min"
            more = "" if outlook.best == words.MEASURED else f"; measured: up to {outlook.measured_ms / 1000:g} s"
            click.echo(
                f"{outlook.node}: intervals of {interval} can be {outlook.best} "
                f"({outlook.slowest} every {outlook.sample_ms / 1000:g} s{more})"
            )
        for line in _lines(checked):
            click.echo(line)
        for note in checked.notes:
            click.echo(f"note: {note}")
        for problem in checked.problems:
            click.echo(f"problem: {problem}")
    if checked.problems:
        raise Declined(Message("plan-not-ready", n=len(checked.problems)))


def _others(config: Config, fields: Mapping[str, Any]) -> list[Plan]:
    """The newest plan of each other name of which a node is open, as far as the database is there."""
    from gateway.accounting.plans.history import history_of
    from gateway.process.file_owner import is_there

    if not is_there(config.database):
        return []
    with closing(Database(config.database, read_only=True)) as store:
        history = history_of(store)
    names = [name for name in history.names if name != fields.get("plan") and history.unstated_ms(name) is not None]
    return [history.of_plan(name)[-1].plan for name in names]


def _lines(checked: Checked) -> Iterator[str]:
    """What each counter counts, and what of the plan is unusual."""
    for one in checked.directions:
        sign, hangs = "+" if one.sign > 0 else "-", ", its meter is reversed" if one.is_reversed else ""
        yield f"{one.node} ({one.role}): {sign} {one.point} counts {one.counts} as seen from the grid{hangs}"
    for unusual in checked.unusual:
        yield f"unusual: {unusual.code}: {unusual.sentence}"


def _shown(checked: Checked) -> dict[str, Any]:
    unusual = [
        {"code": one.code, "of": one.of, "text": one.sentence, "reason": one.facts.get("reason")}
        for one in checked.unusual
    ]
    return {"directions": [one.as_json() for one in checked.directions], "unusual": unusual}


@plan.command()
@CONFIG
@FILE
@JSON
def publish(config_path: Path, plan_path: Path | None, as_json: bool) -> None:
    """Have the running gateway sign the plan; it rules from its `from`, or from now on if that is earlier."""
    from gateway.accounting.plans import history, signing
    from gateway.accounting.plans.plan_check import check_plan
    from gateway.accounting.plans.plan_file import read_plan

    config = load_config(config_path)
    fields = read_plan(_path(config, plan_path))
    control_socket.give(config.data, "health")  # without a gateway its database need not be read
    checked = check_plan(config, fields, _others(config, fields))
    if checked.problems:
        raise Declined(checked.problems[0])
    with closing(Database(config.database, read_only=True)) as store:
        known = history.history_of(store)
    for note in known.notes:
        click.echo(f"note: {note}", err=True)
    if before := known.of_plan(checked.plan.name):
        same = {**fields, "v": before[-1].plan.version} == dict(before[-1].plan.fields)
        fields["v"] = before[-1].plan.version + (not same)
    done = control_socket.give(config.data, signing.SIGN, event=words.PLAN, fields=signing.encoded(fields))
    facts = {"plan": checked.plan.name, "version": fields["v"], "record": done["record"]}
    if as_json:
        click.echo(json.dumps(facts | _shown(checked)))
        return
    for line in _lines(checked):
        click.echo(line)
    click.echo(f"plan {facts['plan']} version {facts['version']}: record {facts['record']}")
