"""Everything that the form of a balance names, read and proven: statements, certificates, documents.

Reads files; believes the trust file only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.products import factor_for
from ledger_client.accounting.tables.stated import StatedRows
from ledger_client.balance.form import FILE, Form, OffsetFile
from ledger_client.balance.given import Chosen, GivenOffset, RetiredSlice, Source, Terms
from ledger_client.balance.result import Base, StatedOffset
from ledger_client.certificates.mcert.verify import verify_certificate
from ledger_client.claims.claim import Offset, Retire
from ledger_client.errors import VerificationError
from ledger_client.recompute.proven import proven
from ledger_client.recompute.sources import files_read
from ledger_client.verification.trust import Trust

_WILD = frozenset("*?[")


class Site(NamedTuple):
    """The files of one gateway, the statements that are cited of them, and the documents of their entries."""

    gateway: str
    files: list[Path]
    rows: list[Path]
    cited: list[StatedRows]
    documents: list[Path]


class Gathered(NamedTuple):
    """What a balance is made of, and what its reader should know besides."""

    terms: Terms
    sources: list[Source]
    slices: list[RetiredSlice]
    offsets: list[GivenOffset]
    notes: list[str]
    sites: list[Site]


def gathered(form: Form, folder: Path, trust: Trust, now: int) -> Gathered:
    """Read and prove all files of a form; their paths are relative to ``folder``.

    Raises:
        AccountingError: there is no such file, or one does not belong to the balance.
        FileError: a file cannot be read.
        VerificationError: a statement is not proven.
    """
    sources, notes, sites = list[Source](), list[str](), list[Site]()
    for number, site in enumerate(form.sites, 1):
        where = f"{FILE}.site {number}"
        files, rows = (list(paths(folder, names, where)) for names in (site.files, site.rows))
        found = proven(files, rows, trust, now)
        notes += [f"{found.gateway}: {note}" for note in found.notes]
        for stated in found.statements:
            if stated.record in found.superseded:
                problem = "a later version in the files supersedes a statement of it"
                refuse("T4", f"{where}: {found.gateway}", problem, "give the rows of the last version")
            sources.append(Source(found.gateway, stated, site.loads, site.emissions))
        documents = list(paths(folder, site.documents, where))
        sites.append(Site(found.gateway, files, rows, found.statements, documents))
    slices = [
        _retired(path, group.salt, trust, now)
        for number, group in enumerate(form.certificates, 1)
        for path in paths(folder, group.files, f"{FILE}.certificates {number}")
    ]
    offsets = [_offset(one, form, folder, f"{FILE}.offset {number}") for number, one in enumerate(form.offsets, 1)]
    return Gathered(_terms(form, folder), sources, slices, offsets, notes, sites)


def _terms(form: Form, folder: Path) -> Terms:
    if form.base is None:
        return form.terms
    document = _digest(form, folder, form.base.document, f"{FILE}.base")
    return replace(form.terms, base=Base(form.base.from_ms, form.base.to_ms, form.base.mass_g, document))


def paths(folder: Path, names: Sequence[str], where: str) -> Iterator[Path]:
    """The files of a name; of one with wildcards all that there are, in their order."""
    for name in names:
        if not _WILD & set(name):
            yield folder / name
            continue
        path = Path(name)
        if path.is_absolute():
            refuse("B4", where, f"{name}: an absolute path has no wildcards", "write it relative to the balance's file")
        found = sorted(folder.glob(name))
        if not found:
            refuse("B4", where, f"no file is like {name}", "paths are relative to the folder of the balance's file")
        yield from found


def _retired(path: Path, salt: bytes | None, trust: Trust, now: int) -> RetiredSlice:
    """The slice that a certificate file is about. Refuses one that is not retired (B1)."""
    (data,) = files_read([path])
    try:
        found = verify_certificate(data, trust, now)
    except VerificationError as error:
        problem = f"it is not verified: {error}"
        refuse("V1", str(path), problem, f"meterseal-ledger certificate verify {path.name} says more")
    deed = found.traced.last.deed
    if not isinstance(deed, Retire):
        refuse("B1", str(path), f"its units are {found.traced.status}", "give a file whose last claim retires them")
    made, factor = found.traced.certificate, None
    if found.node.factor_series is not None:
        factor = Chosen(*factor_for(found.plan, found.node, civil(made.from_ms, found.plan.civil_min).year))
    return RetiredSlice(
        made.id, found.traced.part, made.from_ms, made.to_ms, found.node.zone, made.device,
        found.traced.last.signed.claim.party, deed.from_ms, deed.to_ms, deed.beneficiary, salt, factor,
        str(found.device["source"]),
    )  # fmt: skip


def _offset(one: OffsetFile, form: Form, folder: Path, where: str) -> GivenOffset:
    document = _digest(form, folder, one.document, where)
    offset = Offset(one.registry, one.project, one.vintage, one.first, one.last, document)
    return GivenOffset(StatedOffset(offset, one.each_kg), one.device)


def _digest(form: Form, folder: Path, name: str, where: str) -> bytes:
    """SHA-256 of a document. Refuses what is none: nothing, or the balance's form itself (C4)."""
    found = list(paths(folder, [name], where))
    if len(found) > 1:
        refuse("C4", f"{where}.document", f"{len(found)} files are like {name}", "name the one that it is")
    (data,) = files_read(found)
    digest = hashlib.sha256(data).digest()
    if not data or digest == form.digest:
        problem = f"{name} is {'the form of this balance itself' if data else 'empty'}, and proves nothing"
        refuse("C4", f"{where}.document", problem, "name the document of the registry that retired the serials")
    return digest
