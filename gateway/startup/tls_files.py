"""TLS files of buses: whether they can be used now, and roles that certificates lack.

Source: Modbus/TCP Security v2.1, §8.4 (the role extension of a client's certificate).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.access_files import usable
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message

if TYPE_CHECKING:
    from cryptography import x509

ROLE = "1.3.6.1.4.1.50316.802.1"
_UTF8_STRING = 0x0C


def check_tls_files(config: Config) -> None:
    """Every file that a bus with TLS names is there, readable and of its kind, and the key fits. Raises ConfigError."""
    for bus in config.document.bus:
        if bus.tls:
            usable(config.path, f"bus {bus.name!r}", bus.access)


def expired(config: Config, now_s: int) -> Iterator[ConfigError]:
    """Certificates of buses with which no connection can be had any more."""
    for bus in config.document.bus if any(bus.tls for bus in config.document.bus) else ():
        access = bus.access(config.path.parent)
        for key, path in (("ca", access.ca), ("cert", access.cert)):
            found = _certificates(path) if path is not None else []
            counting = found[:1] if key == "cert" else found  # behind one's own come those that signed it
            ends = [int(one.not_valid_after_utc.timestamp()) for one in counting]
            if ends and max(ends) < now_s:
                sentence = Message("bus-certificate-expired", path=str(path), end_s=max(ends))
                yield ConfigError(config.path, f"bus {bus.name!r}, {key}", sentence)


def role_missing(spec: LineSpec) -> Message | None:
    """What is missing in the certificate that a line shows, where it names no role: a device that asks for one refuses
    every read."""
    if not spec.tls or spec.cert is None or _role(_certificates(spec.cert)):
        return None
    return Message("bus-certificate-role", path=str(spec.cert), oid=ROLE)


def _role(found: list[x509.Certificate]) -> str:
    """The role that the first of the certificates names; empty where it names none."""
    from cryptography import x509  # 40 ms that a gateway without TLS need not pay

    for extension in found[0].extensions if found else ():
        value = extension.value
        if extension.oid.dotted_string == ROLE and isinstance(value, x509.UnrecognizedExtension):
            tag, text = value.value[:1], value.value[2:]
            return text.decode(errors="replace") if tag == bytes([_UTF8_STRING]) else ""
    return ""


def _certificates(path: Path) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return []
