"""base64url without padding (RFC 4648 §5): bytes as they stand in addresses, topics and trust files."""

from __future__ import annotations

import base64

from ledger_client.errors import Malformed


def base64url(data: bytes) -> str:
    """base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64url(text: str) -> bytes:
    """The bytes of base64url without padding, in its only form; ``Malformed`` for anything else."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Malformed("not base64url without padding") from None
    if base64url(data) != text:
        raise Malformed("not base64url without padding")
    return data
