"""Commands ``meterseal-ledger evm …``: administration of an AnchorRegistry, accounts, anchored log roots."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ledger_client.cli.terminal.options import access, addresses
from ledger_client.click_help import Grouped
from ledger_client.errors import LedgerClientError, VerificationError
from ledger_client.formats.checks import is_name

if TYPE_CHECKING:
    from ledger_client.ledgers.evm.node import Node, TxReceipt
    from ledger_client.ledgers.evm.owner import Owner

Command = TypeVar("Command", bound=Callable[..., Any])


class MissingLibrary(LedgerClientError):
    """The extra that writes on chains is not installed."""


def address_of(text: str) -> bytes:
    """The 20 bytes of an address on the command line."""
    try:
        if text.startswith("0x") and len(text) == 42:
            return bytes.fromhex(text[2:])
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is no address: 0x and 40 hexadecimal digits")


def _gateway(text: str) -> str:
    if not is_name(text):
        raise click.BadParameter(f"{text!r} is no gateway's name")
    return text


def _root(text: str) -> bytes:
    try:
        if len(root := bytes.fromhex(text.removeprefix("0x"))) == 32:
            return root
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is no root: 64 hexadecimal digits")


CONTRACT = click.argument("contract", type=address_of)


def _rpc(command: Command) -> Command:
    return click.option("--rpc", required=True, metavar="URL", help="a node of the chain")(command)


def _key(command: Command) -> Command:
    password = click.option(
        "--password-file",
        required=True,
        metavar="FILE",
        help="its password, in a file that nobody else may read, or $CREDENTIALS_DIRECTORY/NAME",
    )
    key = click.option("--key", "keystore", required=True, metavar="FILE", help="the encrypted key file of an account")
    legacy = click.option("--legacy", is_flag=True, help="one price of gas, though the chain knows EIP-1559")
    return _rpc(key(password(legacy(command))))


@click.group(cls=Grouped)
def evm() -> None:
    """Own a contract on an EVM chain that gateways anchor at: deploy it, let gateways in and out."""


@evm.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--password-file", required=True, metavar="FILE", help="the password to encrypt it with")
@click.option("--light", is_flag=True, help="for a gateway: opens without a second and 256 MiB; take a random password")
def account(file: Path, password_file: str, light: bool) -> None:
    """Make a new account, its key encrypted in FILE."""
    with _extra():
        from ledger_client.ledgers.evm.account import make_account

    click.echo(str(make_account(file, _password(password_file), light=light)))


@evm.command()
@_key
def deploy(rpc: str, keystore: str, password_file: str, legacy: bool) -> None:
    """Deploy a contract; the account of --key owns it. Prints its address."""
    owner = _owner(rpc, keystore, password_file, legacy)
    receipt = owner.deploy()
    assert receipt.contract is not None
    click.echo(f"chain {owner.node.chain_id()}, block {receipt.block}, {receipt.gas_used} gas", err=True)
    click.echo(f"0x{receipt.contract.hex()}")


@evm.command()
@CONTRACT
@click.argument("account", type=address_of)
@click.argument("gateway", type=_gateway)
@_key
def register(contract: bytes, account: bytes, gateway: str, **way: Any) -> None:
    """Let ACCOUNT write for the gateway of this name, which has none now."""
    receipt = _owner(**way).act(contract, "register", account, gateway)
    _done(receipt, f"account 0x{account.hex()} writes for gateway {gateway}")


@evm.command()
@CONTRACT
@click.argument("old", type=address_of)
@click.argument("new", type=address_of)
@_key
def rotate(contract: bytes, old: bytes, new: bytes, **way: Any) -> None:
    """Put account NEW in the place of account OLD; the gateway's story goes on."""
    receipt = _owner(**way).act(contract, "rotate", old, new)
    _done(receipt, f"account 0x{new.hex()} writes in the place of 0x{old.hex()}, which is out for ever")


@evm.command()
@CONTRACT
@click.argument("account", type=address_of)
@_key
def revoke(contract: bytes, account: bytes, **way: Any) -> None:
    """Stop an account for ever."""
    _done(_owner(**way).act(contract, "revoke", account), f"account 0x{account.hex()} is out for ever")


@evm.command()
@CONTRACT
@click.argument("account", type=address_of)
@click.option("--remove", is_flag=True, help="take the role away")
@_key
def bridge(contract: bytes, account: bytes, remove: bool, **way: Any) -> None:
    """Give an account the role bridge: it may write roots that many gateways share."""
    receipt = _owner(**way).act(contract, "setBridge", account, int(not remove))
    _done(receipt, f"account 0x{account.hex()} is {'no' if remove else 'a'} bridge")


@evm.command("anchor-log")
@CONTRACT
@click.argument("folder", metavar="LDIR", type=click.Path(path_type=Path))
@_key
def anchor_log(contract: bytes, folder: Path, **way: Any) -> None:
    """Write down how many entries the log of the embedded ledger in LDIR has now, and the root over them.

    The account of --key has the role bridge. The ledger may be serving.
    """
    from ledger_client.ledgers.evm.views import demand_contract, shared
    from ledger_client.transparency.ledger.show import log_state

    size, root = log_state(folder)
    owner = _owner(**way)
    demand_contract(owner.node, contract)
    known = shared(owner.node, contract, root)
    what = f"{size} entries, root {root.hex()}"
    if known is not None and known[0] == size:
        click.echo(f"{what} (there since block {known[1]})")
    else:
        _done(owner.act(contract, "anchorMany", root, size), what)


@evm.command()
@CONTRACT
@click.argument("heir", type=address_of)
@_key
def offer(contract: bytes, heir: bytes, **way: Any) -> None:
    """Offer the contract to account HEIR; nothing changes until it takes it."""
    _done(_owner(**way).act(contract, "offerOwnership", heir), f"offered to account 0x{heir.hex()}")


@evm.command()
@CONTRACT
@_key
def take(contract: bytes, **way: Any) -> None:
    """Take over a contract that was offered to the account of --key."""
    owner = _owner(**way)
    _done(owner.act(contract, "takeOwnership"), f"account {owner.account} owns the contract")


@evm.command()
@CONTRACT
@click.argument("gateways", nargs=-1, type=_gateway)
@click.option("--root", "roots", type=_root, multiple=True, metavar="HEX", help="a shared root, or a log's")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@_rpc
def show(contract: bytes, gateways: tuple[str, ...], roots: tuple[bytes, ...], as_json: bool, rpc: str) -> None:
    """Say who owns the contract, and of each GATEWAY which account writes for it and what it anchored last."""
    from ledger_client.ledgers.evm.views import demand_contract, owner_of, shared, standing

    node = _node(rpc)
    demand_contract(node, contract)
    facts: dict[str, Any] = {"chain": node.chain_id(), "owner": "0x" + owner_of(node, contract).hex(), "gateways": {}}
    for gateway in gateways:
        known = standing(node, contract, gateway)
        facts["gateways"][gateway] = {
            "account": "0x" + known.account.hex() if known.account else None,
            "batch": known.last[0] if known.last else None,
            "statement_id": known.last[1].hex() if known.last else None,
        }
    if roots:
        facts["roots"] = {root.hex(): shared(node, contract, root) for root in roots}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"chain {facts['chain']}, owned by {facts['owner']}")
    for gateway, known in facts["gateways"].items():
        last = "nothing anchored" if known["batch"] is None else f"batch {known['batch']}, {known['statement_id']}"
        click.echo(f"gateway {gateway}: account {known['account'] or 'none'}, {last}")
    for root, held in facts.get("roots", {}).items():
        click.echo(f"root {root}: {f'{held[0]} entries, since block {held[1]}' if held else 'not anchored'}")


@evm.command("check-log")
@CONTRACT
@click.argument("root", type=_root)
@click.option("--trust", "trust_file", required=True, metavar="trust.toml", type=click.Path(path_type=Path))
@click.option("--ledger", required=True, metavar="NAME=URL", help="whose log it is of, and where that ledger serves")
@click.option(
    "--confirmations", type=click.IntRange(1), help="from so many blocks on it counts  [default: chain's word]"
)
@click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of those that speak https")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@_rpc
def check_log(
    contract: bytes, root: bytes, trust_file: Path, ledger: str, confirmations: int | None, ca: Path | None,
    as_json: bool, rpc: str,
) -> None:  # fmt: skip
    """Check that a ledger's log has only grown since anchor-log wrote ROOT: exit 0 it has, 1 it has not."""
    from ledger_client.ledgers.evm.node import Node
    from ledger_client.online.log_client import LogClient
    from ledger_client.online.log_on_chain import grown_from, written
    from ledger_client.times import rfc3339
    from ledger_client.transport.access import demand_http
    from ledger_client.verification.trust import load_trust

    ((name, url),) = addresses("--ledger", [ledger]).items()
    demand_http("--rpc", rpc)
    way, trust = access(ca, [url, rpc]), load_trust(trust_file)
    try:
        what = written(root, contract, Node(rpc, way), confirmations)
        head = grown_from(what, name, trust, LogClient(url, way))
    except VerificationError as error:
        no = {"consistent": False, "error": type(error).__name__, "detail": error.detail}
        click.echo(json.dumps(no) if as_json else f"NOT CONSISTENT: {error.detail}")
        sys.exit(1)
    if as_json:
        click.echo(json.dumps({"consistent": True, "error": None, "detail": None, **what.as_json(head)}))
        return
    click.echo(f"{what}, {rfc3339(what.time)}: {what.size} entries")
    click.echo(f"CONSISTENT: the log of {name} begins with them, {head.size} entries at {rfc3339(head.iat)}")


def _node(rpc: str) -> Node:
    from ledger_client.ledgers.evm.node import Node
    from ledger_client.transport.access import demand_http

    demand_http("--rpc", rpc)
    return Node(rpc)


def _owner(rpc: str, keystore: str, password_file: str, legacy: bool) -> Owner:
    with _extra():
        from ledger_client.ledgers.evm.account import load_account
        from ledger_client.ledgers.evm.owner import Owner

    account = load_account(keystore, _password(password_file))
    return Owner(_node(rpc), account, lambda line: click.echo(line, err=True), legacy)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingLibrary(f"{error.name} is not installed", "run: pip install 'meterseal[evm]'") from None


def _password(where: str) -> str:
    from ledger_client.transport.access import read_secret, resolve

    return read_secret("--password-file", resolve(where, Path(), "--password-file"))


def _done(receipt: TxReceipt, what: str) -> None:
    click.echo(f"{what} (block {receipt.block}, {receipt.gas_used} gas)")
