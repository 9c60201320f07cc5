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
from ledger_client.messages import Message, Sentence
from ledger_client.system_errors import os_error

Protocol = Literal["auto", "5", "3.1.1"]

CREDENTIALS: Final = "$CREDENTIALS_DIRECTORY/"  # systemd.exec(5), LoadCredential=
_SECURE: Final = {"http": "https", "mqtt": "mqtts", "nats": "tls"}
"""Schemes without TLS, and the one with it."""
_MAX_SECRET = 8 * 1024
_MAX_PEM = 4 * 1024 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1


class AccessError(LedgerClientError):
    """``key`` (as in ``Access``, or ``url``) cannot be used: ``what`` says why, and never a secret."""

    def __init__(self, key: str, what: Sentence, way_out: str = "") -> None:
        super().__init__(what, way_out)
        self.key = key

    @property
    def sentence(self) -> Sentence:
        return Message("at", place=self.key, what=self.what)


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
        """What can be said without opening a file. ``url`` is a ledger's (http) or a broker's (mqtt, nats)."""
        parts = _split("url", url)
        self._check_pairs()
        self._check_kind(parts.scheme)
        self._check_plain(parts)
        if self.proxy is not None:
            proxy = _split("proxy", self.proxy)
            if proxy.scheme not in ("http", "https") or not proxy.hostname or proxy.path.strip("/"):
                raise AccessError("proxy", Message("access-proxy-invalid", proxy=self.proxy))

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
                what = Message("access-ca-unreadable", path=str(self.ca), error=_reason(error))
                raise AccessError("ca", what) from None
        self.load_own(context)
        return context

    def load_own(self, context: ssl.SSLContext) -> None:
        """Load our certificate and its key into a context, or load them again after they were renewed."""
        if self.cert is not None and self.key is not None:
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
            except OSError as error:
                what = Message("access-pair-mismatch", cert=str(self.cert), key=str(self.key), error=_reason(error))
                raise AccessError("cert", what) from None

    def token(self) -> str | None:
        """The bearer token as it is now."""
        if self.token_file is None:
            return None
        token = read_secret("token_file", self.token_file)
        if not _TOKEN.fullmatch(token):
            raise AccessError("token_file", Message("access-token-file", path=str(self.token_file)))
        return token

    def password(self) -> str | None:
        """The password as it is now."""
        return None if self.password_file is None else read_secret("password_file", self.password_file)

    def _check_pairs(self) -> None:
        if (self.cert is None) != (self.key is None):
            missing = "key" if self.key is None else "cert"
            raise AccessError(missing, Message("access-pair-missing"))
        if self.password_file is not None and self.user is None:
            raise AccessError("user", Message("access-user-missing"))
        if self.user == "":
            raise AccessError("user", Message("access-user-empty"))
        if self.token_file is not None and self.user is not None:
            raise AccessError("token_file", Message("access-two-logins"))

    def _check_kind(self, scheme: str) -> None:
        http = scheme in ("http", "https")
        if http and ":" in (self.user or ""):
            raise AccessError("user", Message("access-user-colon"))
        mine, kind = (("protocol",), "mqtt") if http else (("token_file", "proxy"), "http")
        for key in mine:
            if getattr(self, key) not in (None, "auto"):
                raise AccessError(key, Message("access-other-kind", type=kind))
        if scheme in _SECURE:
            for key in ("ca", "cert", "key"):
                if getattr(self, key) is not None:
                    raise AccessError(key, Message("access-no-tls", scheme=scheme, secure=_SECURE[scheme]))

    def _check_plain(self, parts: SplitResult) -> None:
        secret = next((key for key in ("token_file", "password_file") if getattr(self, key) is not None), None)
        if secret and parts.scheme in _SECURE and not is_loopback(parts.hostname or ""):
            host, secure = parts.hostname or "", _SECURE[parts.scheme]
            raise AccessError(secret, Message("access-plain", host=host, secure=secure))


def resolve(text: str, base: Path, key: str) -> Path:
    """A path as written: relative to ``base``, or a systemd credential ``$CREDENTIALS_DIRECTORY/NAME``."""
    if not text.startswith(CREDENTIALS):
        return base / text
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise AccessError(key, Message("access-no-credentials", text=text, name=text.removeprefix(CREDENTIALS)))
    return Path(folder) / text.removeprefix(CREDENTIALS)


def demand_http(key: str, url: str) -> None:
    """Raise ``AccessError`` about ``key`` unless HTTP can be spoken at this address."""
    parts = _split(key, url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AccessError(key, Message("access-not-http"))


def _split(key: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
        if any(c.isspace() for c in url):
            raise ValueError
    except ValueError:
        raise AccessError(key, Message("access-not-url")) from None
    if "@" in parts.netloc:  # the address itself is not quoted: it may hold a password
        raise AccessError(key, Message("access-login-in-url") if key == "url" else Message("access-login-in-proxy"))
    return parts


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine, so that nothing of what is sent there leaves it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_password() -> str:
    """OpenSSL would ask at the terminal, and wait; an empty password fails at once."""
    return ""


def _reason(error: OSError) -> Sentence:
    """What OpenSSL says of a file, or the system."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or error.strerror or "not PEM").lower().replace("_", " ")
    return os_error(error)


def read_secret(key: str, path: Path) -> str:
    """The one line of a file that nobody else may read. Raises ``AccessError`` about ``key``, never with the secret."""
    text = read_file(key, path, secret=True)
    try:
        secret = text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret or "\n" in secret or "\0" in secret:
        raise AccessError(key, Message("access-secret-lines", path=str(path)))
    return secret


def read_file(key: str, path: Path, *, secret: bool) -> bytes:
    """A small file, whole; a secret one may be nobody else's to read. Raises ``AccessError`` about ``key``."""
    cap = _MAX_SECRET if key.endswith("_file") else _MAX_PEM
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(cap + 1)
    except OSError as error:
        raise AccessError(key, _unreadable(path, error)) from None
    if secret and stat.S_IMODE(mode) & _others(path):
        raise AccessError(key, Message("access-file-open", path=str(path), mode=_mode_text(mode)))
    if len(data) > cap:
        raise AccessError(key, Message("access-file-large", path=str(path), limit=cap))
    return data


def _unreadable(path: Path, error: OSError) -> Message:
    if isinstance(error, FileNotFoundError):
        return Message("access-file-missing", path=str(path))
    return Message("access-file-unreadable", path=str(path), error=os_error(error))


def _mode_text(mode: int) -> str:
    """A file's permissions as ``chmod`` takes them: ``0640``."""
    return f"{stat.S_IMODE(mode):04o}"


def _others(path: Path) -> int:
    """Bits that no secret file may have. systemd lets its service read by an ACL, which shows as the group's bits."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.is_relative_to(folder) else 0o077
