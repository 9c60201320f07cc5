"""What the service manager hears: over a path and an abstract name, with and without a watchdog, and nothing at all."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

import pytest

from gateway.process.sd_notify import LONGEST_STATUS, Manager
from tests.support.gateways.manager import inbox


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_one_datagram_a_message(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"\0meterseal-test-{secrets.token_hex(8)}"
    with inbox(address) as heard:
        manager = Manager({"NOTIFY_SOCKET": heard.name})
        assert manager.listens
        manager.ready("3 meters on 2 lines")
        manager.status("two\nlines")
        manager.alive()
        manager.stopping("x" * 1000)
        assert heard.next() == {"READY": "1", "STATUS": "3 meters on 2 lines"}
        assert heard.next() == {"STATUS": "two lines"}
        assert heard.next() == {"WATCHDOG": "1"}
        assert heard.next() == {"STOPPING": "1", "STATUS": "x" * LONGEST_STATUS}


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    assert not Manager({}).listens
    Manager({}).ready("nobody hears it")
    Manager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()
    with Manager({}).patient("alone", within_s=60):
        assert "patience" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_the_one_that_is_meant_for_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Manager(environment).watchdog_s == seconds


def test_patience_is_asked_for_in_steps_and_has_an_end(tmp_path: Path) -> None:
    with inbox(tmp_path / "notify") as heard:
        manager = Manager({"NOTIFY_SOCKET": heard.name})
        with manager.patient("a recovery", within_s=0.03, step_s=0.01):
            (asking,) = (thread for thread in threading.enumerate() if thread.name == "patience")
            asking.join(30)
            assert not asking.is_alive()  # the work goes on, and nobody asks any more
            assert heard.waiting() == [{"EXTEND_TIMEOUT_USEC": "60000", "STATUS": "a recovery"}] * 3
        with Manager({"NOTIFY_SOCKET": heard.name, "WATCHDOG_USEC": "30000000"}).patient("a new epoch", within_s=3600):
            pass
        assert heard.waiting() == [{"EXTEND_TIMEOUT_USEC": "60000000", "STATUS": "a new epoch", "WATCHDOG": "1"}]
