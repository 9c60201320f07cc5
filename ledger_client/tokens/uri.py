"""Key URIs: which key of which token, as RFC 7512 writes it. Pure.

Only what names a token and one private key in it is taken: a PIN stands in a file of its own, the module is named by
the operator, and what is not understood is refused, since a part that was left out would name another key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ledger_client.errors import LedgerClientError
from ledger_client.messages import Message

SCHEME: Final = "pkcs11:"
MOST_CHARACTERS: Final = 1000
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*")  # pk11-pchar, RFC 7512 §2.3
_SAFE: Final = ":[]@!$'()*+,=&"
_PINS: Final = frozenset({"pin-value", "pin-source"})
_MODULES: Final = frozenset({"module-path", "module-name"})


class KeyUriError(LedgerClientError):
    """Text that names no key in a token: what is wrong with it, and the fix. It is never quoted: it may hold a PIN."""


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A private key in a token. ``None`` is what the URI leaves open; ``id`` is CKA_ID, ``object`` CKA_LABEL."""

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    object: str | None = None
    id: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> TokenUri:
        """Read ``pkcs11:token=site;object=statement``. Raises ``KeyUriError``."""
        if not text.startswith(SCHEME):
            raise KeyUriError(Message("key-uri-scheme"))
        if len(text) > MOST_CHARACTERS:
            raise KeyUriError(Message("key-uri-long", limit=MOST_CHARACTERS))
        path, _, query = text.removeprefix(SCHEME).partition("?")
        for part in query.split("&") if query else ():
            raise KeyUriError(_of_query(part.partition("=")[0]))
        found: dict[str, bytes] = {}
        for part in path.split(";"):
            name, equals, value = part.partition("=")
            if name in _PINS | _MODULES:
                raise KeyUriError(_of_query(name))
            if not equals or not value or not _VALUE.fullmatch(value):
                raise KeyUriError(Message("key-uri-part", name=_shown(name)))
            if name not in _NAMES and name != "type":
                raise KeyUriError(Message("key-uri-unknown", name=_shown(name)))
            if name in found:
                raise KeyUriError(Message("key-uri-twice", name=name))
            found[name] = unquote_to_bytes(value)
        if found.pop("type", b"private") != b"private":
            raise KeyUriError(Message("key-uri-type"))
        id_ = found.pop("id", None)
        uri = cls(**{name: _text(name, value) for name, value in found.items()}, id=id_)
        if uri.token is None and uri.serial is None:
            raise KeyUriError(Message("key-uri-no-token"))
        if uri.object is None and uri.id is None:
            raise KeyUriError(Message("key-uri-no-key"))
        return uri

    def to_text(self) -> str:
        """The URI in one form, which ``parse`` gives back."""
        parts = ((name, getattr(self, name)) for name in _NAMES)
        return SCHEME + ";".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in parts if value is not None)

    @property
    def of_token(self) -> TokenUri:
        """What it says of the token alone."""
        return TokenUri(self.token, self.manufacturer, self.serial, self.model)

    @property
    def key_name(self) -> str:
        """The key as a message names it."""
        return self.object if self.object is not None else (self.id or b"").hex()


_NAMES: Final = tuple(field.name for field in fields(TokenUri))


def _of_query(name: str) -> Message:
    """What to say of an attribute that has no place in a key's URI."""
    if name in _PINS:
        return Message("key-uri-pin", name=name)
    if name in _MODULES:
        return Message("key-uri-module", name=name)
    return Message("key-uri-unknown", name=_shown(name))


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise KeyUriError(Message("key-uri-part", name=name)) from None
    if not text.isprintable():
        raise KeyUriError(Message("key-uri-part", name=name))
    return text


def _shown(name: str) -> str:
    """A name that may go into a message: nobody knows what stands in its place."""
    return name if re.fullmatch(r"[A-Za-z0-9-]{1,32}", name) else "…"
