"""Commands ``meterseal-ledger evm …``: administration of our contracts, accounts, anchored log roots."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ledger_client.cli.terminal.options import UsageError, access, addresses
from ledger_client.cli.terminal.trusted import load_in_force, trusting
from ledger_client.click_help import Grouped
from ledger_client.errors import LedgerClientError, VerificationError
from ledger_client.formats.checks import is_ledger_name, is_name

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


def _name(text: str) -> str:
    if not is_name(text):
        raise click.BadParameter(f"{text!r} is no name of a gateway or a party")
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
    """Own a contract on an EVM chain for gateways that anchor or parties that claim: deploy it, let them in and out."""


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
@click.option("--claims", metavar="NAME", help="for claims at the registry of this name (ClaimRegistry), not anchors")
@_key
def deploy(claims: str | None, **way: Any) -> None:
    """Deploy a contract, AnchorRegistry or with --claims ClaimRegistry; the account of --key owns it.

    Prints its address.
    """
    from ledger_client.contracts import anchor_registry, claim_registry

    if claims is not None and not is_ledger_name(claims):
        raise click.BadParameter(f"{claims!r} is no name of a registry")
    owner = _owner(**way)
    if claims is None:
        receipt = owner.deploy(anchor_registry.CONTRACT)
    else:
        receipt = owner.deploy(claim_registry.CONTRACT, claims)
    assert receipt.contract is not None
    click.echo(f"chain {owner.node.chain_id()}, block {receipt.block}, {receipt.gas_used} gas", err=True)
    click.echo(f"0x{receipt.contract.hex()}")


@evm.command()
@CONTRACT
@click.argument("account", type=address_of)
@click.argument("name", type=_name)
@click.option("--role", type=click.Choice(["party", "issuer"]), help="of ClaimRegistry  [default: party]")
@_key
def register(contract: bytes, account: bytes, name: str, role: str | None, **way: Any) -> None:
    """Let ACCOUNT write for the gateway or the party of this name, which has no account now."""
    from ledger_client.contracts import anchor_registry, claim_registry
    from ledger_client.ledgers.evm.views import contract_at

    owner = _owner(**way)
    if contract_at(owner.node, contract) == claim_registry.CONTRACT:
        kind = role or "party"
        number = {"party": claim_registry.PARTY, "issuer": claim_registry.ISSUER}[kind]
        receipt = owner.act(contract, "register", account, name, number)
    elif role is not None:
        raise UsageError(
            f"--role: 0x{contract.hex()} is {anchor_registry.CONTRACT.name}, whose accounts write for gateways",
            "leave it out, or give the address of a ClaimRegistry",
        )
    else:
        kind, receipt = "gateway", owner.act(contract, "register", account, name)
    _done(receipt, f"account 0x{account.hex()} writes for {kind} {name}")


@evm.command()
@CONTRACT
@click.argument("old", type=address_of)
@click.argument("new", type=address_of)
@_key
def rotate(contract: bytes, old: bytes, new: bytes, **way: Any) -> None:
    """Put account NEW in the place of account OLD; the story of its gateway or party goes on."""
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
    from ledger_client.ledgers.evm.views import demand_contract

    owner = _owner(**way)
    demand_contract(owner.node, contract)
    receipt = owner.act(contract, "setBridge", account, int(not remove))
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
@click.argument("names", nargs=-1, type=_name)
@click.option("--root", "roots", type=_root, multiple=True, metavar="HEX", help="a shared root, or a log's")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@_rpc
def show(contract: bytes, names: tuple[str, ...], roots: tuple[bytes, ...], as_json: bool, rpc: str) -> None:
    """Say who owns the contract, and of each gateway or party which account writes for it and what it wrote last."""
    from ledger_client.contracts import claim_registry
    from ledger_client.ledgers.evm.views import contract_at, owner_of, shared, standing

    node = _node(rpc)
    kind = contract_at(node, contract)
    facts: dict[str, Any] = {"chain": node.chain_id(), "owner": "0x" + owner_of(node, contract).hex()}
    if kind == claim_registry.CONTRACT:
        if roots:
            raise UsageError("--root: ClaimRegistry has no roots", "leave it out")
        _show_parties(node, contract, facts, names, as_json)
        return
    facts["gateways"] = {}
    for gateway in names:
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


def _show_parties(node: Node, contract: bytes, facts: dict[str, Any], names: tuple[str, ...], as_json: bool) -> None:
    from ledger_client.contracts.claim_registry import ISSUER, PARTY
    from ledger_client.ledgers.evm.views import party_standing, registry_of

    roles = {PARTY: "party", ISSUER: "issuer"}
    facts |= {"registry": registry_of(node, contract).hex(), "parties": {}}
    for name in names:
        known = party_standing(node, contract, name)
        account = "0x" + known.account.hex() if known.account else None
        facts["parties"][name] = {"account": account, "role": roles.get(known.role), "next": known.following}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"chain {facts['chain']}, owned by {facts['owner']}, for the registry of SHA-256 {facts['registry']}")
    for name, known in facts["parties"].items():
        click.echo(
            f"{known['role'] or 'party'} {name}: account {known['account'] or 'none'}, next claim {known['next']}"
        )


@evm.command("check-log")
@CONTRACT
@click.argument("root", type=_root)
@trusting("trust.toml")
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

    ((name, url),) = addresses("--ledger", [ledger]).items()
    demand_http("--rpc", rpc)
    way, trust = access(ca, [url, rpc]), load_in_force(trust_file)
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
