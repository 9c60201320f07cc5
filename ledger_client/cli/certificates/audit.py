"""Command ``meterseal-ledger certificate audit``: a registry's log replayed by the registry's own rules."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger_client.cli.certificates.common import CA, JSON, TRUST, say
from ledger_client.cli.terminal.options import UsageError, access
from ledger_client.cli.terminal.trusted import load_in_force
from ledger_client.verification.trust import Trust

if TYPE_CHECKING:
    from ledger_client.certificates.given import Given
    from ledger_client.certificates.over_issued import OverIssue
    from ledger_client.certificates.replay import Fault, Replay
    from ledger_client.recompute.run import Result

_PAGE = 500


@click.command()
@click.argument("log", metavar="LOG|URL")
@TRUST
@click.option("--batches", multiple=True, metavar="PATH", type=click.Path(path_type=Path),
              help="batches and proofs, or a folder, with the newest statements; may be given again")  # fmt: skip
@CA
@JSON
def audit(log: str, trust_file: Path, batches: tuple[Path, ...], ca: Path | None, as_json: bool) -> None:
    """Replay a registry's log, a copy of its log.db or over HTTP, and name all that its rules do not admit.

    With --batches also each month in which a device has more issued than its newest statement gives. Exit 0: sound.
    """
    from ledger_client.certificates import auditing
    from ledger_client.certificates.given import Given
    from ledger_client.certificates.recomputed import results_of

    trust, now = load_in_force(trust_file), int(time.time())
    made, faults = _replayed(log, ca, trust, now)
    results = results_of(batches, trust, now)
    given = Given(results)
    months = given.over_issued(auditing.issued(made)) if results else []
    notes = [note for result in results for note in _notes(result)]
    lines = _in_words(made, faults, months, given, notes)
    say(auditing.as_json(made, faults, months, given, notes), lines, as_json)
    sys.exit(1 if faults or months else 0)


def _replayed(log: str, ca: Path | None, trust: Trust, now: int) -> tuple[Replay, list[Fault]]:
    if log.startswith(("http://", "https://")):
        return _over_http(log, ca, trust, now)
    return _of_file(Path(log), trust, now)


def _of_file(path: Path, trust: Trust, now: int) -> tuple[Replay, list[Fault]]:
    from ledger_client.certificates.auditing import bad_receipts
    from ledger_client.certificates.replay import replay
    from ledger_client.transparency.log.log import Log

    if not path.is_file():
        raise UsageError(f"{path}: no such file", "give a copy of log.db (meterseal-ledger backup), or a URL")
    with closing(Log.open(path, read_only=True)) as log, log.read() as reader:
        made = replay(log.name, reader.entries(0, reader.size()))
        receipts = [
            (number, signed.entry, receipt)
            for number, signed in made.claims
            if (receipt := reader.receipt(signed.id)) is not None
        ]
    return made, [*made.faults, *bad_receipts(made, receipts, trust, now)]


def _over_http(url: str, ca: Path | None, trust: Trust, now: int) -> tuple[Replay, list[Fault]]:
    from ledger_client.certificates.auditing import bad_receipts, prefix_roots
    from ledger_client.certificates.replay import UNSOUND, Fault, replay
    from ledger_client.formats.log_head import parse_head
    from ledger_client.ledgers.http import HttpLedger
    from ledger_client.online.log_client import LogClient
    from ledger_client.online.log_proof import signed_head
    from ledger_client.transport.access import demand_http

    demand_http("URL", url)
    way = access(ca, [url])
    with closing(LogClient(url, way)) as client:
        name = parse_head(client.head()).head.ledger
        head = signed_head(name, trust, client)

        def entries() -> Iterator[tuple[int, bytes]]:
            number = 0
            while number < head.size and (page := client.entries(number, min(_PAGE, head.size - number))):
                yield from page
                number = page[-1][0] + 1

        made = replay(name, entries())
    faults = list(made.faults)
    if prefix_roots(made.leaves, {head.size}).get(head.size) != head.root:
        faults.append(Fault(head.size, UNSOUND, "the entries that it shows do not give the root that it signed"))
    with closing(HttpLedger(name, url, way)) as ledger:
        receipts = [
            (number, signed.entry, receipt)
            for number, signed in made.claims
            if isinstance(receipt := ledger.lookup(signed.id), bytes)
        ]
    return made, [*faults, *bad_receipts(made, receipts, trust, now)]


def _notes(result: Result) -> Iterator[str]:
    if not result.audit.sound:
        yield f"the audit of the batches of {result.audit.gateway} is not sound: see meterseal-ledger audit"
    for period in result.periods:
        if not period.equal:
            yield f"statement {period.record.hex()[:16]} is not what its batches give: see meterseal-ledger recompute"


def _in_words(
    made: Replay, faults: Sequence[Fault], months: Sequence[OverIssue], given: Given, notes: Sequence[str]
) -> list[str]:
    from ledger_client.certificates.auditing import ruled, units_by_status

    verdict = "NOT SOUND" if faults else "OVER-ISSUED" if months else "SOUND"
    counts = f"{len(made.claims)} claims in {len(made.leaves)} entries, {len(made.state.certificates)} certificates"
    lines = [f"{verdict}: registry {made.registry}: {counts}"]
    lines += [f"  {units:>15,} Wh {status}" for status, units in units_by_status(made).items()]
    for number, title, detail in faults:
        rule, bare = ruled(title, detail)
        lines.append(f"  entry {number}: {title}: {bare} ({rule})")
    for month in months:
        begin = datetime.fromtimestamp(month.month_ms / 1000, UTC).isoformat()
        lines.append(
            f"  over-issued: device {given.names[month.device]}, month from {begin}: {month.units} Wh more than its "
            "newest statement gives (C3); fix: its issuer withdraws, or as much of that month is retired with "
            "--purpose over-issued"
        )
        lines += [f"    {one.certificate.id.hex()}: {one.units} Wh in excess" for one in month.excess]
    return [*lines, *(f"  note: {note}" for note in notes)]
