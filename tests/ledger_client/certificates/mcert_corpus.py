"""Published certificate files: 10 good ones and 40 that stop at a step, each built from fixed keys.

``python -m tests.ledger_client.certificates.mcert_corpus`` writes them to the folder ``corpus`` beside it:
``corpus.tar.xz`` with the files and their trust file, and ``expected.tsv`` with the step (0: verified), the rule and
what is wrong with each.
A test builds them again and compares; whoever writes a verifier runs it over them.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.claims.attestation import UNMODIFIED
from ledger_client.claims.claim import Attest, Export, Retire, Transfer, Withdraw
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.senml import Quality
from tests.support.accounted import POINT, QUARTER_MS, Accounted
from tests.support.certificates.mcert import (
    AUDITOR,
    CERTIFICATE,
    CLAIMED_S,
    FORMER,
    ISSUER,
    MILL,
    MINT,
    OWNER,
    WORKS,
    Certified,
    Registry,
    cert_of,
    certified_plan,
    trust_text,
)
from tests.support.evidence import key

FOLDER = Path(__file__).parent / "corpus"
ARCHIVE, EXPECTED, TRUST = FOLDER / "corpus.tar.xz", FOLDER / "expected.tsv", "trust.toml"


class Case(NamedTuple):
    """One file: at which step it stops (0: it is verified) under which rule, and what is wrong with it."""

    name: str
    data: bytes
    step: int
    rule: str
    printed: str


def cases(folder: Path) -> list[Case]:
    """All of them, always the same bytes; ``folder`` takes the batches that they are made of."""
    made = [*_good(folder), *_bad(folder)]
    return [Case(f"{number:02d}-{name}", *rest) for number, (name, *rest) in enumerate(made)]


class _Station:
    """A station by its name, made once, with a registry of its own for each file."""

    def __init__(self, folder: Path, name: str, **how: Any) -> None:
        target = folder / name
        target.mkdir()
        self.made = Certified.made(target, quarters=how.pop("quarters", 2), **how)
        self.registry = Registry()

    def fresh(self) -> Certified:
        self.registry = self.made.registry = Registry()
        return self.made

    def issued(self, **changes: Any) -> GivenClaim:
        """The first claim of a fresh registry."""
        return self.fresh().registry.claim(ISSUER, self.made.issue(**changes))

    def claim(self, party: str, deed: Any, **how: Any) -> GivenClaim:
        return self.registry.claim(party, deed, **how)

    def used(self) -> CertificateFile:
        """Issued, a part passed on, a part of that retired."""
        issue = self.issued()
        cert = cert_of(issue)
        move = self.claim(OWNER, Transfer(cert, (0, 100), WORKS))
        return self.made.file(issue, move, self.claim(WORKS, retired(cert, 10, 50)))


def retired(cert: bytes, begin: int, end: int) -> Retire:
    return Retire(cert, (begin, end), "scope 2", 1_793_462_400_000, 1_796_054_400_000, bytes(range(32)))


def wrapping(site: Accounted, polls: int) -> None:
    """The register goes over its largest number in the middle of the first quarter."""
    site.polls(49)
    site.polls(1, quality=int(Quality.ROLLOVER))
    site.polls(polls - 50)


def _good(folder: Path) -> Iterator[tuple[Any, ...]]:
    def good(name: str, file: CertificateFile, printed: str) -> tuple[Any, ...]:
        return name, file.encode(), 0, "", printed

    station = _Station(folder, "plain")
    issue = station.issued()
    cert = cert_of(issue)
    yield good("issued", station.made.file(issue), "held by its first holder")
    yield good("retired-part", station.used(), "a part of a part is retired")
    issue = station.issued()
    whole = station.claim(OWNER, Retire(cert, (0, 90_000), "RE100", 0, 900_000))
    yield good("retired-whole", station.made.file(issue, whole), "all units are retired")
    issue = station.issued()
    move = station.claim(OWNER, Transfer(cert, (500, 700), MILL))
    yield good("held-by-a-stranger", station.made.file(issue, move), "the receiver has no key in the trust file")
    issue = station.issued()
    out = station.claim(OWNER, Export(cert, (0, 1000), "I-REC", "2026-11-0001"))
    yield good("exported", station.made.file(issue, out), "units left for another registry")
    issue = station.issued()
    back = station.claim(ISSUER, Withdraw(cert, "restated"))
    yield good("withdrawn", station.made.file(issue, back), "taken back: nobody holds it")
    issue = station.issued()
    seen = station.claim(AUDITOR, Attest(station.made.period, "reasonable", UNMODIFIED, bytes(32)))
    yield good("attested", station.made.file(issue, seen), "a verifier attests the statement")
    issue = station.issued()
    moves = [
        station.claim(OWNER, Transfer(cert, (0, 40), WORKS)),
        station.claim(OWNER, Transfer(cert, (40, 90), WORKS)),
    ]
    across = station.claim(WORKS, retired(cert, 30, 60))
    yield good("across-slices", station.made.file(issue, *moves, across), "units of two slices are retired at once")
    issue = station.issued(units=1)
    yield good("one-unit", station.made.file(issue), "less is issued than the interval has")
    wraps = _Station(folder, "wraps", register=99_950, polling=wrapping)
    yield good("wrapped", wraps.made.file(wraps.issued()), "the register went over its largest number within")


def _bad(folder: Path) -> Iterator[tuple[Any, ...]]:
    station = _Station(folder, "again")
    file = station.used()
    yield from _unread(file)
    yield from _claims(station)
    yield from _states(station)
    yield from _issues(station, folder)
    yield from _members(station, folder)
    yield from _plans(folder)
    yield from _edges(station, folder)
    other = station.issued()
    strange = station.claim(AUDITOR, Attest(bytes(32), "limited", UNMODIFIED, bytes(32)))
    yield (
        "attested-another",
        station.made.file(other, strange).encode(),
        9,
        "V1",
        "a verifier attests another statement",
    )


def _unread(file: CertificateFile) -> Iterator[tuple[Any, ...]]:
    data, plain = file.encode(), cbor.decode(file.encode())
    yield "empty", b"", 1, "V1", "no byte"
    yield "cut-off", data[:-1], 1, "V1", "the last byte is missing"
    yield "trailing", data + b"\0", 1, "V1", "a byte too many"
    yield "version-2", cbor.encode(plain | {"v": 2}), 1, "V1", "a version that does not exist"
    yield "no-period", cbor.encode({k: v for k, v in plain.items() if k != "period"}), 1, "V1", "a key is missing"
    yield "unknown-key", cbor.encode(plain | {"note": "hello"}), 1, "V1", "a key too many"


def _claims(station: _Station) -> Iterator[tuple[Any, ...]]:
    def bad(name: str, claim: GivenClaim, printed: str) -> tuple[Any, ...]:
        return name, station.made.file(claim).encode(), 2, "C1", printed

    good = station.issued()
    deed = station.made.issue()
    yield bad("issued-by-a-party", station.claim(OWNER, deed), "who issues is enrolled as a party")
    yield bad("strange-key", station.claim(ISSUER, deed, signer=key(MINT)), "another issuer's key signs")
    yield bad("no-receipt", GivenClaim(good.entry), "the registry has not confirmed the claim")
    yield bad(
        "receipt-of-another", GivenClaim(good.entry, station.claim(ISSUER, deed).receipts), "another claim's receipt"
    )
    yield bad("second-registry", station.claim(ISSUER, deed, registry="elsewhere"), "made for another registry")
    yield bad("signed-later", station.claim(ISSUER, deed, iat=CLAIMED_S + 9000), "signed after its receipt")
    yield bad("revoked", station.claim(FORMER, deed), "the issuer's key was revoked before")
    changed = good.entry.replace(b"\x65units\x1a\x00\x01\x5f\x90", b"\x65units\x1a\x00\x01\x5f\x91")
    yield bad("one-unit-more", GivenClaim(changed, good.receipts), "the signed bytes were changed")


def _states(station: _Station) -> Iterator[tuple[Any, ...]]:
    def bad(name: str, rule: str, printed: str, *claims: GivenClaim) -> tuple[Any, ...]:
        return name, station.made.file(*claims).encode(), 3, rule, printed

    issue, move, use = station.used().claims
    cert = cert_of(issue)
    yield bad("no-issue", "V1", "the first claim issues nothing", move, use)
    yield bad("link-missing", "R3", "who retires has not received the units", issue, use)
    yield bad("out-of-order", "R1", "the claims stand in another order than in the log", issue, use, move)
    again = station.claim(WORKS, retired(cert, 40, 60))
    yield bad("used-twice", "R3", "units are retired that were retired before", issue, move, use, again)
    beyond = station.claim(OWNER, Transfer(cert, (89_000, 90_001), WORKS))
    yield bad("beyond", "R1", "more units than there are", issue, beyond)
    to_issuer = station.claim(OWNER, Transfer(cert, (200, 300), ISSUER))
    yield bad("to-an-issuer", "R3", "an issuer holds nothing", issue, to_issuer)
    late = station.claim(ISSUER, Withdraw(cert, "too late"))
    yield bad("withdrawn-late", "R3", "units were passed on before", issue, move, late)
    old = station.issued(expires_ms=(CLAIMED_S + 90) * 1000)
    use = station.claim(OWNER, retired(cert_of(old), 0, 9))
    yield bad("expired", "R6", "retired after the certificate had expired", old, use)


def _issues(station: _Station, folder: Path) -> Iterator[tuple[Any, ...]]:
    def bad(name: str, rule: str, printed: str, made: Certified, issue: GivenClaim) -> tuple[Any, ...]:
        return name, made.file(issue).encode(), 4, rule, printed

    units = station.made.issue().units
    yield bad("too-many", "N4", "more units than whole Wh", station.made, station.issued(units=units + 1))
    origin = station.made.issue().origin
    for name, change in (
        ("other-gateway", {"gateway": "hydro-08"}), ("other-device", {"device": "CN-YN-07-2"}),
        ("other-hour", {"to_ms": origin.to_ms + QUARTER_MS}),
    ):  # fmt: skip
        issue = station.issued(origin=replace(origin, **change))
        yield bad(name, "C2", "the origin is not that of the row", station.made, issue)
    split = _Station(folder, "split", lie=lambda row: row._replace(status="split"))
    yield bad("split", "C2", "the interval is not measured", split.made, split.issued())
    retro = _Station(folder, "retro", lie=lambda row: row._replace(facts=row.facts | {"retrospective": True}))
    yield bad("retrospective", "P2", "the plan was signed later", retro.made, retro.issued())


def _members(station: _Station, folder: Path) -> Iterator[tuple[Any, ...]]:
    file = station.used()
    path = (bytes(32), *file.row.path[1:])
    yield "path", replace(file, row=file.row._replace(path=path)).encode(), 5, "T1", "the path leads to another root"
    period = Bundle.parse(file.period)
    unsealed = replace(file, period=replace(period, receipts=()).encode())
    yield "unsealed", unsealed.encode(), 6, "V1", "the statement's batch has no receipt"
    twin = _Station(folder, "twin", plan=lambda from_ms: certified_plan(from_ms, zone="CN-GD"))
    swapped = replace(file, period=twin.made.proofs[twin.made.period])
    yield "other-statement", swapped.encode(), 6, "T1", "another statement with the same rows"
    swapped = replace(file, plan=twin.made.proofs[twin.made.plan])
    yield "other-plan", swapped.encode(), 7, "T1", "another plan than the statement's"


def _plans(folder: Path) -> Iterator[tuple[Any, ...]]:
    changes: list[tuple[str, str, str, dict[str, Any]]] = [
        ("consumption", "C2", "only production is certified", {"role": "consumption"}),
        ("offset", "C4", "its energy makes offsets", {"certificate": CERTIFICATE | {"scheme": "offset"}}),
        ("other-registry", "P8", "another registry certifies the node", {"registry": "elsewhere"}),
    ]
    for name, rule, printed, change in changes:
        bad = _Station(folder, name, plan=lambda from_ms, change=change: certified_plan(from_ms, **change), quarters=1)
        yield name, bad.made.file(bad.issued()).encode(), 7, rule, printed


def _edges(station: _Station, folder: Path) -> Iterator[tuple[Any, ...]]:
    file = station.used()
    yield "reading-missing", replace(file, edges=file.edges[1:]).encode(), 8, "T1", "a reading is not in the file"
    lies: list[tuple[str, str, str, Callable[[Row], Row]]] = [
        ("energy", "I3", "a thousandth of a Wh too much", lambda row: row._replace(amount=(row.amount or 0) + 1)),
        ("register", "I2", "a register that the readings do not give", _other_register),
        ("wrap", "I3", "a wrap that cannot have been", _wrapped),
    ]
    for name, rule, printed, lie in lies:
        bad = _Station(folder, name, lie=lie, quarters=1)
        yield name, bad.made.file(bad.issued(units=1)).encode(), 8, rule, printed


def _other_register(row: Row) -> Row:
    (edge,) = row.facts["edges"]
    return row._replace(facts=row.facts | {"edges": [[edge[0], decimal(edge[1].value[1] - 1), *edge[2:]]]})


def _wrapped(row: Row) -> Row:
    jump = [POINT, "wrap", decimal(100_000_000_000), bytes(32)]
    return row._replace(amount=(row.amount or 0) + 100_000_000_000, facts=row.facts | {"jumps": [jump]})


def table(made: list[Case]) -> str:
    """``expected.tsv``."""
    lines = ["file\tstep\trule\twhat", *(f"{c.name}.mcert\t{c.step}\t{c.rule}\t{c.printed}" for c in made)]
    return "\n".join(lines) + "\n"


def archived() -> dict[str, bytes]:
    """What the archive holds, by name."""
    with tarfile.open(ARCHIVE) as archive:
        return {one.name: data.read() for one in archive if (data := archive.extractfile(one)) is not None}


def write() -> None:
    """The archive and the table."""
    with TemporaryDirectory() as folder:
        made = cases(Path(folder))
    FOLDER.mkdir(exist_ok=True)
    EXPECTED.write_text(table(made))
    files = {f"{case.name}.mcert": case.data for case in made} | {TRUST: trust_text().encode()}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    ARCHIVE.write_bytes(lzma.compress(raw.getvalue(), preset=9))


if __name__ == "__main__":
    write()
