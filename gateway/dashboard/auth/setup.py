"""Dashboard setup for `meterseal init --web` and `meterseal password`: users, certificate, ``[web]``."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.access_files import fingerprint
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.config.web import Web
from gateway.dashboard.auth import certificate, exposure
from gateway.dashboard.auth.exposure import users_file
from gateway.dashboard.shell import users
from gateway.dashboard.shell.users import User, read_users
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

FIRST_USER = "installer"
PORT = 8080
_SECTION = """
# The pages, for browsers. Users: `meterseal password CONFIG NAME --role viewer` (docs/pages.md)
[web]
listen = "{listen}"
cert = "{cert}"
key = "{key}"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What was made, and where the pages will be."""

    wrote: tuple[Path, ...]
    address: str
    fingerprint: str


def listen(text: str) -> str:
    """``ADDRESS[:PORT]`` as ``listen`` has it. Raises GatewayError: no address of that kind."""
    bare = text.count(":") > 1 and not text.startswith("[")
    host = f"[{text}]" if bare else text
    full = host if host.rpartition("]")[2].count(":") else f"{host}:{PORT}"
    try:
        return Web(listen=full).listen
    except ValueError:
        raise GatewayError(Message("web-no-address", text=text)) from None


def has_users(config_path: Path) -> bool:
    """Whether anybody has a password yet."""
    return bool(read_users(users_file(load_config(config_path))))


def add_pages(config_path: Path, at: str, password: str, now_s: int) -> Done:
    """Whatever the pages of a site lack: section, certificate, first user. Existing parts stay as they are.

    Args:
        config_path: the site's gateway.toml.
        at: ``ADDRESS:PORT`` to listen at; an existing section must name the same.
        password: of the first user, where there is none yet.
        now_s: Unix time from which the certificate is valid.

    Raises:
        ConfigError: nothing is missing, another address is configured, or a file cannot be written.
    """
    config = load_config(config_path)
    web = config.document.web
    if web is not None and web.listen != at:
        raise ConfigError(config_path, "web, listen", Message("web-other-address", listen=web.listen))
    wrote = []
    if web is None:
        paths = {name: f"{config.document.gateway.keys}/{file}" for name, file in _FILES.items()}
        section = _SECTION.format(listen=at, **paths)
        _append(config_path, section)
        wrote.append(config_path)
        config = load_config(config_path)
        web = cast(Web, config.document.web)
    if web.cert is None:
        raise ConfigError(config_path, "web", Message("web-no-certificate"))
    cert = config_path.parent / web.cert
    if not cert.exists():
        wrote += certificate.make(config.keys, config.gateway_id, exposure.names(web), now_s)
    if not read_users(users_file(config)):
        wrote.append(set_user(config, FIRST_USER, "installer", password)[0])
    if not wrote:
        raise ConfigError(config_path, "web", Message("web-set-up"))
    return Done(tuple(wrote), web.url, fingerprint(cert))


def demonstrate(config: Config) -> dict[str, str]:
    """Pages on the loopback address, at a free port, for one user with a random password: name and password."""
    _append(config.path, '\n[web]\nlisten = "127.0.0.1:0"\n')
    user, password = "demo", secrets.token_urlsafe(9)
    set_user(config, user, "installer", password)
    return {"user": user, "password": password}


_FILES = {"cert": certificate.CERT, "key": certificate.KEY}


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(path, "", Message("web-not-writable", error=os_error(error))) from None


def set_user(config: Config, name: str, role: str | None, password: str) -> tuple[Path, User]:
    """Write a user with a new password: (file, user); see ``shell.users.set_user``. Raises ConfigError."""
    path = users_file(config)
    return path, users.set_user(path, name, role, password)


def remove_user(config: Config, name: str) -> Path:
    """Take a user off. Raises Declined: there is none of this name."""
    path = users_file(config)
    users.remove_user(path, name)
    return path
