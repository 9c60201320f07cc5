"""Configuration of one ``[[feed]]`` in gateway.toml: its kind, its broker, and the access to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.access_files import file_paths, fitting_url, usable
from gateway.field_types import Model, Name, Unfit
from gateway.messages.message import Message
from ledger_client.transport.access import Access, Protocol

_FILES = ("ca", "cert", "key", "password_file")
_SPARKPLUG = ("group", "primary_host")
_JSON = ("form", "points", "discovery")
_RECORDS = ("since", "again_rate")


def _level(text: str) -> str:
    """One level of a topic: never a wildcard, never several levels, never the broker's own ``$`` topics."""
    if not text or text.startswith("$") or any(c in "+#/" or not c.isprintable() for c in text):
        raise Unfit(Message("feed-topic-level"))
    return text


Level = Annotated[str, Field(max_length=64), AfterValidator(_level)]


class FeedEntry(Model):
    name: Name
    type: Literal["json", "sparkplug", "records"]
    url: str
    group: Level | None = None
    primary_host: Level | None = None
    form: Literal["full", "flat"] = "full"
    points: Annotated[tuple[str, ...], Field(strict=False)] = ()
    discovery: Literal["homeassistant"] | None = None
    backfill_rate: Annotated[int, Field(ge=1, le=10_000)] = 200
    since: Literal["now", "oldest"] = "now"
    again_rate: Annotated[int, Field(ge=1, le=10_000)] = 200
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password_file: str | None = None
    protocol: Protocol = "auto"

    def access(self, base: Path | None = None) -> Access:
        """How to get in; file names relative to ``base``, or as written. Raises AccessError (a systemd credential)."""
        paths = file_paths(self, _FILES, base)
        return Access(**paths, user=self.user, proxy=None, protocol=self.protocol)

    @model_validator(mode="after")
    def _url_fits(self) -> Self:
        url = fitting_url(self.access, self.url)
        if url.scheme not in ("mqtt", "mqtts") or not url.hostname or url.path.strip("/") or url.query:
            raise Unfit(Message("feed-url", url=self.url), key="url")
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        if self.type == "sparkplug" and self.group is None:
            raise Unfit(Message("feed-group-missing"), key="group")
        if self.type != "sparkplug" and (strays := self.model_fields_set.intersection(_SPARKPLUG)):
            raise Unfit(Message("feed-sparkplug-only"), key=min(strays))
        if self.type != "json" and (strays := self.model_fields_set.intersection(_JSON)):
            raise Unfit(Message("feed-json-only"), key=min(strays))
        if self.type != "records" and (strays := self.model_fields_set.intersection(_RECORDS)):
            raise Unfit(Message("feed-records-only"), key=min(strays))
        if self.type == "records" and "backfill_rate" in self.model_fields_set:
            raise Unfit(Message("feed-no-backfill"), key="backfill_rate")
        if self.discovery is not None and self.form != "flat":
            raise Unfit(Message("feed-discovery-form"), key="discovery")
        if not self.points and "points" in self.model_fields_set:
            raise Unfit(Message("feed-points-empty"), key="points")
        return self


def feed_access(path: Path, entry: FeedEntry) -> Access:
    """How to get in at the broker of a feed of the gateway.toml at ``path``, every file of it checked.

    Raises ConfigError: file, key, fix.
    """
    return usable(path, f"feed {entry.name!r}", entry.access)


def check_feeds(path: Path, entries: Iterable[FeedEntry]) -> None:
    """Every file that the way to a feed's broker needs is there and usable. Raises ConfigError."""
    for entry in entries:
        feed_access(path, entry)
