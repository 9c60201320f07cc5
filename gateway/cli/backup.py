"""Backup commands: backup, restore."""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.access_files import first_line
from gateway.cli.terminal.common import CONFIG, FORCE, JSON, demand_replaceable
from gateway.config.load import load_config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.times import rfc3339_ms

if TYPE_CHECKING:
    from gateway.config.model import Config
    from gateway.site_backup.restore import Restored

PASSPHRASE_FILE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the passphrase from the first line of FILE instead of asking.",
)


@click.command()
@CONFIG
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option("--site", is_flag=True, help="The whole site in one tar file, for `meterseal restore`.")
@click.option("--with-keys", is_flag=True, help="With --site: keys and passwords too, encrypted by a passphrase.")
@PASSPHRASE_FILE
@FORCE
@JSON
def backup(
    config_path: Path,
    output: Path,
    site: bool,
    with_keys: bool,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Copy the database to FILE, also while the gateway runs; with --site all that the site consists of.

    Private keys and passwords are not included, but with --with-keys.
    """
    if with_keys and not site:
        raise click.UsageError("--with-keys goes with --site")
    if passphrase_file is not None and not with_keys:
        raise click.UsageError("--passphrase-file goes with --with-keys")
    config = load_config(config_path)
    if site:
        _backup_site(config, output, _new_passphrase(passphrase_file) if with_keys else None, force, as_json)
    else:
        _backup_database(config, output, force, as_json)


def _backup_database(config: Config, output: Path, force: bool, as_json: bool) -> None:
    from gateway.storage.capacity import backup as copier

    demand_replaceable(output, "backup of a gateway's database", copier.is_backup, force=force)
    done = copier.backup(config, output)
    if as_json:
        facts = {"file": str(done.path), "bytes": done.size, "records": done.records, "batches": done.batches}
        click.echo(json.dumps(facts | {"newest": done.newest_ms}))
        return
    newest = f", the newest of {rfc3339_ms(done.newest_ms)}" if done.records else ""
    click.echo(
        f"wrote {done.path}: {done.size} bytes, {done.records} records{newest}, {done.batches} batches; checked\n"
        f"the private keys in {config.keys}, {config.path.name} and {config.trust.name} are not included:\n"
        "keep copies of them elsewhere, because the keys can sign as this gateway (or use --site)\n"
        f"to restore: stop the gateway; remove {config.database}, -wal and -shm; copy this file to\n"
        f"{config.database}; start. Records made since the backup are then missing here (docs/storage.md)"
    )


def _backup_site(config: Config, output: Path, passphrase: str | None, force: bool, as_json: bool) -> None:
    from gateway.site_backup import backup as maker
    from gateway.site_backup.archive import is_archive

    demand_replaceable(output, "backup of a site (.tar)", is_archive, force=force)
    secrets = None if passphrase is None else maker.Secrets(passphrase, os.urandom(16))
    done = maker.backup(config, output, version("meterseal"), int(time.time() * 1000), secrets)
    made = done.manifest
    if as_json:
        facts = {"file": str(done.path), "bytes": done.size, "records": made.records, "batches": made.batches}
        places = [listed.place for listed in made.files]
        more = {"files": places, "without": list(made.without), "with_keys": made.lock is not None}
        click.echo(json.dumps(facts | {"newest": made.newest} | more))
        return
    newest = f", the newest of {rfc3339_ms(made.newest)}" if made.records else ""
    click.echo(
        f"wrote {done.path}: {done.size} bytes, {len(made.files)} files; {made.records} records{newest}, "
        f"{made.batches} batches; checked"
    )
    if made.lock is not None:
        click.echo("keys and passwords are in it, encrypted: whoever has the passphrase can sign as this gateway")
    if made.without:
        click.echo(f"not in it: {', '.join(made.without)}")
    if any(meter.password for meter in config.meters.values()):
        click.echo(f"{config.path.name} is in it as it is, with the passwords of stations")
    click.echo(f"to restore: meterseal restore {done.path} DIR (docs/storage.md)")


@click.command()
@click.argument("archive", metavar="SITE.tar", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--state", type=click.Path(path_type=Path), help="Folder for keys and records.  [default: DIR]")
@click.option("--without-keys", is_flag=True, help="Leave out keys and passwords that the backup has.")
@PASSPHRASE_FILE
@JSON
def restore(
    archive: Path, folder: Path, state: Path | None, without_keys: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make the site of a backup (`backup --site`) in DIR, which has to be absent or empty. Starts nothing.

    The machine that the backup was made on must stay off: two gateways of one name contradict each other.
    """
    from gateway.site_backup import restore as maker
    from gateway.site_backup.archive import opened

    if without_keys and passphrase_file is not None:
        raise click.UsageError("give --without-keys or --passphrase-file, not both")
    with opened(archive) as found:
        has_keys = found.manifest.lock is not None
    passphrase = None
    if passphrase_file is not None or (has_keys and not without_keys):
        passphrase = first_line(passphrase_file) if passphrase_file is not None else _ask("passphrase of the backup")
    done = maker.restore(archive, folder, state, passphrase)
    if as_json:
        facts = {"config": str(done.config.path), "gateway": done.config.gateway_id, "made": done.manifest.made}
        facts |= {"records": done.manifest.records, "batches": done.manifest.batches, "newest": done.manifest.newest}
        click.echo(json.dumps(facts | {"missing_keys": list(done.keys), "missing_files": list(done.files)}))
        return
    _report(done)


def _report(done: Restored) -> None:
    config, made = done.config, done.manifest
    newest = f", the newest of {rfc3339_ms(made.newest)}" if made.records else ""
    click.echo(
        f"{config.path}: gateway {config.gateway_id} as of {rfc3339_ms(made.made)}, "
        f"{made.records} records{newest}, {made.batches} batches"
    )
    for key in made.moved:
        click.echo(f"changed in {config.path.name}: {', '.join(key.key)} is {key.place} now")
    if done.keys:
        names = ", ".join(done.keys)
        click.echo(
            f"not in it: the keys of {names}. Copy their files to {config.keys}; or, if they are lost:\n"
            f"  meterseal keys {config.path} --make-missing\n"
            f"  meterseal keys enrol-request {config.path} -o gateway.enrol\n"
            "and have the ledger's operator enrol that request; verifiers need the new trust file"
        )
    for file in done.files:
        click.echo(f"not in it: {file}, which {config.path.name} names")
    click.echo(
        "the old machine must stay off: two gateways of one name contradict each other at the ledger\n"
        f"next: adapt ports and addresses in {config.path}; meterseal check {config.path}; then meterseal run\n"
        "sealing then waits until the ledgers have answered, and goes on behind what they hold (docs/storage.md)"
    )


def _new_passphrase(file: Path | None) -> str:
    from gateway.site_backup.locked import demand_passphrase

    given = first_line(file) if file is not None else _ask("passphrase for the keys", again=True)
    demand_passphrase(given)
    return given


def _ask(what: str, *, again: bool = False) -> str:
    try:
        return str(click.prompt(what, hide_input=True, confirmation_prompt="the same again" if again else False))
    except click.Abort:
        raise GatewayError(Message("passphrase-not-given")) from None
