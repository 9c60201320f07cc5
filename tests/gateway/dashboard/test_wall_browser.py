"""Displays on a wall: they go on after a kill without a login; 200 meters, the silent ones first, and filters."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from gateway.config.load import load_config
from gateway.dashboard.auth import setup
from tests.gateway.dashboard import pages_site
from tests.gateway.dashboard.pages_site import pages_of
from tests.gateway.dashboard.window import Window, chromium, window
from tests.support.gateways.farm import farm
from tests.support.gateways.tcp_gateway import tcp_site
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


MANY, FALL = 200, 3
SHOWN = (
    "[...document.querySelectorAll('[data-meter]')].filter((row) => row.offsetParent).map((row) => row.dataset.meter)"
)
FIRST = f"{SHOWN}.slice(0, {FALL}).join()"
GONE = ",".join(f"meter-{n:03}" for n in range(MANY - FALL, MANY))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ExitStack]]:
    """A site of 200 meters, and what ends three of them."""
    port = free_port()
    with ExitStack() as stack:
        alive, dies = stack.enter_context(farm(MANY - FALL)), stack.enter_context(ExitStack())
        ports = (*alive.ports, *dies.enter_context(farm(FALL)).ports)
        section = f'\n[web]\nlisten = "127.0.0.1:{port}"\n'
        loaded = tcp_site(tmp_path_factory.mktemp("many") / "site", ports, section, every="3s", label="Anschluß {n}")
        path, number = loaded.path, iter(range(MANY))
        text = re.sub(r"\{n\}", lambda _: str(next(number)), path.read_text())
        path.write_text(text.replace("address = 1\n", 'address = 1\nrole = "generation"\n', 20))
        setup.set_user(load_config(path), "viewer", "viewer", pages_site.PASSWORDS["vera"])
        with pages_site.running(load_config(path)):
            yield f"http://127.0.0.1:{port}", dies


def test_two_hundred_meters_are_found_filtered_and_light(many: tuple[str, ExitStack], browser: Browser) -> None:
    url, _ = many
    with window(browser, url) as seen:
        seen.login("viewer")
        seen.until(f"document.querySelectorAll('[data-meter] [data-age]').length === {MANY} && {LIVE}")
        with seen.page.expect_response(lambda answer: answer.url == f"{url}/") as waiting:
            seen.open("/")
        assert waiting.value.headers["content-encoding"] == "gzip"
        assert waiting.value.request.sizes()["responseBodySize"] <= 50_000
        seen.page.fill("[name=find]", "ANSCHLUSS 17".replace("SS", "ß"))
        expected = ["meter-017", "meter-117", *(f"meter-{n}" for n in range(170, 180))]
        assert seen.page.evaluate(SHOWN) == expected
        assert f"{len(expected)} of {MANY} meters shown" in seen.page.locator("[data-chosen]").inner_text()
        seen.page.select_option("[name=role]", "generation")
        assert seen.page.evaluate(SHOWN) == ["meter-017"]
        address = seen.page.url
        seen.page.reload()
        assert seen.page.evaluate(SHOWN) == ["meter-017"], "the address has the filter"
        assert "role=generation" in str(seen.page.get_by_role("link", name="中文").get_attribute("href"))
        seen.page.click("[data-everything]")
        assert len(seen.page.evaluate(SHOWN)) == MANY
        assert seen.page.url == f"{url}/"
        cookies = seen.page.context.cookies()
    with window(browser, url, script=False) as plain:
        plain.page.context.add_cookies(cookies)  # type: ignore[arg-type]
        plain.open(address.removeprefix(url))
        assert [row.get_attribute("data-meter") for row in plain.page.locator("[data-meter]:visible").all()] == [
            "meter-017"
        ]
        plain.page.fill("[name=find]", "meter-199")
        plain.page.select_option("[name=role]", "")
        with plain.page.expect_navigation():
            plain.page.get_by_role("button", name="Show").click()
        assert [row.get_attribute("data-meter") for row in plain.page.locator("[data-meter]:visible").all()] == [
            "meter-199"
        ]


def test_meters_that_fall_silent_come_first_by_themselves_also_under_a_filter(
    many: tuple[str, ExitStack], browser: Browser
) -> None:
    url, dies = many
    with window(browser, url) as seen, window(browser, url, width=2560) as wall:
        for each in (seen, wall):
            each.login("viewer")
            each.until(LIVE)
        seen.page.fill("[name=find]", "meter-00")
        dies.close()
        wall.until(f"{FIRST} === {GONE!r}")
        seen.until("!document.querySelector('[data-unseen]').hidden")
        seen.until(f"document.querySelector('[data-unseen]').textContent.startsWith('{FALL} ')")
        assert seen.page.evaluate(SHOWN) == [f"meter-{n:03}" for n in range(10)]
        assert seen.page.locator("[name=find]").input_value() == "meter-00"
        seen.page.fill("[name=find]", "")
        seen.until(f"{FIRST} === {GONE!r}")
        seen.page.select_option("[name=state]", "silent")
        assert seen.page.evaluate(f"{SHOWN}.join()") == GONE
        for width, columns in ((2560, 3), (360, 1)):
            wall.page.set_viewport_size({"width": width, "height": 1440})
            left = "(row) => Math.round(row.getBoundingClientRect().left)"
            lefts = wall.page.evaluate(f"[...document.querySelectorAll('tr[data-meter]')].map({left})")
            assert len(set(lefts)) == columns
            used = "document.querySelector('.meters').getBoundingClientRect().width / window.innerWidth"
            assert wall.page.evaluate(used) > 0.9
            assert wall.overflow() <= 0
        assert wall.page.evaluate(SHOWN)[FALL:] == [f"meter-{n:03}" for n in range(MANY - FALL)]
        wall.open("/?state=silent")
        assert (wall.page.evaluate(f"{SHOWN}.join()"), wall.faults()) == (GONE, [])
