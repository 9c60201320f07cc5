"""Access files that ledgers, feeds and the dashboard name in gateway.toml: paths and checks. Reads only."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from gateway.errors import ConfigError
from gateway.field_types import Model, Unfit
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import sentence_of
from ledger_client.transport.access import Access, AccessError, resolve


def file_paths(section: Model, keys: Iterable[str], base: Path | None) -> dict[str, Path | None]:
    """By key: the file that is named there, relative to ``base``, or (None) as written; None where none is.

    Raises AccessError (a systemd credential that there is not).
    """
    texts = {key: getattr(section, key) for key in keys}
    return {
        key: None if text is None else Path(text) if base is None else resolve(text, base, key)
        for key, text in texts.items()
    }


def fitting_url(access: Callable[[], Access], url: str) -> SplitResult:
    """The parts of a section's ``url``, whose access goes together with it. Raises Unfit."""
    try:
        access().check_rules(url)
        return urlsplit(url)
    except AccessError as error:
        raise Unfit(error.what, key=error.key) from None


def usable(
    config: Path, where: str, access: Callable[[Path], Access], written: Mapping[str, str] = MappingProxyType({})
) -> Access:
    """Access that one section of gateway.toml configures, with every file of it checked. Raises ConfigError.

    Args:
        config: the path of gateway.toml.
        where: the section, as errors name it.
        access: makes the access, with file names relative to a folder.
        written: keys of ``Access`` that have another name in this section.
    """
    try:
        found = access(config.parent)
        found.check_files()
    except AccessError as error:
        key = written.get(error.key, error.key)
        raise ConfigError(config, f"{where}, {key}", error.what) from None
    return found


_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def fingerprint(path: Path) -> str:
    """SHA-256 of the file's first certificate, ``AB:CD:…`` as browsers show it. Raises ConfigError."""
    try:
        text = path.read_text(encoding="ascii")
        der = base64.decodebytes(text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)].encode())
    except (OSError, ValueError) as error:
        why = os_error(error) if isinstance(error, OSError) else sentence_of(error)
        raise ConfigError(path, "", Message("certificate-unreadable", error=why)) from None
    return hashlib.sha256(der).digest().hex(":").upper()


def first_line(file: Path) -> str:
    """The first line of a file with a password. Raises ConfigError: it cannot be read, or is no text."""
    try:
        return file.read_text().partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise ConfigError(file, "", Message("password-file-not-utf8")) from None
    except OSError as error:
        raise ConfigError(file, "", Message("password-file-unreadable", error=os_error(error))) from None
