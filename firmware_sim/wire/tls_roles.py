"""TLS of a Modbus TCP server: its context, and the role that a client's certificate names.

Source: Modbus/TCP Security v2.1, §8 (mutual certificates, the role extension).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from firmware_sim.errors import WireError

ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")


@dataclass(frozen=True, slots=True)
class Security:
    """Files of a server, and the roles whose clients it answers; none: every client's that ``ca`` has signed."""

    ca: Path
    cert: Path
    key: Path
    roles: tuple[str, ...] = ()

    def context(self) -> ssl.SSLContext:
        """Demands a certificate of each client. Raises ``WireError``: a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.ca)
            context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            problem = f"{self.ca}, {self.cert} or {self.key} cannot be used: {error.strerror or error}"
            raise WireError(problem, "name PEM files that exist, and the key of the certificate") from None
        return context

    def admits(self, certificate: bytes | None) -> bool:
        """Whether a client with this certificate (DER) may read."""
        return not self.roles or (certificate is not None and _role(certificate) in self.roles)


def _role(certificate: bytes) -> str:
    """The role in a certificate, a UTF8String of less than 128 bytes; empty where there is none."""
    try:
        value = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_oid(ROLE).value
    except x509.ExtensionNotFound:
        return ""
    assert isinstance(value, x509.UnrecognizedExtension)
    return value.value[2:].decode()
