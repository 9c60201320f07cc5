"""Certificates on the pages Energy and Balance, of a running embedded ledger, and without it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Browser

from gateway.dashboard.shell.page import Answer
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.claims.claim import Retire, Transfer, Withdraw
from tests.gateway.dashboard.figures.test_figures_browser import whole
from tests.gateway.dashboard.figures.test_figures_page import text
from tests.gateway.dashboard.looks import looker
from tests.gateway.dashboard.window import NARROW, WIDE, chromium, window
from tests.support.certificates.certified_site import CIVIL_MIN, CertifiedSite, certified_site
from tests.support.epochs import running
from tests.support.stated import QUARTER_MS

Pages = Mapping[tuple[str, str], str]
"""By path and language; "away": as who has not looked before gets it without the ledger."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Quarters: held, half retired by b, retired, withdrawn; the hour behind them is not certified."""
    with certified_site(tmp_path_factory.mktemp("certified")) as of:
        units = of.state()
        certs = [of.issue(n, units[n]) for n in range(4)]
        period = (of.site.from_ms, of.site.from_ms + QUARTER_MS)
        of.claim(of.a, Transfer(certs[1], (0, 40_000), "b"))
        of.claim(of.b, Retire(certs[1], (0, 40_000), "use", *period))
        of.claim(of.a, Retire(certs[2], (0, units[2]), "use", *period))
        of.claim(of.issuer, Withdraw(certs[3], "a mistake"))
        of.site.stop()
        yield asyncio.run(_seen(of))
        of.site.start()


async def _seen(of: CertifiedSite) -> Pages:
    found: dict[tuple[str, str], str] = {}
    async with running(of.site.loaded) as gateway:
        await asyncio.to_thread(_look, of, gateway.site, found)
    return found


def _look(of: CertifiedSite, site: GatewayContext, found: dict[tuple[str, str], str]) -> None:
    store = Database(of.site.loaded.database, read_only=True)
    day = f"{civil(of.site.from_ms, CIVIL_MIN):%Y-%m-%d}"
    look = looker(site)

    def see(path: str, language: str) -> str:
        answer: Answer
        while b"data-again" in (answer := look(path, store, {}, {"view": "hour", "at": day}, language)).body:
            time.sleep(0.05)
        return answer.body.decode()

    for language in ("en", "zh"):
        for path in ("/energy", "/balance"):
            found[path, language] = see(path, language)
    of.ledger.stop()
    look = looker(site)
    for path in ("/energy", "/balance"):
        found[path, "away"] = see(path, "en")
    store.close()


def test_each_hour_says_who_certified_it_and_what_became_of_it(pages: Pages) -> None:
    page = text(pages["/energy", "en"])

    assert "90000 Wh by issuer-1 at demo-ledger held 90000 Wh: a" in page
    assert "90000 Wh by issuer-1 at demo-ledger retired 40000 Wh: b; held 50000 Wh: a" in page
    assert "retired 90000 Wh: a" in page
    assert "withdrawn 90000 Wh: a" in page
    assert "not certified" in page
    marks = re.findall(r'class="cert cert-(\w+)"', pages["/energy", "en"])
    assert marks == ["held", "partly", "retired", "withdrawn"]
    assert re.search(r'title="\d\d:\d\d measured · partly retired"', pages["/energy", "en"])


def test_the_page_balance_sums_the_month(pages: Pages) -> None:
    """Three of four quarters count as certified: the fourth is withdrawn."""
    page = text(pages["/balance", "en"])
    assert "station-1 turbine, registry demo-ledger" in page
    assert "Certified 270.000 kWh held 140.000 kWh retired 130.000 kWh withdrawn 90.000 kWh" in page
    assert "more than was measured" not in page
    assert re.search(r'<a href="/meters/gateway/records/[0-9a-f]{16}/\d+">version 1', pages["/balance", "en"])
    assert 'href="/balance" aria-current="page"' in pages["/balance", "en"]


def test_without_the_ledger_it_is_not_asked(pages: Pages) -> None:
    for path in ("/energy", "/balance"):
        page = text(pages[path, "away"])
        assert "demo-ledger: not asked" in page
        assert "not certified" not in page
        assert "90000 Wh by" not in page


def test_in_chinese_it_is_chinese(pages: Pages) -> None:
    energy, balance = (text(pages[path, "zh"]) for path in ("/energy", "/balance"))
    assert "90000 Wh，由 issuer-1 在 demo-ledger 签发" in energy
    assert "已注销 40000 Wh，归 b" in energy
    assert "已签发" in balance
    assert not re.search("carbon neutral|碳中和", energy + balance)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_they_are_readable_in_a_browser(pages: Pages, browser: Browser, width: int) -> None:
    with window(browser, "", width=width) as seen:
        for key, page in pages.items():
            seen.page.set_content(whole(page))
            assert seen.overflow() <= 0, key
            if key[1] == "en":
                assert seen.faults() == []
