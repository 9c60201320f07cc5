"""Device keys in files: one private key a meter plus the gateway's statement key, PKCS#8, readable by the owner only.

Reads and makes ``<keys>/<meter>.pem`` and ``<keys>/statement.pem``; the public halves go to ``gateway.pub.toml`` beside
them and into the trust file, as ``[[key]]`` entries (EVIDENCE §8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.ownership import as_its_folder, demand_folder, is_there
from ledger_client.cose_key import RESTORE, PrivateKey, Signer, load_private_key, save_private_key
from ledger_client.errors import KeyFileError
from ledger_client.trust import Trust, key_entry, load_trust

STATEMENT = "statement"
PUBLIC_FILE = "gateway.pub.toml"


@dataclass(frozen=True, slots=True)
class Keys:
    """The signers of one gateway: its statement key, and one key for each meter by name."""

    statement: Signer
    meters: dict[str, Signer]


def load_site_trust(config: Config) -> Trust:
    """The trust file; its policy is asked for only where there are ledgers. Raises TrustFileError."""
    return load_trust(config.trust, anchored=bool(config.document.ledger))


def key_files(config: Config) -> dict[str, Path]:
    """Where each key is kept: ``statement`` (no meter may bear that name) and every configured meter."""
    return {name: config.keys / f"{name}.pem" for name in (STATEMENT, *config.meters)}


def load_keys(config: Config) -> Keys:
    """Load every key that the configuration needs. Raises ConfigError: missing, readable by others, not a key."""
    demand_folder(config.keys, "keys")
    loaded = {name: _load(config, name, path) for name, path in key_files(config).items()}
    return Keys(loaded.pop(STATEMENT), loaded)


def _load(config: Config, name: str, path: Path) -> Signer:
    whose = "statement key" if name == STATEMENT else f"key of meter {name!r}"
    try:
        return load_private_key(path)
    except KeyFileError as error:
        make, way_out = f"meterseal keys {config.path} --make-missing", error.way_out
        if not is_there(path):
            way_out = make
        elif RESTORE in way_out:
            way_out = f"{way_out.partition(RESTORE)[0]}{RESTORE}: {make}"
        raise ConfigError(config.path, whose, f"{path}: {error.problem}", way_out) from None


def make_missing(config: Config, now_s: int) -> list[str]:
    """Make the keys that do not exist yet and write the public file anew. Returns the names of the new keys."""
    demand_folder(config.keys, "keys")
    if not is_there(config.keys):
        config.keys.mkdir(mode=0o700, parents=True)
        as_its_folder(config.keys)
    made = []
    for name, path in key_files(config).items():
        if not is_there(path):
            save_private_key(path, PrivateKey.generate())
            as_its_folder(path)
            made.append(name)
    if made or not (config.keys / PUBLIC_FILE).exists():
        keys = load_keys(config)
        entries = public_entries(config, keys, made, now_s)
        public = config.keys / PUBLIC_FILE
        head = (
            ""
            if public.exists()
            else "# The public keys of this gateway: for whoever runs the ledger (meterseal-ledger enroll).\n"
        )
        with public.open("a") as file:
            file.write(head + entries)
        as_its_folder(public)
    return made


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
