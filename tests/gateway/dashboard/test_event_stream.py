"""The stream of events: first everything, then what changes, one encoding for all; who does not read is cut off."""

from __future__ import annotations

import socket

from gateway.dashboard.shell.event_stream import difference
from gateway.dashboard.shell.page import Document
from tests.gateway.dashboard.pages_site import Browser, events


def watch(browser: Browser) -> socket.socket:
    """A connection that has asked for the stream."""
    return browser.raw("GET /stream HTTP/1.1", f"Host: 127.0.0.1:{browser.port}", f"Cookie: {browser.cookie}")


def read_until(link: socket.socket, count: int) -> bytes:
    """What comes, until so many events have."""
    data = b""
    while data.count(b"\n\n") < count:
        more = link.recv(65536)
        assert more, data
        data += more
    return data


def test_what_changes() -> None:
    before: Document = {"meters": {"a": {"x": 1}, "b": {"x": 2}}, "lines": {"l": {}}}
    after: Document = {"meters": {"a": {"x": 1}, "b": {"x": 3}, "c": {"x": 4}}, "lines": {}}
    assert difference(before, after) == {"meters": {"b": {"x": 3}, "c": {"x": 4}}, "lines": {"l": None}}
    assert difference(after, after) == {}


def test_the_stream_tells_everything_and_then_what_changes(viewer: Browser) -> None:
    with watch(viewer) as link, watch(viewer) as other:
        text, same = (read_until(each, 3).decode() for each in (link, other))
    (first, whole), (second, change), *_ = events(text.replace("\r\n", "\n"))
    assert (first, second) == ("site", "change")
    assert whole["meters"].keys() == {"meter-000", "meter-001"}
    assert change["meters"].keys() <= whole["meters"].keys()
    assert events(same.replace("\r\n", "\n"))[0][0] == "site"
