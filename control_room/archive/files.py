"""Archive of proven batches: ``<gateway>/<month>/<batch>.mbatch`` below one folder, which all receivers share.

What an auditor reads (``meterseal-ledger audit``, ``recompute``, ``balance``) are these files alone, so what stands
under a name is always one whole batch:

1. A file is written under a name that nobody else takes, is on disk, and only then gets its name. Two receivers that
   write the same batch write the same records and statement; whichever comes last has replaced an equal file.
2. Receipts and locators only grow: those of the file that is there go into the one that replaces it.
3. A file of another statement is never replaced. It is the evidence that its gateway signed two.

The month (UTC) is that of the batch's last record, which its statement bears: it depends on no clock of ours.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from control_room.errors import ArchiveError, ArchiveOther
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.durable_files import rename, sync_folder
from ledger_client.errors import FileError, VerificationError
from ledger_client.formats.batch_file import SUFFIX, BatchFile, write_batch
from ledger_client.formats.bundle import Locator, encode_locator
from ledger_client.formats.checks import MAX_RECEIPTS
from ledger_client.formats.statement import SignedStatement, id_text, statement_id

_MODE: Final = 0o640  # for whoever audits, in the group of the receivers


def name_of(signed: SignedStatement) -> str:
    """Where a batch stands below the archive."""
    statement = signed.statement
    month = datetime.fromtimestamp(statement.to_ms // 1000, UTC).strftime("%Y-%m")
    return f"{statement.gateway}/{month}/{statement.batch}{SUFFIX}"


class Archive:
    """The folder. Any thread, any process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(
        self,
        signed: SignedStatement,
        records: Iterable[bytes],
        receipts: Sequence[bytes],
        anchors: Sequence[Locator],
    ) -> str:
        """Write a batch, durably, and return its name below the folder.

        Raises ``EncodeError`` where the records do not give the root, ArchiveOther where the name bears another
        statement, ArchiveError where the file cannot be written; then nothing has changed. An error of ``records``
        itself passes through, and nothing has changed either.
        """
        name = name_of(signed)
        path = self.folder / name
        there = self._there(path)
        if there is not None and statement_id(there.entry) != signed.id:
            other = id_text(statement_id(there.entry))
            raise ArchiveOther(Message("control-archive-other", path=str(path), other=other))
        if there is not None:
            receipts, anchors = united(there.receipts, receipts), united_anchors(there.anchors, anchors)
        with self._replacing(path) as file:
            write_batch(file, records, signed.entry, receipts, anchors)
        return name

    def grow(self, name: str, receipts: Sequence[bytes], anchors: Sequence[Locator]) -> None:
        """Have these receipts and locators, too, in a file that is there; its records stay. Raises ArchiveError."""
        path = self.folder / name
        batch = self.open(name)
        more, places = united(batch.receipts, receipts), united_anchors(batch.anchors, anchors)
        if (more, places) == (batch.receipts, batch.anchors):
            return
        with self._replacing(path) as file:
            write_batch(file, batch.records(), batch.entry, more, places)

    def open(self, name: str) -> BatchFile:
        """A file of the archive, to be read. Raises ArchiveError where it is missing or damaged."""
        path = self.folder / name
        try:
            return BatchFile.open(path)
        except VerificationError as error:
            raise ArchiveError(Message("control-archive-damaged", path=str(path), error=error.sentence)) from None
        except FileError as error:
            raise ArchiveError(Message("control-archive-missing", path=str(path), error=error.sentence)) from None

    @staticmethod
    def _there(path: Path) -> BatchFile | None:
        """What bears the name already; None for nothing, and for what can be read no more."""
        try:
            return BatchFile.open(path)
        except (VerificationError, FileError):
            return None

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[IO[bytes]]:
        """A file that bears the name, on disk, only when the block has ended well."""
        new: Path | None = None
        try:
            self._make(path.parent)
            # another host may have this process's number: the name is one that nothing has
            descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
            new = Path(made)
            with open(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fchmod(descriptor, _MODE)
                os.fsync(descriptor)
            rename(new, path)
            new = None
        except OSError as error:
            raise ArchiveError(Message("control-archive-write", path=str(path), error=os_error(error))) from error
        finally:
            if new is not None:
                new.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """The folder, with every one above it that is missing, on disk."""
        if folder.is_dir():
            return
        if folder != self.folder:
            self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def united(there: Sequence[bytes], more: Sequence[bytes]) -> tuple[bytes, ...]:
    """The receipts of both, ``more`` first where a file may not bear all of them, in an order that does not depend on
    who saw which first."""
    return tuple(sorted([*dict.fromkeys((*more, *there))][:MAX_RECEIPTS]))


def united_anchors(there: Sequence[Locator], more: Sequence[Locator]) -> tuple[Locator, ...]:
    """The same of locators."""
    return tuple(sorted([*dict.fromkeys((*more, *there))][:MAX_RECEIPTS], key=encode_locator))
