"""File of the API's tokens, ``keys/api.tokens``: names, scopes and hashes. A token itself is shown once and stored
nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.api.shapes.tokens import SCOPES, Scope, Token, hash_of, written
from gateway.errors import ConfigError, Declined, GatewayError
from gateway.field_types import Unfit, duration_ms
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, is_there
from ledger_client.durable_files import alone, whole_file
from ledger_client.errors import LedgerClientError
from ledger_client.formats.checks import MAX_TIME_MS, is_name
from ledger_client.messages import sentence_of
from ledger_client.text_file import NotToml, WrongText, toml_of
from ledger_client.times import rfc3339_ms
from ledger_client.transport.access import AccessError, read_file

FILE = "api.tokens"
MOST = 200
_KEYS = {"name", "scope", "hash", "gateway", "meter", "expires_ms"}


def tokens_file(keys: Path) -> Path:
    """Where the tokens stand in a folder of keys."""
    return keys / FILE


def read_tokens(path: Path) -> dict[str, Token]:
    """The tokens by name; none where there is no file. Raises ConfigError: readable by others, or not such a file."""
    if not is_there(path):
        return {}
    try:
        raw = toml_of(read_file("tokens", path, secret=True).decode())
    except AccessError as error:
        raise ConfigError(path, "", error.what, error.way_out) from None
    except (NotToml, UnicodeDecodeError) as error:
        raise ConfigError(path, "", Message("tokens-invalid", error=sentence_of(error))) from None
    entries = raw.get("token", [])
    if not isinstance(entries, list) or set(raw) - {"token"}:
        raise ConfigError(path, "", Message("tokens-not-tables"))
    found = [_token(path, entry) for entry in entries]
    by_name = {token.name: token for token in found}
    if len(by_name) < len(found):
        raise ConfigError(path, "token", Message("tokens-entry-invalid"))
    return by_name


def _token(path: Path, entry: Any) -> Token:
    match entry:
        case {"name": str(name), "scope": scope, "hash": str(hash_)} if (
            is_name(name) and scope in SCOPES and len(hash_) == 64 and not set(hash_) - set("0123456789abcdef")
        ):
            gateway, meter, expires_ms = entry.get("gateway"), entry.get("meter"), entry.get("expires_ms")
            named = all(one is None or is_name(one) for one in (gateway, meter))
            ends = expires_ms is None or (type(expires_ms) is int and 0 <= expires_ms <= MAX_TIME_MS)
            if not set(entry) - _KEYS and named and ends:
                return Token(name, scope, hash_, meter, expires_ms, gateway)
    raise ConfigError(path, "token", Message("tokens-entry-invalid"))


def _write(path: Path, tokens: Mapping[str, Token]) -> None:
    """Replace the file, readable by its owner only. Raises ConfigError."""
    text = "# Who may use the HTTP API; `meterseal token` writes this.\n" + "".join(map(_entry, tokens.values()))
    try:
        with whole_file(path) as file:
            file.write(text.encode())
        as_its_folder(path)
    except (OSError, LedgerClientError) as error:
        reason = os_error(error) if isinstance(error, OSError) else sentence_of(error)
        raise ConfigError(path, "", Message("tokens-not-writable", error=reason)) from None


def _entry(token: Token) -> str:
    lines = ["", "[[token]]", f'name = "{token.name}"', f'scope = "{token.scope}"', f'hash = "{token.hash}"']
    if token.gateway is not None:
        lines.append(f'gateway = "{token.gateway}"')
    if token.meter is not None:
        lines.append(f'meter = "{token.meter}"')
    if token.expires_ms is not None:
        lines.append(f"expires_ms = {token.expires_ms}  # {rfc3339_ms(token.expires_ms)}")
    return "\n".join((*lines, ""))


def add_token(
    path: Path,
    name: str,
    scope: Scope,
    meter: str | None,
    expires_ms: int | None,
    random: bytes,
    gateway: str | None = None,
) -> str:
    """Add a token that ``random`` makes (``tokens.BITS`` of it): its text, which nobody can give again.

    Raises Declined: there is one of this name, or too many; ConfigError: the file cannot be used.
    """
    text = written(random)
    with _alone(path):
        before = read_tokens(path)
        if name in before:
            raise Declined(Message("token-exists", path=str(path), name=name))
        if len(before) >= MOST:
            raise Declined(Message("tokens-too-many", path=str(path), limit=MOST))
        _write(path, before | {name: Token(name, scope, hash_of(text) or "", meter, expires_ms, gateway)})
    return text


def remove_token(path: Path, name: str) -> None:
    """Take a token off. Raises Declined: there is none of this name; ConfigError: the file cannot be used."""
    with _alone(path):
        before = read_tokens(path)
        if name not in before:
            if not before:
                raise Declined(Message("tokens-none", path=str(path), name=name))
            raise Declined(Message("token-not-there", path=str(path), name=name, tokens=tuple(before)))
        _write(path, {other: token for other, token in before.items() if other != name})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One at a time who reads the file and replaces it. Raises ConfigError: its folder cannot be used."""
    try:
        with alone(path.parent):
            yield
    except OSError as error:
        raise ConfigError(path, "", Message("tokens-not-writable", error=os_error(error))) from None


def end_ms(text: str, now_ms: int) -> int:
    """When a token ends that holds for a duration such as "90d", Unix ms. Raises GatewayError: it is none."""
    try:
        span_ms = duration_ms(text)
    except (Unfit, WrongText) as error:
        raise GatewayError(Message("token-end-invalid", text=text, why=error.sentence)) from None
    return min(now_ms + span_ms, MAX_TIME_MS)


def opens(one: Token) -> str:
    """What a token opens, for people."""
    whose = " of ".join(name for name in (one.meter, one.gateway) if name)
    of = f"{one.scope} of {whose}" if whose else one.scope
    return f"{of}, until {rfc3339_ms(one.expires_ms)}" if one.expires_ms is not None else of


def fields(one: Token, now_ms: int) -> dict[str, Any]:
    """What a token opens, for programs; never the token itself, nor its hash."""
    return {
        "name": one.name,
        "scope": one.scope,
        "meter": one.meter,
        "expires": None if one.expires_ms is None else rfc3339_ms(one.expires_ms),
        "expired": one.is_expired(now_ms),
    }


class Tokens:
    """The file of tokens, read again whenever it changes. Event loop only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._by_hash: dict[str, Token] = {}

    def find(self, text: str) -> Token | None:
        """The token of a text, expired ones too; None for any other text. Raises ConfigError: the file cannot be
        used."""
        try:
            found = self._path.stat()
            stamp = (found.st_ctime_ns, found.st_ino)  # a change of its permissions, too
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            self._by_hash, self._stamp = {}, None
            self._by_hash = {token.hash: token for token in read_tokens(self._path).values()}
            self._stamp = stamp
        return self._by_hash.get(hash_of(text) or "")
