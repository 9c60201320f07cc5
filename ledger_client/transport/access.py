"""Access to a ledger or broker: TLS, credentials, proxy. Holds paths only; secrets stay in files.

Rules that need no file are checked by ``check_rules``, the files by ``check_files``; both raise ``AccessError``.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from ledger_client.errors import LedgerClientError

Protocol = Literal["auto", "5", "3.1.1"]

CREDENTIALS: Final = "$CREDENTIALS_DIRECTORY/"  # systemd.exec(5), LoadCredential=
_MAX_SECRET = 8 * 1024
_MAX_PEM = 4 * 1024 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1


class AccessError(LedgerClientError):
    """``key`` (as in ``Access``, or ``url``) cannot be used: the problem and the way out, and never a secret."""

    def __init__(self, key: str, problem: str, way_out: str) -> None:
        super().__init__(f"{key}: {problem}; {way_out}")
        self.key, self.problem, self.way_out = key, problem, way_out


@dataclass(frozen=True, slots=True)
class Access:
    """``ca``, ``cert``, ``key``: PEM files; ``proxy``: an http URL; ``protocol``: the MQTT version to speak.

    ``token_file`` and ``password_file`` hold one secret each and are read at every use, so that a new one takes effect.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    proxy: str | None = None
    protocol: Protocol = "auto"

    def check_rules(self, url: str) -> None:
        """What can be said without opening a file. ``url`` is a ledger's (http) or a broker's (mqtt)."""
        parts = _split("url", url)
        self._check_pairs()
        self._check_kind(parts.scheme)
        self._check_plain(parts)
        if self.proxy is not None:
            proxy = _split("proxy", self.proxy)
            if proxy.scheme not in ("http", "https") or not proxy.hostname or proxy.path.strip("/"):
                raise AccessError("proxy", f"{self.proxy!r} is no proxy's address", "write it as http://HOST:PORT")

    def check_files(self) -> None:
        """Every file is there, readable, of its kind, and a secret one is nobody else's."""
        if self.ca is not None:
            read_file("ca", self.ca, secret=False)
        if self.cert is not None and self.key is not None:
            read_file("cert", self.cert, secret=False)
            read_file("key", self.key, secret=True)
        self.tls_context()
        self.token()
        self.password()

    def tls_context(self) -> ssl.SSLContext:
        """A client's context: the private CA alone where there is one, else the machine's CAs; our certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(self.ca)
            except OSError as error:  # ssl.SSLError is one
                problem = f"{self.ca} holds no certificate that can be read ({_reason(error)})"
                raise AccessError("ca", problem, "give the CA's certificate as a PEM file") from None
        self.load_own(context)
        return context

    def load_own(self, context: ssl.SSLContext) -> None:
        """Load our certificate and its key into a context, or load them again after they were renewed."""
        if self.cert is not None and self.key is not None:
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
            except OSError as error:
                problem = f"{self.cert} and {self.key} cannot be used together ({_reason(error)})"
                way_out = "give a certificate and its own private key, both PEM, the key without a password"
                raise AccessError("cert", problem, way_out) from None

    def token(self) -> str | None:
        """The bearer token as it is now."""
        if self.token_file is None:
            return None
        token = read_secret("token_file", self.token_file)
        if not _TOKEN.fullmatch(token):
            problem = f"{self.token_file} holds something else than one bearer token (RFC 6750)"
            raise AccessError("token_file", problem, "let the file hold the token alone, in one line")
        return token

    def password(self) -> str | None:
        """The password as it is now."""
        return None if self.password_file is None else read_secret("password_file", self.password_file)

    def _check_pairs(self) -> None:
        if (self.cert is None) != (self.key is None):
            missing = "key" if self.key is None else "cert"
            raise AccessError(missing, "is missing: cert and key go together", "give the PEM files of both")
        if self.password_file is not None and self.user is None:
            raise AccessError("user", "is missing: there is a password_file", "give the name that it belongs to")
        if self.user == "":
            raise AccessError("user", "is empty", "give a name, or leave it out")
        if self.token_file is not None and self.user is not None:
            raise AccessError("token_file", "stands beside user", "log in with one of both")

    def _check_kind(self, scheme: str) -> None:
        http = scheme in ("http", "https")
        if http and ":" in (self.user or ""):
            raise AccessError("user", "holds a colon, where HTTP Basic has the password begin", "use another name")
        mine, kind = (("protocol",), "mqtt") if http else (("token_file", "proxy"), "http")
        for key in mine:
            if getattr(self, key) not in (None, "auto"):
                raise AccessError(key, f"belongs to ledgers of type {kind}", "remove it")
        if scheme in ("http", "mqtt"):
            for key in ("ca", "cert", "key"):
                if getattr(self, key) is not None:
                    raise AccessError(key, f"has no use without TLS, and {scheme}:// has none", f"write {scheme}s://")

    def _check_plain(self, parts: SplitResult) -> None:
        secret = next((key for key in ("token_file", "password_file") if getattr(self, key) is not None), None)
        if secret and parts.scheme in ("http", "mqtt") and not _is_loopback(parts.hostname or ""):
            problem = f"would cross the network in the clear to {parts.hostname}"
            raise AccessError(secret, problem, f"use {parts.scheme}s:// for anything but this machine")


def resolve(text: str, base: Path, key: str) -> Path:
    """A path as written: relative to ``base``, or a systemd credential ``$CREDENTIALS_DIRECTORY/NAME``."""
    if not text.startswith(CREDENTIALS):
        return base / text
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        name = text.removeprefix(CREDENTIALS)
        problem = f"{text} cannot be found: systemd gave this process no credentials"
        raise AccessError(key, problem, f"add LoadCredential={name}:FILE to the unit, or write the path of a file")
    return Path(folder) / text.removeprefix(CREDENTIALS)


def demand_http(key: str, url: str) -> None:
    """Raise ``AccessError`` about ``key`` unless HTTP can be spoken at this address."""
    parts = _split(key, url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AccessError(key, "is no address", "write it as http://HOST:PORT or https://HOST:PORT")


def _split(key: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
        if any(c.isspace() for c in url):
            raise ValueError
    except ValueError:
        raise AccessError(key, "is no address", "write it as SCHEME://HOST:PORT") from None
    if "@" in parts.netloc:  # the address itself is not quoted: it may hold a password
        way_out = "give user and password_file, or token_file" if key == "url" else "use a proxy that asks for none"
        raise AccessError(key, "holds a user or a password, and addresses end up in logs", way_out)
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_password() -> str:
    """OpenSSL would ask at the terminal, and wait; an empty password fails at once."""
    return ""


def _reason(error: OSError) -> str:
    return (getattr(error, "reason", None) or error.strerror or "not PEM").lower().replace("_", " ")


def read_secret(key: str, path: Path) -> str:
    """The one line of a file that nobody else may read. Raises ``AccessError`` about ``key``, never with the secret."""
    text = read_file(key, path, secret=True)
    try:
        secret = text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret or "\n" in secret or "\0" in secret:
        raise AccessError(key, f"{path} does not hold one line of text", "let it hold the secret alone")
    return secret


def read_file(key: str, path: Path, *, secret: bool) -> bytes:
    """A small file, whole; a secret one may be nobody else's to read. Raises ``AccessError`` about ``key``."""
    cap = _MAX_SECRET if key.endswith("_file") else _MAX_PEM
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(cap + 1)
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise AccessError(key, f"{path} {why}", "give the path of a file that this user may read") from None
    if secret and stat.S_IMODE(mode) & _others(path):
        raise AccessError(key, f"{path} has mode {stat.S_IMODE(mode):04o}: others can read it", f"chmod 600 {path}")
    if len(data) > cap:
        raise AccessError(key, f"{path} has more than {cap} bytes", "is it the right file?")
    return data


def _others(path: Path) -> int:
    """Bits that no secret file may have. systemd lets its service read by an ACL, which shows as the group's bits."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.is_relative_to(folder) else 0o077
