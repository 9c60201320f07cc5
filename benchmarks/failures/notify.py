"""A line is cut off: who is notified of it, when, and how often, though the gateway is killed before; and what
receivers that hang cost the other meters.

The gateway is the shipped command; ntfy, the mail server (aiosmtpd) and the web server are real ones on this machine.

- ``cut_…``: each receiver is to be notified after ``after_s``. The gateway is killed (SIGKILL) once the alarm is in the
  database, and started again. By receiver: how many messages came until ``seconds`` after the last of them had one, how
  many ids they had, and the seconds from raising and delay to the message.
- ``hung_…``: all receivers take connections and answer nothing. ``schedule``: of the polls of the other meters that
  were due within ``seconds`` the share that is recorded, before and while messages are tried.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gateway.config.model import Config
from gateway.storage.database import Database
from tests.gateway.alarms.notification.rig import Ntfy, hook, mail_server, ntfy
from tests.support.gateways.farm import farm
from tests.support.gateways.sites import table
from tests.support.gateways.tcp_gateway import tcp_site
from tests.system.demo_site import GatewayProcess, until

TOPIC = "site-alarms"
SMALLEST = ({"seconds": 1, "meters": 3, "after_s": 4},)


def run(seconds: float = 20.0, meters: int = 50, after_s: float = 10.0) -> dict[str, object]:
    """``meters``: of those that are not cut off, a line each, read once a second."""
    with tempfile.TemporaryDirectory() as name:
        return _cut(Path(name) / "cut", seconds, meters, after_s) | _hung(Path(name) / "hung", seconds, meters)


class _Came:
    """When ntfy passes messages on to a subscriber, who is there from the beginning."""

    def __init__(self, server: Ntfy) -> None:
        self.times: list[float] = []
        self.ids: set[str] = set()
        self._answer = urllib.request.urlopen(f"{server.url}/{TOPIC}/json", timeout=600)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with suppress(OSError, ValueError):
            for line in self._answer:
                if (message := json.loads(line))["event"] == "message":
                    self.times.append(time.time())
                    self.ids.add(message["id"])


def _cut(folder: Path, seconds: float, count: int, after_s: float) -> dict[str, object]:
    with ExitStack() as stack:
        mails, topics = stack.enter_context(mail_server(folder / "mail")), stack.enter_context(ntfy(folder / "ntfy"))
        web, came = stack.enter_context(hook()), _Came(topics)
        receivers = _receivers(web.url, f"smtp://127.0.0.1:{mails.port}", f"{topics.url}/{TOPIC}", after_s)
        loaded, gateway, lone = stack.enter_context(_site(folder / "site", count, receivers))
        os.kill(lone, signal.SIGSTOP)
        stack.callback(os.kill, lone, signal.SIGCONT)
        raised_s = until("the alarm in the database", lambda: _raised_ms(loaded)) / 1000
        gateway.kill()
        killed_s = time.time()
        gateway.start()
        until("a message to each", lambda: web.posted and mails.mails and came.times)
        time.sleep(seconds)
        due_s, (posted, mailed) = raised_s + after_s, (web.posted, mails.mails)
        ids = {"webhook": len({*web.ids()}), "email": len({m["Message-ID"] for m in mails.messages()})}
        times = {
            "webhook": [one.time for one in posted],
            "email": [mail["time"] for mail in mailed],
            "ntfy": came.times,
        }
        return {
            "cut_killed_before_due_s": due_s - killed_s,
            "cut_messages": {name: len(each) for name, each in times.items()},
            "cut_ids": ids | {"ntfy": len(came.ids)},
            "cut_seconds_over_delay": {name: min(each) - due_s for name, each in times.items()},
        }


def _hung(folder: Path, seconds: float, count: int) -> dict[str, object]:
    with ExitStack() as stack:
        mails = stack.enter_context(mail_server(folder / "mail", hangs=True))
        web, topics = stack.enter_context(hook()), stack.enter_context(hook())
        web.always = topics.always = "hangs"
        topic = f"{topics.url.removesuffix('/hook/s3cr3t')}/{TOPIC}"
        receivers = _receivers(web.url, f"smtp://127.0.0.1:{mails.port}", topic, 1.0)
        loaded, _, lone = stack.enter_context(_site(folder / "site", count, receivers))
        before = _schedule(loaded, seconds, count)
        os.kill(lone, signal.SIGSTOP)
        stack.callback(os.kill, lone, signal.SIGCONT)
        until("attempts", lambda: web.posted and topics.posted)
        share = _schedule(loaded, seconds, count)
        return {
            "hung_schedule_before": before,
            "hung_schedule": share,
            "hung_attempts": {"webhook": len(web.posted), "ntfy": len(topics.posted)},
        }


def _receivers(web: str, mail: str, topic: str, after_s: float) -> str:
    after = f"{round(after_s * 1000)}ms"
    people = {"from": "gateway@example.org", "to": "duty@example.org"}
    return (
        table("[notify]", name="web", type="webhook", url=web, after=after)
        + table("[notify]", name="mail", type="email", url=mail, after=after, **people)
        + table("[notify]", name="phone", type="ntfy", url=topic, after=after)
    )


@contextmanager
def _site(folder: Path, count: int, receivers: str) -> Iterator[tuple[Config, GatewayProcess, int]]:
    """A gateway that reads so many meters and one more, whose process is the last of the three."""
    with farm(count) as many, farm(1) as lone:
        loaded = tcp_site(folder, [*many.ports, *lone.ports], receivers, every="1s")
        gateway = GatewayProcess(loaded)
        try:
            gateway.start()
            until("readings of each meter", lambda: _count(loaded, 0, 1 << 60, "DISTINCT meter") == count + 1)
            yield loaded, gateway, lone.pid
        finally:
            gateway.close()


def _raised_ms(loaded: Config) -> int:
    """When the alarm of a line was raised that stands; 0 while there is none."""
    store = Database(loaded.database, read_only=True)
    try:
        return next((row.raised_ms for row in store.alarms.open() if row.code == "line-down"), 0)
    finally:
        store.close()


def _schedule(loaded: Config, seconds: float, count: int) -> float:
    """The share of the polls of the first meters that is recorded of those due within the next seconds."""
    began_ms = time.time_ns() // 1_000_000
    time.sleep(seconds + 2)  # what was due at the end has its own second, and a commit
    ended_ms = began_ms + round(seconds * 1000)
    return _count(loaded, began_ms, ended_ms, "*", f"meter-{count:03}") / (seconds * count)


def _count(loaded: Config, from_ms: int, to_ms: int, what: str, but: str = "") -> int:
    """How many readings there are within a time; not those of one meter."""
    store = Database(loaded.database, read_only=True)
    try:
        where = "kind = 'reading' AND time_ms >= ? AND time_ms < ? AND meter <> ?"
        return store.count(f"SELECT count({what}) FROM records WHERE {where}", from_ms, to_ms, but)
    finally:
        store.close()
