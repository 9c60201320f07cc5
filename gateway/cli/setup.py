"""Setup commands: init and check."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from gateway.cli.access.password import PASSWORD_FILE, new_password
from gateway.cli.terminal.common import CONFIG, JSON, out
from gateway.config.device_keys import REQUEST_FILE
from gateway.config.limits import limits_in_force, recorded_numbers, unwatched
from gateway.config.load import load_config
from gateway.field_types import duration_text
from gateway.messages.message import Message
from gateway.process.file_owner import is_there
from ledger_client.formats.checks import is_name

if TYPE_CHECKING:
    from gateway.commissioning.scan.found import ScanResult


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--id", "gateway", default="my-gateway", show_default=True, help="Name of the gateway in every record.")
@click.option(
    "--from-scan",
    "scans",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the buses from what meterseal scan --json has written; repeatable.",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="UNIT=NAME|FILE",
    help="With --from-scan: what a unit is, by the catalog or by a profile of your own; repeatable.",
)
@click.option(
    "--name", "names", multiple=True, metavar="UNIT=NAME", help="With --from-scan: the name of its meter; repeatable."
)
@click.option("--ledger", "ledger_url", metavar="URL", help="Anchor at this ledger; with --ledger-key.")
@click.option(
    "--ledger-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What meterseal-ledger show LDIR --trust has printed.",
)
@click.option(
    "--web", metavar="ADDRESS[:PORT]", help="Serve pages at this address, with a password and a TLS certificate."
)
@click.option("--state", type=click.Path(path_type=Path), help="Folder for keys and records.  [default: DIR]")
@PASSWORD_FILE
def init(
    folder: Path,
    gateway: str,
    scans: tuple[Path, ...],
    profiles: tuple[str, ...],
    names: tuple[str, ...],
    ledger_url: str | None,
    ledger_key: Path | None,
    web: str | None,
    state: Path | None,
    password_file: Path | None,
) -> None:
    """Create DIR with a commented gateway.toml, device keys and trust.toml; without --web it asks for nothing.

    The buses are those of the simulated plant, or with --from-scan those that were found. Without --ledger the site has
    none yet: batches wait to be anchored. With --web also the pages: asks for the password of the user "installer" and
    prints the fingerprint of a new certificate. In a DIR that has a gateway.toml only what the pages lack is added.
    Never overwrites a file.
    """
    from gateway.commissioning import site_init
    from gateway.commissioning.scan.bus_toml import bus_sections
    from gateway.commissioning.wizard import findings
    from gateway.dashboard.auth import setup

    now_s, config_path = int(time.time()), folder / "gateway.toml"
    if password_file is not None and web is None:
        raise click.UsageError("--password-file goes with --web")
    if (profiles or names) and not scans:
        raise click.UsageError("--profile and --name go with --from-scan")
    named = _by_unit("--name", names, "17=feeder-3")
    if (ledger_url is None) != (ledger_key is None):
        raise click.UsageError("--ledger and --ledger-key go together")
    if web is not None:
        web = setup.listen(web)
    if web is None or not is_there(config_path):
        password = new_password(setup.FIRST_USER, password_file) if web else ""
        site = site_init.NewSite(gateway=gateway, now_s=now_s, state=state, ledger=None)
        result = _found(scans, profiles, named)
        if result is not None:
            site = replace(site, buses=bus_sections(result, chosen=named, folder=folder))
        if ledger_url is not None and ledger_key is not None:
            name, key = site_init.ledger_of(ledger_key)
            site = replace(site, ledger=name, ledger_url=ledger_url, ledger_key=key)
        for path in site_init.init(folder, site):
            click.echo(f"wrote {path}")
        if result is not None:
            findings.keep(load_config(config_path).data, result)
        if web is None:
            click.echo(_next(config_path, scanned=bool(scans), has_key=ledger_key is not None))
            return
    else:
        load_config(config_path)
        password = "" if setup.has_users(config_path) else new_password(setup.FIRST_USER, password_file)
    done = setup.add_pages(config_path, web, password, now_s)
    for path in done.wrote:
        click.echo(f"wrote {path}")
    click.echo(
        f"pages at {done.address} for the user {setup.FIRST_USER}; more users: meterseal password {config_path} NAME"
    )
    click.echo(
        f"certificate SHA-256 {done.fingerprint}\ncompare it with the fingerprint in the browser, once on each device"
    )
    click.echo(_next(config_path, scanned=bool(scans), has_key=ledger_key is not None))


def _found(scans: tuple[Path, ...], profiles: tuple[str, ...], names: Mapping[str, str]) -> ScanResult | None:
    """What these scans found; None without one."""
    from gateway.commissioning.wizard import from_scan

    chosen = _by_unit("--profile", profiles, "17=eastron-sdm630 or 17=em3.toml")
    return from_scan.merged(scans, chosen, names) if scans else None


def _by_unit(option: str, texts: tuple[str, ...], example: str) -> dict[str, str]:
    """What was said of units, by their address. Raises UsageError."""
    found = {unit: name for unit, _, name in (text.partition("=") for text in texts)}
    if not all(found.values()):
        raise click.UsageError(f"{option}: write UNIT=NAME, such as {example}")
    if option == "--name" and (wrong := [name for name in found.values() if not is_name(name)]):
        raise click.UsageError(f"{option}: {wrong[0]!r}: use letters, digits, '.', '_' and '-', 64 at most")
    if len(found) < len(texts) or (option == "--name" and len({*found.values()}) < len(found)):
        raise click.UsageError(f"{option}: give each unit once" + (", and each name" if option == "--name" else ""))
    return found


def _next(config_path: Path, *, scanned: bool = False, has_key: bool = False) -> str:
    """The steps before the first start."""
    config = load_config(config_path)
    request = config.keys / REQUEST_FILE
    steps = [f"describe buses and meters in {config_path};"]
    if scanned:
        steps = [f"put the meters into service: meterseal commission {config_path};"]
    if config.document.ledger:
        steps.append(f"send {request} to the ledger's operator (meterseal-ledger enroll LDIR {request.name}),")
    if config.document.ledger and not has_key:
        steps.append(f"append the ledger's key (meterseal-ledger show LDIR --trust) to {config.trust};")
    if not config.document.ledger:
        steps += [
            "it runs without a ledger, and batches wait to be anchored; for a ledger,",
            f"  take the # from the lines of [[ledger]] in {config_path}, and put its name and url there;",
            f'  in {config.trust} the same with [policy], with ledgers = ["NAME"],',
            "  and append its key (meterseal-ledger show LDIR --trust);",
            f"  send {request} to its operator (meterseal-ledger enroll LDIR {request.name}),",
        ]
    return "next: " + "\n      ".join(steps) + f"\nthen: meterseal check {config_path}"


@click.command()
@CONFIG
@JSON
def check(config_path: Path, as_json: bool) -> None:
    """Validate CONFIG and the files it names, and show what would be polled. Starts nothing."""
    from gateway.cli.terminal.plan_view import print_plan, with_found
    from gateway.process import control_socket, instance_lock
    from gateway.startup import line_plan
    from gateway.startup.preflight import prepare

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
    for meter, limits in config.limits.items():
        out.print(str(limits_in_force(meter, config.profiles[meter], limits)))
    of = config.limits
    numbers = {name: recorded_numbers(meter, config.profiles[name]) for name, meter in config.meters.items()}
    if without := tuple(name for name in config.meters if unwatched(of.get(name, {}), numbers[name])):
        out.print(Text("note:", "bold"), str(Message("limits-none", meters=without)))
    for ledger in config.document.ledger:
        out.print(f"ledger {ledger.name} ({ledger.type}, {ledger.policy}) at {ledger.url}")
    for feed in config.document.feed:
        out.print(f"feed {feed.name} ({feed.type}) to {feed.url}")
    for receiver in config.document.notify:
        out.print(f"notify {receiver.name} ({receiver.type}) by {receiver.server}")
    if web := config.document.web:
        out.print(f"pages at {web.url}")
    out.print(f"{config_path}: valid")
    if running is not None:
        out.print(f"the gateway is running (pid {running}): apply changes with meterseal reload {config_path}")
