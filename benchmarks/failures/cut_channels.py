"""Where an alarm is to be seen: the page (event stream and HTML), the JSON feed, the Sparkplug feed, ``/metrics``.

Each channel is read as those read it for whom it is made, and tells what it shows now.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any, Protocol, Self

from prometheus_client.parser import text_string_to_metric_families

from gateway.messages.alarm_kinds import KINDS
from tests.gateway.dashboard.pages_site import Browser, events
from tests.gateway.feeds.rig import Heard
from tests.gateway.feeds.sparkplug_host import Host

SINCE = "meterseal_alarm_since_timestamp_seconds"
_CARD = re.compile(
    r'<article class="card alarm (?P<state>[^"]*)"[^>]*><header class="head">(?:<input [^>]*>)?'
    r'<h2>(?P<title>[^<]*)</h2>.*?<span class="quiet">'
    r'(?:<a href="/meters/[^"]*">(?P<meter>[^<]*)</a>[^<·]* · )?(?P<line>[^<]*)</span></header>(?P<rest>.*?)</article>',
    re.DOTALL,
)
_TIME = re.compile(r'<time datetime="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Shown:
    """An alarm as a channel shows it; ``meter`` None: it is of a line, or of the gateway."""

    code: str
    meter: str | None
    line: str
    since_ms: int


class Channel(Protocol):
    """One of them."""

    def shown(self) -> Sequence[Shown]:
        """The alarms that are true by it."""
        ...


class Page:
    """A browser that follows the event stream, and reads the page of alarms again whenever that names others."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        head = f"Host: 127.0.0.1:{browser.port}", f"Cookie: {browser.cookie}"
        self._link = browser.raw("GET /stream HTTP/1.1", *head)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._changes: dict[str, list[int]] = {}
        """The ids of the alarms in the stream's last changes: new ones, acknowledged ones, those that are over."""
        self._read: tuple[dict[str, list[int]], list[Shown]] = {}, []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._link.close()

    def _follow(self) -> None:
        text = ""
        while data := self._link.recv(65536):
            text += data.decode().replace("\r\n", "\n")
            whole, _, text = text.rpartition("\n\n")
            for _, change in events(whole + "\n\n"):
                head = change.get("head", {})
                self._changes = self._changes | {key: head[key] for key in ("alarms", "acked", "over") if key in head}

    def shown(self) -> Sequence[Shown]:
        changes = self._changes
        if changes != self._read[0]:
            self._read = changes, self._cards()
        return self._read[1]

    def _cards(self) -> list[Shown]:
        answer = self._browser.again().get("/alarms")
        assert answer.status == 200
        titles = {kind.title: kind.code for kind in KINDS.values()}
        found = []
        for card in _CARD.finditer(answer.text):
            if card["state"] == "over":
                continue
            since = _TIME.search(card["rest"])
            assert since is not None
            since_ms = round(datetime.fromisoformat(since[1]).timestamp() * 1000)
            found.append(Shown(titles[unescape(card["title"])], card["meter"], card["line"], since_ms))
        return found


class Json:
    """A client of the plain feed that keeps each topic's newest message."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def shown(self) -> Sequence[Shown]:
        newest = {message.topic: message.data for message in self._heard.on("/alarms/")}
        found = []
        for alarm in (json.loads(data) for data in newest.values() if data):
            meter = None if alarm["source"] == "gateway" else alarm["source"]
            found += [Shown(alarm["code"], meter, one["line"], one["since"]) for one in alarm["standing"]]
        return found


class Sparkplug:
    """A host that keeps each metric's newest value."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def shown(self) -> Sequence[Shown]:
        newest: dict[str, Any] = {}
        for message in list(self._host.messages):
            if message["kind"] in ("NBIRTH", "NDATA"):
                newest |= {m["name"]: m["value"] for m in message["metrics"] if m["name"].startswith("Alarms/")}
        alarms = [alarm for value in newest.values() for alarm in json.loads(value)]
        return [
            Shown(one["code"], None if one["source"] == "gateway" else one["source"], one["line"], one["since"])
            for one in alarms
        ]


class Figures:
    """A scrape."""

    def __init__(self, port: int) -> None:
        self._browser = Browser(port)

    def shown(self) -> Sequence[Shown]:
        answer = self._browser.ask("GET", "/metrics")
        assert answer.status == 200
        return [
            Shown(one.labels["code"], one.labels["meter"] or None, one.labels["line"], round(one.value * 1000))
            for family in text_string_to_metric_families(answer.text)
            for one in family.samples
            if one.name == SINCE
        ]
