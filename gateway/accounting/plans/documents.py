"""Documents of entries: copies in the data folder, called by their SHA-256, which the signed entry bears (P9).

A copy is durable before its hash is signed, so that whoever is asked for the document has it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder
from ledger_client.durable_files import whole_file

FOLDER: Final = "documents"
"""Folder of the copies, within the data folder."""
_KIND: Final = re.compile(r"\.[a-z0-9]{1,5}")
"""An ending that tells what opens a file; those of evidence are longer or named here."""
_EVIDENCE: Final = (".mseal", ".mrows", ".mcert")


def keep(data: Path, path: Path) -> bytes:
    """Keep a copy of a document; its SHA-256. Raises GatewayError: it cannot be read, or the copy not be written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GatewayError(Message("entry-document", path=str(path), error=os_error(error))) from None
    digest, kind = hashlib.sha256(content).digest(), path.suffix.lower()
    if copy_of(data, digest) is None:
        known = _KIND.fullmatch(kind) and kind not in _EVIDENCE
        copy = data / FOLDER / f"{digest.hex()}{kind if known else ''}"
        try:
            if not copy.parent.is_dir():
                copy.parent.mkdir()
                as_its_folder(copy.parent)
            with whole_file(copy) as file:
                file.write(content)
            as_its_folder(copy)
        except OSError as error:
            raise GatewayError(Message("entry-document-not-kept", path=str(copy), error=os_error(error))) from None
    return digest


def copy_of(data: Path, digest: bytes) -> Path | None:
    """The copy of a document; None: there is none, or its bytes are other ones now."""
    for path in sorted((data / FOLDER).glob(f"{digest.hex()}*")):
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").digest() == digest:
                    return path
        except OSError:
            continue
    return None
