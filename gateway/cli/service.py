"""Service commands: install, uninstall."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from gateway.commissioning import service_files as service
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message

ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=service.ROOT,
    help="Root folder of another machine's disk, mounted here.",
)
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.command()
@click.option(
    "--command",
    "command_path",
    type=click.Path(path_type=Path),
    help="The meterseal command that the service starts.  [default: this one]",
)
@ROOT
@YES
def install(command_path: Path | None, root: Path, yes: bool) -> None:
    """Install the gateway as a service: unit, user, folders and device rules. Shows what it will write, then asks.

    For an installation from wheels; the Debian package does this itself.
    """
    command_path = command_path or service.running_command()
    service.check(root, command_path)
    found = service.pieces(root, command_path)
    foreign = tuple(str(piece.path) for piece in found if piece.present is not None and not piece.ours)
    if foreign:
        raise GatewayError(Message("service-file-foreign", paths=foreign))
    for piece in found:
        if piece.content == piece.present:
            click.echo(f"{piece.path}: up to date\n")
        else:
            click.echo(f"{piece.path}: {'will be changed' if piece.ours else 'will be written'}\n{piece.shown()}")
    steps = service.steps_in(root)
    _announce("then", steps)
    _agree(yes)
    for path in service.write(found):
        click.echo(f"wrote {path}")
    _take(steps)
    config = root / service.CONFIG
    if not config.exists():
        click.echo(
            f"next: meterseal init /{service.ETC} --state /{service.STATE} --id NAME\n"
            "then: meterseal check /etc/meterseal/gateway.toml && systemctl start meterseal"
        )


@click.command()
@click.option("--data", is_flag=True, help="Delete keys and records too, once the gateway's id is typed.")
@ROOT
@YES
def uninstall(data: bool, root: Path, yes: bool) -> None:
    """Remove the files of `meterseal install`. Configuration, keys and records are kept unless --data is given."""
    found = [piece for piece in service.pieces(root, service.running_command()) if piece.present is not None]
    for piece in found:
        click.echo(f"{piece.path}: {'will be removed' if piece.ours else 'not written by `meterseal install`, kept'}")
    ours = [piece for piece in found if piece.ours]
    if ours:
        before, after = service.steps_out(root)
        _announce("before it", before)
        _announce("after it", after)
        _agree(yes)
        _take(before)
        for piece in ours:
            service.remove(piece)
            click.echo(f"removed {piece.path}")
        _take(after)
    else:
        click.echo("nothing was written by `meterseal install`; to remove the Debian package:  apt-get purge meterseal")
    if data:
        _delete(root)
    elif (root / service.STATE).exists():
        click.echo(f"{root / service.STATE} and {root / service.ETC} are kept")


def _delete(root: Path) -> None:
    held = service.holdings(root)
    if held is None:
        click.echo(f"{root / service.STATE}: does not exist")
        return
    click.echo(
        f"{held.path} holds {held.keys} private keys and {held.databases} databases, {held.size} bytes.\n"
        "Without them no record of this gateway can be proven. They cannot be recovered."
    )
    typed = click.prompt(f"To delete them, type the gateway's id, {held.gateway}", default="", show_default=False)
    if typed.strip() != held.gateway:
        raise Declined(Message("data-not-deleted", path=str(held.path), typed=typed))
    service.delete(held)
    click.echo(f"deleted {held.path}")
    _take(service.steps_after_data(root))


def _announce(when: str, steps: Iterable[Sequence[str]]) -> None:
    for step in steps:
        click.echo(f"{when}: {shlex.join(step)}")


def _agree(yes: bool) -> None:
    if not yes and not click.confirm("Continue?"):
        click.echo("nothing was changed")
        sys.exit(1)


def _take(steps: Iterable[Sequence[str]]) -> None:
    for step in steps:
        if problem := service.run(step):
            click.echo(f"{shlex.join(step)}: {problem}", err=True)
