"""Ledger drivers of the configuration, and the checks of their keys and files before the start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing

from gateway.config.device_keys import load_site_trust
from gateway.config.ledger import LedgerEntry, access_of, account_of
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.messages.message import Message
from ledger_client.errors import TrustFileError
from ledger_client.ledgers.interface import DriverNotes, Ledger
from ledger_client.transport.access import Access, AccessError
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.ledgers")


def _http(config: Config, entry: LedgerEntry, access: Access, memory: DriverNotes) -> Ledger:
    from ledger_client.ledgers.http import HttpLedger  # requests, which a gateway without such a ledger need not load

    return HttpLedger(entry.name, entry.url, access, timeout_s=entry.timeout / 1000, memory=memory)


def _mqtt(config: Config, entry: LedgerEntry, access: Access, memory: DriverNotes) -> Ledger:
    from ledger_client.ledgers.mqtt import MqttLedger  # paho, likewise; resubmitting is harmless, so it needs no memory

    return MqttLedger(entry.name, entry.url, access, timeout_s=entry.timeout / 1000)


def _evm(config: Config, entry: LedgerEntry, access: Access, memory: DriverNotes) -> Ledger:
    account = account_of(config.path, entry)
    from ledger_client.ledgers.evm.driver import EvmLedger  # an extra of its own

    return EvmLedger(entry.name, entry.url, entry.evm_settings, account=account, memory=memory, access=access)


DRIVERS: dict[str, Callable[[Config, LedgerEntry, Access, DriverNotes], Ledger]] = {
    "http": _http,
    "mqtt": _mqtt,
    "evm": _evm,
}


def trust_of(config: Config) -> Trust:
    """The trust file that receipts are checked with. Raises ConfigError: file, key, way out."""
    try:
        trust = load_site_trust(config)
    except TrustFileError as error:
        raise ConfigError(error.source, error.key, error.what, error.way_out) from None
    for warning in trust.warnings:
        log.warning("%s: %s", config.trust, warning)
    return trust


def check_ledger_keys(config: Config, trust: Trust) -> None:
    """Every configured ledger needs a key in the trust file, else no receipt of it could ever settle a batch.

    A chain gives none: its places are checked by the configuration.
    """
    for entry in config.document.ledger:
        if entry.place is None and not any(key.role == "ledger" and key.ledger == entry.name for key in trust.keys):
            raise ConfigError(config.trust, f"[[key]] of ledger {entry.name!r}", Message("ledger-trust-missing"))


def check_ledger_access(config: Config) -> None:
    """Every file that the way to a ledger needs is there and usable. Raises ConfigError."""
    for entry in config.document.ledger:
        access_of(config.path, entry)


def check_accounts(config: Config) -> None:
    """Every account that writes on a chain can be opened. Raises ConfigError."""
    for entry in config.document.ledger:
        if entry.type == "evm":
            account_of(config.path, entry)


def driver(config: Config, entry: LedgerEntry, memory: DriverNotes) -> Ledger:
    """The driver of one configured ledger; what it must still know after a crash goes to ``memory``.

    Raises ConfigError: a file that it needs cannot be used.
    """
    try:
        return DRIVERS[entry.type](config, entry, access_of(config.path, entry), memory)
    except AccessError as error:  # a file that has gone since it was looked at
        where = f"ledger {entry.name!r}, {error.key}"
        raise ConfigError(config.path, where, error.what, error.way_out) from None


def close(ledgers: Iterable[Ledger]) -> None:
    """End their drivers; that of a broker may take as long as its time-out."""
    for ledger in ledgers:
        ledger.close()


def drivers(config: Config, memory: Callable[[str], DriverNotes]) -> list[Ledger]:
    """The driver of every configured ledger, or of none: raises ConfigError where one cannot be made.

    ``memory``: that of a ledger, by its name.
    """
    with ExitStack() as made:
        found = [made.enter_context(closing(driver(config, x, memory(x.name)))) for x in config.document.ledger]
        made.pop_all()
        return found
