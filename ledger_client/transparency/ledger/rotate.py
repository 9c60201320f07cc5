"""Rotation of a ledger's signing key: prepared, then put into use; the ledger may be serving meanwhile.

The order makes every interruption harmless: the new key is on disk before the log hands over to it, and the log hands
over before the new key takes the place of the old one. Between the two whoever opens the ledger finishes the change.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from ledger_client.durable_files import rename
from ledger_client.formats.cose_key import PrivateKey, load_private_key, save_private_key
from ledger_client.formats.receipt import parse_receipt
from ledger_client.times import rfc3339
from ledger_client.transparency.ledger.directory import (
    KEY,
    NEXT_KEY,
    LedgerDirError,
    open_log,
    policy_of,
    present_key,
)
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.policy.ledger_keys import LedgerKey, is_key_change, sign_key
from ledger_client.verification.trust import key_entry
from ledger_client.verification.vouching import TOLERANCE_S


def prepare(folder: Path) -> str:
    """Make the next key, if there is none yet; its ``[[key]]`` entry, to be in every trust file before ``rotate``."""
    policy_of(folder)
    with closing(open_log(folder)) as log:
        _present(folder, log)  # so that a change that was interrupted is finished first
        return key_entry("ledger", _next_key(folder).public, int(time.time()), ledger=log.name)


def rotate(folder: Path) -> tuple[LedgerKey, LedgerKey]:
    """Hand over to the next key; returns (the key before, the key that signs from now on).

    Raises ``LedgerDirError``, ``LogError``, ``KeyFileError``, ``LedgerUnavailable``.
    """
    policy_of(folder)
    with closing(open_log(folder)) as log:
        old, keys = _present(folder, log)
        new = _next_key(folder).public
        if new.kid == old.public.kid:
            raise LedgerDirError(f"{folder / NEXT_KEY}: this key signs already", f"remove the file, {KEY} holds it")
        with log.write() as entries:
            if sum(map(is_key_change, entries.own_entry_bytes())) != len(keys) - 1:
                raise LedgerDirError(f"{folder}: somebody else has just changed the key", "look with `show` first")
            iat = _time_of_change(folder, keys[-1].since, entries.last_receipt())
            entries.append(sign_key(log.name, iat, new, old), None)
        _, keys = _present(folder, log)
        return keys[-2], keys[-1]


def _time_of_change(folder: Path, since: int, receipt: bytes | None) -> int:
    """Now, but never before the last receipt of the old key, which a clock that was ahead may have signed."""
    now = int(time.time())
    signed = max(since, 0 if receipt is None else parse_receipt(receipt).iat or 0)
    if signed > now + TOLERANCE_S:  # the new key would count from then on only, and so would all that it signs
        problem = f"the clock says {rfc3339(now)}, the last signature {rfc3339(signed)}"
        raise LedgerDirError(f"{folder}: {problem}", "set it right")
    return max(now, signed)


def _present(folder: Path, log: Log) -> tuple[PrivateKey, list[LedgerKey]]:
    with log.read() as entries:
        return present_key(folder, log.name, entries.own_entry_bytes())


def _next_key(folder: Path) -> PrivateKey:
    path = folder / NEXT_KEY
    if not path.exists():
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)  # half a key, of a start that was cut short
        save_private_key(new, PrivateKey.generate())
        rename(new, path)
    return load_private_key(path)
