"""The bytes of a certificate file: another implementation of its CDDL agrees, and a reader takes nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pycddl
import pytest

from ledger_client.certificates.mcert.file import MAX_CLAIMS, CertificateFile, is_certificate_file
from ledger_client.claims.claim import Transfer
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Locator
from tests.support.certificates.mcert import ISSUER, OWNER, WORKS, Certified, cert_of

CDDL = (Path(__file__).parents[3] / "docs" / "accounting.cddl").read_text()
PLACE = Locator("chain-1", 1, bytes(20), bytes(32), 7, bytes(32))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> CertificateFile:
    made = Certified.made(tmp_path_factory.mktemp("station"), quarters=1)
    issue = made.registry.claim(ISSUER, made.issue())
    move = made.registry.claim(OWNER, Transfer(cert_of(issue), (0, 100), WORKS))
    return made.file(issue, GivenClaim(move.entry, (), PLACE))


def test_a_file_is_read_as_it_was_written_and_fits_its_cddl(file: CertificateFile, tmp_path: Path) -> None:
    data = file.encode()
    assert CertificateFile.parse(data) == file
    pycddl.Schema("start = certificate-file\n" + CDDL).validate_cbor(data)
    path = tmp_path / "a.mcert"
    path.write_bytes(data)
    assert is_certificate_file(path)
    path.write_bytes(data[:-1])
    assert not is_certificate_file(path)


CHANGES: list[dict[str, Any]] = [
    {"v": 2}, {"v": True}, {"row": []}, {"row": [b"", b"", 1, 0, []]}, {"plan": "plan"}, {"edges": [1]}, {"period": 0},
    {"claims": []}, {"claims": [[b""]]}, {"more": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_certificate_file_is_refused(file: CertificateFile, change: dict[str, Any]) -> None:
    data = cbor.encode(cbor.decode(file.encode()) | change)
    with pytest.raises(Malformed):
        CertificateFile.parse(data)
    with pytest.raises(pycddl.ValidationError):
        pycddl.Schema("start = certificate-file\n" + CDDL).validate_cbor(data)


def test_a_writer_writes_nothing_that_a_reader_refuses(file: CertificateFile) -> None:
    with pytest.raises(EncodeError):
        replace(file, claims=file.claims * MAX_CLAIMS).encode()
    with pytest.raises(EncodeError):
        replace(file, claims=(GivenClaim(b"no claim"),)).encode()
    with pytest.raises(EncodeError):
        replace(file, plan=bytes(2 << 20)).encode()
