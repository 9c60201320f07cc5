"""Common parts of the `meterseal` commands: arguments, console, read-only database, user name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.cli.terminal.arguments import CONFIG as CONFIG
from gateway.cli.terminal.arguments import FORCE as FORCE
from gateway.cli.terminal.arguments import JSON as JSON
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.process.console import console
from gateway.storage.database import Database
from ledger_client.durable_files import may_replace

out = console()


def open_store(config_path: Path) -> tuple[Config, Database]:
    """The configuration, and its database to read."""
    config = load_config(config_path)
    return config, Database(config.database, read_only=True)


def no_meter(config: Config, meter: str) -> GatewayError:
    """What a command says that is given a meter which the configuration does not have."""
    return GatewayError(Message("command-no-meter", config=str(config.path), meter=meter, meters=tuple(config.meters)))


def demand_replaceable(path: Path, kind: str, is_such: Callable[[Path], bool], *, force: bool) -> None:
    """Raises GatewayError if the file exists and is not of the kind that the command writes."""
    if not force and not may_replace(path, is_such):
        raise GatewayError(Message("output-other-file", path=str(path), kind=kind))


def user() -> str:
    """The user name of this process, for signed events."""
    import getpass

    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a user without a name
        return "command line"
