"""A ledger's signing key where it is held: in ``key.pem``, or in a token that ``key.toml`` names.

``key.toml`` bears the public key, so that whoever only reads the log needs no token. Which of the files holds the key
that signs now is the log's to say; a next key stands in ``key.next.pem`` or ``key.next.toml``, and whoever finds that
the log has handed over to it gives it its place.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger_client.durable_files import rename, write_text
from ledger_client.errors import (
    KeyAway,
    KeyFileError,
    LedgerClientError,
    LedgerUnavailable,
    Malformed,
    TokenError,
    VerificationError,
)
from ledger_client.formats.cose_key import PrivateKey, PublicKey, Signer, load_private_key
from ledger_client.messages import Message
from ledger_client.system_errors import os_error
from ledger_client.text_file import WrongText, text_of, toml_of
from ledger_client.tokens.calls import STANDARD, Limits
from ledger_client.tokens.pin import Pin
from ledger_client.tokens.token import Token, TokenSigner
from ledger_client.tokens.uri import KeyUriError, TokenUri
from ledger_client.transparency.policy.ledger_keys import LedgerKey, key_history
from ledger_client.transport.access import CREDENTIALS, resolve
from ledger_client.verification.trust_text import quoted

KEY, NEXT_KEY, TOKEN_KEY, NEXT_TOKEN_KEY = "key.pem", "key.next.pem", "key.toml", "key.next.toml"
REFUSED_PIN: Final = "pin-refused"
_PLACES: Final = ((TOKEN_KEY, None), (KEY, None), (NEXT_TOKEN_KEY, TOKEN_KEY), (NEXT_KEY, KEY))
"""Files that may hold the key that signs now, and the name of each once it does."""
_FIELDS: Final = {"uri", "module", "pin_file", "public"}


class LedgerDirError(LedgerClientError):
    """The folder is not one that a ledger can be served from: what, where, and the way out."""


class KeyUnavailable(LedgerUnavailable):
    """The ledger's key is in a token that does not sign just now; ``code`` is that of the message that says why."""

    def __init__(self, error: KeyAway) -> None:
        super().__init__(f"key-away: {error.problem}; nothing is signed until it is back", STANDARD.retry_s)
        self._way_out = error.way_out
        self.code = error.what.code if isinstance(error.what, Message) else "token-failed"


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Which key of which token: the module is a path, ``pin_file`` one as it was written (a systemd credential)."""

    uri: TokenUri
    module: Path
    pin_file: str

    @classmethod
    def given(cls, uri: str, module: str | None, pin_file: str | None) -> TokenPlace:
        """Of the options of a command. Raises ``KeyUriError``, ``LedgerDirError`` where one is missing."""
        found = TokenUri.parse(uri)
        if module is None or pin_file is None:
            missing = "--pkcs11-module" if module is None else "--pin-file"
            raise LedgerDirError(f"{missing}: missing, the key is to be in a token", f"add {missing} FILE")
        kept = pin_file if pin_file.startswith(CREDENTIALS) else str(Path(pin_file).absolute())
        return cls(found, Path(module).absolute(), kept)

    def token(self, folder: Path, limits: Limits = STANDARD) -> Token:
        """The way in. Raises ``AccessError`` for a credential where there are none."""
        pin_file = resolve(self.pin_file, folder, "pin_file")
        return Token(self.module, Pin(pin_file, folder / REFUSED_PIN), limits)


class LedgerSigner:
    """What signs for a ledger; a token that is away is a ledger that is unavailable."""

    def __init__(self, key: PrivateKey | TokenSigner) -> None:
        self.public: PublicKey = key.public
        self._token = key if isinstance(key, TokenSigner) else None
        self.sign: Callable[[bytes], bytes] = key.sign if isinstance(key, PrivateKey) else _Available(key).sign
        self.patient: Signer = key if isinstance(key, PrivateKey) else _Available(key.patient)
        """The same key for what waits until nobody else wants a signature."""

    @property
    def away(self) -> KeyUnavailable | None:
        """Why it does not sign just now."""
        away = None if self._token is None else self._token.away
        return None if away is None else KeyUnavailable(KeyAway(away.why))

    def close(self) -> None:
        """Look for the key no more."""
        if self._token is not None:
            self._token.close()


class _Available:
    """A key whose absence is the ledger's."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.public = signer.public

    def sign(self, message: bytes) -> bytes:
        try:
            return self._signer.sign(message)
        except KeyAway as error:
            raise KeyUnavailable(error) from None


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key in its file, or the file that says in which token it is."""

    path: Path
    public: PublicKey
    key: PrivateKey | TokenPlace

    @property
    def uri(self) -> str | None:
        """Of a key in a token."""
        return self.key.uri.to_text() if isinstance(self.key, TokenPlace) else None

    def signer(self, limits: Limits = STANDARD) -> LedgerSigner:
        """What signs with it. A token that is away is waited for by itself; raises ``TokenError``, ``AccessError``."""
        if isinstance(self.key, PrivateKey):
            return LedgerSigner(self.key)
        return LedgerSigner(self.key.token(self.path.parent, limits).expect(self.key.uri, self.public))


def held_key(path: Path) -> HeldKey:
    """The key in a file. Raises ``KeyFileError``."""
    if path.suffix == ".pem":
        key = load_private_key(path)
        return HeldKey(path, key.public, key)
    try:
        found = toml_of(text_of(path.read_bytes()))
        if found.keys() != _FIELDS or not all(isinstance(value, str) for value in found.values()):
            raise WrongText("not uri, module, pin_file and public, each a text")
        place = TokenPlace(TokenUri.parse(found["uri"]), Path(found["module"]), found["pin_file"])
        return HeldKey(path, PublicKey.from_text(found["public"]), place)
    except OSError as error:
        raise KeyFileError(str(path), Message("key-file-unreadable", error=os_error(error))) from None
    except WrongText as error:
        raise KeyFileError(str(path), error.sentence, "restore it from a backup") from None
    except (KeyUriError, Malformed) as error:
        raise KeyFileError(str(path), error.what, "restore it from a backup") from None


def write_place(path: Path, place: TokenPlace, public: PublicKey) -> None:
    """Say durably which key of which token it is."""
    lines = [
        "# The key of this ledger is in a token: docs/ledger.md",
        f"uri = {quoted(place.uri.to_text())}",
        f"module = {quoted(str(place.module))}",
        f"pin_file = {quoted(place.pin_file)}",
        f"public = {quoted(public.to_text())}",
    ]
    write_text(path, "\n".join(lines) + "\n")


def new_key(place: TokenPlace, folder: Path) -> PublicKey:
    """The public key of the one that ``place`` names, made in the token unless it is there. Raises ``TokenError``,
    ``KeyAway``, ``AccessError``."""
    token = place.token(folder)
    try:
        signer = token.open(place.uri)
    except TokenError as error:
        if not (isinstance(error.what, Message) and error.what.code == "token-key-none"):
            raise
        signer = token.generate(place.uri)
    signer.close()
    return signer.public


def has_key(folder: Path) -> bool:
    """Whether a folder has the key of a ledger."""
    return (folder / KEY).exists() or (folder / TOKEN_KEY).exists()


def key_file(folder: Path) -> Path:
    """The file that holds the key of the ledger in a folder, or names it."""
    return folder / (KEY if (folder / KEY).exists() else TOKEN_KEY)


def present_key(folder: Path, name: str, entries: list[bytes]) -> tuple[HeldKey, list[LedgerKey]]:
    """The key that signs now, as the ledger's ``own`` entries say, and the history of all.

    Raises ``LedgerDirError``, ``KeyFileError``. A change of key is in the log before the new key has its place: whoever
    comes between the two puts it there, and removes the file of the one before.
    """
    why = ""
    for _ in range(2):  # another process may have given the new key its place in between
        for file, later in _PLACES:
            try:
                held = held_key(folder / file)
                keys = key_history(name, held.public, entries)
            except VerificationError as error:
                why = why or error.detail
                continue
            except KeyFileError:
                if (folder / file).exists():
                    raise
                continue
            with suppress(OSError):  # another process has just done it, or this one may not; the next one will
                _settle(folder, file, later)
            return held, keys
    if not has_key(folder):
        load_private_key(folder / KEY)  # says that there is none
    shown = next(folder / file for file, _ in _PLACES if (folder / file).exists())
    raise LedgerDirError(f"{shown}: not the key of log.db ({why})", "restore the two from one backup")


def _settle(folder: Path, file: str, later: str | None) -> None:
    """Give the key that signs now its place, which it has alone."""
    if later is not None:
        rename(folder / file, folder / later)
    place = later or file
    other = KEY if place == TOKEN_KEY else TOKEN_KEY
    if (folder / other).exists():
        (folder / other).unlink()
