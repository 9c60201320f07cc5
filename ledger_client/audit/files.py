"""Input files of an audit: batches by number, and proofs of events from before them. Reads files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from ledger_client.audit.events import CONFIGURATION, COUNTED, OF_DEVICE
from ledger_client.audit.records import Name
from ledger_client.audit.result import CHAIN, Audit
from ledger_client.audit.times import Moments
from ledger_client.errors import STEPS, FileError, VerificationError
from ledger_client.formats.batch_file import SUFFIX, BatchFile
from ledger_client.formats.bundle import Bundle, is_bundle
from ledger_client.formats.checks import MAX_BUNDLE
from ledger_client.formats.record import GATEWAY_ITSELF, Event, parse_record
from ledger_client.formats.statement import SignedStatement, read_statement
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import verify

_EVIDENCE: Final = frozenset({SUFFIX, ".mseal"})


@dataclass(frozen=True, slots=True)
class Proven:
    """An event of the gateway, or of a meter's device, that a proof brings: of which batch, at which place of it."""

    batch: int
    index: int
    name: Name
    event: Event
    iat: int
    path: Path

    @property
    def begins_configuration(self) -> bool:
        """It is the first part of what was configured then."""
        part = self.event.fields.get("part")
        return self.event.name == CONFIGURATION and isinstance(part, list) and part[:1] == [1]


@dataclass(slots=True)
class Files:
    """What was given. Of several files of one batch the first by name is gone through in order; all are judged."""

    batches: list[tuple[BatchFile, SignedStatement]] = field(default_factory=list)
    others: list[tuple[BatchFile, SignedStatement]] = field(default_factory=list)
    proofs: list[Proven] = field(default_factory=list)
    devices: list[Proven] = field(default_factory=list)
    """Of meters' events that say which device a meter is."""
    moments: list[tuple[str, Moments, int]] = field(default_factory=list)
    """Of each proof its file, when its record was made, and when the ledgers had it (Unix s)."""

    def proven_before(self, batch: int) -> list[Proven]:
        """What proofs tell of the time before a batch: the newest configuration, and what was announced since. What is
        older may have been followed by events of which there is no proof."""
        before = [proof for proof in self.proofs if proof.batch < batch]
        whole = [place for place, proof in enumerate(before) if proof.begins_configuration]
        return before[whole[-1] :] if whole else []

    @property
    def records(self) -> int:
        """How many records there are to look at."""
        return sum(len(file) for file, _ in [*self.batches, *self.others])


def evidence_in(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, and the batches and proofs of folders by their names. Raises ``FileError`` for a folder
    in which there are none."""
    found: list[Path] = []
    for path in paths:
        is_folder = path.is_dir()
        those = [one for one in files_in([path]) if not is_folder or one.suffix in _EVIDENCE]
        if not those:
            raise FileError(f"{path}: holds no batch ({SUFFIX})", "give the folder of one gateway's batches")
        found += those
    return list(dict.fromkeys(found))


def files_in(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are given, and those in folders and the folders in them; each once. Links to folders are not
    followed, and what begins with a dot is left out: it is half written, or is not meant to be read."""
    known = set[Path]()
    for path in paths:
        within = [path]
        if path.is_dir():
            within = list(_in_folder(path))
        for one in within:
            if (place := one.resolve()) not in known and (one.is_file() or one is path):
                known.add(place)
                yield one


def _in_folder(path: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(path, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _unreadable(error: OSError) -> NoReturn:
    raise FileError(f"{error.filename}: {error.strerror}; give a folder that may be read")


def open_files(paths: Iterable[Path], trust: Trust, now: int, result: Audit) -> Files:
    """Read the frames of batch files, and the proofs; what cannot be read is found. Raises ``FileError``."""
    files, found = Files(), list[tuple[BatchFile, SignedStatement]]()
    for path in paths:
        with result.speaking_of((str(path), None)):
            try:
                if _is_proof(path):
                    _proof(path, trust, now, result, files)
                    continue
                file = BatchFile.open(path)
                found.append((file, read_statement(file.entry)))
            except VerificationError as error:
                result.found(STEPS[1], None, error.detail)
    _sort(found, result, files)
    files.proofs, files.devices = _in_order(files.proofs), _in_order(files.devices)
    return files


def _in_order(proofs: Iterable[Proven]) -> list[Proven]:
    return sorted({proof.name: proof for proof in proofs}.values(), key=lambda proof: (proof.batch, proof.index))


def _sort(found: list[tuple[BatchFile, SignedStatement]], result: Audit, files: Files) -> None:
    first: dict[int, tuple[BatchFile, SignedStatement]] = {}
    result.gateway = result.gateway or (found[0][1].statement.gateway if found else None)
    for file, signed in sorted(found, key=lambda pair: str(pair[0].path)):
        statement = signed.statement
        with result.speaking_of((str(file.path), statement.batch)):
            if statement.gateway != result.gateway:
                other = f"is of gateway {statement.gateway}, not of {result.gateway}: audit each alone"
                result.found(STEPS[4], None, other)
                continue
            known = first.setdefault(statement.batch, (file, signed))
            if known[0] is file:
                continue
            files.others.append((file, signed))
            if known[1].id == signed.id:
                result.noted(f"{file.path}: the same batch as {known[0].path}")
            else:
                text = f"another batch {statement.batch} than in {known[0].path}: the gateway has told two stories"
                result.found(CHAIN, None, text)
    files.batches = [first[batch] for batch in sorted(first)]


def _is_proof(path: Path) -> bool:
    try:
        return is_bundle(path)
    except OSError:
        return False  # the batch file's reader says what is wrong


def _proof(path: Path, trust: Trust, now: int, result: Audit, files: Files) -> None:
    """An event of the gateway from before the batches, verified as any proof; how long it was held back is judged when
    it is known what dates its epoch."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", "give the path of a .mseal file that may be read") from None
    try:
        verified = verify(data, replace(trust, max_delay_s=None), now)
    except VerificationError as error:
        result.failed(error)
        return
    bundle = Bundle.parse(data)
    record, statement = parse_record(bundle.record), read_statement(bundle.statement).statement
    claims, event = record.claims, record.body
    files.moments.append((str(path), Moments.of(record), verified.no_later_than))
    if result.gateway is not None and claims.gateway != result.gateway:
        result.found(STEPS[4], None, f"is of gateway {claims.gateway}, not of {result.gateway}: audit each alone")
    elif not isinstance(event, Event) or event.name not in (OF_DEVICE if claims.meter != GATEWAY_ITSELF else COUNTED):
        result.noted(f"{path}: a proof that says nothing of what was due; it verifies")
    else:
        name = Name(claims.meter, claims.epoch, claims.seq)
        proofs = files.proofs if claims.meter == GATEWAY_ITSELF else files.devices
        proofs.append(Proven(statement.batch, bundle.index, name, event, claims.iat, path))
