"""Key list of a ledger's log, fetched page by page and proven against a ledger key. Network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from ledger_client.errors import LedgerUnavailable
from ledger_client.formats.cose_key import PublicKey
from ledger_client.online.log_client import LogClient
from ledger_client.transparency.policy.key_list import Proven, parse_page, prove
from ledger_client.transport.access import Access

_MOST_PAGES: Final = 1000


def ask(
    url: str, ledger: str, whom: str, pinned: Sequence[PublicKey], *, access: Access | None = None,
    timeout_s: float = 10.0,
) -> Proven:  # fmt: skip
    """What the log of ``ledger`` at ``url`` tells of ``whom`` (``key_list.Count``), proven against its keys ``pinned``.

    Raises ``LedgerUnavailable``: no answer; ``VerificationError``: one that does not hold.
    """
    log = LogClient(url, access, timeout_s=timeout_s)
    try:
        return prove(_pages(log, whom), ledger, whom, pinned, int(time.time()))
    finally:
        log.close()


def _pages(log: LogClient, whom: str) -> list[bytes]:
    pages: list[bytes] = []
    last = -1
    while len(pages) < _MOST_PAGES:
        page = log.keys(whom, last)
        _, entries = parse_page(page)
        pages.append(page)
        if not entries or (beyond := entries[-1].number) <= last:
            return pages  # the last is empty: its count is that of the end
        last = beyond
    raise LedgerUnavailable(f"the log shows more than {_MOST_PAGES} pages and does not end")
