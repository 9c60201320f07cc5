"""Key of a log's checkpoints (``checkpoint.pem``) and the log's origin, by which witnesses know the log.

The key is always a file, whatever the ledger signs its receipts with: a head that it signs gets weight by witnesses
alone, and who steals it can mislead them, no more. One that is lost is made anew, and the log names the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ledger_client.errors import KeyFileError
from ledger_client.formats.cose_key import ED25519_ALGS, PrivateKey, PublicKey, load_private_key, save_private_key

CHECKPOINT: Final = "checkpoint.pem"


def checkpoint_key(folder: Path) -> PrivateKey:
    """The key in a ledger's folder, made where there is none; raises ``KeyFileError``."""
    path = folder / CHECKPOINT
    if not path.exists():
        save_private_key(path, PrivateKey.generate())
    key = load_private_key(path)
    if key.public.alg not in ED25519_ALGS:
        way_out = "move it away: the next start makes another one, and the log names that"
        raise KeyFileError(str(path), "is no Ed25519 key", way_out)
    return key


def origin_of(ledger: str, first: PublicKey) -> str:
    """The origin of a new log: the ledger's name, and the thumbprint of the key that signs its first entry, so that two
    ledgers of one name have two origins and two logs of one ledger have the same."""
    return f"{ledger}/{first.kid.hex()[:16]}"
