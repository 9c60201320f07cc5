"""Address of a log in PostgreSQL: ``log.toml`` in the ledger's folder. A folder without it has its log in ``log.db``.

The id of the folder stands there and in the log: a log is one folder's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ledger_client.durable_files import write_text
from ledger_client.errors import LedgerClientError
from ledger_client.text_file import WrongText, text_of, toml_of
from ledger_client.transparency.log.store import LogError
from ledger_client.transport.access import CREDENTIALS, read_secret, resolve
from ledger_client.verification.trust_text import quoted

if TYPE_CHECKING:
    from ledger_client.transparency.log.postgresql_connection import Address

ADDRESS: Final = "log.toml"
_EXTRA: Final = "run: pip install 'meterseal[postgresql]'"
_KEYS: Final = {"database", "folder", "password_file"}


class MissingPsycopg(LedgerClientError):
    """The extra ``postgresql`` is not installed."""


def write_address(folder: Path, url: str, password_file: str | None) -> None:
    """Say where a new ledger's log is, and give the folder its id, which it keeps where it has one from a start that
    was cut short. Raises ``LogError``, ``AccessError``."""
    demand_psycopg()
    from ledger_client.transparency.log.postgresql_connection import checked_url

    before = address_of(folder)
    id_ = secrets.token_hex(16) if before is None else before.folder.hex()
    lines = [
        "# The log of this ledger is in PostgreSQL, and the log names this folder by its id: docs/ledger.md",
        f"database = {quoted(checked_url(url))}",
    ]
    if password_file is not None:
        read_secret("--password-file", resolve(password_file, Path(), "--password-file"))
        kept = password_file if password_file.startswith(CREDENTIALS) else str(Path(password_file).absolute())
        lines.append(f"password_file = {quoted(kept)}")
    lines.append(f'folder = "{id_}"')
    write_text(folder / ADDRESS, "\n".join(lines) + "\n")


def address_of(folder: Path) -> Address | None:
    """Where the log is; None: in ``log.db``. Raises ``LogError``."""
    path = folder / ADDRESS
    try:
        found = toml_of(text_of(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, WrongText) as error:
        raise LogError(f"{path}: cannot be read ({error})", "restore it from a backup") from None
    url, id_, password = found.get("database"), found.get("folder"), found.get("password_file")
    if not (isinstance(url, str) and isinstance(id_, str) and isinstance(password, str | None)) or found.keys() - _KEYS:
        raise LogError(f"{path}: has not database, folder and perhaps password_file", "restore it from a backup")
    demand_psycopg()
    from ledger_client.transparency.log.postgresql_connection import Address, checked_url

    try:
        return Address(checked_url(url), bytes.fromhex(id_), _password(folder, password))
    except ValueError:
        raise LogError(f"{path}: folder is no id", "restore it from a backup") from None


def _password(folder: Path, file: str | None) -> Callable[[], str | None]:
    """Read at every connection, so that a new one takes effect."""
    if file is None:
        return lambda: None
    return lambda: read_secret("password_file", resolve(file, folder, "password_file"))


def demand_psycopg() -> None:
    """Raises ``MissingPsycopg``."""
    try:
        import ledger_client.transparency.log.postgresql_connection  # noqa: F401
    except ImportError as error:
        raise MissingPsycopg(f"{error.name} is not installed, which a log in PostgreSQL needs", _EXTRA) from None
