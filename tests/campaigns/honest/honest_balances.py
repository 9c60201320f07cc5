"""Honest balances of a party: nothing is found of them, and no registry refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.claims.claim import HOUR_MS
from tests.support.certificates.town import OFFSET, town

if TYPE_CHECKING:
    from tests.campaigns.honest.honest_controls import Place


def year_after_its_months(place: Place) -> dict[str, Any]:
    """A part of a year is signed, attested and judged; then the year, with the serials that stood in its part (R2)."""
    (folder := place.folder / "year-after-its-months").mkdir()
    with town(folder) as works:
        (works.folder / "retired.txt").write_text("ten serials")
        offset = OFFSET.format(vintage=2025, document="retired.txt")
        claim = works.sign(works.form(end=offset))
        judged = works.judge(works.signed_form(works.attest(claim), claim=claim, end=offset))
        longer = works.period.partition("/")[0], utc_text(works.site.hour_ms + 2 * HOUR_MS)
        works.sign(works.form((works.period, "/".join(longer)), more="partial = true", end=offset))
        against = [] if judged.code == 0 else [{"step": "neutrality", "record": None, "batch": 0, "detail": judged.out}]
        return {
            "exit": judged.code, "batches": works.site.files, "records": 0, "findings": against,
            "findings_total": len(against),
        }  # fmt: skip
