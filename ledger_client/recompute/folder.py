"""Files of a folder, of any gateways, by what they are: batches, proofs, rows, and documents by SHA-256. Reads files.

Names count for nothing: each kind has its first bytes. What begins like evidence or is called so, and is none, is
named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Final

from ledger_client.accounting.formats import rows as rows_file
from ledger_client.accounting.formats.rows import Rows
from ledger_client.audit.files import files_in
from ledger_client.errors import FileError, VerificationError
from ledger_client.formats import batch_file
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.checks import MAX_BUNDLE
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import read_statement
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import verify

_BUNDLE: Final = b"\xa5\x61v"
_ROWS: Final = b"\xa3\x61v"
_PROOF: Final = ".mseal"
_NAMES: Final = frozenset({batch_file.SUFFIX, rows_file.SUFFIX, _PROOF})


@dataclass(slots=True)
class Folder:
    """What was given.

    ``gateways``: batches and proofs of events by the gateway that they say to be of; ``rows``: rows files with their
    roots; ``documents``: every other file by its SHA-256; ``broken``: what is called or begins like evidence and is
    none, with why; ``of_readings``: how many proofs of single readings, which nothing here follows from.
    """

    gateways: dict[str, list[Path]] = field(default_factory=dict)
    rows: list[tuple[Path, bytes, Rows]] = field(default_factory=list)
    documents: dict[bytes, Path] = field(default_factory=dict)
    broken: list[tuple[Path, str]] = field(default_factory=list)
    of_readings: int = 0

    @classmethod
    def of(cls, paths: Sequence[Path], trust: Trust, now: int) -> Folder:
        """Look through files and folders, in the order of their names. Raises FileError."""
        folder = cls()
        for path in files_in(paths):
            try:
                folder._take(path, trust, now)
            except OSError as error:
                raise FileError(f"{path}: {error.strerror}; give the path of a file that may be read") from None
            except VerificationError as error:
                folder.broken.append((path, error.detail))
        return folder

    def _take(self, path: Path, trust: Trust, now: int) -> None:
        with path.open("rb") as file:
            begin = file.read(len(_BUNDLE))
        if begin == _BUNDLE:
            self._bundle(path, trust, now)
        elif batch_file.is_batch(begin):
            gateway = read_statement(BatchFile.open(path).entry).statement.gateway
            self.gateways.setdefault(gateway, []).append(path)
        elif begin == _ROWS:
            rows = Rows.parse(path.read_bytes())
            self.rows.append((path, rows.root, rows))
        elif path.suffix in _NAMES:
            self.broken.append((path, f"it is called {path.suffix}, and begins like no such file"))
        elif begin:  # an empty file documents nothing
            with path.open("rb") as file:
                self.documents.setdefault(file_digest(file, "sha256").digest(), path)

    def _bundle(self, path: Path, trust: Trust, now: int) -> None:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE + 1)
        record = parse_record(Bundle.parse(data).record)
        if not isinstance(record.body, Event):
            self.of_readings += 1
            return
        verify(data, trust, now, kind="event")
        self.gateways.setdefault(record.claims.gateway, []).append(path)
