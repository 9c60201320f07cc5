"""Commands that judge proofs: verify, audit, prove."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ledger_client.audit.period_ends import compare_with_ledgers
from ledger_client.cli.terminal.options import (
    FORCE,
    UsageError,
    access,
    addresses,
    demand_replaceable,
    moment,
    write_output,
)
from ledger_client.cli.terminal.trusted import load_in_force, trusting
from ledger_client.errors import STEPS, VerificationError
from ledger_client.formats.batch_file import is_batch
from ledger_client.formats.bundle import is_bundle
from ledger_client.verification.as_json import failure_json, verified_json
from ledger_client.verification.explain import clean, facts_in_words, steps_in_words
from ledger_client.verification.online_facts import NOTHING_ASKED, OnlineFacts
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import verify as verify_bundle

MAX_FILE = 2 * 1024 * 1024  # what is read of a file that may not be a bundle at all


_WAYS = (
    click.option(
        "--ledger", "logs", multiple=True, metavar="LEDGER=URL", help="for --online: where that ledger serves"
    ),
    click.option(
        "--rpc", "nodes", multiple=True, metavar="LEDGER=URL", help="for --online: a node of that ledger's chain"
    ),
    click.option(
        "--ca", metavar="PEM", type=click.Path(path_type=Path), help="the private CA of those that speak https"
    ),
    click.option("--offline-ok", is_flag=True, help="for --online: a ledger that cannot be asked changes nothing"),
)


def _ways_to_ask(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where ledgers are asked with ``--online``."""
    for option in reversed(_WAYS):
        command = option(command)
    return command


@click.command()
@click.argument("file", metavar="FILE.mseal", type=click.Path(path_type=Path))
@trusting("trust.toml")
@click.option("--kind", type=click.Choice(["reading", "coverage", "event"]), help="demand this kind of record")
@click.option("--online", is_flag=True, help="ask all ledgers whether they hold it, and no other")
@_ways_to_ask
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
    trust = load_in_force(trust_file)
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


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@trusting("trust.toml")
@click.option("--gateway", metavar="NAME", help="the files must be this gateway's; without --from from its batch 0 on")
@click.option("--from", "begin", metavar="TIME", help="they must reach back to then, as 2026-11-24T12:00:00Z")
@click.option("--to", "end", metavar="TIME", help="they must reach until then")
@click.option("--allow-resume", is_flag=True, help="note what an announced loss left behind; without it: exit 1")
@click.option("--online", is_flag=True, help="ask all ledgers for the gateway's last batch")
@_ways_to_ask
@click.option("--json", "as_json", is_flag=True, help="one JSON object and nothing else")
def audit(
    files: tuple[Path, ...], trust_file: Path, gateway: str | None, begin: str | None, end: str | None,
    allow_resume: bool, online: bool, logs: tuple[str, ...], nodes: tuple[str, ...], ca: Path | None,
    offline_ok: bool, as_json: bool,
) -> None:  # fmt: skip
    """Check whole batches, and that nothing is missing between them: exit 0 all holds, 1 something does not.

    Proofs (.mseal) of the gateway's events that `meterseal export` wrote beside batches go with them. A FILE may be a
    folder, such as that of a gateway in the archive of a control room: then it is the .mbatch and .mseal files in it.
    """
    from ledger_client.audit import run as audits
    from ledger_client.audit.files import evidence_in
    from ledger_client.audit.report import audit_in_words

    asking = _asking_last(logs, nodes, ca) if online else None
    _demand_online(online, logs, nodes, ca, offline_ok=offline_ok)
    from_ms = None if begin is None else moment("--from", begin) * 1000
    to_ms = None if end is None else moment("--to", end) * 1000
    trust = load_in_force(trust_file)
    for warning in trust.warnings:
        click.echo(f"warning: {trust.source}: {warning}", err=True)
    wanted = audits.Wanted(gateway, from_ms, to_ms, allow_resume)
    result = audits.audit(evidence_in(files), trust, int(time.time()), wanted=wanted)
    if asking is not None and result.gateway is not None:
        answers = asking(result.gateway, trust)
        compare_with_ledgers(result, answers, to_the_end=end is None, offline_ok=offline_ok)
    _say(result.as_json(), "\n".join(audit_in_words(result)), as_json)
    sys.exit(0 if result.sound else 1)


@click.command()
@click.argument("file", metavar="FILE.mbatch", type=click.Path(path_type=Path))
@click.argument("record")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.mseal")
@FORCE
def prove(file: Path, record: str, output: Path, force: bool) -> None:
    """Take the proof of RECORD (METER/EPOCH/SEQ, or a meter's name: its newest reading) out of a batch file."""
    from ledger_client.formats.batch_file import BatchFile

    demand_replaceable(output, "proof (.mseal)", is_bundle, force=force)
    batch = BatchFile.open(file)
    proven, bundle = batch.prove(batch.find(record))
    write_output(output, bundle)
    click.echo(f"wrote {output}: {proven.id}, {len(bundle)} bytes")


def _demand_online(
    online: bool, logs: tuple[str, ...], nodes: tuple[str, ...], ca: Path | None, *, offline_ok: bool
) -> None:
    if not online and (logs or nodes or ca or offline_ok):
        raise UsageError("--ledger, --rpc, --ca and --offline-ok have no effect without --online", "add --online")


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
        raise UsageError(f"{file}: {error.strerror}", "give the path of a .mseal file") from error
    if is_batch(data):
        raise UsageError(
            f"{file}: is a whole batch, and this checks the proof of one record",
            f"check it with `meterseal-ledger audit {file} --trust {trust_file}`, or take a proof out of it: "
            f"`meterseal-ledger prove {file} METER/EPOCH/SEQ -o reading.mseal`",
        )
    return data


def _say(facts: dict[str, Any], words: str, as_json: bool) -> None:
    click.echo(json.dumps(facts) if as_json else words)
