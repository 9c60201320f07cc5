"""Self-signed certificate and key of the dashboard. Never overwrites anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder
from ledger_client.durable_files import whole_file

if TYPE_CHECKING:
    from cryptography import x509

CERT, KEY = "web.crt", "web.key"
YEARS = 20
"""Longer than a cabinet is in use: expiry adds nothing to a certificate that is trusted by its fingerprint."""


def make(folder: Path, gateway: str, names: Sequence[str], now_s: int) -> tuple[Path, Path]:
    """A new P-256 key with a self-signed certificate: paths of (certificate, key).

    Args:
        folder: where both are written.
        gateway: the name of the gateway, which becomes the certificate's common name.
        names: host names and IP addresses that the certificate is valid for.
        now_s: Unix time from which the validity of ``YEARS`` counts.

    Raises:
        ConfigError: a file exists already (nothing is overwritten), or cannot be written.
    """
    cert, key = folder / CERT, folder / KEY
    for path in (cert, key):
        if path.exists():
            raise ConfigError(path, "", Message("certificate-exists"))
    certificate_pem, key_pem = _self_signed(gateway, names, datetime.fromtimestamp(now_s, UTC))
    for path, pem in ((key, key_pem), (cert, certificate_pem)):
        try:
            with whole_file(path) as file:
                file.write(pem)
            as_its_folder(path)
        except OSError as error:
            raise ConfigError(path, "", Message("certificate-not-writable", error=os_error(error))) from None
    return cert, key


def _self_signed(gateway: str, names: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509  # 40 ms that a start of the gateway need not pay
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a phone's clock may be behind
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pkcs8 = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(pem, pkcs8, serialization.NoEncryption())


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
