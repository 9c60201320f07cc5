"""Command `meterseal password`: the users of the pages."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.access_files import first_line
from gateway.cli.terminal.common import CONFIG
from gateway.config.load import load_config
from gateway.errors import GatewayError
from gateway.messages.message import Message

PASSWORD_FILE = click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the password from the first line of FILE instead of asking.",
)


@click.command()
@CONFIG
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["viewer", "installer"]), help="Permissions of NAME.  [default: as before; viewer]"
)
@click.option("--remove", is_flag=True, help="Remove NAME instead.")
@PASSWORD_FILE
def password(config_path: Path, name: str, role: str | None, remove: bool, password_file: Path | None) -> None:
    """Set the password of NAME for the pages. A running gateway applies it at once and ends NAME's sessions."""
    from gateway.dashboard.auth import setup
    from gateway.dashboard.shell import users

    config = load_config(config_path)
    if remove:
        click.echo(f"{setup.remove_user(config, name)}: {name} removed")
        return
    users.check_name(name)
    path, user = setup.set_user(config, name, role, new_password(name, password_file))
    click.echo(f"{path}: {user.name} may log in to the pages as {user.role}")


def new_password(name: str, file: Path | None) -> str:
    """A password for NAME, from the first line of a file or asked for. Raises GatewayError: none given, or unfit."""
    from gateway.dashboard.shell.users import check_new

    if file is None:
        try:
            given = click.prompt(f"password for {name}", hide_input=True, confirmation_prompt="the same again")
        except click.Abort:
            raise GatewayError(Message("password-not-given")) from None
    else:
        given = first_line(file)
    if problem := check_new(name, given):
        raise GatewayError(problem)
    return str(given)
