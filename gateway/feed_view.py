"""How the feeds stand, for the status: what the running gateway says, and what the database still has to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config import Config
from gateway.store import Store


def feed_status(config: Config, store: Store, told: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """Each configured feed; ``told`` is what the running gateway says of each by name."""
    nothing = {"connected": False, "state": "unknown: the gateway does not say", "waiting": 0, "live": 0, "history": 0}
    return [
        {"name": entry.name, "type": entry.type, "url": entry.url}
        | nothing
        | dict(told.get(entry.name) or {})
        | {"left": store.feed_owes(entry.name)}
        for entry in config.document.feed
    ]


def feed_problems(feeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What needs a look: a running gateway's feeds that tell nobody."""
    return [f"feed {f['name']}: {f['state']}" for f in feeds if not f["connected"]]


def feed_line(facts: Mapping[str, Any]) -> str:
    """One feed in one line."""
    text = f"feed {facts['name']} ({facts['type']}): {facts['state']}, {facts['live']} readings told live"
    if facts["waiting"]:
        text += f", {facts['waiting']} waiting"
    return text + (f", {facts['left']} to be told as history" if facts["left"] else "")
