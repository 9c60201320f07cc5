"""Device keys in files: one private key a meter plus the gateway's statement key, PKCS#8, readable by the owner only.

Reads and makes ``<keys>/<meter>.pem`` and ``<keys>/statement.pem``; a token may have the statement key instead
(token_key.py). The public halves go into the enrolment request ``gateway.enrol`` beside them, and into the trust file,
as ``[[key]]`` entries (EVIDENCE §8). Next and replaced keys are in config/key_folder.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config import token_key
from gateway.config.key_folder import STATEMENT as STATEMENT
from gateway.config.key_folder import FormerKey, former_keys, next_key, replaced_key
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process.file_owner import as_its_folder, demand_folder, is_there
from ledger_client import messages
from ledger_client.durable_files import whole_file
from ledger_client.enrolment.request import MAX_IDENTITY, MAX_RETIRED, Enrolment, MeterKey, RetiredKey, sign_request
from ledger_client.errors import KeyFileError, TrustFileError
from ledger_client.formats.cose_key import PrivateKey, Signer, load_private_key, save_private_key
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.trust_text import key_entry

REQUEST_FILE = "gateway.enrol"
_NO_KEY = ("key-file-not-pkcs8", "key-file-not-a-key", "key-file-algorithm")
"""Messages of a file that has to be restored or made anew."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The signers of one gateway: its statement key, and one key for each meter by name."""

    statement: Signer
    meters: dict[str, Signer]


def load_site_trust(config: Config) -> Trust:
    """The trust file; its policy is asked for only where there are ledgers. Raises TrustFileError."""
    trust = load_trust(config.trust, anchored=False)
    if config.document.ledger and not trust.ledgers:
        names = ", ".join(f'"{entry.name}"' for entry in config.document.ledger)
        raise TrustFileError(str(config.trust), "policy", messages.Message("policy-without-ledgers", ledgers=names))
    return trust


def key_names(config: Config) -> list[str]:
    """The name of each key: ``statement`` (reserved) and every configured meter."""
    return [STATEMENT, *config.meters]


def key_files(config: Config) -> dict[str, Path]:
    """Path of each key by name, but for a statement key in a token."""
    names = key_names(config) if token_key.named(config) is None else config.meters
    return {name: config.keys / f"{name}.pem" for name in names}


def key_fault(config: Config, name: str, what: messages.Sentence) -> ConfigError:
    """What is wrong with a key, with the place where it stands: its file, or the key of the configuration that names
    its token."""
    path = key_files(config).get(name)
    return ConfigError(config.path, "gateway, statement_key", what) if path is None else ConfigError(path, "", what)


def statement_key(config: Config) -> Signer:
    """The statement key alone, from its file or its token. Raises KeyFileError, or GatewayError for a token."""
    if token_key.named(config) is not None:
        return token_key.loaded(config)
    return load_private_key(key_files(config)[STATEMENT])


def load_keys(config: Config) -> Keys:
    """Every key that the configuration needs. Raises ConfigError: missing, readable by others, not a key; GatewayError:
    the token with the statement key does not answer now."""
    demand_folder(config.keys, "keys")
    loaded = {name: _load(config, name, path) for name, path in key_files(config).items()}
    statement = loaded.pop(STATEMENT, None)
    return Keys(token_key.loaded(config) if statement is None else statement, loaded)


def _load(config: Config, name: str, path: Path) -> Signer:
    try:
        return load_private_key(path)
    except KeyFileError as error:
        whose = Message("key-of-statement") if name == STATEMENT else Message("key-of-meter", meter=name)
        config_path, what = str(config.path), error.sentence
        if not is_there(path):
            sentence = Message("key-file-missing", whose=whose, why=what, config=config_path)
        elif isinstance(error.what, messages.Message) and error.what.code in _NO_KEY:
            sentence = Message("key-file-broken", whose=whose, why=what, config=config_path)
        else:
            sentence = Message("key-file-unusable", whose=whose, why=what)
        raise ConfigError(config.path, "", sentence) from None


def make_missing(config: Config, now_s: int, identities: Mapping[str, str] | None = None) -> list[str]:
    """Creation of missing keys and of the enrolment request. Returns the names of the new keys.

    ``now_s``: Unix seconds, from when on the keys count; ``identities``: of the meters' devices, where they are known.
    """
    demand_folder(config.keys, "keys")
    if not is_there(config.keys):
        config.keys.mkdir(mode=0o700, parents=True)
        as_its_folder(config.keys)
    made = []
    if token_key.named(config) is not None and token_key.make_key(config):
        made.append(STATEMENT)
    for name, path in key_files(config).items():
        if not is_there(path):
            save_private_key(path, PrivateKey.generate())
            as_its_folder(path)
            made.append(name)
    request = config.keys / REQUEST_FILE
    if made or not request.exists():
        write_request(request, enrol_request(config, load_keys(config), now_s, identities or {}))
        as_its_folder(request)
    return made


def enrol_request(
    config: Config, keys: Keys, now_s: int, identities: Mapping[str, str], before: Signer | None = None
) -> bytes:
    """Enrolment request for a ledger, signed by every key: by the next one where one waits, and by the one before as
    long as that is not retired. Names those that are.

    Args:
        config: whose gateway id it names.
        keys: the keys to enrol.
        now_s: Unix seconds, from when on they count.
        identities: of the meters' devices, where they are known; what is not printable or too long is left out.
        before: the statement key that was used until now, which signs as well; None: as far as the folder has it.

    Raises KeyFileError, ConfigError: a file in the folder cannot be read.
    """
    known = {m: text for m, text in identities.items() if text.isprintable() and 0 < len(text) <= MAX_IDENTITY}
    former = former_keys(config)
    statement, old = _with_before(config, STATEMENT, keys.statement, former)
    if before is not None:
        old = None if before.public.kid == statement.public.kid else before
    signers = [statement, *([] if old is None else [old])]
    meters = {}
    for name, present in keys.meters.items():
        key, replaced = _with_before(config, name, present, former)
        meters[name] = MeterKey(key.public, known.get(name), None if replaced is None else replaced.public)
        signers += [key, *([] if replaced is None else [replaced])]
    retired = [RetiredKey(key.kid, key.retired, key.reason or "") for key in former if key.retired is not None]
    old_public = None if old is None else old.public
    last = tuple(retired[-MAX_RETIRED:])
    enrolment = Enrolment(config.gateway_id, now_s, statement.public, meters, old_public, last)
    return sign_request(enrolment, {signer.public.kid: signer for signer in signers})


def _with_before(config: Config, name: str, present: Signer, former: list[FormerKey]) -> tuple[Signer, Signer | None]:
    """The key to enrol for an owner, and the one until then, as long as it is at hand."""
    waiting = next_key(config, name)
    if waiting is not None and waiting.public.kid != present.public.kid:
        return waiting, present
    by = present.public.kid.hex()
    replaced = [key for key in former if (key.owner, key.by, key.retired) == (name, by, None)]
    return present, replaced_key(config, replaced[-1]) if replaced else None


def write_request(path: Path, request: bytes) -> None:
    """Durable replacement of a request's file, readable by everybody. Raises GatewayError."""
    try:
        with whole_file(path) as file:
            file.write(request)
        if path.is_file():
            path.chmod(0o644)
    except OSError as error:
        raise GatewayError(Message("path-not-writable", path=str(path), error=os_error(error))) from None


def public_entries(config: Config, keys: Keys, names: Iterable[str], now_s: int) -> str:
    """TOML ``[[key]]`` entries of the named keys, valid from ``now_s`` (unix seconds)."""
    entries = []
    for name in names:
        if name == STATEMENT:
            entry = key_entry("statement", keys.statement.public, now_s, gateway=config.gateway_id)
        else:
            entry = key_entry("meter", keys.meters[name].public, now_s, gateway=config.gateway_id, meter=name)
        entries.append(entry)
    return "".join(f"\n{entry.strip()}\n" for entry in entries)
