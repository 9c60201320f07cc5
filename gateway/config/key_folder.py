"""Folder of keys beside those in use: the next key of an owner, and those that were replaced, until they are retired.

``next/NAME.pem`` waits to be used, or ``next/statement.json`` says which key of a token does; ``replaced/NAME-….pem``
was used, and goes when it is retired; ``former.json`` names every key that was replaced, for ever. A key that stands
there signs nothing again, but for one case: as long as the key that it names as its successor still waits in ``next``,
and is not the one in use, the change has not been made, and the old one signs on. So each step can be killed between
two writes and be repeated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from gateway.config import token_key
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, is_there
from ledger_client.durable_files import rename, sync_folder, whole_file
from ledger_client.errors import VerificationError
from ledger_client.formats.cose_key import PrivateKey, PublicKey, Signer, load_private_key, save_private_key

STATEMENT: Final = "statement"
FORMER_FILE: Final = "former.json"
Edit = Callable[[Config, Mapping[str, str | None]], object]
"""Write these keys of [gateway] into gateway.toml, durably; ``None`` takes one out."""


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A key in a token: its URI, and the ``pkcs11_module`` and ``pin_file`` with which it is reached."""

    uri: str
    module: str
    pin_file: str

    @classmethod
    def of(cls, config: Config) -> TokenPlace | None:
        """That of the statement key in use; None: it is a file."""
        gateway = config.document.gateway
        if gateway.statement_key is None:
            return None
        return cls(gateway.statement_key, str(gateway.pkcs11_module), str(gateway.pin_file))

    def settings(self) -> dict[str, str | None]:
        """The keys of [gateway] that name it."""
        return {"statement_key": self.uri, "pkcs11_module": self.module, "pin_file": self.pin_file}

    def in_use(self, config: Config) -> Config:
        """The configuration, if this were its statement key."""
        gateway = config.document.gateway.model_copy(update=self.settings())
        return replace(config, document=config.document.model_copy(update={"gateway": gateway}))


_IN_A_FILE: Final = {"statement_key": None, "pkcs11_module": None, "pin_file": None}


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A key that was replaced: whose it is (a meter, or ``statement``), its public key in base64url, the thumbprint of
    its successor in hex, when it was replaced and, once it is destroyed, until when it counts, in Unix seconds, and
    why; ``token``: where it was not a file."""

    owner: str
    public: str
    by: str
    replaced: int
    retired: int | None = None
    reason: str | None = None
    token: TokenPlace | None = None

    @property
    def key(self) -> PublicKey:
        """The public key."""
        return PublicKey.from_text(self.public)

    @property
    def kid(self) -> bytes:
        """Its thumbprint."""
        return self.key.kid


def used_file(config: Config, name: str) -> Path:
    """Where the key in use of a meter is, or that of the statements where it is a file."""
    return config.keys / f"{name}.pem"


def next_file(config: Config, name: str) -> Path:
    """Where the next key of a meter, or of the statements, waits."""
    return config.keys / "next" / f"{name}.pem"


def replaced_file(config: Config, former: FormerKey) -> Path:
    """Where a replaced key stays until it is retired."""
    return config.keys / "replaced" / f"{former.owner}-{former.kid.hex()[:16]}.pem"


def replaced_key(config: Config, former: FormerKey) -> Signer | None:
    """A replaced key, to vouch for its successor; None: it is not at hand. Raises KeyFileError."""
    if former.token is not None:
        with suppress(GatewayError):  # a token that is away, or gives it no more
            key = token_key.loaded(former.token.in_use(config))
            return key if key.public.kid == former.kid else None
        return None
    path = replaced_file(config, former)
    return load_private_key(path) if is_there(path) else None


# — the next key —


def next_in_token(config: Config, name: str) -> tuple[TokenPlace, PublicKey] | None:
    """The key of a token that waits to be used; None: none does. Raises ConfigError."""
    path = next_file(config, name).with_suffix(".json")
    if not is_there(path):
        return None
    try:
        fields = json.loads(path.read_bytes())
        return TokenPlace(**fields["place"]), PublicKey.from_text(fields["public"])
    except (OSError, ValueError, TypeError, KeyError, VerificationError) as error:
        raise _broken(path, error) from None


def next_public(config: Config, name: str) -> PublicKey | None:
    """The public half of the key that waits to be used; None: there is none. Raises ConfigError, KeyFileError."""
    if (waiting := next_in_token(config, name)) is not None:
        return waiting[1]
    path = next_file(config, name)
    return load_private_key(path).public if is_there(path) else None


def next_key(config: Config, name: str) -> Signer | None:
    """The key that waits to be used; None: there is none. Raises GatewayError, KeyFileError."""
    if (waiting := next_in_token(config, name)) is not None:
        return token_key.loaded(waiting[0].in_use(config))
    path = next_file(config, name)
    return load_private_key(path) if is_there(path) else None


def make_next(config: Config, name: str) -> Signer:
    """A new key that waits to be used, on disk when this returns. Raises GatewayError, KeyFileError."""
    path = next_file(config, name)
    new = path.with_name(path.name + ".new")
    try:
        _folder(path.parent)
        new.unlink(missing_ok=True)  # half a key, of a command that was killed
        save_private_key(new, PrivateKey.generate())
        as_its_folder(new)
        rename(new, path)
    except OSError as error:
        raise _not_writable(path, error) from None
    return load_private_key(path)


def make_next_in_token(config: Config, name: str, place: TokenPlace, used: Iterable[bytes]) -> Signer:
    """The same in a token; one of this name that is there already is taken, as a command that was killed has left it,
    unless it is among those that have been ``used`` (thumbprints). Raises GatewayError."""
    there = place.in_use(config)
    token_key.make_key(there)
    key, path = token_key.loaded(there), next_file(config, name).with_suffix(".json")
    if key.public.kid in set(used):
        raise GatewayError(Message("rotate-same-key", key=place.uri))
    try:
        _folder(path.parent)
        _write(path, {"place": asdict(place), "public": key.public.to_text()})
    except OSError as error:
        raise _not_writable(path, error) from None
    return key


def take_next(config: Config, former: FormerKey, edit: Edit) -> None:
    """Put the next key in the place of the one in use; a file stays as a replaced one. At no moment is there none, and
    one write changes which of the two is in use. Raises GatewayError."""
    used, path, kept = used_file(config, former.owner), next_file(config, former.owner), replaced_file(config, former)
    waiting = next_in_token(config, former.owner)
    try:
        if former.token is None:
            _folder(kept.parent)
            kept.unlink(missing_ok=True)  # of a command that was killed: the same
            os.link(used, kept)  # one file of two names: what overwrites it when it is retired overwrites all of it
            sync_folder(kept.parent)
        elif waiting is None and not (is_there(used) and used.samefile(path)):
            os.link(path, used)
            sync_folder(used.parent)
        if waiting is not None:
            edit(config, waiting[0].settings())
        elif former.token is not None:
            edit(config, _IN_A_FILE)
        else:
            rename(path, used)
            sync_folder(path.parent)
    except FileExistsError:
        raise GatewayError(Message("rotate-file-in-the-way", path=str(used))) from None
    except OSError as error:
        raise _not_writable(used, error) from None
    if waiting is not None or former.token is not None:
        took_next(config, former.owner, in_token=waiting is not None)


def took_next(config: Config, name: str, *, in_token: bool) -> None:
    """Clear away what a change of the place has left: the next key is the one in use. Raises GatewayError."""
    path, used = next_file(config, name), used_file(config, name)
    try:
        if in_token:
            used.unlink(missing_ok=True)  # it stays in ``replaced``
            path.with_suffix(".json").unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
        sync_folder(used.parent)
        sync_folder(path.parent)
    except OSError as error:
        raise _not_writable(path, error) from None


# — the end of a key —


def destroy(config: Config, former: FormerKey) -> bool:
    """Destroy a replaced private key: overwrite and remove its file, or have its token destroy it; False: it is not
    there. Raises GatewayError."""
    if former.token is not None:
        return token_key.destroy(former.token.in_use(config), former.kid)
    path = replaced_file(config, former)
    try:
        if not is_there(path):
            return False
        with path.open("r+b") as file:
            file.write(os.urandom(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise _not_writable(path, error) from None
    return True


# — the list —


def former_keys(config: Config) -> list[FormerKey]:
    """Every key that was replaced, the first one first. Raises ConfigError: the list cannot be read, and without it a
    replaced key would sign again."""
    path = config.keys / FORMER_FILE
    if not is_there(path):
        return []
    try:
        return [_former(row) for row in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, VerificationError) as error:
        raise _broken(path, error) from None


def _former(row: dict[str, Any]) -> FormerKey:
    token = TokenPlace(**row["token"]) if "token" in row else None
    former = FormerKey(**{**row, "token": token})
    texts, times = (former.owner, former.public, former.by), (former.replaced, former.retired or 0)
    if not all(type(text) is str for text in texts) or not all(type(time) is int for time in times):
        raise ValueError(row)
    if (former.retired is None) != (former.reason is None) or len(bytes.fromhex(former.by)) != len(former.kid):
        raise ValueError(row)
    return former


def write_former(config: Config, keys: Iterable[FormerKey]) -> None:
    """Durable replacement of the list. Raises GatewayError."""
    path = config.keys / FORMER_FILE
    rows = [{field: value for field, value in asdict(key).items() if value is not None} for key in keys]
    try:
        _write(path, rows)
    except OSError as error:
        raise _not_writable(path, error) from None


def replaced_since(config: Config, kid: bytes) -> FormerKey | None:
    """What the list says of a key that signs nothing again; None: it may sign. Raises ConfigError, KeyFileError."""
    former = next((key for key in former_keys(config) if key.kid == kid), None)
    if former is None or is_half_way(config, former):
        return None
    return former


def is_half_way(config: Config, former: FormerKey) -> bool:
    """Whether a change was begun and not made: the successor still waits."""
    waiting = next_public(config, former.owner)
    if waiting is None or waiting.kid.hex() != former.by:
        return False
    in_token = next_in_token(config, former.owner)
    if in_token is not None:
        return in_token[0] != TokenPlace.of(config)
    # from a token to a file: the file is in use once the configuration names no token
    used = used_file(config, former.owner)
    return former.token is None or TokenPlace.of(config) is not None or not is_there(used)


def _folder(path: Path) -> None:
    if not is_there(path):
        path.mkdir(mode=0o700)
        as_its_folder(path)
        sync_folder(path.parent)


def _write(path: Path, value: object) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(value, indent=1).encode())
    as_its_folder(path)


def _broken(path: Path, error: Exception) -> ConfigError:
    why = os_error(error) if isinstance(error, OSError) else type(error).__name__
    return ConfigError(path, "", Message("former-keys-broken", error=why))


def _not_writable(path: Path, error: OSError) -> GatewayError:
    return GatewayError(Message("path-not-writable", path=str(path), error=os_error(error)))
