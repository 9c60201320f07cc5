"""gateway.toml → a validated, frozen model. Reads the file and the profiles that it names; opens nothing else.

Every mistake becomes one ``ConfigError`` that names file and key as the user wrote them, and the fix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from gateway.config.bus import Bus, Meter, check_listeners
from gateway.config.bus_types import TYPES
from gateway.config.feed import FeedEntry
from gateway.config.fingerprint import fingerprint
from gateway.config.ledger import Contract, LedgerEntry
from gateway.config.limits import Limit, limits_of
from gateway.config.notify import NotifyEntry
from gateway.config.place import Latitude, Longitude, TimeZone
from gateway.config.web import Web
from gateway.devices.points import Profile
from gateway.devices.profile_text import decoding_hash
from gateway.field_types import DurationMs, Model, Name, SizeBytes, Unfit, duration_text
from gateway.messages.message import Message


class Gateway(Model):
    id: Name
    data: str = "data"
    keys: str = "keys"
    trust: str = "trust.toml"
    statement_key: str | None = None
    pkcs11_module: str | None = None
    pin_file: str | None = None
    timezone: TimeZone = "UTC"
    latitude: Latitude | None = None
    longitude: Longitude | None = None

    @model_validator(mode="after")
    def _whole_token(self) -> Self:
        """A key in a token needs its module and its PIN, and these belong to such a key."""
        stated = {"statement_key": self.statement_key, "pkcs11_module": self.pkcs11_module, "pin_file": self.pin_file}
        missing = [key for key, text in stated.items() if text is None]
        if 0 < len(missing) < len(stated):
            raise Unfit(Message("config-token-incomplete"), key=missing[0])
        if self.statement_key is not None and self.pkcs11_module is not None:
            from ledger_client.tokens.uri import KeyUriError, TokenUri

            try:
                TokenUri.parse(self.statement_key)
            except KeyUriError as error:
                raise Unfit(error.what, key="statement_key") from None
            if not self.pkcs11_module.startswith("/"):
                raise Unfit(Message("config-token-module"), key="pkcs11_module")
        return self

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            missing = "latitude" if self.latitude is None else "longitude"
            raise Unfit(Message("config-place-incomplete"), key=missing)
        return self


class Store(Model):
    commit_every: DurationMs = 1000
    max_size: SizeBytes = 8 * 10**9
    min_free_disk: SizeBytes | None = None
    keep: DurationMs = 90 * 86_400_000
    on_full: Literal["thin", "stop"] = "thin"


class Seal(Model):
    every: DurationMs = 60_000
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000


class Document(Model):
    """gateway.toml as it stands."""

    gateway: Gateway
    store: Store = Store()
    bus: Annotated[tuple[Bus, ...], Field(min_length=1, strict=False)]
    seal: Seal = Seal()
    ledger: Annotated[tuple[LedgerEntry, ...], Field(strict=False)] = ()
    feed: Annotated[tuple[FeedEntry, ...], Field(strict=False)] = ()
    notify: Annotated[tuple[NotifyEntry, ...], Field(strict=False)] = ()
    web: Web | None = None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        meters = [m.name for b in self.bus for m in b.meter]
        for what, names in (
            ("bus", [b.name for b in self.bus]),
            ("meter", meters),
            ("ledger", [x.name for x in self.ledger]),
            ("feed", [x.name for x in self.feed]),
            ("notify", [x.name for x in self.notify]),
        ):
            for name in sorted({n for n in names if names.count(n) > 1}):
                twice = Message("config-name-twice", n=names.count(name), what=what)
                raise Unfit(twice, key=f"{what} {name!r}, name")
        places: dict[Contract, str] = {}
        for entry in self.ledger:
            if entry.place and (first := places.setdefault(entry.place, entry.name)) != entry.name:
                raise Unfit(Message("config-contract-twice", ledger=first), key=f"ledger {entry.name!r}, contract")
        check_listeners(self.bus, self.web.listen if self.web else None)
        return self


TABLES: Mapping[str, type[Model]] = {
    "gateway": Gateway, "store": Store, "bus": Bus, "meter": Meter, "seal": Seal, "ledger": LedgerEntry,
    "feed": FeedEntry, "notify": NotifyEntry, "web": Web,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Configured:
    """What is signed of one meter's configuration, besides its period. ``ratios``: of its transformers, as written, as
    far as its values are multiplied by them; not those that are only compared with the ratios set in the meter.
    ``series``: it sends unasked, and every message is a record. ``reversed``: it is installed the wrong way round; its
    values are recorded as it sends them. ``stated``: all ratios as written, also those that are only compared."""

    role: str
    profile: str
    profile_hash: bytes
    ratios: Mapping[str, str]
    series: bool = False
    reversed: bool = False
    stated: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration that can run: the document, where it stands (paths are relative to it), each meter's profile.
    ``written``: the document as it stands in the file, with durations as text and without defaults."""

    path: Path
    document: Document
    profiles: Mapping[str, Profile]
    written: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def gateway_id(self) -> str:
        return self.document.gateway.id

    @property
    def data(self) -> Path:
        return self.path.parent / self.document.gateway.data

    @property
    def database(self) -> Path:
        return self.data / "meterseal.db"

    @property
    def keys(self) -> Path:
        return self.path.parent / self.document.gateway.keys

    @property
    def trust(self) -> Path:
        return self.path.parent / self.document.gateway.trust

    @property
    def zone(self) -> ZoneInfo:
        """What the site's clocks show."""
        return ZoneInfo(self.document.gateway.timezone)

    @cached_property
    def meters(self) -> dict[str, Meter]:
        """Every meter by name; asked for of each meter on each page, so it is made once."""
        return {m.name: m for b in self.document.bus for m in b.meter}

    @property
    def periods(self) -> dict[str, str]:
        """How often each meter is read, as it is written: ``10s``."""
        rows = {m["name"]: m for bus in self.written.get("bus", ()) for m in bus.get("meter", ())}
        return {name: rows.get(name, {}).get("every", duration_text(m.every)) for name, m in self.meters.items()}

    @cached_property
    def configured(self) -> dict[str, Configured]:
        """What is signed of each meter's configuration, besides its period."""
        each = {id(profile): profile for profile in self.profiles.values()}  # most meters share one
        hashes = {key: decoding_hash(profile) for key, profile in each.items()}
        written = {row["name"]: row for bus in self.written.get("bus", ()) for row in bus["meter"]}
        series = {meter.name for bus in self.document.bus if TYPES[bus.type].series for meter in bus.meter}
        stated = {
            name: {key: str(written.get(name, {}).get(key, ratio)) for key, ratio in meter.factors.items()}
            for name, meter in self.meters.items()
        }
        return {
            name: Configured(
                role=meter.role,
                profile=self.profiles[name].name,
                profile_hash=hashes[id(self.profiles[name])],
                ratios={key: ratio for key, ratio in stated[name].items() if key in self.profiles[name].factors},
                stated=stated[name],
                series=name in series,
                reversed=meter.reversed,
            )
            for name, meter in self.meters.items()
        }

    @cached_property
    def limits(self) -> dict[str, dict[str, Limit]]:
        """By meter and point, outside of what a value is an alarm; of a meter without limits nothing."""
        found = {name: limits_of(meter, self.profiles[name]) for name, meter in self.meters.items()}
        return {name: limits for name, limits in found.items() if limits}

    def fingerprint(self) -> bytes:
        """SHA-256 of the effective configuration, profiles included (fingerprint.py).

        Secrets are not in it: they stand in files of their own, of which it holds the names. Counted once, for it takes
        half a second for a hundred meters; then it is at hand.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> bytes:
        return fingerprint(self.path, self.document.model_dump(mode="json"), self.document.bus, self.profiles)
