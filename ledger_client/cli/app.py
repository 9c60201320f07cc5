"""Command ``meterseal-ledger``: run a ledger, enrol gateways, verify proofs, audit periods.

Exit codes: 0 done, 1 the answer is no (not verified), 2 wrong usage or configuration.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar

import click

from ledger_client.audit.period_ends import compare_with_ledgers
from ledger_client.cli.bridge import bridge
from ledger_client.cli.evm import evm
from ledger_client.cli.options import (
    FORCE,
    YES,
    UsageError,
    access,
    addresses,
    agreed,
    broker_login,
    demand_replaceable,
)
from ledger_client.cli.recompute import recompute
from ledger_client.cli.trust import trust
from ledger_client.click_help import HELP, Grouped
from ledger_client.errors import STEPS, LedgerClientError, VerificationError
from ledger_client.formats.batch_file import is_batch
from ledger_client.formats.bundle import is_bundle
from ledger_client.times import rfc3339
from ledger_client.verification.as_json import failure_json, verified_json
from ledger_client.verification.explain import clean, facts_in_words, steps_in_words
from ledger_client.verification.online_facts import NOTHING_ASKED, OnlineFacts
from ledger_client.verification.trust import Trust, load_trust
from ledger_client.verification.verify import verify as verify_bundle

_RATE = click.FloatRange(0, 1e6)
MAX_FILE = 2 * 1024 * 1024  # what is read of a file that may not be a bundle at all


class _Commands(Grouped):
    headings: ClassVar = {
        "Judge proofs": ("verify", "audit", "prove", "trust"),
        "Run a ledger": ("init", "serve", "show", "enroll", "revoke", "rotate", "backup"),
        "Account": ("recompute",),
        "Chains": ("evm", "bridge"),
    }


@click.group(cls=_Commands, context_settings=HELP)
@click.version_option(package_name="meterseal", prog_name="meterseal-ledger")
def cli() -> None:
    """Run the embedded ledger, enrol gateways, verify and audit proofs offline."""


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="the ledger's name, for ever  [default: demo-ledger]")
def init(folder: Path, name: str | None) -> None:
    """Make a new ledger in DIR, for `enroll` and `show` before it is served."""
    from ledger_client.transparency.ledger.directory import make_dir

    click.echo(f"made {folder}: ledger {make_dir(folder, name)}; serve it: meterseal-ledger serve {folder}")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--listen", default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT", help="port 0: any free one")
@click.option("--cert", metavar="PEM", help="serve https with this certificate")
@click.option("--key", metavar="PEM", help="and this private key")
@click.option("--client-ca", metavar="PEM", help="let in only clients with a certificate by this CA (mutual TLS)")
@click.option("--mqtt", metavar="mqtt[s]://HOST:PORT", help="also take statements through this broker")
@broker_login
@click.option("--name", metavar="NAME", help="the ledger's name, chosen at its first start  [default: demo-ledger]")
@click.option("--metrics", metavar="HOST:PORT", help="figures for Prometheus at an address of their own")
@click.option("--rate", type=_RATE, default=200, show_default=True, help="requests/s of one address; 0: any number")
@click.option("--gateway-rate", type=_RATE, default=100, show_default=True, help="statements/s of one gateway; 0: any")
@click.option("--connections", type=click.IntRange(1, 65536), default=512, show_default=True, help="open at once")
@click.option("--proxy", multiple=True, metavar="ADDRESS", help="a proxy whose X-Forwarded-For is believed")
def serve(
    folder: Path, listen: str, mqtt: str | None, name: str | None, metrics: str | None, proxy: tuple[str, ...],
    rate: float, gateway_rate: float, connections: int, **options: str | None,
) -> None:  # fmt: skip
    """Serve the ledger in DIR until SIGTERM or Ctrl-C; the first start makes it."""
    from ledger_client.transparency.server.endpoints import Doors, file_options  # need a web server; verifying does not
    from ledger_client.transparency.server.main import Serving
    from ledger_client.transparency.server.main import serve as run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("meterseal").setLevel(logging.INFO)
    own, broker = file_options(options)
    doors = Doors(listen, **own, mqtt=mqtt, broker=broker)
    serving = Serving(name, metrics, rate, gateway_rate, connections, proxy)
    run(folder, doors, serving, lambda line: print(line, flush=True))


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("request", metavar="GATEWAY.ENROL", type=click.Path(path_type=Path))
@click.option("--add-key", is_flag=True, help="let in a known gateway's new statement key that no old one has signed")
@YES
def enroll(folder: Path, request: Path, add_key: bool, yes: bool) -> None:
    """Let in the gateway that made a request, with its meters; asks first. May run while the ledger serves."""
    from ledger_client.transparency.ledger import enroll as enrolling

    proposal = enrolling.propose(folder, request, add_key=add_key)
    for line in proposal.in_words():
        click.echo(line)
    if not proposal.changes:
        return
    agreed("compare the thumbprints with the gateway's operator by another way than the file came", yes=yes)
    enrolling.let_in(folder, proposal, add_key=add_key)
    click.echo(f"gateway {proposal.enrolment.gateway} enrolled: {len(proposal.new)} new keys")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("gateway")
@click.option("--kid", metavar="KID", help="which key, if the gateway has several; show lists them")
@click.option("--reason", metavar="TEXT", help="why, for whoever reads a refusal")
@click.option("--at", metavar="TIME", help="from when on it does not count, as 2026-11-24T12:00:00Z  [default: now]")
def revoke(folder: Path, gateway: str, kid: str | None, reason: str | None, at: str | None) -> None:
    """Have a gateway's key count no more; may run while the ledger serves. What was taken stays."""
    from ledger_client.transparency.ledger.revoke import revoke as mark
    from ledger_client.transport.wire import id_to_text

    key, changed = mark(folder, gateway, kid, int(time.time()) if at is None else _time("--at", at), reason)
    state = "revoked" if changed else "revoked already, left as it is:"
    whose = "statement key" if key.meter is None else f"key of meter {key.meter}"
    click.echo(f"gateway {gateway}: {whose} {id_to_text(key.kid)} {state} from {rfc3339(key.revoked or 0)} on")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--trust", is_flag=True, help="print the [[key]] entry for the trust.toml of whoever believes this ledger"
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def show(folder: Path, trust: bool, as_json: bool) -> None:
    """Say what the ledger in DIR holds; it may be serving meanwhile."""
    from ledger_client.transparency.ledger import show as summary

    if trust:
        click.echo(summary.trust_entry(folder), nl=False)
    elif as_json:
        click.echo(json.dumps(summary.facts(folder)))
    else:
        click.echo(summary.in_words(summary.facts(folder)))


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--prepare", is_flag=True, help="make the next key and print its [[key]] entry; the present key signs on")
def rotate(folder: Path, prepare: bool) -> None:
    """Sign with a new key from now on; the ledger in DIR may be serving. Older keys stay published."""
    from ledger_client.transparency.ledger import rotate as keys
    from ledger_client.transport.wire import id_to_text

    if prepare:
        click.echo(keys.prepare(folder), nl=False)
        return
    before, now = keys.rotate(folder)
    click.echo(f"{id_to_text(now.key.kid)} signs from {rfc3339(now.since)} on, after {id_to_text(before.key.kid)}")
    click.echo(f"everyone who believes this ledger needs its new entries: meterseal-ledger show {folder} --trust")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="where to")
@FORCE
def backup(folder: Path, output: Path, force: bool) -> None:
    """Copy the log of the ledger in DIR, which may be serving, and read the copy through."""
    from ledger_client.transparency.ledger.backup import backup as copy

    copied = copy(folder, output, force=force)
    click.echo(f"{output}: {copied.size} entries of ledger {copied.ledger}, root {copied.root.hex()}")
    click.echo(f"not in it: {folder}/key.pem, without which it cannot be served, and {folder}/policy.toml")


@cli.command()
@click.argument("file", metavar="FILE.mseal", type=click.Path(path_type=Path))
@click.option("--trust", "trust_file", required=True, metavar="trust.toml", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["reading", "coverage", "event"]), help="demand this kind of record")
@click.option("--online", is_flag=True, help="ask all ledgers whether they hold it, and no other")
@click.option("--ledger", "logs", multiple=True, metavar="LEDGER=URL", help="for --online: where that ledger serves")
@click.option("--rpc", "nodes", multiple=True, metavar="LEDGER=URL", help="for --online: a node of that ledger's chain")
@click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of those that speak https")
@click.option("--offline-ok", is_flag=True, help="for --online: a ledger that cannot be asked changes nothing")
@click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
def verify(
    file: Path, trust_file: Path, kind: str | None, online: bool, logs: tuple[str, ...], nodes: tuple[str, ...],
    ca: Path | None, offline_ok: bool, as_json: bool,
) -> None:  # fmt: skip
    """Check a proof with nothing but the trust file: exit 0 verified, 1 not verified.

    With --online every ledger of the trust file's policy must be asked, with --ledger or --rpc, whether it holds
    another statement under the same number.
    """
    asking = _asking(logs, nodes, ca, offline_ok=offline_ok) if online else None
    _demand_online(online, logs, nodes, ca, offline_ok=offline_ok)
    trust = load_trust(trust_file)
    for warning in trust.warnings:
        click.echo(f"warning: {trust.source}: {warning}", err=True)
    try:
        bundle = _read(file, trust_file)
        facts = asking(bundle, trust) if asking else NOTHING_ASKED
        proven = verify_bundle(bundle, trust, int(time.time()), kind=kind, facts=facts)
    except VerificationError as error:
        why = f"NOT VERIFIED, step {error.step} ({STEPS[error.step]}): {clean(error.detail)}"
        _say(failure_json(error), why, as_json)
        sys.exit(1)
    _say(verified_json(proven), "\n".join([*steps_in_words(proven), "", *facts_in_words(proven)]), as_json)


@cli.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--trust", "trust_file", required=True, metavar="trust.toml", type=click.Path(path_type=Path))
@click.option("--gateway", metavar="NAME", help="the files must be this gateway's; without --from from its batch 0 on")
@click.option("--from", "begin", metavar="TIME", help="they must reach back to then, as 2026-11-24T12:00:00Z")
@click.option("--to", "end", metavar="TIME", help="they must reach until then")
@click.option("--allow-resume", is_flag=True, help="note what an announced loss left behind; without it: exit 1")
@click.option("--online", is_flag=True, help="ask all ledgers for the gateway's last batch")
@click.option("--ledger", "logs", multiple=True, metavar="LEDGER=URL", help="for --online: where that ledger serves")
@click.option("--rpc", "nodes", multiple=True, metavar="LEDGER=URL", help="for --online: a node of that ledger's chain")
@click.option("--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of those that speak https")
@click.option("--offline-ok", is_flag=True, help="for --online: a ledger that cannot be asked changes nothing")
@click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
def audit(
    files: tuple[Path, ...], trust_file: Path, gateway: str | None, begin: str | None, end: str | None,
    allow_resume: bool, online: bool, logs: tuple[str, ...], nodes: tuple[str, ...], ca: Path | None,
    offline_ok: bool, as_json: bool,
) -> None:  # fmt: skip
    """Check whole batches, and that nothing is missing between them: exit 0 all holds, 1 something does not.

    Proofs (.mseal) of the gateway's events that `meterseal export` wrote beside batches go with them.
    """
    from ledger_client.audit import run as audits
    from ledger_client.audit.report import audit_in_words

    asking = _asking_last(logs, nodes, ca) if online else None
    _demand_online(online, logs, nodes, ca, offline_ok=offline_ok)
    from_ms = None if begin is None else _time("--from", begin) * 1000
    to_ms = None if end is None else _time("--to", end) * 1000
    trust = load_trust(trust_file)
    for warning in trust.warnings:
        click.echo(f"warning: {trust.source}: {warning}", err=True)
    wanted = audits.Wanted(gateway, from_ms, to_ms, allow_resume)
    result = audits.audit(files, trust, int(time.time()), wanted=wanted)
    if asking is not None and result.gateway is not None:
        answers = asking(result.gateway, trust)
        compare_with_ledgers(result, answers, to_the_end=end is None, offline_ok=offline_ok)
    _say(result.as_json(), "\n".join(audit_in_words(result)), as_json)
    sys.exit(0 if result.sound else 1)


@cli.command()
@click.argument("file", metavar="FILE.mbatch", type=click.Path(path_type=Path))
@click.argument("record")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.mseal")
@FORCE
def prove(file: Path, record: str, output: Path, force: bool) -> None:
    """Take the proof of RECORD (METER/EPOCH/SEQ, or a meter's name: its newest reading) out of a batch file."""
    from ledger_client.durable_files import whole_file
    from ledger_client.formats.batch_file import BatchFile

    demand_replaceable(output, "proof (.mseal)", is_bundle, force=force)
    batch = BatchFile.open(file)
    proven, bundle = batch.prove(batch.find(record))
    try:
        with whole_file(output) as target:
            target.write(bundle)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}; give a path that can be written") from None
    click.echo(f"wrote {output}: {proven.id}, {len(bundle)} bytes")


cli.add_command(bridge)
cli.add_command(evm)
cli.add_command(recompute)
cli.add_command(trust)


def _demand_online(
    online: bool, logs: tuple[str, ...], nodes: tuple[str, ...], ca: Path | None, *, offline_ok: bool
) -> None:
    if not online and (logs or nodes or ca or offline_ok):
        raise UsageError("--ledger, --rpc, --ca and --offline-ok are about asking, and nobody is asked; add --online")


def _asking(
    logs: tuple[str, ...], nodes: tuple[str, ...], ca: Path | None, *, offline_ok: bool
) -> Callable[[bytes, Trust], OnlineFacts]:
    """What ``verify --online`` asks; found wrong before anything else is done."""
    from ledger_client.online.ask import refresh  # needs the network; verifying does not

    ledgers, chains = addresses("--ledger", logs), addresses("--rpc", nodes)
    way = access(ca, [*ledgers.values(), *chains.values()])
    return lambda bundle, trust: refresh(bundle, trust, chains, ledgers, access=way, offline_ok=offline_ok)


def _asking_last(
    logs: tuple[str, ...], nodes: tuple[str, ...], ca: Path | None
) -> Callable[[str, Trust], dict[str, tuple[tuple[int, bytes] | str | None, ...]]]:
    """What ``audit --online`` asks: a gateway's last batch."""
    from ledger_client.online.ask import last_batches

    ledgers, chains = addresses("--ledger", logs), addresses("--rpc", nodes)
    way = access(ca, [*ledgers.values(), *chains.values()])
    return lambda gateway, trust: last_batches(gateway, trust, chains, ledgers, access=way)


def _read(file: Path, trust_file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; give the path of a .mseal file") from error
    if is_batch(data):
        raise UsageError(
            f"{file}: is a whole batch, and this checks the proof of one record; check all of it with "
            f"`meterseal-ledger audit {file} --trust {trust_file}`, or take a proof out of it first: "
            f"`meterseal-ledger prove {file} METER/EPOCH/SEQ -o reading.mseal`"
        )
    return data


def _time(option: str, text: str) -> int:
    """Unix seconds of an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None or moment.timestamp() < 0:
        raise UsageError(f"{option} {text!r}: not a time with its zone; write it as 2026-11-24T12:00:00Z")
    return int(moment.timestamp())


def _say(facts: dict[str, Any], words: str, as_json: bool) -> None:
    click.echo(json.dumps(facts) if as_json else words)


def main() -> None:
    """Entry point: no error of this package ends in a traceback, and no verdict in an encoding that lacks a letter."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        cli()
    except LedgerClientError as error:
        click.echo(f"error: {clean(str(error))}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
