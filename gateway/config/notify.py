"""Configuration of one ``[[notify]]`` in gateway.toml: who is notified of which alarms, when, and the access to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.access_files import file_paths, fitting_url, usable
from gateway.errors import ConfigError
from gateway.field_types import DurationMs, Model, Name, Unfit
from gateway.messages.message import Message
from ledger_client.transport.access import Access, AccessError, is_loopback, read_secret, resolve

NOTIFY: Final = "notify "
"""Before the name of a receiver: the ``line`` of its alarms, and the order that asks how it stands."""
NotifyType = Literal["webhook", "email", "ntfy"]
_FILES = ("ca", "token_file", "password_file")
_SECRET: Final = "secret_file"
_SCHEMES: Final[Mapping[NotifyType, tuple[str, str]]] = MappingProxyType(
    {"webhook": ("http", "https"), "email": ("smtp", "smtps"), "ntfy": ("http", "https")}
)
_NOT_OF: Final[Mapping[NotifyType, tuple[str, ...]]] = MappingProxyType(
    {"webhook": ("from", "to"), "email": ("token_file", _SECRET), "ntfy": ("from", "to", _SECRET)}
)
"""Keys that mean nothing to a type."""
_PORTS: Final = MappingProxyType({"smtp": 587, "smtps": 465, "http": 80, "https": 443})
"""587: submission with STARTTLS (RFC 6409); 465: with TLS from the start (RFC 8314 §3.3)."""
_SHORT: Final = 5
"""Characters of a piece of an address that conceals nothing."""
_TOPIC: Final = re.compile(r"/([-_A-Za-z0-9]{1,64})")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise Unfit(Message("notify-address", text=text))
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_address)]


class NotifyEntry(Model):
    """A receiver. ``after``: how long an alarm has been raised when it leaves. ``unacknowledged``: only if nobody has
    acknowledged it by then. ``cleared``: also when it has cleared again."""

    name: Name
    type: NotifyType
    url: str
    from_: Address | None = Field(default=None, alias="from")
    to: Annotated[tuple[Address, ...], BeforeValidator(_listed), Field(strict=False, max_length=50)] = ()
    ca: str | None = None
    token_file: str | None = None
    user: str | None = None
    password_file: str | None = None
    secret_file: str | None = None
    min_severity: Literal["critical", "error", "warning", "notice"] = "error"
    after: DurationMs = 120_000
    unacknowledged: bool = False
    cleared: bool = True
    language: Literal["en", "zh"] = "en"

    @property
    def server(self) -> str:
        """Scheme, host and port: what logs, alarms and answers name. A path may be as good as a password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        """The server's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def tls_at_once(self) -> bool:
        """Whether the connection begins with a TLS handshake."""
        return urlsplit(self.url).scheme in ("https", "smtps")

    @property
    def starttls(self) -> bool:
        """Whether an smtp:// server has to offer STARTTLS: unless it is this machine, and no ``ca`` is given."""
        return urlsplit(self.url).scheme == "smtp" and (self.ca is not None or not is_loopback(self.host))

    @property
    def topic(self) -> str:
        """The topic of an ntfy receiver."""
        return urlsplit(self.url).path.removeprefix("/")

    def access(self, base: Path | None = None) -> Access:
        """How to get in; file names relative to ``base``, or as written. Raises AccessError (a systemd credential)."""
        paths = file_paths(self, _FILES, base)
        return Access(
            ca=paths["ca"], token_file=paths["token_file"], user=self.user, password_file=paths["password_file"]
        )

    def secret(self, base: Path) -> bytes | None:
        """The key of the webhook's signatures as it is now. Raises AccessError."""
        if self.secret_file is None:
            return None
        return read_secret(_SECRET, resolve(self.secret_file, base, _SECRET)).encode()

    def concealed(self, text: str) -> str:
        """A text of a server or a library without what the address holds beyond the server's name."""
        parts = urlsplit(self.url)
        pieces = {self.url, f"{parts.path}?{parts.query}", parts.path, parts.query, *parts.path.split("/")}
        for piece in sorted((piece for piece in pieces if len(piece) > _SHORT), key=len, reverse=True):
            text = text.replace(piece, self.server if piece == self.url else "…")
        return text

    @model_validator(mode="after")
    def _type_fits(self) -> Self:
        written = {"from" if key == "from_" else key for key in self.model_fields_set}
        if strays := written.intersection(_NOT_OF[self.type]):
            raise Unfit(Message("notify-other-type", type=self.type), key=min(strays))
        if self.type == "email" and (self.from_ is None or not self.to):
            raise Unfit(Message("notify-email-missing"), key="from" if self.from_ is None else "to")
        return self

    @model_validator(mode="after")
    def _url_fits(self) -> Self:
        url = fitting_url(self.access, self.url)
        plain, tls = _SCHEMES[self.type]
        if url.scheme not in (plain, tls) or not url.hostname or url.fragment or not self._path_fits(url):
            form = {"webhook": "HOST[:PORT]/PATH", "email": "HOST[:PORT]", "ntfy": "HOST[:PORT]/TOPIC"}[self.type]
            raise Unfit(Message("notify-url", type=self.type, plain=plain, tls=tls, form=form), key="url")
        return self

    def _path_fits(self, url: SplitResult) -> bool:
        if self.type == "webhook":
            return url.path.isascii() and url.path.isprintable()
        if url.query:
            return False
        return bool(_TOPIC.fullmatch(url.path)) if self.type == "ntfy" else not url.path.strip("/")


def concealed_url(url: str) -> str:
    """An address as differences of configurations show it: server, and of the rest a few digits of its hash."""
    parts = urlsplit(url)
    rest = url.partition(parts.netloc)[2]
    if len(rest) <= _SHORT:
        return url
    return f"{parts.scheme}://{parts.netloc}/… ({hashlib.sha256(rest.encode()).hexdigest()[:6]})"


def notify_access(path: Path, entry: NotifyEntry) -> Access:
    """How to get in at a receiver of the gateway.toml at ``path``, every file of it checked.

    Raises ConfigError: file, key, fix.
    """
    where = f"notify {entry.name!r}"
    found = usable(path, where, entry.access)
    try:
        entry.secret(path.parent)
    except AccessError as error:
        raise ConfigError(path, f"{where}, {error.key}", error.what) from None
    return found


def check_notify(path: Path, entries: Iterable[NotifyEntry]) -> None:
    """Every file that the way to a receiver needs is there and usable. Raises ConfigError."""
    for entry in entries:
        notify_access(path, entry)
