"""Statement to issue certificates of, recomputed from its files: the audit, the rows, and when ledgers had its looks.

Reads batch files, proofs and ``.mrows`` files; believes the trust file only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Rows
from ledger_client.audit.result import Audit
from ledger_client.certificates.issuing import Stated, looks_of, stated
from ledger_client.collector import seldom
from ledger_client.errors import FileError, VerificationError
from ledger_client.formats.batch_file import SUFFIX as BATCH
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.record import parse_record, record_hash
from ledger_client.formats.statement import read_statement
from ledger_client.recompute.run import Result, recompute
from ledger_client.recompute.sources import files_read, is_proof
from ledger_client.verification.trust import Trust

PROOF = ".mseal"


def recomputed(
    rows_file: Path, paths: Sequence[Path], trust: Trust, now: int, node: str, *, others: Sequence[Path] = ()
) -> Stated:
    """The statement whose rows a file has, recomputed from batches and proofs.

    Args:
        rows_file: its ``.mrows``.
        paths: ``.mbatch`` and ``.mseal`` files of one gateway.
        node: of which the looks at its edges are dated by the ledgers.
        others: ``.mrows`` of statements that this one uses.

    ``max_delay`` of the trust file does not count here: an issuer judges by it each interval for itself. Raises
    AccountingError, FileError, VerificationError.
    """
    (data,) = files_read([rows_file])
    try:
        rows = Rows.parse(data)
    except VerificationError as error:
        refuse("T1", str(rows_file), f"it is no rows file: {error.detail}", "give the .mrows of the statement")
    timeless = replace(trust, max_delay_s=None)
    result = recompute(paths, timeless, now, rows=[rows_file, *others])
    found = stated(result, rows)
    return replace(found, until=_dated(paths, result.audit, looks_of(found, node)))


def _dated(paths: Sequence[Path], audit: Audit, looks: set[bytes]) -> dict[bytes, int | None]:
    """When enough ledgers had each of these records, by the batches that hold them."""
    times = {one.batch: one.no_later_than for one in audit.batches}
    found: dict[bytes, int | None] = {}
    for path in paths:
        if is_proof(path):
            continue
        try:
            file = BatchFile.open(path)
            batch = read_statement(file.entry).statement.batch
        except VerificationError:
            continue  # the audit says what is wrong with it
        if batch in times and len(found) < len(looks):
            found |= {hashed: times[batch] for data in file.records() if (hashed := record_hash(data)) in looks}
    return found


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Files, and of folders the batches and proofs in them. Raises FileError."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        in_folder = sorted(one for one in path.iterdir() if one.suffix in (BATCH, PROOF))
        if not in_folder:
            raise FileError(f"{path}: holds no {BATCH} and no {PROOF} files", "give the folder that they are in")
        found += in_folder
    return found


def results_of(paths: Sequence[Path], trust: Trust, now: int) -> list[Result]:
    """What files and folders of batches and proofs give, with their rows: one result a gateway that they say to be of.

    Raises FileError, AccountingError.
    """
    by_gateway: dict[str, list[Path]] = {}
    for path in files_of(paths):
        by_gateway.setdefault(_gateway(path), []).append(path)  # what is no such file is left to whoever reads it
    with seldom():
        return [recompute(of_gateway, trust, now, keep_rows=True) for of_gateway in by_gateway.values()]


def _gateway(path: Path) -> str:
    try:
        if is_proof(path):
            return parse_record(Bundle.parse(path.read_bytes()).record).claims.gateway
        return read_statement(BatchFile.open(path).entry).statement.gateway
    except VerificationError:
        return ""
