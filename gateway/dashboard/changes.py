"""What has changed between two looks at the site, as the event stream says it. Pure."""

from __future__ import annotations

import json

from gateway.dashboard.page import Document


def difference(before: Document, after: Document) -> Document:
    """The entries of ``after`` that are new or other than ``before``; one that is gone is None."""
    changed = {}
    for section in before.keys() | after.keys():
        old, new = before.get(section, {}), after.get(section, {})
        entries = {name: entry for name, entry in new.items() if name not in old or old[name] != entry}
        entries |= dict.fromkeys(old.keys() - new.keys())
        if entries:
            changed[section] = entries
    return changed


def encoded(event: str, number: int, document: Document) -> bytes:
    """A server-sent event (HTML Living Standard §9.2.6): ``site`` holds everything, ``change`` what is other."""
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f"id: {number}\nevent: {event}\ndata: {data}\n\n".encode()
