"""Rotation of a ledger's signing key: prepared, then put into use; the ledger may be serving meanwhile.

The order makes every interruption harmless: the new key is on disk before the log hands over to it, and the log hands
over before the new key takes the place of the old one. Between the two whoever opens the ledger finishes the change.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from ledger_client.durable_files import rename
from ledger_client.formats.cose_key import PrivateKey, save_private_key
from ledger_client.formats.receipt import parse_receipt
from ledger_client.times import rfc3339
from ledger_client.transparency.ledger.directory import open_log, policy_of
from ledger_client.transparency.ledger.held_key import (
    NEXT_KEY,
    NEXT_TOKEN_KEY,
    HeldKey,
    LedgerDirError,
    TokenPlace,
    held_key,
    new_key,
    present_key,
    write_place,
)
from ledger_client.transparency.log.log import Log
from ledger_client.transparency.policy.ledger_keys import LedgerKey, is_key_change, sign_key
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.vouching import TOLERANCE_S


def prepare(folder: Path, to: TokenPlace | None = None) -> str:
    """Make the next key, if there is none yet; its ``[[key]]`` entry, to be in every trust file before ``rotate``.

    ``to``: it is to be in this token.
    """
    policy_of(folder)
    with closing(open_log(folder)) as log:
        _present(folder, log)  # so that a change that was interrupted is finished first
        return key_entry("ledger", _next_key(folder, to).public, int(time.time()), ledger=log.name)


def rotate(folder: Path, to: TokenPlace | None = None) -> tuple[LedgerKey, LedgerKey]:
    """Hand over to the next key, which is the one that was prepared, or made now, with ``to`` in this token; returns
    (the key before, the key that signs from now on).

    Raises ``LedgerDirError``, ``LogError``, ``KeyFileError``, ``LedgerUnavailable``, ``TokenError``, ``KeyAway``.
    """
    policy_of(folder)
    with closing(open_log(folder)) as log:
        old, keys = _present(folder, log)
        following = _next_key(folder, to)
        if following.public.kid == old.public.kid:
            raise LedgerDirError(f"{following.path}: this key signs already", f"remove the file, {old.path} holds it")
        with closing(following.signer()) as new:
            if new.away is not None:
                raise new.away
        with closing(old.signer()) as signer, log.write() as entries:
            if sum(map(is_key_change, entries.own_entry_bytes())) != len(keys) - 1:
                raise LedgerDirError(f"{folder}: somebody else has just changed the key", "look with `show` first")
            iat = _time_of_change(folder, keys[-1].since, entries.last_receipt())
            entries.append(sign_key(log.name, iat, following.public, signer), None)
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


def kept_place(folder: Path, to: str, module: str | None, pin_file: str | None) -> TokenPlace:
    """Where ``--to`` says that the next key is; module and PIN file are those of the present key where they are not
    given. Raises ``KeyUriError``, ``LedgerDirError``."""
    if module is None and pin_file is None:
        policy_of(folder)
        with closing(open_log(folder, read_only=True)) as log:
            present = _present(folder, log)[0].key
        if isinstance(present, TokenPlace):
            module, pin_file = str(present.module), present.pin_file
    return TokenPlace.given(to, module, pin_file)


def _present(folder: Path, log: Log) -> tuple[HeldKey, list[LedgerKey]]:
    with log.read() as entries:
        return present_key(folder, log.name, entries.own_entry_bytes())


def _next_key(folder: Path, to: TokenPlace | None) -> HeldKey:
    """The next key: prepared before, or made now. Raises ``LedgerDirError`` where another one than ``to`` is
    prepared."""
    prepared = [folder / file for file in (NEXT_KEY, NEXT_TOKEN_KEY) if (folder / file).exists()]
    if prepared:
        found = held_key(prepared[0])
        if len(prepared) > 1 or (to is not None and found.key != to):
            names = " and ".join(map(str, prepared))
            raise LedgerDirError(f"{names}: another next key is prepared", "remove what is not to be used")
        return found
    if to is not None:
        write_place(folder / NEXT_TOKEN_KEY, to, new_key(to, folder))
        return held_key(folder / NEXT_TOKEN_KEY)
    path = folder / NEXT_KEY
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)  # half a key, of a start that was cut short
    save_private_key(new, PrivateKey.generate())
    rename(new, path)
    return held_key(path)
