"""A display on a wall: it goes on after a kill without a login, until its user's password changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.dashboard.auth import setup
from tests.gateway.dashboard import pages_site
from tests.gateway.dashboard.pages_site import pages_of
from tests.gateway.dashboard.window import Window, chromium, window
from tests.support.gateways.farm import farm
from tests.support.processes import Server, free_port

AGE = "Number(document.querySelector('[data-meter=meter-000] [data-age]').dataset.age)"
LIVE = "document.querySelector('[data-stream]').className.includes('q-good')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def newer(seen: Window, since_ms: int) -> None:
    """Wait until the page shows a reading of after this time, by itself."""
    seen.until(f"{AGE} > {since_ms} && {LIVE}")


def test_a_display_goes_on_after_a_kill_and_ends_with_its_users_password(tmp_path: Path, browser: Browser) -> None:
    port = free_port()
    with farm(2) as meters:
        loaded = pages_of(tmp_path / "site", meters.ports, f'listen = "127.0.0.1:{port}"\n')
        setup.set_user(loaded, "viewer", "viewer", pages_site.PASSWORDS["vera"])
        command = [sys.executable, "-m", "gateway.cli", "run", str(loaded.path)]
        gateway = Server("gateway", command, "pages at", loaded.path.with_suffix(".log"))
        installer, leaves = pages_site.Browser(port), pages_site.Browser(port)
        try:
            gateway.start()
            with window(browser, f"http://127.0.0.1:{port}") as seen:
                seen.login("viewer")
                newer(seen, 0)
                assert [visitor.login(name).status for visitor, name in ((installer, "ines"), (leaves, "vera"))] == [
                    303
                ] * 2
                leaves.get("/")
                left = leaves.again()
                assert leaves.post("/logout", {"form": leaves.form}).status == 303
                gateway.kill()
                seen.until("document.body.className === 'off'")
                killed_ms = int(time.time() * 1000)
                gateway.start()
                newer(seen, killed_ms)
                assert seen.page.url == f"http://127.0.0.1:{port}/"
                assert [visitor.get("/").status for visitor in (installer, left)] == [303, 303]
                seen.open("/alarms")
                gateway.kill()
                setup.set_user(loaded, "viewer", None, "another password of the viewer")
                gateway.start()
                seen.until("document.querySelector('[data-stream] a[href]')")
                assert {text.partition(":")[0] for text in seen.complaints} == {"Failed to load resource"}
                seen.complaints.clear()
        finally:
            gateway.close()
