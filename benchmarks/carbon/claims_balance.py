"""Balances of a year, by the hour, of many parties; and the page of one of them."""

from __future__ import annotations

import time

from ledger_client.balance.page.render import render
from ledger_client.balance.page.words import LANGUAGES
from ledger_client.balance.reckoning import balance
from tests.ledger_client.balance import year


def run(parties: int) -> dict[str, object]:
    """``balance_s`` of them all, from proven rows and retired slices on; ``page_s``: of one page."""
    given = year.given()
    began, cpu_began_s = time.perf_counter(), time.process_time()
    for _ in range(parties):
        result = balance(*given)
    balanced, cpu_s = time.perf_counter(), time.process_time() - cpu_began_s
    pages = [render(result, language).encode() for language in LANGUAGES]
    took = time.perf_counter() - balanced
    return {
        "balance_s": balanced - began,
        "balance_cpu_s": cpu_s,
        "balance_parties": parties,
        "balance_certificates": len(given[2]),
        "page_s": took / len(pages),
        "page_bytes": max(map(len, pages)),
    }
