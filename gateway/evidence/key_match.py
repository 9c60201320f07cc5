"""Consistency check of keys, trust file and database: all of one gateway. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from gateway.config.device_keys import REQUEST_FILE, STATEMENT, Keys, key_fault
from gateway.config.key_folder import replaced_since
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError, StoreError
from gateway.messages.message import Message
from gateway.process import instance_lock
from gateway.records import GATEWAY
from gateway.storage.database import Database
from ledger_client.errors import LedgerClientError
from ledger_client.formats.record import parse_record
from ledger_client.verification.trust import Trust


def demand_match(config: Config, keys: Keys, trust: Trust) -> None:
    """Raise ConfigError where the database is another gateway's, or a key file holds the key of another meter."""
    _demand_database_match(config)
    for name, kid in _kids(keys):
        if other := of_other_owner(config, trust, name, kid) or listed_as_replaced(config, name, kid):
            raise key_fault(config, name, other)
    with _database(config) as store:
        if store is not None:
            with suppress(StoreError, LedgerClientError):  # others report a database that cannot be read
                demand_not_replaced(config, keys, store)


def demand_not_replaced(config: Config, keys: Keys, store: Database) -> None:
    """Raise ConfigError for the first key that was replaced, by what the database remembers: it signs nothing again."""
    for name, why in replaced(config, dict(_kids(keys)), store):
        raise key_fault(config, name, why)


def replaced(config: Config, kids: Mapping[str, bytes], store: Database) -> list[tuple[str, Message]]:
    """(meter or "statement", since when) of each of these keys, by name, that was replaced.

    Where one was replaced at another meter it may go on only with the meter that used it already: two meters may have
    exchanged their keys. Raises StoreError.
    """
    since: dict[bytes, dict[str, int]] = {}
    for owner, kid, replaced_ms in store.replaced_keys.all():
        since.setdefault(kid, {})[STATEMENT if owner == GATEWAY else owner] = replaced_ms // 1000
    found = []
    for name, kid in kids.items():
        owners, path = since.get(kid, {}), str(config.path)
        if name in owners:
            found.append((name, Message("key-replaced", whose=_named(name), replaced_s=owners[name], config=path)))
        elif owners and store.replaced_keys.last_used(GATEWAY if name == STATEMENT else name) != kid:
            other, at_s = next(iter(owners.items()))
            was = Message(
                "key-replaced-elsewhere", whose=_named(name), other=_named(other), replaced_s=at_s, config=path
            )
            found.append((name, was))
    return found


def listed_as_replaced(config: Config, name: str, kid: bytes) -> Message | None:
    """That `meterseal keys rotate` has replaced this key, of whichever owner, by the list in the folder of keys; None:
    it has not. So an older database lets no replaced key sign again. Raises ConfigError, KeyFileError."""
    former, path = replaced_since(config, kid), str(config.path)
    if former is None:
        return None
    if former.owner == name:
        return Message("key-replaced", whose=_named(name), replaced_s=former.replaced, config=path)
    other = _named(former.owner)
    return Message("key-replaced-elsewhere", whose=_named(name), other=other, replaced_s=former.replaced, config=path)


def of_other_owner(config: Config, trust: Trust, name: str, kid: bytes) -> Message | None:
    """That the key of this meter (or of the statements) is by the trust file another one's; None: it is not."""
    if _is_listed(config, trust, name, kid):
        return None
    owner = next((key for key in trust.keys if key.gateway == config.gateway_id and key.kid == kid), None)
    if owner is None:
        return None
    other, wanted, path = _named(owner.meter or STATEMENT), _named(name), str(config.trust)
    return Message("key-of-other-owner", other=other, own=wanted, trust=path)


def unlisted(config: Config, keys: Keys, trust: Trust) -> list[tuple[str, Message]]:
    """(meter or "statement", that it is missing) of each key that the trust file lacks."""
    listed, path = set(_entries(config, keys, trust)), str(config.trust)
    return [
        (name, Message("key-unlisted", trust=path, whose=_named(name), kid=kid.hex()[:16]))
        for name, kid in _kids(keys)
        if (name, kid) not in listed
    ]


def demand_listed(config: Config, keys: Keys, trust: Trust) -> None:
    """Raise ConfigError for the first key that the trust file lacks."""
    if missing := unlisted(config, keys, trust):
        whose, path, request = _named(missing[0][0]), str(config.trust), str(config.keys / REQUEST_FILE)
        lacking = Message("trust-lacks-key", whose=whose, trust=path, request=request)
        if n := len(missing) - 1:
            lacking = Message("trust-lacks-keys", whose=whose, n=n, trust=path, request=request)
        raise ConfigError(config.trust, "", lacking)


def _demand_database_match(config: Config) -> None:
    written = _gateway_of_database(config)
    if written is not None and written != config.gateway_id:
        other = Message("database-of-other-gateway", id=config.gateway_id, database=str(config.database), other=written)
        raise ConfigError(config.path, "gateway, id", other)


def _gateway_of_database(config: Config) -> str | None:
    """Whose records the database holds; None where there are none, or none that can be read, which others report."""
    with _database(config) as store:
        try:
            places = store.records.newest_places(1, ()) if store is not None else []
            return next((parse_record(row.data).claims.gateway for _, row in places), None)
        except (GatewayError, LedgerClientError):
            return None


@contextmanager
def _database(config: Config) -> Iterator[Database | None]:
    """The database, to be read; None where there is none, or none that can be read, which others report."""
    try:
        store = None
        if config.database.exists():
            store = Database(config.database, read_only=True, at_rest=instance_lock.running(config.data) is None)
    except (GatewayError, OSError):
        store = None
    try:
        yield store
    finally:
        if store is not None:
            store.close()


def _kids(keys: Keys) -> Iterator[tuple[str, bytes]]:
    yield STATEMENT, keys.statement.public.kid
    for name, key in keys.meters.items():
        yield name, key.public.kid


def _entries(config: Config, keys: Keys, trust: Trust) -> Iterator[tuple[str, bytes]]:
    """The keys that the trust file has, each under its own name."""
    return ((name, kid) for name, kid in _kids(keys) if _is_listed(config, trust, name, kid))


def _is_listed(config: Config, trust: Trust, name: str, kid: bytes) -> bool:
    role, meter = ("statement", None) if name == STATEMENT else ("meter", name)
    return trust.find(role, gateway=config.gateway_id, meter=meter, kid=kid) is not None


def _named(name: str) -> Message:
    return Message("own-statement-key") if name == STATEMENT else Message("own-meter-key", meter=name)
