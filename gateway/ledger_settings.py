"""One ``[[ledger]]`` of gateway.toml: which ledger, where, and how to get in there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from gateway.errors import ConfigError
from gateway.settings import DurationMs, Model, Name
from ledger_client.ledgers.access import Access, AccessError, Protocol, resolve

_FILES = ("ca", "cert", "key", "token_file", "password_file")


class LedgerEntry(Model):
    name: Name
    type: Literal["http", "mqtt"]
    policy: Literal["required", "optional"] = "required"
    url: str
    timeout: DurationMs = 10_000
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    token_file: str | None = None
    user: str | None = None
    password_file: str | None = None
    proxy: str | None = None
    protocol: Protocol = "auto"

    def access(self, base: Path | None = None) -> Access:
        """How to get in; file names relative to ``base``, or as written. Raises AccessError (a systemd credential)."""
        files = {key: getattr(self, key) for key in _FILES}
        paths = {
            key: None if text is None else Path(text) if base is None else resolve(text, base, key)
            for key, text in files.items()
        }
        return Access(**paths, user=self.user, proxy=self.proxy, protocol=self.protocol)

    @model_validator(mode="after")
    def _url_fits(self) -> Self:
        schemes = {"http": ("http", "https"), "mqtt": ("mqtt", "mqtts")}[self.type]
        try:
            self.access().check_rules(self.url)
            url = urlsplit(self.url)
        except AccessError as error:
            raise ValueError(f"{error.key}: {error.problem}; {error.way_out}") from None
        if url.scheme not in schemes or not url.hostname:
            form = " or ".join(f"{scheme}://HOST:PORT" for scheme in schemes)
            raise ValueError(f"url: a ledger of type {self.type} needs {form}, got {self.url!r}")
        return self


def access_of(path: Path, entry: LedgerEntry) -> Access:
    """How to get in at a ledger of the gateway.toml at ``path``, every file of it checked.

    Raises ConfigError: file, key, way out.
    """
    try:
        access = entry.access(path.parent)
        access.check_files()
    except AccessError as error:
        raise ConfigError(path, f"ledger {entry.name!r}, {error.key}", error.problem, error.way_out) from None
    return access
