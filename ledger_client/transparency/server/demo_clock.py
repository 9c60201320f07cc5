"""Clock of a demonstration's ledger: it stands where a file says, so that a month passes in minutes.

Only a ledger that is called ``demo-…`` is given one: receipts of no other name a time that has not been.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ledger_client.errors import LedgerClientError, LedgerUnavailable

DEMO: Final = "demo-"
OPTION: Final = "--demo-clock"


class NoDemonstration(LedgerClientError):
    """A clock from a file was asked for where it has no place."""


def clock_of(file: Path, name: str | None) -> Callable[[], float]:
    """Unix seconds that ``file`` holds, read anew each time, ``LedgerUnavailable`` where it holds something else; the
    time that it is, where there is no file. Raises ``NoDemonstration``: ``name`` is no demonstration's ledger.
    """
    if name is None or not name.startswith(DEMO):
        way_out = f"give --name {DEMO}NAME, or leave {OPTION} out: a ledger's receipts bear the time that it is"
        raise NoDemonstration(f"{OPTION}: the ledger {name or 'without --name'} is none of a demonstration", way_out)

    def now() -> float:
        try:
            return int(file.read_text())
        except FileNotFoundError:
            return time.time()
        except (OSError, ValueError):
            raise LedgerUnavailable(f"{file}: {OPTION} cannot read Unix seconds from it") from None

    return now
