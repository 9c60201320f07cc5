"""Folder of keys beside those in use: the next key of an owner, and those that were replaced, until they are retired.

``next/NAME.pem`` waits to be used; ``replaced/NAME-….pem`` was used, and goes when it is retired; ``former.json`` names
every key that was replaced, for ever. A key that stands there signs nothing again, but for one case: as long as the key
that it names as its successor still waits in ``next``, the change has not been made, and the old one signs on. So each
step can be killed between two writes and be repeated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, is_there
from ledger_client.durable_files import rename, sync_folder, whole_file
from ledger_client.errors import VerificationError
from ledger_client.formats.cose_key import PrivateKey, PublicKey, load_private_key, save_private_key

STATEMENT: Final = "statement"
FORMER_FILE: Final = "former.json"


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A key that was replaced: whose it is (a meter, or ``statement``), its public key in base64url, the thumbprint of
    its successor in hex, when it was replaced and, once it is destroyed, until when it counts, in Unix seconds, and
    why."""

    owner: str
    public: str
    by: str
    replaced: int
    retired: int | None = None
    reason: str | None = None

    @property
    def key(self) -> PublicKey:
        """The public key."""
        return PublicKey.from_text(self.public)

    @property
    def kid(self) -> bytes:
        """Its thumbprint."""
        return self.key.kid


def next_file(config: Config, name: str) -> Path:
    """Where the next key of a meter, or of the statements, waits."""
    return config.keys / "next" / f"{name}.pem"


def replaced_file(config: Config, former: FormerKey) -> Path:
    """Where a replaced key stays until it is retired."""
    return config.keys / "replaced" / f"{former.owner}-{former.kid.hex()[:16]}.pem"


def next_key(config: Config, name: str) -> PrivateKey | None:
    """The key that waits to be used; None: there is none. Raises KeyFileError."""
    path = next_file(config, name)
    return load_private_key(path) if is_there(path) else None


def make_next(config: Config, name: str) -> PrivateKey:
    """A new key that waits to be used, on disk when this returns. Raises GatewayError, KeyFileError."""
    path = next_file(config, name)
    new = path.with_name(path.name + ".new")
    try:
        _folder(path.parent)
        new.unlink(missing_ok=True)  # half a key, of a command that was killed
        save_private_key(new, PrivateKey.generate())
        as_its_folder(new)
        rename(new, path)
    except OSError as error:
        raise _not_writable(path, error) from None
    return load_private_key(path)


def take_next(config: Config, former: FormerKey, used: Path) -> None:
    """Put the next key in the place of the one in use, which stays as a replaced one. At no moment is there none.
    Raises GatewayError."""
    path, kept = next_file(config, former.owner), replaced_file(config, former)
    try:
        _folder(kept.parent)
        kept.unlink(missing_ok=True)  # of a command that was killed: the same
        os.link(used, kept)  # one file of two names: what overwrites it when it is retired overwrites all of it
        sync_folder(kept.parent)
        rename(path, used)
        sync_folder(path.parent)
    except OSError as error:
        raise _not_writable(used, error) from None


def destroy(path: Path) -> bool:
    """Overwrite and remove a private key; False: it is not there. Raises GatewayError."""
    try:
        if not is_there(path):
            return False
        with path.open("r+b") as file:
            file.write(os.urandom(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise _not_writable(path, error) from None
    return True


# — the list —


def former_keys(config: Config) -> list[FormerKey]:
    """Every key that was replaced, the first one first. Raises ConfigError: the list cannot be read, and without it a
    replaced key would sign again."""
    path = config.keys / FORMER_FILE
    if not is_there(path):
        return []
    try:
        found = [_former(row) for row in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, VerificationError) as error:
        why = os_error(error) if isinstance(error, OSError) else type(error).__name__
        raise ConfigError(path, "", Message("former-keys-broken", error=why)) from None
    return found


def _former(row: dict[str, Any]) -> FormerKey:
    former = FormerKey(**row)
    texts, times = (former.owner, former.public, former.by), (former.replaced, former.retired or 0)
    if not all(type(text) is str for text in texts) or not all(type(time) is int for time in times):
        raise ValueError(row)
    if (former.retired is None) != (former.reason is None) or len(bytes.fromhex(former.by)) != len(former.kid):
        raise ValueError(row)
    return former


def write_former(config: Config, keys: Iterable[FormerKey]) -> None:
    """Durable replacement of the list. Raises GatewayError."""
    path = config.keys / FORMER_FILE
    rows = [{field: value for field, value in asdict(key).items() if value is not None} for key in keys]
    try:
        with whole_file(path) as file:
            file.write(json.dumps(rows, indent=1).encode())
        as_its_folder(path)
    except OSError as error:
        raise _not_writable(path, error) from None


def replaced_since(config: Config, kid: bytes) -> FormerKey | None:
    """What the list says of a key that signs nothing again; None: it may sign. Raises ConfigError, KeyFileError."""
    former = next((key for key in former_keys(config) if key.kid == kid), None)
    if former is None or is_half_way(config, former):
        return None
    return former


def is_half_way(config: Config, former: FormerKey) -> bool:
    """Whether a change was begun and not made: the successor still waits."""
    waiting = next_key(config, former.owner)
    return waiting is not None and waiting.public.kid.hex() == former.by


def _folder(path: Path) -> None:
    if not is_there(path):
        path.mkdir(mode=0o700)
        as_its_folder(path)
        sync_folder(path.parent)


def _not_writable(path: Path, error: OSError) -> GatewayError:
    return GatewayError(Message("path-not-writable", path=str(path), error=os_error(error)))
