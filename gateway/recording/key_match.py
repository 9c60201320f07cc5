"""Consistency check of keys, trust file and database: all of one gateway. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.device_keys import REQUEST_FILE, STATEMENT, Keys, key_files
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.process import instance_lock
from gateway.storage.database import Database
from ledger_client.errors import LedgerClientError
from ledger_client.formats.record import parse_record
from ledger_client.verification.trust import Trust, TrustKey


def demand_own(config: Config, keys: Keys, trust: Trust) -> None:
    """Raise ConfigError where the database is another gateway's, or a key file holds the key of another meter."""
    _demand_own_database(config)
    owners = {key.kid: key for key in trust.keys if key.gateway == config.gateway_id}
    listed = set(_entries(config, keys, trust))
    for name, kid in _kids(keys):
        owner = owners.get(kid)
        if owner is not None and (name, kid) not in listed:
            path = key_files(config)[name]
            raise ConfigError(
                path, "", f"this is {_whose(owner)} by {config.trust}, not {_named(name)}", "put the key files back"
            )


def unlisted(config: Config, keys: Keys, trust: Trust) -> list[tuple[str, str]]:
    """(meter or "statement", sentence) of each key that the trust file lacks."""
    listed = set(_entries(config, keys, trust))
    return [
        (name, f"{config.trust} lacks {_named(name)}, {kid.hex()[:16]}…: nothing signed with it can be verified")
        for name, kid in _kids(keys)
        if (name, kid) not in listed
    ]


def demand_listed(config: Config, keys: Keys, trust: Trust) -> None:
    """Raise ConfigError for the first key that the trust file lacks."""
    if missing := unlisted(config, keys, trust):
        name, _ = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ConfigError(
            config.trust, "", f"lacks {_named(name)}{more}: nothing signed with it can be verified", copy_entry(config)
        )


def copy_entry(config: Config) -> str:
    """What to do about a key that the trust file lacks."""
    return f"meterseal-ledger trust add {config.trust} {config.keys / REQUEST_FILE}"


def _demand_own_database(config: Config) -> None:
    written = _gateway_of_database(config)
    if written is not None and written != config.gateway_id:
        raise ConfigError(
            config.path, "gateway, id", f"is {config.gateway_id!r}, and {config.database} is of gateway {written!r}",
            f"write id = {written!r}, or give this gateway a data folder of its own",
        )  # fmt: skip


def _gateway_of_database(config: Config) -> str | None:
    """Whose records the database holds; None where there are none, or none that can be read, which others tell."""
    try:
        if not config.database.exists():
            return None
        store = Database(config.database, read_only=True, at_rest=instance_lock.running(config.data) is None)
    except (GatewayError, OSError):
        return None
    try:
        places = store.records.newest_places(1, ())
        return next((parse_record(row.data).claims.gateway for _, row in places), None)
    except (GatewayError, LedgerClientError):
        return None
    finally:
        store.close()


def _kids(keys: Keys) -> Iterator[tuple[str, bytes]]:
    yield STATEMENT, keys.statement.public.kid
    for name, key in keys.meters.items():
        yield name, key.public.kid


def _entries(config: Config, keys: Keys, trust: Trust) -> Iterator[tuple[str, bytes]]:
    """The keys that the trust file has, each under its own name."""
    for name, kid in _kids(keys):
        role, meter = ("statement", None) if name == STATEMENT else ("meter", name)
        if trust.find(role, gateway=config.gateway_id, meter=meter, kid=kid) is not None:
            yield name, kid


def _named(name: str) -> str:
    return "the statement key" if name == STATEMENT else f"the key of meter {name!r}"


def _whose(key: TrustKey) -> str:
    return _named(key.meter or STATEMENT)
