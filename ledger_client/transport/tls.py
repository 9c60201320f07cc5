"""Explanations of TLS failures: whose certificate it is about, and what to do. Pure."""

from __future__ import annotations

import ssl

NO_TLS = "what answers speaks no TLS at that port, or ended the connection in the middle of it"
_SERVER = {  # X509_verify_cert's codes (openssl-verification-options)
    9: "its certificate is not valid yet: is this machine's clock right?",
    10: "its certificate has expired: it has to be renewed there (or this machine's clock is wrong)",
    18: "its certificate is signed by itself: give it, or the CA that signs for it, as ca",
    19: "its certificate comes from a CA that is not trusted here: give that CA as ca",
    20: "its certificate comes from a CA that is not trusted here: give that CA as ca",
    21: "its certificate comes from a CA that is not trusted here: give that CA as ca",
    62: "its certificate is for another host name than the one in url",
    64: "its certificate is for another address than the one in url",
}
_ALERTS = {  # what the peer says of us: RFC 8446 §6.2, in OpenSSL's words
    "CERTIFICATE_REQUIRED": "it wants a client certificate: give cert and key",
    "ALERT_HANDSHAKE_FAILURE": "it does not go on: it may want a client certificate (cert and key), or newer TLS",
    "ALERT_UNKNOWN_CA": "it does not accept our certificate: cert comes from a CA that it does not trust",
    "ALERT_CERTIFICATE_EXPIRED": "it does not accept our certificate: cert has expired, renew it",
    "ALERT_CERTIFICATE_REVOKED": "it does not accept our certificate: cert is revoked",
    "ALERT_BAD_CERTIFICATE": "it does not accept our certificate: look at cert",
    "ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate: look at cert",
    "ALERT_PROTOCOL_VERSION": "it speaks no TLS version from 1.2 on",
    "WRONG_VERSION_NUMBER": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "UNEXPECTED_EOF": NO_TLS,
}


def in_words(error: BaseException | str) -> str | None:
    """The words for a TLS failure, or for OpenSSL's own text of one; ``None``: the failure is of another kind."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _SERVER.get(error.verify_code, f"its certificate is not good: {error.verify_message}")
    if not isinstance(error, ssl.SSLError | str) or "[SSL" not in str(error):
        return None
    known = str(error).upper().replace(" ", "_")
    return next((words for alert, words in _ALERTS.items() if alert in known), f"TLS failed: {error}")
