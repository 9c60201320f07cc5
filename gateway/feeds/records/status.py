"""Status of a gateway as its feed of records publishes it: what it says of itself, and no evidence.

Whatever cannot be read now is left out: a reader takes what is not there as not known.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Any

from gateway.alarms.checks import certificate_end, certificate_files
from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.runtime.context import GatewayContext
from gateway.storage.capacity.disk_space import Limits, measure
from gateway.storage.database import Database
from ledger_client.formats.feed_messages import encode_status

CERTIFICATES = 20
"""Those that end first are named."""


def offline(time_ms: int | None = None) -> bytes:
    """The status of a gateway that has gone: the last will, and with the time an orderly goodbye."""
    return encode_status({"online": False} | ({} if time_ms is None else {"time": time_ms}))


def online(site: GatewayContext, cursor: str) -> bytes:
    """The status now (docs/feeds.md). Reads files and the database: to be called in a thread."""
    config = site.config
    fields: dict[str, Any] = {
        "online": True,
        "time": site.clock.now_ms(),
        "clock": site.clock.letter()[0],
        "version": version("meterseal"),
        "config": config.fingerprint().hex(),
        "certificates": _certificates(config),
    }
    with suppress(StoreError):
        fields |= _stored(config, cursor)
    return encode_status(fields)


def _stored(config: Config, cursor: str) -> dict[str, Any]:
    entries = config.document.ledger
    required = [entry.name for entry in entries if entry.policy == "required"]
    store = Database(config.database, read_only=True)
    try:
        space = measure(store, Limits.of(config))
        return {
            "disk": {"used": space.used, "limit": space.limit, "free": space.free},
            "behind": store.feeds.behind(cursor),
            "oldest_without_receipt": store.anchors.oldest_unsettled_ms([entry.name for entry in entries], required),
        }
    finally:
        store.close()


def _certificates(config: Config) -> list[dict[str, Any]]:
    found = [(certificate_end(path), owner, key) for owner, key, path in certificate_files(config)]
    known = sorted((end_s, owner, key) for end_s, owner, key in found if end_s is not None)
    return [{"of": owner, "key": key, "ends": end_s * 1000} for end_s, owner, key in known[:CERTIFICATES]]
