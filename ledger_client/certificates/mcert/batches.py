"""Statement of a certificate file among its batches: recomputed, its newest version, what that still gives (V2, C3).

Takes what ``recompute`` gives of the batches. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger_client.accounting.formats.civil_time import month_around
from ledger_client.certificates.given import Given
from ledger_client.certificates.mcert.verify import Proven
from ledger_client.certificates.over_issued import Issued
from ledger_client.claims.certificate import Slice
from ledger_client.recompute.run import Recomputed, Result
from ledger_client.times import rfc3339_ms


def month(proven: Proven) -> tuple[int, int]:
    """When the civil month of the certificate's interval begins, and when the next one does, in ms."""
    return month_around(proven.row.from_ms, proven.plan.civil_min)


def objections(proven: Proven, results: Sequence[Result], issued: Sequence[Issued] = ()) -> Iterator[str]:
    """What batches say against a certificate file, each with its rule.

    Args:
        proven: what the file proves.
        results: of its gateway's batches, recomputed with ``keep_rows``.
        issued: every certificate of the device in ``month``, as its registry shows them; none: nobody was asked, and
            nothing was retired to make up for an excess.
    """
    trace = proven.traced
    found = [(r, one) for r in results for one in r.periods if one.record == trace.issue.period]
    if not found:
        yield f"no file holds the statement {trace.issue.period.hex()}: give its batch, or its .mseal (V2)"
        return
    ((result, statement),) = found
    if not result.audit.sound:
        yield f"the audit of the batches of {result.audit.gateway} is not sound: see meterseal-ledger audit (C2)"
    for one in result.periods:
        if _same(one, statement):
            for rule, where, _, recomputed in one.differences[:1]:
                yield f"version {one.fields['version']} is not what its batches give: {where}: {recomputed} ({rule})"
    yield from _over_issued(proven, Given(results), issued)


def _same(one: Recomputed, statement: Recomputed) -> bool:
    """Whether it is a version of the statement."""
    return (one.fields.get("from"), one.fields.get("to")) == (statement.fields["from"], statement.fields["to"])


def _over_issued(proven: Proven, given: Given, issued: Sequence[Issued]) -> Iterator[str]:
    trace = proven.traced
    alone = Issued(trace.certificate, (Slice(*trace.part, trace.status, trace.holder),), 0)
    for one in given.over_issued(issued or [alone]):
        units = given.units(trace.certificate)
        if any(excess.certificate.id == trace.certificate.id for excess in one.excess):
            begin = rfc3339_ms(one.month_ms)
            yield (
                f"over-issued: the newest statement gives {units} Wh of the {trace.certificate.units} that were "
                f"issued, and {one.units} Wh of the device's month from {begin} are in excess (C3)"
            )
