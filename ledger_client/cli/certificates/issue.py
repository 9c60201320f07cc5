"""Command ``meterseal-ledger certificate issue``: the hours of a statement that an issuer has recomputed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger_client.cli.certificates.common import (
    CA,
    JSON,
    TRUST,
    claim_json,
    connected,
    refusal_json,
    say,
    writes_on_chains,
)
from ledger_client.cli.terminal.options import UsageError, moment
from ledger_client.cli.terminal.trusted import load_in_force
from ledger_client.times import rfc3339

if TYPE_CHECKING:
    from ledger_client.certificates.holding.sending import Sender
    from ledger_client.certificates.issuing import Judged, Stated, WhyNot
    from ledger_client.claims.claim import Issue
    from ledger_client.errors import Refused

_PATH = click.Path(path_type=Path)
ISSUED, ALREADY, COULD, REFUSED = "issued", "issued already", "could be issued", "refused"


@click.command()
@click.argument("statement", metavar="STATEMENT.mrows", type=_PATH)
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=_PATH)
@TRUST
@click.option("--node", required=True, help="of production, in the statement's plan")
@click.option("--holder", required=True, metavar="PARTY", help="who is to hold the certificates")
@click.option("--key", "folder", metavar="DIR", type=_PATH, help="the issuer's folder (`meterseal-ledger party new`)")
@click.option("--registry", metavar="NAME=URL", help="where claims are ordered; must be the plan's for this node")
@click.option("--from", "begin", metavar="TIME", help="only from here on, and all of it, as 2026-10-01T00:00:00Z")
@click.option("--to", "end", metavar="TIME", help="only until there, and all of it")
@click.option("--expires", metavar="TIME", help="no retirement counts from then on")
@click.option("--rows", "others", multiple=True, metavar="FILE.mrows", type=_PATH, help="of a statement that it uses")
@click.option("--dry-run", is_flag=True, help="judge only: nothing is signed, nobody is asked")
@CA
@writes_on_chains
@JSON
def issue(
    statement: Path, files: tuple[Path, ...], trust_file: Path, node: str, holder: str, folder: Path | None,
    registry: str | None, begin: str | None, end: str | None, expires: str | None, others: tuple[Path, ...],
    dry_run: bool, ca: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Issue a certificate for each hour (or quarter) of a statement that may have one, and say why not of the others.

    STATEMENT.mrows are its rows, FILES its batches (.mbatch) and proofs (.mseal). The batches are audited and the
    statement is recomputed first, whatever anybody said of it. What is issued already stays. Exit 1: nothing could be
    issued, or something between --from and --to could not.
    """
    from ledger_client.certificates.issuing import Terms, judge
    from ledger_client.certificates.recomputed import files_of, recomputed
    from ledger_client.collector import seldom

    trust = load_in_force(trust_file)
    if not dry_run and (folder is None or registry is None):
        raise UsageError("--key and --registry are needed", "give them, or --dry-run to judge only")
    span = _ms("--from", begin), _ms("--to", end)
    name = None if registry is None else registry.partition("=")[0]
    terms = Terms(node, holder, name, trust.max_delay_s, _ms("--expires", expires))
    with seldom():
        found = recomputed(statement, files_of(files), trust, int(time.time()), node, others=others)
    whole, hours = judge(found, terms)
    hours = [hour for hour in hours if _within(hour, span)]
    gaps = list(_gaps(hours, span, found))
    if dry_run or not any(hour.deed for hour in hours):
        results = [_result(hour, COULD if hour.deed else REFUSED, hour.why) for hour in hours]
    else:
        assert folder is not None
        assert registry is not None
        with connected(folder, registry, trust_file, ca) as sender:
            results = _issued(sender, hours)
    good = sum(one["state"] != REFUSED for one in results)
    facts = {
        "statement": found.period.record.hex(), "issued": sum(one["state"] == ISSUED for one in results),
        "why": [one._asdict() for one in whole], "hours": results, "missing": gaps,
    }  # fmt: skip
    say(facts, _in_words(found, whole, results, gaps), as_json)
    asked_all = any(span) and (gaps or good < len(results))
    sys.exit(0 if good and not asked_all else 1)


def _ms(option: str, text: str | None) -> int | None:
    return None if text is None else moment(option, text) * 1000


def _within(hour: Judged, span: tuple[int | None, int | None]) -> bool:
    begin_ms, end_ms = span
    return (begin_ms is None or begin_ms <= hour.from_ms) and (end_ms is None or hour.to_ms <= end_ms)


def _gaps(hours: Sequence[Judged], span: tuple[int | None, int | None], found: Stated) -> Iterator[str]:
    """Of the time that was asked for what no interval of the node lies in."""
    begin_ms, end_ms = span
    if begin_ms is None and end_ms is None:
        return
    at_ms = found.period.fields["from"] if begin_ms is None else begin_ms
    for hour in hours:
        if hour.from_ms > at_ms:
            yield f"{rfc3339(at_ms // 1000)} to {rfc3339(hour.from_ms // 1000)}"
        at_ms = hour.to_ms
    last_ms = found.period.fields["to"] if end_ms is None else end_ms
    if at_ms < last_ms:
        yield f"{rfc3339(at_ms // 1000)} to {rfc3339(last_ms // 1000)}"


def _issued(sender: Sender, hours: Sequence[Judged]) -> list[dict[str, Any]]:
    """Issue what the registry can be foreseen to take, one claim an hour."""
    from ledger_client.certificates.holding.foresight import foresee, shown_of
    from ledger_client.claims.certificate import certificate_of, withdrawn
    from ledger_client.claims.claim import Claim
    from ledger_client.errors import Refused

    deeds = [hour.deed for hour in hours if hour.deed is not None]
    shown = shown_of(sender.registry, deeds)
    there = {one.certificate.id for one in shown if not withdrawn(one.slices)}
    foreseen = dict(zip((deed.origin.from_ms for deed in deeds), foresee(sender, deeds, shown), strict=True))

    def name(deed: Issue) -> bytes:
        return certificate_of(Claim(sender.party.name, 0, sender.registry.name, 0, deed), deed).id

    wanted = [deed for deed in deeds if name(deed) not in there and foreseen[deed.origin.from_ms] is None]
    answers = dict(zip((deed.origin.from_ms for deed in wanted), sender.send_all(wanted), strict=True))
    results = []
    for hour in hours:
        if hour.deed is None:
            results.append(_result(hour, REFUSED, hour.why))
            continue
        cert = name(hour.deed)
        if cert in there:
            results.append(_result(hour, ALREADY, (), certificate=cert.hex()))
            continue
        refusal = foreseen[hour.from_ms] or answers[hour.from_ms]  # refused though foreseen: somebody was faster
        if not isinstance(refusal, Refused):
            results.append(_result(hour, ISSUED, (), certificate=cert.hex(), claim=claim_json(refusal)))
            continue
        results.append(_result(hour._replace(deed=None), REFUSED, (_of_registry(refusal),)))
    return results


def _of_registry(error: Refused) -> WhyNot:
    from ledger_client.certificates.issuing import WhyNot

    facts = refusal_json(error)
    return WhyNot(
        facts["rule"], f"{facts['title']}: {facts['detail']}", _FIXES.get(facts["title"], "see docs/claims.md")
    )


_FIXES = {
    "Origin taken": "an hour is certified once, whoever issues: see meterseal-ledger certificate list --device",
    "Final": "a certificate that was withdrawn is never issued again: state the period anew, or another holder",
    "Unknown party": "have both parties enrolled: meterseal-ledger enroll LDIR NAME.enrol",
    "Not the issuer": "issue with the folder of a party that is enrolled as issuer",
}


def _result(hour: Judged, state: str, why: Sequence[WhyNot], **more: Any) -> dict[str, Any]:
    return {
        "from": hour.from_ms, "to": hour.to_ms, "units": hour.deed.units if hour.deed else None, "state": state,
        "why": [one._asdict() for one in why], **more,
    }  # fmt: skip


def _in_words(
    found: Stated, whole: Sequence[WhyNot], results: Sequence[dict[str, Any]], gaps: Sequence[str]
) -> list[str]:
    counts = {state: sum(one["state"] == state for one in results) for state in (ISSUED, ALREADY, COULD, REFUSED)}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"statement {found.period.record.hex()[:16]} of {found.gateway}: {states or 'no interval of this node'}"]
    lines += [f"  nothing of it is issued ({one.rule}): {one.problem}; fix: {one.fix}" for one in whole]
    for one in results:
        units = f"{one['units']:>12,} Wh" if one["units"] is not None else " " * 15
        line = f"  {rfc3339(one['from'] // 1000)}  {units}  {one['state']}  {one.get('certificate', '')}".rstrip()
        lines.append(line)
        lines += [f"      {why['rule']}: {why['problem']}; fix: {why['fix']}" for why in one["why"]]
    lines += [f"  {gap}: no interval of the node lies there (I5); see meterseal-ledger table hours" for gap in gaps]
    return lines
