"""Options that the commands `certificate` share: trust file, party, registry, output; and what they open with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger_client.cli.terminal.options import UsageError, access, addresses, moment
from ledger_client.cli.terminal.trusted import EXPIRED_OK, load_in_force, trusting
from ledger_client.times import rfc3339
from ledger_client.verification.explain import clean
from ledger_client.verification.trust import Chain, Trust

if TYPE_CHECKING:
    from ledger_client.certificates.holding.sending import Sender, Sent
    from ledger_client.errors import Refused
    from ledger_client.ledgers.registry import RegistryClient
    from ledger_client.transport.access import Access

TRUST = trusting(help="believed, and nothing else")
KEY = click.option(
    "--key", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path),
    help="the party's folder (`meterseal-ledger party new`)",
)  # fmt: skip
REGISTRY = click.option("--registry", required=True, metavar="NAME=URL", help="where claims are ordered")
CA = click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of an https address")
JSON = click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
_LATEST_MS = 2**53 - 1
_META = "meterseal.chain"  # in the context: what a contract needs, and a ledger does not


def _noted(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    ctx.meta[f"{_META}.{parameter.name}"] = value


def _option(*words: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(*words, expose_value=False, callback=_noted, **more)


since_block = _option("--since-block", type=click.IntRange(0), default=0, metavar="N",
                      help="of a contract: its deployment's, to begin reading there")  # fmt: skip
_WRITING = (
    _option("--keystore", metavar="FILE", help="of a contract: the encrypted key file of the party's account"),
    _option("--keystore-password-file", metavar="FILE", help="and its password, in a file that nobody else may read"),
    _option("--legacy", is_flag=True, help="of a contract: one price of gas, though the chain knows EIP-1559"),
    _option(
        "--max-fee-gwei",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        metavar="N",
        help="of a contract: what a unit of gas may cost",
    ),
    since_block,
)
_LOOKING = (
    _option(
        "--trust",
        metavar="TRUST.toml",
        type=click.Path(path_type=Path),
        help="says whether the registry is a contract on a chain",
    ),
    EXPIRED_OK,
    since_block,
)
_SENDING = (KEY, REGISTRY, TRUST, CA, JSON, *_WRITING)


def sends(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that claims."""
    for option in reversed(_SENDING):
        command = option(command)
    return command


def writes_on_chains(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that claims at a registry that may be a contract."""
    for option in reversed(_WRITING):
        command = option(command)
    return command


def looks_at_chains(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that looks at a registry that may be a contract."""
    for option in reversed(_LOOKING):
        command = option(command)
    return command


def opened(
    registry: str, ca: Path | None, *, trust: Trust | None = None, folder: Path | None = None, writes: bool = False
) -> RegistryClient:
    """The registry of NAME=URL: the contract that the trust file names for it, URL being a node of its chain, or else
    the ledger there. ``folder``: of the party that asks; ``writes``: it sends claims."""
    ((name, url),) = addresses("--registry", [registry]).items()
    file = _noted_value("trust")
    if trust is None and file is not None:
        trust = load_in_force(file)
    chain = next((one for one in trust.registries if one.ledger == name), None) if trust is not None else None
    if chain is not None:
        return _contract(chain, url, access(ca, [url]), folder, writes=writes)
    from ledger_client.ledgers.http_registry import HttpRegistry

    return HttpRegistry(name, url, access(ca, [url]))


def _contract(chain: Chain, url: str, way: Access, folder: Path | None, *, writes: bool) -> RegistryClient:
    try:
        from ledger_client.ledgers.evm.account import load_account
        from ledger_client.ledgers.evm.claim_driver import EvmRegistry
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed", "run: pip install 'meterseal[evm]'") from None
    from ledger_client.certificates.holding.sending import kept
    from ledger_client.ledgers.evm.settings import EvmSettings
    from ledger_client.transport.access import read_secret, resolve

    account = None
    if writes and f"{_META}.keystore" not in click.get_current_context().meta:
        raise UsageError(f"{chain.ledger} is a contract, which takes no such claim", "give an embedded ledger (R8)")
    if writes:
        for option in ("--keystore", "--keystore-password-file"):
            if _noted_value(option[2:].replace("-", "_")) is None:
                raise UsageError(
                    f"{option} is missing: {chain.ledger} is a contract, which takes claims from the party's account",
                    f"add {option} FILE; meterseal-ledger evm account makes one",
                )
        option = "--keystore-password-file"
        password = read_secret(option, resolve(_noted_value("keystore_password_file"), Path(), option))
        account = load_account(resolve(_noted_value("keystore"), Path(), "--keystore"), password)
    settings = EvmSettings(
        chain.contract, chain.chain_id, chain.confirmations, legacy=bool(_noted_value("legacy")),
        max_fee=(_noted_value("max_fee_gwei") or 1000) * 10**9,
    )  # fmt: skip
    entries = {} if folder is None else {signed.id: signed.entry for signed, _ in kept(folder, chain.ledger)}
    since = _noted_value("since_block") or 0
    return EvmRegistry(chain.ledger, url, settings, account=account, entries=entries, since=since, access=way)


def _noted_value(name: str) -> Any:
    return click.get_current_context().meta.get(f"{_META}.{name}")


def _on_chain(trust: Trust, name: str, url: str, ca: Path | None) -> Callable[[bytes, bytes], tuple[str, int]]:
    """Check of a place: the chain holds just what was claimed there."""
    from ledger_client.claims.claim import parse_claim
    from ledger_client.errors import LedgerUnavailable, VerificationError
    from ledger_client.formats.bundle import decode_locator
    from ledger_client.online.ask import TIMEOUT_S, Ways
    from ledger_client.online.claims_on_chain import asked

    ways = Ways({name: url}, {}, access(ca, [url]), TIMEOUT_S)

    def check(entry: bytes, place: bytes) -> tuple[str, int]:
        fact = asked(decode_locator(place), parse_claim(entry), trust, ways)
        if isinstance(fact, VerificationError):
            raise fact
        if isinstance(fact, str):
            raise LedgerUnavailable(f"{name}: {fact}")
        return name, fact.time

    return check


@contextmanager
def connected(folder: Path, registry: str, trust_file: Path, ca: Path | None) -> Iterator[Sender]:
    """The party's sender at a registry, whose earlier claims have been repeated. Ends with exit code 1 and the
    registry's words where that has no answer now."""
    from ledger_client.certificates.holding.sending import sending
    from ledger_client.enrolment.party_folder import load
    from ledger_client.errors import LedgerUnavailable

    trust, party = load_in_force(trust_file), load(folder)
    client = opened(registry, ca, trust=trust, folder=folder, writes=True)
    name, _, url = registry.partition("=")
    on_chain = any(one.ledger == name for one in trust.registries)
    check = _on_chain(trust, name, url, ca) if on_chain else None
    try:
        if not on_chain and not trust.has_ledger_key(client.name):
            way_out = f"add it: meterseal-ledger trust add {trust_file} FILE"
            raise UsageError(f"{trust_file}: has no key of the registry {client.name}", way_out)
        with sending(party, client, trust, lambda: int(time.time()), check) as sender:
            for one in sender.repeat():
                say_repeated(one)
            try:
                yield sender
            except LedgerUnavailable:
                if sender.pending():
                    click.echo(
                        "note: a claim was signed and sent without an answer; the next command repeats it", err=True
                    )
                raise
    finally:
        client.close()


def say_repeated(one: object) -> None:
    """What became of a claim that an earlier run left."""
    from ledger_client.errors import Refused

    if isinstance(one, Refused):
        click.echo(clean(f"note: a claim that an earlier run had signed was refused: {one}"), err=True)
    else:
        click.echo("note: a claim that an earlier run had signed is at the registry now", err=True)


def refusal_json(error: Refused) -> dict[str, Any]:
    """A registry's refusal, with its rule."""
    from ledger_client.certificates.auditing import ruled

    rule, detail = ruled(error.title, error.detail)
    return {"rule": rule, "title": error.title, "detail": detail}


def claim_json(sent: Sent) -> dict[str, Any]:
    """A claim that the registry has."""
    return {"number": sent.signed.claim.number, "id": sent.signed.id.hex(), "time": rfc3339(sent.time_s)}


def span_ms(begin: str | None, end: str | None) -> tuple[int, int]:
    """[--from, --to) in ms; what is not given bounds nothing. Raises UsageError."""
    return moment("--from", begin) * 1000 if begin else 0, moment("--to", end) * 1000 if end else _LATEST_MS


def say(facts: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """The answer of a command."""
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(map(clean, lines)))
