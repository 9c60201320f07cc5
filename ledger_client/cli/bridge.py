"""Command ``meterseal-ledger bridge``: options and wiring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from ledger_client import log_lines
from ledger_client.cli.evm import MissingLibrary, address_of
from ledger_client.cli.terminal.options import broker_login
from ledger_client.errors import LedgerClientError
from ledger_client.formats.checks import is_name

if TYPE_CHECKING:
    from ledger_client.ledgers.evm.driver import EvmLedger
    from ledger_client.ledgers.interface import DriverNotes
    from ledger_client.transport.access import Access

_WEI_A_GWEI = 10**9
_OF_EVM = (
    "contract", "chain_id", "keystore", "keystore_password_file", "confirmations", "legacy", "max_fee_gwei", "gather",
    "part",
)  # fmt: skip


class BridgeUsageError(LedgerClientError):
    """The options do not go together: which, why, and the way out."""


@click.command()
@click.argument("folder", metavar="BDIR", type=click.Path(path_type=Path))
@click.option("--name", required=True, metavar="LEDGER", help="the ledger's name")
@click.option("--mqtt", required=True, metavar="mqtt[s]://HOST:PORT", help="the broker that gateways submit at")
@broker_login
@click.option("--http", metavar="URL", help="submit to the ledger at this address")
@click.option("--evm", metavar="URL", help="anchor on a chain through this node")
@click.option("--ca", metavar="PEM", help="the private CA of that address's certificate")
@click.option("--cert", metavar="PEM", help="this bridge's certificate for it")
@click.option("--key", metavar="PEM", help="and its private key")
@click.option("--token-file", metavar="FILE", help="a bearer token for it")
@click.option("--user", metavar="NAME", help="or a login")
@click.option("--password-file", metavar="FILE", help="and its password")
@click.option("--proxy", metavar="URL", help="the proxy to it")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, metavar="SECONDS")
@click.option("--contract", type=address_of, metavar="0x…", help="evm: the AnchorRegistry")
@click.option("--chain-id", type=click.IntRange(1, 2**64 - 1), help="evm: the chain's number")
@click.option("--keystore", metavar="FILE", help="evm: the encrypted key file of an account with the role bridge")
@click.option("--keystore-password-file", metavar="FILE", help="evm: and the file that holds its password")
@click.option("--confirmations", type=click.IntRange(1), help="evm: from so many blocks on a root counts")
@click.option("--legacy", is_flag=True, help="evm: one price of gas, though the chain knows EIP-1559")
@click.option("--max-fee-gwei", type=click.IntRange(1, 10**9), default=1000, show_default=True, help="evm: at most")
@click.option("--gather", type=click.FloatRange(0.05, 3600), default=5.0, show_default=True, metavar="SECONDS",
              help="evm: what comes within this goes under one root")  # fmt: skip
@click.option("--part", metavar="K/N", help="evm: take part K of N of the gateways, N bridges take all")
def bridge(folder: Path, name: str, mqtt: str, http: str | None, evm: str | None, **options: Any) -> None:
    """Take statements from MQTT and submit them to an http or evm ledger, until SIGTERM or Ctrl-C."""
    from ledger_client.bridge.claim import Part, parse_part  # need paho and SQLite; verifying does not
    from ledger_client.bridge.main import Bridge, to_chain, to_http
    from ledger_client.transport.access import demand_http
    from ledger_client.transport.mqtt_options import demand_broker

    log_lines.start()
    if not is_name(name):
        raise BridgeUsageError(f"--name {name!r}: a ledger's name is [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
    if (http is None) == (evm is None):
        raise BridgeUsageError(
            "either --http or --evm must be given", "give --http URL or --evm URL: where the statements go"
        )
    broker = _access("mqtt_", mqtt, options, address="--mqtt", protocol=options["mqtt_protocol"])
    demand_broker("--mqtt", mqtt)
    what = Bridge(folder, name, mqtt, broker)
    url, option = (evm or "", "--evm") if http is None else (http, "--http")
    demand_http(option, url)
    access = _access("", url, options, address=option, token_file=options["token_file"], proxy=options["proxy"])
    if http is not None:
        given = click.get_current_context().get_parameter_source
        stray = next((key for key in _OF_EVM if given(key) is ParameterSource.COMMANDLINE), None)
        if stray:
            raise BridgeUsageError(f"--{stray.replace('_', '-')} belongs to --evm", "leave it out")
        from ledger_client.ledgers.http import HttpLedger

        to_http(what, lambda book: HttpLedger(name, url, access, timeout_s=options["timeout"], memory=book), _say)
        return
    part = Part() if options["part"] is None else parse_part(options["part"])
    to_chain(what, _chain(name, url, access, options), part, options["gather"], _say)


def _chain(name: str, url: str, access: Access, options: dict[str, Any]) -> Callable[[DriverNotes], EvmLedger]:
    """What makes the driver, its account open already."""
    for key in ("contract", "chain_id", "keystore", "keystore_password_file"):
        if options[key] is None:
            raise BridgeUsageError(f"--{key.replace('_', '-')} is missing: --evm needs it (docs/bridge.md)")
    try:
        from ledger_client.ledgers.evm.account import load_account
        from ledger_client.ledgers.evm.driver import EvmLedger
    except ImportError as error:
        raise MissingLibrary(f"{error.name} is not installed", "run: pip install 'meterseal[evm]'") from None
    from ledger_client.ledgers.evm.settings import EvmSettings
    from ledger_client.transport.access import read_secret, resolve

    option = "--keystore-password-file"
    password = read_secret(option, resolve(options["keystore_password_file"], Path(), option))
    account = load_account(resolve(options["keystore"], Path(), "--keystore"), password)
    settings = EvmSettings(
        options["contract"],
        options["chain_id"],
        confirmations=options["confirmations"],
        legacy=options["legacy"],
        max_fee=options["max_fee_gwei"] * _WEI_A_GWEI,
        poll_s=min(1.0, options["gather"]),
        timeout_s=options["timeout"],
    )
    return lambda book: EvmLedger(name, url, settings, account=account, memory=book, access=access)


def _access(prefix: str, url: str, options: dict[str, Any], *, address: str, **more: Any) -> Access:
    """The files and logins of one address, checked. Raises ``AccessError`` by the option's name."""
    from ledger_client.transport.access import Access, AccessError, Protocol, resolve

    def path(text: str | None, key: str) -> Path | None:
        return None if text is None else resolve(text, Path(), "--" + key.replace("_", "-"))

    keys = ("ca", "cert", "key", "password_file")
    files: dict[str, Any] = {key: path(options[prefix + key], prefix + key) for key in keys}
    if "token_file" in more:
        more["token_file"] = path(more["token_file"], "token_file")
    if "protocol" in more:
        more["protocol"] = cast(Protocol, more["protocol"])
    access = Access(**files, user=options[prefix + "user"], **more)
    try:
        access.check_rules(url)
        access.check_files()
    except AccessError as error:
        option = "--" + (prefix + error.key).replace("_", "-")
        raise AccessError(address if error.key == "url" else option, error.what) from None
    return access


def _say(line: str) -> None:
    print(line, flush=True)
