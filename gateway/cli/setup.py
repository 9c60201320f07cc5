"""Setup commands: init, and password for the users of the dashboard."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gateway.cli.common import CONFIG
from gateway.config.device_keys import REQUEST_FILE
from gateway.config.load import load_config
from gateway.errors import ConfigError, GatewayError
from gateway.process.file_owner import is_there

PASSWORD_FILE = click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the password from the first line of FILE instead of asking.",
)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--id", "gateway", default="my-gateway", show_default=True, help="The gateway's name in every record.")
@click.option("--web", metavar="ADDRESS[:PORT]", help="Pages at this address: a password, and a certificate for TLS.")
@click.option("--state", type=click.Path(path_type=Path), help="Keys and records go here.  [default: DIR]")
@PASSWORD_FILE
def init(folder: Path, gateway: str, web: str | None, state: Path | None, password_file: Path | None) -> None:
    """Make DIR with a commented gateway.toml, device keys and trust.toml.

    With --web also the pages: asks for the password of the user "installer" and prints the fingerprint of a new
    certificate. In a DIR that has a gateway.toml only what the pages lack is added; nothing is ever overwritten.
    """
    from gateway.commissioning import site_init
    from gateway.dashboard.auth import setup

    now_s, config_path = int(time.time()), folder / "gateway.toml"
    if password_file is not None and web is None:
        raise click.UsageError("--password-file goes with --web")
    if web is not None:
        web = setup.listen(web)
    if web is None or not is_there(config_path):
        password = _new_password(setup.FIRST_USER, password_file) if web else ""
        for path in site_init.init(folder, site_init.NewSite(gateway=gateway, now_s=now_s, state=state)):
            click.echo(f"wrote {path}")
        if web is None:
            click.echo(_next(config_path))
            return
    else:
        load_config(config_path)
        password = "" if setup.has_users(config_path) else _new_password(setup.FIRST_USER, password_file)
    done = setup.add_pages(config_path, web, password, now_s)
    for path in done.wrote:
        click.echo(f"wrote {path}")
    click.echo(
        f"pages at {done.address} for the user {setup.FIRST_USER}; more users: meterseal password {config_path} NAME"
    )
    click.echo(f"certificate SHA-256 {done.fingerprint}\ncompare it with what the browser shows, once on each device")
    click.echo(_next(config_path))


def _next(config_path: Path) -> str:
    """What is to be done before the first start."""
    config = load_config(config_path)
    request = config.keys / REQUEST_FILE
    return (
        f"next: make {config_path} say what hangs on which line;\n"
        f"      give {request} to whoever runs the ledger (meterseal-ledger enroll LDIR {request.name}),\n"
        f"      and the ledger's key (meterseal-ledger show LDIR --trust) to the end of {config.trust};\n"
        f"then: meterseal check {config_path}"
    )


@click.command()
@CONFIG
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["viewer", "installer"]), help="What NAME may do.  [default: as before; viewer]"
)
@click.option("--remove", is_flag=True, help="Take NAME off the list instead.")
@PASSWORD_FILE
def password(config_path: Path, name: str, role: str | None, remove: bool, password_file: Path | None) -> None:
    """Give NAME a (new) password for the pages. A running gateway takes it at once, and ends NAME's sessions."""
    from gateway.dashboard.auth import setup

    config = load_config(config_path)
    if remove:
        click.echo(f"{setup.remove_user(config, name)}: {name} is taken off")
        return
    setup.check_name(name)
    path, user = setup.set_user(config, name, role, _new_password(name, password_file))
    click.echo(f"{path}: {user.name} may log in to the pages as {user.role}")


def _new_password(name: str, file: Path | None) -> str:
    from gateway.dashboard.auth.users import check_new

    if file is None:
        try:
            given = click.prompt(f"password for {name}", hide_input=True, confirmation_prompt="the same again")
        except click.Abort:
            raise GatewayError("no password was given", "type it at a terminal, or give --password-file FILE") from None
    else:
        try:
            given = file.read_text().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigError(
                file, "", f"cannot be read: {why}", "give a file whose first line is the password"
            ) from None
    if problem := check_new(name, given):
        raise GatewayError(problem)
    return str(given)
