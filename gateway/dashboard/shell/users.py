"""Dashboard users: names, roles and scrypt hashes (RFC 7914) in a file of the keys folder.

A password is never stored, logged or compared in the clear, and none is there from the start.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from gateway.errors import ConfigError, Declined, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, is_there
from gateway.web_settings import Web
from ledger_client.durable_files import whole_file
from ledger_client.errors import LedgerClientError
from ledger_client.formats.checks import is_name
from ledger_client.messages import sentence_of
from ledger_client.text_file import NotToml, toml_of
from ledger_client.transport.access import AccessError, read_file

log = logging.getLogger("meterseal.pages")

FILE = "web.users"
N, R, P = 2**14, 8, 5
"""The cost of one guess: 16 MB and about a third of a second on a small machine."""
_MEMORY = 64 * 2**20
_SALT, _DIGEST = 16, 32
_HASH = re.compile(r"scrypt\$([0-9a-zA-Z+/=]{24})\$([0-9a-zA-Z+/=]{44})")
SHORTEST, LONGEST = 8, 256

Role = Literal["viewer", "installer"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class User:
    """``installer`` may act, ``viewer`` may look and download proofs."""

    name: str
    role: Role
    hash: str


def hashed(password: str) -> str:
    """The text that stands for a password in the file."""
    salt = secrets.token_bytes(_SALT)
    return "$".join(("scrypt", _text(salt), _text(_scrypt(password, salt))))


def matches(password: str, hash_: str) -> bool:
    """Whether it is the password of a hash. Takes a third of a second and 16 MB: never on the event loop."""
    found = _HASH.fullmatch(hash_)
    assert found is not None, "the file was checked when it was read"
    salt, digest = map(base64.b64decode, found.groups())
    return hmac.compare_digest(_scrypt(password, salt), digest)


def _scrypt(password: str, salt: bytes) -> bytes:
    text = unicodedata.normalize("NFC", password).encode()
    return hashlib.scrypt(text, salt=salt, n=N, r=R, p=P, maxmem=_MEMORY, dklen=_DIGEST)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


NOBODY = f"scrypt${_text(bytes(_SALT))}${_text(bytes(_DIGEST))}"
"""A hash that no password has: a guess at a name that there is not takes as long as any other."""


def check_new(name: str, password: str) -> Message | None:
    """What is wrong with a new password; None: it may be used."""
    if not SHORTEST <= len(password) <= LONGEST:
        return Message("password-length", low=SHORTEST, high=LONGEST)
    if not password.isprintable():
        return Message("password-control")
    if password.lower() in (name.lower(), "password", "meterseal", "12345678"):
        return Message("password-common")
    return None


def read_users(path: Path) -> dict[str, User]:
    """The users by name; none where there is no file. Raises ConfigError: readable by others, or not such a file."""
    if not is_there(path):
        return {}
    try:
        raw = toml_of(read_file("users", path, secret=True).decode())
    except AccessError as error:
        raise ConfigError(path, "", error.what, error.way_out) from None
    except (NotToml, UnicodeDecodeError) as error:
        raise ConfigError(path, "", Message("users-invalid", error=sentence_of(error))) from None
    entries = raw.get("user", [])
    if not isinstance(entries, list) or set(raw) - {"user"}:
        raise ConfigError(path, "", Message("users-not-tables"))
    return {user.name: user for user in (_user(path, entry) for entry in entries)}


def _user(path: Path, entry: object) -> User:
    match entry:
        case {"name": str(name), "role": "viewer" | "installer" as role, "hash": str(hash_)} if is_name(
            name
        ) and _HASH.fullmatch(hash_):
            return User(name, role, hash_)
    raise ConfigError(path, "user", Message("users-entry-invalid"))


def write_users(path: Path, users: Mapping[str, User]) -> None:
    """Replace the file, readable by its owner only. Raises ConfigError."""
    entries = (f'\n[[user]]\nname = "{u.name}"\nrole = "{u.role}"\nhash = "{u.hash}"\n' for u in users.values())
    try:
        with whole_file(path) as file:
            file.write(("# Who may see the pages; `meterseal password` writes this.\n" + "".join(entries)).encode())
        as_its_folder(path)
    except (OSError, LedgerClientError) as error:
        reason = os_error(error) if isinstance(error, OSError) else sentence_of(error)
        raise ConfigError(path, "", Message("users-not-writable", error=reason)) from None


def check_name(name: str) -> None:
    """Raises GatewayError for what cannot be a user's name."""
    if not is_name(name):
        raise GatewayError(Message("user-name-invalid", name=name))


def set_user(path: Path, name: str, role: str | None, password: str) -> User:
    """Write a user with a new password into a file of users.

    Args:
        path: of the file; it need not exist.
        name: of the user, a valid one (``check_name``).
        role: None keeps the role; a new user is a viewer then.
        password: in the clear; only its hash is stored.

    Raises:
        ConfigError: the file of users cannot be read or written.
    """
    users = read_users(path)
    before = users.get(name)
    user = User(name, cast(Role, role) if role else before.role if before else "viewer", hashed(password))
    write_users(path, users | {name: user})
    return user


def remove_user(path: Path, name: str) -> None:
    """Take a user off. Raises Declined: there is none of this name."""
    users = read_users(path)
    if name not in users:
        if not users:
            raise Declined(Message("users-none", path=str(path), name=name))
        raise Declined(Message("user-unknown", path=str(path), name=name, users=tuple(users)))
    write_users(path, {other: user for other, user in users.items() if other != name})


def demand(path: Path, web: Web, file: Path, command: str) -> None:
    """Refuse pages that are reachable from other machines without users and TLS, or whose files cannot be used.

    Args:
        path: of the configuration.
        web: its section [web].
        file: of the users.
        command: what gives a user a password, but for NAME and role.

    Raises:
        ConfigError: what is missing.
    """
    command = f"{command} NAME --role installer"
    known = read_users(file)
    if not web.loopback:
        if web.cert is None:
            raise ConfigError(path, "web, cert", Message("web-needs-tls", listen=web.listen, port=web.port))
        if not known:
            message = Message("web-needs-password", listen=web.listen, command=command)
            raise ConfigError(path, "web, listen", message)
    if not known:
        log.warning("no user can log in to the pages yet; run `%s`", command)
    web.usable(path)


class Users:
    """The file of users, read again whenever it changes. Event loop only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._users: dict[str, User] = {}

    def current(self) -> Mapping[str, User]:
        """The users by name; none while the file cannot be used. Raises ConfigError: why."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            self._users, self._stamp = {}, None
            self._users, self._stamp = read_users(self._path), stamp
        return self._users
