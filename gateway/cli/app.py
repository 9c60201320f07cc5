"""Command `meterseal`: exit code 0 for success, 1 for a negative answer, 2 with one message for an error."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import click
from rich.table import Table

from gateway.cli import clear_shared, keys, maintenance, read, readings, reload, service, setup
from gateway.cli.common import CONFIG, FORCE, JSON, demand_replaceable, open_store, out
from gateway.config.field_types import duration_ms, duration_text
from gateway.config.load import load_config
from gateway.errors import Damaged, Declined, GatewayError, first_error
from gateway.process import log_setup
from gateway.process.log_setup import FORMS, Form
from gateway.status import collect
from ledger_client.click_help import HELP, Grouped
from ledger_client.durable_files import whole_file
from ledger_client.errors import LedgerClientError
from ledger_client.formats.bundle import is_bundle


def fail(error: Exception) -> NoReturn:
    """Say what is wrong on stderr and leave: 1 when the answer is no, else 2."""
    click.echo(f"meterseal: {error}", err=True)
    sys.exit(1 if isinstance(error, Declined | Damaged) else 2)


class _Commands(Grouped):
    """Turns the errors of every package into messages; only a bug of ours could show more."""

    headings: ClassVar = {
        "Set up a site": ("init", "profiles", "keys", "password", "check", "read"),
        "Run it": ("run", "reload", "accept", "clear-shared", "install", "uninstall"),
        "Look at it": ("status", "readings", "doctor"),
        "Prove and keep": ("prove", "export", "backup"),
        "Try it": ("demo",),
    }

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (GatewayError, LedgerClientError) as error:
            fail(error)
        except ExceptionGroup as group:  # from a TaskGroup: one failed task takes the others along
            ours, others = group.split((GatewayError, LedgerClientError))
            if others is not None or ours is None:
                raise
            fail(first_error(ours))


@click.group(cls=_Commands, context_settings=HELP)
@click.version_option(package_name="meterseal")
@click.option("-v", "--verbose", is_flag=True, help="Say more in the log.")
@click.option(
    "--log",
    "form",
    type=click.Choice(FORMS),
    default="auto",
    show_default=True,
    help="The log as text or as JSON lines; auto: as fields where it goes to a journal, else as text.",
)
def main(verbose: bool, form: Form) -> None:
    """An edge gateway from meter to ledger: reads, signs, keeps, anchors, proves."""
    log_setup.start(form, verbose=verbose)


@main.command()
@click.argument("name", required=False)
def profiles(name: str | None) -> None:
    """The catalog of meters, or the points of one of them."""
    from gateway.devices.profile import catalog, load_profile
    from gateway.devices.profile_text import decoding_hash

    if name is None:
        table = Table("profile", "device", "protocol", "points", box=None)
        for entry in catalog():
            profile = load_profile(entry)
            table.add_row(entry, f"{profile.vendor} {profile.device}", profile.protocol, str(len(profile.points)))
        out.print(table)
        return
    profile = load_profile(name)
    out.print(f"{profile.vendor} {profile.device} ({profile.protocol}), usually at address {profile.default_address}")
    out.print(f"SHA-256 of its decoding: {decoding_hash(profile).hex()}", soft_wrap=True)
    table = Table("point", "function", "address", "type", "unit", "kind", "recorded", box=None)
    for p in profile.points:
        table.add_row(p.name, str(p.fc), str(p.address), p.type, p.unit or "", p.kind, "yes" if p.record else "")
    out.print(table)


@main.command()
@CONFIG
@JSON
def check(config_path: Path, as_json: bool) -> None:
    """Validate CONFIG and what it names, and show what would be read. Starts nothing."""
    from gateway.cli.plan_view import print_plan, with_found
    from gateway.commissioning import line_plan
    from gateway.commissioning.preflight import prepare
    from gateway.process import control_socket, instance_lock

    config = load_config(config_path)
    running = instance_lock.running(config.data)
    plans = prepare(config, running=running, all_listed=True).plans
    if (health := control_socket.ask(config.data, "health")) is not None:
        plans = with_found(plans, health)
    if as_json:
        ok = not any(plan.problems for plan in plans)
        click.echo(json.dumps({"ok": ok, "gateway": config.gateway_id, "lines": [p.as_json() for p in plans]}))
    else:
        for plan in plans:
            print_plan(out, plan)
    line_plan.refuse(config_path, plans)
    if as_json:
        return
    seal, commit = config.document.seal, config.document.store.commit_every
    out.print(
        f"a batch every {duration_text(seal.every)} or {seal.count} records; "
        f"a power cut costs at most {duration_text(commit)} of readings"
    )
    for ledger in config.document.ledger:
        out.print(f"ledger {ledger.name} ({ledger.type}, {ledger.policy}) at {ledger.url}")
    for feed in config.document.feed:
        out.print(f"feed {feed.name} ({feed.type}) to {feed.url}")
    if web := config.document.web:
        out.print(f"pages at {web.url}")
    out.print(f"{config_path}: good")
    if running is not None:
        out.print(f"the gateway runs (pid {running}): meterseal reload {config_path} has it take over what has changed")


@main.command()
@CONFIG
def run(config_path: Path) -> None:
    """Read, sign, keep, seal and anchor until stopped (SIGTERM or Ctrl-C)."""
    from gateway.agent import main as agent

    asyncio.run(agent.run(load_config(config_path)))


@main.command()
@CONFIG
@click.argument("meter")
@click.option("--serial", required=True, help="The new device's serial number, as it says it itself.")
@click.option("--reason", default="", help="Why, for the record.")
@JSON
def accept(config_path: Path, meter: str, serial: str, reason: str, as_json: bool) -> None:
    """Take values from the device that now answers for METER: a signed event names the old and the new one."""
    from gateway.process import control_socket as control_socket

    config = load_config(config_path)
    if meter not in config.meters:
        raise GatewayError(f"{config_path}: no meter {meter!r}", f"one of {', '.join(config.meters)}")
    done = control_socket.give(config.data, "accept", meter=meter, serial=serial, reason=reason)
    click.echo(
        json.dumps(done) if as_json else f"{meter}: accepted {done['new']} in place of {done['old']}; recording goes on"
    )


@main.command()
@CONFIG
@JSON
def status(config_path: Path, as_json: bool) -> None:
    """Meters, buffer, batches and anchors. Exit code 1 when something needs a look."""
    from gateway.cli.status_view import print_status

    config, store = open_store(config_path)
    found = collect.collect(config, store, int(time.time() * 1000), *collect.ask(config))
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        print_status(out, found)
    sys.exit(1 if found.problems() else 0)


@main.command()
@CONFIG
@click.argument("record")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.mseal")
@FORCE
def prove(config_path: Path, record: str, output: Path, force: bool) -> None:
    """Write the proof of RECORD (METER/EPOCH/SEQ, or a meter's name: its newest anchored reading) to one file."""
    from gateway.evidence import prove as prover

    config, store = open_store(config_path)
    demand_replaceable(output, "proof (.mseal)", is_bundle, force=force)
    row = prover.find(store, record)
    bundle = prover.prove(store, row)
    try:
        with whole_file(output) as file:
            file.write(bundle)
    except OSError as error:
        raise GatewayError(f"{output}: {error.strerror}", "give a path that can be written") from None
    click.echo(
        f"wrote {output}: {row.id}, {len(bundle)} bytes\n"
        f"verify it anywhere: meterseal-ledger verify {output} --trust {config.trust}"
    )


@main.command()
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="Where everything goes.  [default: ./meterseal-demo-TIME]"
)
@click.option("--for", "duration", metavar="DURATION", help='End by itself, for example after "60s".')
@JSON
def demo(folder: Path | None, duration: str | None, as_json: bool) -> None:
    """The whole chain on this machine: simulated meters, gateway, ledger, proofs. Ctrl-C ends all of it."""
    from gateway.cli.demo import run as demonstration

    try:
        seconds = duration_ms(duration) / 1000 if duration else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    folder = folder or Path(f"meterseal-demo-{datetime.now():%Y%m%d-%H%M%S}")
    sys.exit(demonstration.main(folder, seconds, as_json=as_json))


for _command in (
    setup.init,
    setup.password,
    keys.keys,
    maintenance.export,
    maintenance.backup,
    maintenance.doctor,
    read.read,
    readings.readings,
    reload.reload,
    clear_shared.clear_shared,
    service.install,
    service.uninstall,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
