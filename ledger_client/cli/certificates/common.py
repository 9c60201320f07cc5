"""Options that the commands `certificate` share: trust file, party, registry, output; and what they open with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger_client.cli.terminal.options import UsageError, access, addresses
from ledger_client.times import rfc3339
from ledger_client.verification.explain import clean
from ledger_client.verification.trust import load_trust

if TYPE_CHECKING:
    from ledger_client.certificates.holding.sending import Sender, Sent
    from ledger_client.errors import Refused
    from ledger_client.ledgers.http_registry import HttpRegistry

TRUST = click.option(
    "--trust", "trust_file", required=True, metavar="TRUST.toml", type=click.Path(path_type=Path),
    help="believed, and nothing else",
)  # fmt: skip
KEY = click.option(
    "--key", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path),
    help="the party's folder (`meterseal-ledger party new`)",
)  # fmt: skip
REGISTRY = click.option("--registry", required=True, metavar="NAME=URL", help="where claims are ordered")
CA = click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of an https address")
JSON = click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
_SENDING = (KEY, REGISTRY, TRUST, CA, JSON)


def sends(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that claims."""
    for option in reversed(_SENDING):
        command = option(command)
    return command


def opened(registry: str, ca: Path | None) -> HttpRegistry:
    """The registry of NAME=URL."""
    from ledger_client.ledgers.http_registry import HttpRegistry

    ((name, url),) = addresses("--registry", [registry]).items()
    return HttpRegistry(name, url, access(ca, [url]))


@contextmanager
def connected(folder: Path, registry: str, trust_file: Path, ca: Path | None) -> Iterator[Sender]:
    """The party's sender at a registry, whose earlier claims have been repeated. Ends with exit code 1 and the
    registry's words where that has no answer now."""
    from ledger_client.certificates.holding.sending import sending
    from ledger_client.enrolment.party_folder import load
    from ledger_client.errors import LedgerUnavailable

    trust, party = load_trust(trust_file), load(folder)
    client = opened(registry, ca)
    try:
        if not trust.has_ledger_key(client.name):
            way_out = f"add it: meterseal-ledger trust add {trust_file} FILE"
            raise UsageError(f"{trust_file}: has no key of the registry {client.name}", way_out)
        with sending(party, client, trust, lambda: int(time.time())) as sender:
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


def say(facts: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """The answer of a command."""
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(map(clean, lines)))
