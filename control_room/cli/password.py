"""Command password: the users of the pages."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.argument("config_path", metavar="CONTROL.toml", type=click.Path(path_type=Path))


@click.command()
@CONFIG
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["viewer", "installer"]), help="Permissions of NAME.  [default: as before; viewer]"
)
@click.option("--remove", is_flag=True, help="Remove NAME instead.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the password from the first line of FILE instead of asking.",
)
def password(config_path: Path, name: str, role: str | None, remove: bool, password_file: Path | None) -> None:
    """Set the password of NAME for the pages. Running pages apply it at once and end NAME's sessions."""
    from control_room.settings import load_settings
    from gateway.dashboard.shell import users

    settings = load_settings(config_path)
    settings.keys.mkdir(mode=0o700, exist_ok=True)
    path = settings.users
    if remove:
        users.remove_user(path, name)
        click.echo(f"{path}: {name} removed")
        return
    users.check_name(name)
    user = users.set_user(path, name, role, _new(name, password_file))
    click.echo(f"{path}: {user.name} may log in to the pages as {user.role}")


def _new(name: str, file: Path | None) -> str:
    from gateway.access_files import first_line
    from gateway.dashboard.shell.users import check_new
    from gateway.errors import GatewayError
    from gateway.messages.message import Message

    if file is not None:
        given = first_line(file)
    else:
        try:
            given = click.prompt(f"password for {name}", hide_input=True, confirmation_prompt="the same again")
        except click.Abort:
            raise GatewayError(Message("password-not-given")) from None
    if problem := check_new(name, given):
        raise GatewayError(problem)
    return str(given)
