"""Explanations of TLS failures: whose certificate it is about, and what to do. Pure."""

from __future__ import annotations

import ssl
from typing import Final

from ledger_client.messages import Message

NO_TLS: Final = Message("tls-none")
_SERVER: Final = {  # X509_verify_cert's codes (openssl-verification-options)
    9: Message("tls-not-yet-valid"),
    10: Message("tls-expired"),
    18: Message("tls-self-signed"),
    19: Message("tls-ca-untrusted"),
    20: Message("tls-ca-untrusted"),
    21: Message("tls-ca-untrusted"),
    62: Message("tls-other-host"),
    64: Message("tls-other-address"),
}
_ALERTS: Final = {  # what the peer says of us: RFC 8446 §6.2, in OpenSSL's words
    "CERTIFICATE_REQUIRED": Message("tls-client-certificate"),
    "ALERT_HANDSHAKE_FAILURE": Message("tls-handshake-failure"),
    "ALERT_UNKNOWN_CA": Message("tls-own-ca-unknown"),
    "ALERT_CERTIFICATE_EXPIRED": Message("tls-own-expired"),
    "ALERT_CERTIFICATE_REVOKED": Message("tls-own-revoked"),
    "ALERT_BAD_CERTIFICATE": Message("tls-own-refused"),
    "ALERT_CERTIFICATE_UNKNOWN": Message("tls-own-refused"),
    "ALERT_PROTOCOL_VERSION": Message("tls-old-version"),
    "WRONG_VERSION_NUMBER": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "UNEXPECTED_EOF": NO_TLS,
}


def tls_failure(error: BaseException | str) -> Message | None:
    """What a TLS failure is, or OpenSSL's own text of one; ``None``: the failure is of another kind."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _SERVER.get(error.verify_code) or Message("tls-invalid", reason=error.verify_message)
    text = str(error)
    if not isinstance(error, ssl.SSLError | str) or "[SSL" not in text:
        return None
    known = text.upper().replace(" ", "_")
    return next((sentence for alert, sentence in _ALERTS.items() if alert in known), None) or Message(
        "tls-failed", reason=text
    )
