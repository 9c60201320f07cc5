"""CONTROL.toml → a validated, frozen model. Reads the file alone; opens nothing that it names.

Every mistake becomes one ``ConfigError`` that names file and key as the user wrote them, and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from gateway.access_files import file_paths, fitting_url, usable
from gateway.errors import ConfigError
from gateway.field_types import DurationMs, Model, Unfit
from gateway.key_errors import explain, raw_document
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.web_settings import Web
from ledger_client.transport.access import Access, is_loopback
from ledger_client.verification.trust_text import quoted

DAY_MS = 86_400_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SECRET_PARAMETERS = frozenset({"password", "passfile", "service", "servicefile", "sslpassword"})
"""What no address may have: it is written to logs, or leads to what is not written here."""
_SSL_MODES = frozenset({"verify-full", "verify-ca", "require", "disable"})
"""By which it is certain whether the connection is encrypted; by others PostgreSQL's client takes what it gets."""


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Unfit(Message("control-room-name", value=text))
    return text


def _database_url(text: str) -> str:
    """``postgresql://[USER@]HOST[:PORT]/NAME``, without a password."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise Unfit(Message("control-room-database-url")) from None
    query = dict(parse_qsl(parts.query))
    if parts.password is not None or _SECRET_PARAMETERS.intersection(query):
        raise Unfit(Message("control-room-database-login"))
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/") or any(map(str.isspace, text)):
        raise Unfit(Message("control-room-database-url"))
    hosts = [host for host in ((parts.hostname or "").split(",")) if host] or query.get("host", "").split(",")
    local = all(not host or host.startswith("/") or is_loopback(host) for host in hosts)
    if not local and query.get("sslmode") not in _SSL_MODES:
        raise Unfit(Message("control-room-database-sslmode", host=",".join(hosts)))
    return text


class Control(Model):
    name: Annotated[str, AfterValidator(_name)]
    trust: str = "trust.toml"
    archive: str = "archive"


class Database(Model):
    url: Annotated[str, AfterValidator(_database_url)]
    password_file: str | None = None
    hot: DurationMs = 7 * DAY_MS
    readings: DurationMs = 400 * DAY_MS

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        for key in ("hot", "readings"):
            if getattr(self, key) < DAY_MS:
                raise Unfit(Message("control-room-days"), key=key)
        return self


class Intake(Model):
    url: str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    portion: Annotated[int, Field(ge=1, le=10_000)] = 500
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password_file: str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Each server that is connected to first; of the others in its cluster each of them knows."""
        return (self.url,) if isinstance(self.url, str) else self.url

    def access(self, base: Path | None = None) -> Access:
        """How to get in; file names relative to ``base``, or as written. Raises AccessError (a systemd credential)."""
        paths = file_paths(self, ("ca", "cert", "key", "password_file"), base)
        return Access(
            ca=paths["ca"], cert=paths["cert"], key=paths["key"], user=self.user, password_file=paths["password_file"]
        )  # fmt: skip

    @model_validator(mode="after")
    def _urls_fit(self) -> Self:
        for text in self.urls:
            url = fitting_url(self.access, text)
            if url.scheme not in ("nats", "tls") or not url.hostname or url.path.strip("/") or url.query:
                raise Unfit(Message("control-room-intake-url", url=text), key="url")
        if len({urlsplit(text).scheme for text in self.urls}) > 1:
            raise Unfit(Message("control-room-intake-mixed"), key="url")
        if (self.user is None) != (self.password_file is None):
            raise Unfit(Message("control-room-intake-login"), key="password_file" if self.user else "user")
        return self


class Document(Model):
    """CONTROL.toml as it stands."""

    control: Control
    database: Database
    intake: Intake
    web: Web | None = None


TABLES: Mapping[str, type[Model]] = {"control": Control, "database": Database, "intake": Intake, "web": Web}


@dataclass(frozen=True)
class Settings:
    """A CONTROL.toml: the document, and where it stands; paths in it are relative to its folder."""

    path: Path
    document: Document

    @property
    def name(self) -> str:
        """Of the control room: one database, and one consumer that its receivers share."""
        return self.document.control.name

    @property
    def trust(self) -> Path:
        """The trust file."""
        return self.path.parent / self.document.control.trust

    @property
    def archive(self) -> Path:
        """The folder of batch files, which all receivers share."""
        return self.path.parent / self.document.control.archive

    @property
    def database(self) -> Database:
        """The section [database]."""
        return self.document.database

    @property
    def intake(self) -> Intake:
        """The section [intake]."""
        return self.document.intake

    @property
    def web(self) -> Web | None:
        """The section [web]; None: there is none."""
        return self.document.web

    @property
    def keys(self) -> Path:
        """The folder of users and tokens of the pages."""
        return self.path.parent / "keys"

    @property
    def users(self) -> Path:
        """The file of the pages' users."""
        return self.keys / "web.users"

    def intake_access(self) -> Access:
        """How to get in at the broker, every file of it checked. Raises ConfigError."""
        return usable(self.path, "intake", self.intake.access)

    def database_access(self) -> Access:
        """The password of the database, its file checked. Raises ConfigError."""

        def access(base: Path) -> Access:
            return Access(password_file=file_paths(self.database, ("password_file",), base)["password_file"])

        return usable(self.path, "database", access)


def load_settings(path: Path) -> Settings:
    """Read and validate a CONTROL.toml. Raises ConfigError: unreadable, not TOML, unknown key, wrong type or value."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(path, "", Message("control-room-no-file")) from None
    except OSError as error:
        raise ConfigError(path, "", Message("config-not-readable", error=os_error(error))) from None
    return settings_of(path, data)


def settings_of(path: Path, data: bytes) -> Settings:
    """The settings that these bytes are as the file at ``path``. Raises ConfigError as ``load_settings`` does."""
    raw = raw_document(path, data)
    try:
        return Settings(path, Document.model_validate(raw))
    except ValidationError as error:
        raise explain(path, raw, error, Document, TABLES) from None


_NEW = """\
# Control room: docs/control-room.md explains every key. Paths are relative to this file.
[control]
name = {name_}
trust = {trust}
archive = "archive"        # proven batches, one file each; all receivers share it

[database]
url = {database}
{password}hot = "7d"                 # signed bytes in the database; those of the archive stay
readings = "400d"

[intake]
url = {intake}
# ca = "ca.pem"            # with tls://: who signed the broker's certificate
# user = "control"
# password_file = "nats-password"
portion = 500              # records of one transaction
"""


def new_settings(
    path: Path, database: str, password_file: Path | None, intake: str, trust: Path, name: str
) -> tuple[Settings, str]:
    """Settings that are not written yet, and the text of their file at ``path``. Raises ConfigError."""
    written = {"name_": name, "trust": _written(path, trust), "database": database, "intake": intake}
    fields = {key: quoted(text) for key, text in written.items()}
    fields["password"] = (
        f"password_file = {quoted(_written(path, password_file))}\n" if password_file else '# password_file = "…"\n'
    )
    text = _NEW.format(**fields)
    return settings_of(path, text.encode()), text


def _written(path: Path, file: Path) -> str:
    """A file's path as CONTROL.toml has it."""
    folder, whole = path.parent.resolve(), file.resolve()
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)
