"""Command ``meterseal-ledger trust``: create, fill, show and check a trust file."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from ledger_client.cli.terminal.options import FORCE, YES, UsageError, access, addresses, agreed, demand_replaceable
from ledger_client.cli.terminal.trusted import EXPIRED_OK, load_in_force
from ledger_client.click_help import HELP
from ledger_client.errors import TrustFileError, VerificationError
from ledger_client.log_lines import printable
from ledger_client.messages import Message
from ledger_client.text_file import WrongText, duration_ms
from ledger_client.times import rfc3339, span_in_words
from ledger_client.verification.key_storage import held_in_words
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_dates import demand_in_force
from ledger_client.verification.trust_file import load_trust


@click.group(context_settings=HELP)
def trust() -> None:
    """Make, fill and look at a trust file: whom a verifier believes."""


@trust.command()
@click.argument("trust_file", metavar="trust.toml", type=click.Path(path_type=Path))
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@YES
def add(trust_file: Path, source: Path, yes: bool) -> None:
    """Add the keys of FILE, an enrolment request or what `show --trust` of a ledger prints; asks first."""
    from ledger_client.enrolment import trust_entries as files

    new = files.missing_in(trust_file, files.keys_of(source))
    for key in new:
        held = "" if key.held is None else f", in {held_in_words(key.held)}"
        click.echo(f"new: {files.in_words(key)}{held}")
    if not new:
        click.echo(f"{trust_file}: has all of them already")
        return
    if by := tuple(sorted({key.held.by for key in new if key.held is not None and key.held.by is not None})):
        _warn(source, (Message("trust-held-unproven", ledgers=by),))
    agreed("compare the thumbprints with their owner by another way than the file came", yes=yes)
    _warn(trust_file, files.add(trust_file, new))
    click.echo(f"{trust_file}: {len(new)} keys added")


@trust.command(name="from")
@click.argument("url", metavar="URL")
@click.option("--gateway", "gateways", multiple=True, metavar="GATEWAY", help="may be given more than once")
@click.option("--party", "parties", multiple=True, metavar="PARTY", help="party, issuer or verifier, likewise")
@click.option(
    "--ledger-key", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="[[key]] entries of the ledger that you have from its operator, older ones will do",
)  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="trust.toml", help="where to")
@click.option(
    "--max-delay", default="8d", show_default=True, metavar="TIME",
    help="the longest that the plant may be without its ledgers: a record that reaches them later does not count",
)  # fmt: skip
@click.option(
    "--days", default=90, show_default=True, metavar="DAYS", type=click.IntRange(1, 3650),
    help="how long the file counts: so long a key that is revoked meanwhile is believed where nobody asks the log",
)  # fmt: skip
@click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of an https address")
@FORCE
def from_log(
    url: str, gateways: tuple[str, ...], parties: tuple[str, ...], ledger_key: Path, output: Path, max_delay: str,
    days: int, ca: Path | None, force: bool,
) -> None:  # fmt: skip
    """Make a trust file from the log of the ledger at URL, proven against a key of it: exit 1 if that does not hold."""
    from ledger_client.durable_files import write_text  # asking needs the network; judging a proof does not
    from ledger_client.online.trust_from_log import made
    from ledger_client.transport.access import demand_http

    whom = list(dict.fromkeys([f"gateway/{one}" for one in gateways] + [f"party/{one}" for one in parties]))
    if not whom:
        raise UsageError("neither --gateway nor --party is given", "say whose keys the trust file is to hold")
    demand_http("URL", url)
    _demand_seconds("--max-delay", max_delay)
    demand_replaceable(output, "trust file", _is_trust, force=force)
    try:
        text, proven = made(url, whom, ledger_key, max_delay, days, access(ca, [url]))
    except VerificationError as error:
        click.echo(f"NOT PROVEN: {printable(error.detail)}")
        sys.exit(1)
    try:
        write_text(output, text)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}", "give a path that can be written") from None
    for one in proven:
        count = one.count
        log = f"{count.count} of the {count.size} entries of ledger {count.ledger} at {rfc3339(count.iat)}"
        click.echo(f"{len(one.keys)} keys of {count.about.replace('/', ' ')}, by {log}")
    click.echo(f"wrote {output}: max_delay is {max_delay}, and a record that reaches the ledgers later does not count;")
    click.echo("give --max-delay more if they may be away from the plant for longer, or there were none at first")
    if (expires := load_trust(output).expires) is not None:
        click.echo(f"it counts until {rfc3339(expires)}: make it again before then, with the same command")


@trust.command()
@click.argument("trust_file", metavar="trust.toml", type=click.Path(path_type=Path))
def show(trust_file: Path) -> None:
    """Say whom a trust file believes, with thumbprints, to be compared with their owners."""
    from ledger_client.enrolment.trust_entries import in_words

    found = load_trust(trust_file)
    click.echo(f"receipts of {found.receipts} of the ledgers {', '.join(found.ledgers)} are asked for")
    if found.max_delay_s is not None:
        click.echo(f"records count that the ledgers had within {span_in_words(found.max_delay_s * 1000)}")
    if found.made is not None:
        click.echo(f"made at {rfc3339(found.made)}")
    if found.expires is not None:
        click.echo(f"counts until {rfc3339(found.expires)}")
    for key in found.keys:
        until = f" until {rfc3339(key.valid_to)}" if key.valid_to is not None else ""
        revoked = f", REVOKED from {rfc3339(key.revoked)} on" if key.revoked is not None else ""
        held = "" if key.party is not None else f", in {held_in_words(key.held)}"
        click.echo(f"{in_words(key)}: from {rfc3339(key.valid_from)}{until}{revoked}{held}")
        if key.held is not None and key.held.evidence is not None:
            click.echo(f"  evidence: {printable(key.held.evidence)}")
    if found.witnessed:
        click.echo(f"a log counts that {found.witnessed} of the {len(found.witnesses)} witnesses have cosigned")
    for log in found.logs:
        click.echo(f"log of ledger {log.ledger}: {log.vkey.text}")
    for witness in found.witnesses:
        click.echo(f"witness {witness.name}: {witness.vkey.text}")
    for chain in found.chains:
        click.echo(f"ledger {chain.ledger}: chain {chain.chain_id}, contract 0x{chain.contract.hex()}")
    for chain in found.registries:
        click.echo(f"registry {chain.ledger}: chain {chain.chain_id}, contract 0x{chain.contract.hex()}")
    _warn(trust_file, (*_warnings(found), *demand_in_force(found, int(time.time()), expired_ok=True)))


@trust.command()
@click.argument("trust_file", metavar="trust.toml", type=click.Path(path_type=Path))
@click.option("--ledger", "ledgers", multiple=True, metavar="LEDGER=URL", help="compare with the log there")
@click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of https addresses")
@EXPIRED_OK
def check(trust_file: Path, ledgers: tuple[str, ...], ca: Path | None) -> None:
    """Check a trust file, and with --ledger whether the log tells the same: exit 0 yes, 1 no."""
    from ledger_client.online.trust_from_log import compared  # asking needs the network

    found, urls = load_in_force(trust_file), addresses("--ledger", ledgers)
    _warn(trust_file, _warnings(found))
    way, differences = access(ca, urls.values()), 0
    for ledger, url in urls.items():
        try:
            for difference in compared(found, ledger, url, way):
                differences += 1
                click.echo(f"{ledger}: {printable(difference)}")
        except VerificationError as error:
            differences += 1
            click.echo(f"{ledger}: NOT PROVEN: {printable(error.detail)}")
    if differences:
        sys.exit(1)
    asked = f", as the log of {', '.join(urls)} tells" if urls else "; --ledger LEDGER=URL compares it with a log"
    click.echo(f"{trust_file}: {len(found.keys)} keys in order{asked}")


def _warnings(found: Trust) -> tuple[Message, ...]:
    """Those of the file, and that it takes records of any delay, or counts for ever."""
    warnings = list(found.warnings)
    if found.max_delay_s is None:
        warnings.append(Message("trust-no-max-delay"))
    if found.expires is None:
        warnings.append(Message("trust-no-expires"))
    return tuple(warnings)


def _demand_seconds(option: str, value: str) -> None:
    try:
        if duration_ms(value) % 1000 == 0:
            return
    except WrongText as error:
        raise UsageError(f"{option} is {value}: {error.sentence}", "give a time as 8d or 36h") from None
    raise UsageError(f"{option} is {value}: no whole seconds", "give a time as 8d or 36h")


def _warn(trust_file: Path, warnings: tuple[Message, ...]) -> None:
    for warning in warnings:
        click.echo(f"warning: {trust_file}: {warning}", err=True)


def _is_trust(path: Path) -> bool:
    with suppress(TrustFileError):
        load_trust(path, anchored=False)
        return True
    return False
