"""Configuration of one ``[[ledger]]`` in gateway.toml: its kind, its address, and the access to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.access_files import file_paths, fitting_url, usable
from gateway.errors import ConfigError
from gateway.field_types import DurationMs, Model, Name, Unfit
from gateway.messages.message import Message
from ledger_client.errors import KeyFileError
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.transport.access import Access, AccessError, Protocol, read_secret, resolve

if TYPE_CHECKING:
    from ledger_client.ledgers.evm.account import Account

_FILES = ("ca", "cert", "key", "token_file", "password_file")
_PLACE = ("contract", "chain_id")
_EVM = (*_PLACE, "keystore", "keystore_password_file")
_EVM_MORE = ("confirmations", "gas", "gas_limit", "max_fee_gwei", "poll", "stuck_after")
_WEI_A_GWEI = 10**9
CALLS_S = 60.0


def _address(text: str) -> str:
    if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
        raise Unfit(Message("ledger-address-invalid"))
    return text


class LedgerEntry(Model):
    name: Name
    type: Literal["http", "mqtt", "evm"]
    policy: Literal["required", "optional"] = "required"
    url: str
    timeout: DurationMs = 10_000
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    token_file: str | None = None
    user: str | None = None
    password_file: str | None = None
    proxy: str | None = None
    protocol: Protocol = "auto"
    contract: Annotated[str, AfterValidator(_address)] | None = None
    chain_id: Annotated[int, Field(ge=1, lt=2**64)] | None = None
    keystore: str | None = None
    keystore_password_file: str | None = None
    confirmations: Annotated[int, Field(ge=1)] | None = None
    gas: Literal["auto", "legacy"] = "auto"
    gas_limit: Annotated[int, Field(ge=21_000, le=30_000_000)] = 150_000
    max_fee_gwei: Annotated[int, Field(ge=1, le=10**9)] = 1000
    poll: DurationMs = 1000
    stuck_after: DurationMs = 60_000

    @property
    def place(self) -> Contract | None:
        """Where a ledger on a chain lives; None for one that is not on a chain."""
        if self.chain_id is None or self.contract is None:
            return None
        return Contract(self.chain_id, bytes.fromhex(self.contract[2:]))

    @property
    def call_s(self) -> float:
        """Longest call of its driver in seconds: twenty requests that all time out."""
        return CALLS_S + 20 * self.timeout / 1000

    @property
    def evm_settings(self) -> EvmSettings:
        """The settings of an evm ledger's driver."""
        place = self.place
        assert place is not None
        return EvmSettings(
            place.address,
            place.chain,
            confirmations=self.confirmations,
            legacy=self.gas == "legacy",
            gas_limit=self.gas_limit,
            max_fee=self.max_fee_gwei * _WEI_A_GWEI,
            poll_s=self.poll / 1000,
            stuck_after_s=self.stuck_after / 1000,
            timeout_s=self.timeout / 1000,
        )

    def access(self, base: Path | None = None) -> Access:
        """How to get in; file names relative to ``base``, or as written. Raises AccessError (a systemd credential)."""
        paths = file_paths(self, _FILES, base)
        return Access(**paths, user=self.user, proxy=self.proxy, protocol=self.protocol)

    @model_validator(mode="after")
    def _url_fits(self) -> Self:
        schemes = ("mqtt", "mqtts") if self.type == "mqtt" else ("http", "https")
        url = fitting_url(self.access, self.url)
        if url.scheme not in schemes or not url.hostname:
            plain, tls = schemes
            raise Unfit(Message("ledger-url", type=self.type, plain=plain, tls=tls, url=self.url), key="url")
        return self

    @model_validator(mode="after")
    def _chain_fits(self) -> Self:
        if self.type == "evm":
            for key in _EVM:
                if getattr(self, key) is None:
                    raise Unfit(Message("ledger-evm-keys", keys=_EVM), key=key)
            return self
        behind_bridge = _PLACE if self.type == "mqtt" and self.model_fields_set.intersection(_PLACE) else ()
        for key in behind_bridge:
            if getattr(self, key) is None:
                raise Unfit(Message("ledger-bridge-keys"), key=key)
        if strays := self.model_fields_set.intersection(_EVM + _EVM_MORE).difference(behind_bridge):
            raise Unfit(Message("ledger-evm-only"), key=min(strays))
        return self


def access_of(path: Path, entry: LedgerEntry) -> Access:
    """How to get in at a ledger of the gateway.toml at ``path``, every file of it checked.

    Raises ConfigError: file, key, fix.
    """
    return usable(path, f"ledger {entry.name!r}", entry.access)


def account_of(path: Path, entry: LedgerEntry) -> Account:
    """The account with which an evm ledger of the gateway.toml at ``path`` is written. Its key file opens in a second.

    Raises ConfigError: file, key, fix.
    """
    where = f"ledger {entry.name!r}"
    try:
        from ledger_client.ledgers.evm.account import load_account  # what a gateway without a chain need not have
    except ImportError as error:
        what = Message("ledger-evm-library", name=error.name or "")
        raise ConfigError(path, f"{where}, type", what) from None
    key = "keystore_password_file"
    try:
        password = read_secret(key, resolve(entry.keystore_password_file or "", path.parent, key))
        key = "keystore"
        return load_account(resolve(entry.keystore or "", path.parent, key), password)
    except AccessError as error:
        raise ConfigError(path, f"{where}, {error.key}", error.what) from None
    except KeyFileError as error:
        raise ConfigError(path, f"{where}, keystore", error.sentence) from None


@dataclass(frozen=True, slots=True)
class Contract:
    """Where a ledger on a chain lives, by the configuration: chain id, and the contract's 20 bytes."""

    chain: int
    address: bytes
