"""The pages in a real browser, of a real plant: every page, live values, a proof, the keyboard, an alarm's life."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

from gateway.config.model import Config
from gateway.local_calendar import local
from gateway.storage.database import Database
from tests.gateway.dashboard.pages_plant import LABEL, PASSWORDS, Site, plant_with_pages
from tests.gateway.dashboard.test_actions import events
from tests.gateway.dashboard.window import NARROW, WIDE, Window, chromium, window
from tests.support.commands import gateway_command
from tests.support.gateways.apart import apart
from tests.system.demo_site import until

OLD, NEW = "21043387", "21099999"
LIVE = "document.querySelector('[data-stream]')?.className.includes('q-good')"
PAGES = (
    "/", "/energy", "/emissions", "/balance", "/meters/export-main", "/meters/export-main/records",
    "/charts?s=export-main:active_power_total&s=export-main:energy_export&s=pv-inverter:active_power",
    "/batches", "/batches/0", "/events", "/alarms", "/completeness", "/diagnosis", "/configuration",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with plant_with_pages(tmp_path_factory.mktemp("pages")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def first_record(seen: Window) -> str:
    """The address of an anchored reading of export-main."""
    seen.open("/meters/export-main")
    until("an anchored reading", lambda: seen.page.locator(".s-anchored").count() or not seen.page.reload())
    link = seen.page.locator("tr:has(.s-anchored):has-text('reading') a[href*=records]").first
    return str(link.get_attribute("href"))


def test_a_reading_is_proven_and_its_way_is_drawn(site: Site, browser: Browser, tmp_path: Path) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.open(first_record(seen))
        assert seen.page.locator(".way .root").count() == 2  # its box and its text
        assert seen.page.get_by_text("the path leads to this root").is_visible()
        with seen.page.expect_download() as waiting:
            seen.page.get_by_role("link", name="Prove this reading").click()
        waiting.value.save_as(tmp_path / "reading.mseal")
        suggested = waiting.value.suggested_filename
    assert re.fullmatch(r"export-main_[0-9a-f]{16}_\d+\.mseal", suggested)
    verified = apart("ledger_client.cli", "verify", tmp_path / "reading.mseal", "--trust", site.config.trust)
    assert verified.code == 0, verified.out + verified.err
    assert "VERIFIED: a reading of meter export-main" in verified.out


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en", "light", WIDE), ("zh", "dark", NARROW)],
)
def test_every_page_is_whole(site: Site, browser: Browser, language: str, theme: str, width: int) -> None:
    with window(browser, site.url, language=language, theme=theme, width=width) as seen:
        seen.open("/login")
        assert seen.faults() == []
        seen.login("viewer")
        record = first_record(seen) if language == "en" else None
        for path in (*PAGES, *([record] if record else [])):
            seen.open(path)
            assert seen.overflow() <= 0, path
            assert seen.faults() == [], path
            assert seen.page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-CN"}[language]
            assert seen.page.locator("h1").count() == 1, path
        seen.open("/meters/export-main")
        assert seen.page.locator("h1").inner_text() == LABEL


def test_an_export_is_what_the_command_writes(site: Site, browser: Browser, tmp_path: Path) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        *_, epoch, seq = first_record(seen).split("/")
        with closing(Database(site.config.database, read_only=True)) as store:
            found = store.records.find("export-main", bytes.fromhex(epoch), int(seq))
        assert found is not None
        ended_ms = -(-found[1].time_ms // 1000) * 1000  # anchored: whatever was read before it is durable
        end = local(ended_ms, site.config.zone).strftime("%Y-%m-%dT%H:%M:%S")
        for path in ("/meters/export-main", "/meters/export-main/records?from=-1h&to=now"):
            seen.open(path)
            seen.page.get_by_text("Export", exact=True).click()
            fields = seen.page.locator("details.export")
            begin = fields.locator("[name=from]").input_value()
            fields.locator("[name=to]").fill(end)
            assert (seen.faults(), seen.overflow() <= 0) == ([], True)
            for form, options in (("csv", []), ("wide", ["--wide"]), ("jsonl", ["--format", "jsonl"])):
                fields.locator("select").select_option(form)
                with seen.page.expect_download() as waiting:
                    fields.get_by_role("button").click()
                waiting.value.save_as(tmp_path / "page")
                words = ["readings", site.config.path, "export-main", "--from", begin, "--to", end, *options]
                gateway_command(*words, "-o", tmp_path / f"command.{form}", "--format", form.replace("wide", "csv"))
                exported = (tmp_path / "page").read_bytes()
                assert exported == (tmp_path / f"command.{form}").read_bytes()
                assert exported.count(b"\n") > 0


def test_values_come_by_themselves(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.until(LIVE)
        power = "document.querySelector('[data-meter=\"export-main\"] [data-value=active_power_total] b').textContent"
        before = seen.page.evaluate(power)
        seen.page.evaluate("window.same = true")
        total = "document.querySelector('.totals [data-flow=generation]').textContent"
        picture = "document.querySelector('.flows [data-flow=generation]').textContent"
        at_first = seen.page.evaluate(total)
        seen.until(f"{power} !== {before!r} && {total} !== {at_first!r} && {picture} === {total}")
        seen.until("document.querySelector('[data-meter=\"export-main\"] .tag').textContent === 'live'")
        assert seen.page.evaluate("window.same") is True, "the page was not loaded anew"


def test_a_meters_own_page_follows_it_but_for_what_somebody_reads(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.open("/meters/export-main?span=1h")
        seen.page.evaluate("window.same = true")
        seen.page.get_by_text("As a table").click()
        seen.page.evaluate("document.querySelector('#course').same = true")
        values = "document.querySelector('[data-meter] tbody').textContent"
        before = seen.page.evaluate(values)
        seen.until(f"{values} !== {before!r}")
        assert seen.page.evaluate("document.querySelector('#course').same && window.same") is True
        seen.page.select_option("[name=span]", "24h")
        seen.page.wait_for_url("**span=24h*")
        seen.open("/diagnosis?again=1")
        seen.page.evaluate("window.same = true")
        seen.until("!document.querySelector('[data-again]')")
        assert seen.page.evaluate("window.same") is True, "who has gone on to another page is not brought back"


def test_a_page_that_the_gateway_is_too_busy_for_asks_again(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.page.route("**/stream", lambda route: route.abort())  # so that nothing else makes it ask
        refused: list[str] = []

        def once(route: Route) -> None:
            if "meterseal-watch" not in route.request.headers or refused:
                route.continue_()
            else:
                refused.append(route.request.url)
                route.fulfill(status=503)

        seen.page.route("**/alarms", once)
        seen.open("/alarms")
        seen.page.evaluate("document.querySelector('[data-part]').same = true")
        seen.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        seen.until("!document.querySelector('[data-part]').same")
        assert len(refused) == 1
        seen.complaints = [
            complaint for complaint in seen.complaints if "503" not in complaint and "ERR_FAILED" not in complaint
        ]


def test_a_page_whose_session_has_ended_says_so(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.until(LIVE)
        other = seen.page.context.new_page()
        other.goto(f"{site.url}/batches")
        other.get_by_role("button", name="Log out").click()
        seen.until("document.querySelector('[data-stream]').innerText.includes('logged out; values are old')")
        seen.page.get_by_role("link", name="log in again").click()
        seen.page.fill("[name=user]", "viewer")
        seen.page.fill("[name=password]", PASSWORDS["viewer"])
        seen.page.keyboard.press("Enter")
        seen.until(LIVE)
        seen.complaints = [complaint for complaint in seen.complaints if "401" not in complaint]


def test_the_keyboard_goes_everywhere_in_order(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("installer")
        seen.open("/alarms")
        focused = "(document.activeElement.textContent || '').trim().replace(/\\s+/g, ' ')"
        order = []
        for _ in range(14):
            seen.page.keyboard.press("Tab")
            order.append(seen.page.evaluate(focused))
        assert order[:3] == ["Skip to content", "Meterseal test-gateway", "Site"] or order[1].endswith("test-gateway")
        assert [word.rstrip("0123456789 ") for word in order[2:14]] == [
            "Site", "Energy", "Emissions", "Balance", "Charts", "Batches", "Events", "Alarms", "Completeness",
            "Diagnosis", "中文", "Log out installer",
        ]  # fmt: skip
        seen.open("/")
        seen.page.keyboard.press("Tab")
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "main"


def test_without_a_script_everything_is_there(site: Site, browser: Browser) -> None:
    with window(browser, site.url, script=False) as seen:
        seen.login("viewer")
        assert seen.page.locator("[data-value=active_power_total] b").first.inner_text() != ""
        assert "reload for newer values" in seen.page.locator("[data-stream]").inner_text()
        seen.page.get_by_role("link", name="中文").click()
        assert seen.page.locator("h1").inner_text() == "站点"
        seen.page.get_by_role("link", name="深色").click()
        assert seen.page.locator("html").get_attribute("data-theme") == "dark"
        seen.open("/meters/pv-inverter")
        seen.page.select_option("[name=quantity]", "frequency")
        seen.page.select_option("[name=span]", "7d")
        seen.page.get_by_role("button", name="显示").click()
        assert "quantity=frequency&span=7d" in seen.page.url
        assert seen.page.locator("svg.chart").count() == 1


def test_a_wrong_password_and_an_unknown_page_are_told_in_words(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.open("/login")
        seen.page.fill("[name=user]", "viewer")
        seen.page.fill("[name=password]", "not the right one")
        seen.page.click("form button.main")
        assert "wrong" in seen.page.get_by_role("alert").inner_text()
        seen.login("viewer")
        answer = seen.page.goto(f"{site.url}/meters/nobody")
        assert answer is not None
        assert answer.status == 404
        assert "no meter nobody" in seen.page.locator("h1").inner_text()
        seen.complaints = [
            complaint for complaint in seen.complaints if "404" not in complaint and "403" not in complaint
        ]


def test_an_alarm_from_its_cut_to_its_end(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as seen:
        seen.login("installer")
        seen.until(LIVE)
        open_all_the_time = seen.page.context.new_page()
        open_all_the_time.goto(site.url)
        open_all_the_time.evaluate("window.same = true")
        pieces = """document.querySelector('[data-meter="export-main"] path').getAttribute('d').split('M').length - 1"""
        until("a line of one piece", lambda: open_all_the_time.evaluate(pieces) == 1)
        diagnosis = seen.page.context.new_page()
        diagnosis.goto(f"{site.url}/diagnosis")
        until("the doctor's rounds", lambda: not diagnosis.locator("[data-again]").count())
        diagnosis.evaluate("window.same = document.querySelector('[data-part]').same = true")
        assert site.meters.stop() == 0
        try:
            seen.until("document.querySelector('.verdict.bad')")
            assert "Several lines not responding" in seen.page.locator(".verdict.bad").inner_text()
            assert seen.page.locator(".todo li").count() == 1, "all lines at once are one alarm"
            assert diagnosis.evaluate("window.same") is True, "the page was not loaded anew"
            until("another look", lambda: not diagnosis.evaluate("document.querySelector('[data-part]').same === true"))
            diagnosis.close()
            seen.open("/alarms")
            seen.page.get_by_role("button", name="Acknowledge", exact=True).click()
            assert "acknowledged by installer" in seen.page.locator(".alarm").inner_text()
            seen.page.select_option("[name=for]", "8h")
            seen.page.fill("[name=reason]", "<i>works on the line</i>")
            seen.page.get_by_role("button", name="Shelve").click()
            assert "<i>works on the line</i>" in seen.page.get_by_role("main").inner_text()
            seen.page.get_by_role("button", name="Unshelve").click()
            seen.page.get_by_role("button", name="Acknowledge", exact=True).click()
        finally:
            site.meters.start()
        until("a gap in the line", lambda: open_all_the_time.evaluate(pieces) == 2)
        assert open_all_the_time.evaluate("window.same") is True, "drawn by the script"
        open_all_the_time.close()
        seen.open("/")
        assert seen.page.evaluate(pieces) == 2, "the server draws the same"
        seen.until("!document.querySelector('main').innerText.includes('Several lines not responding')")
        seen.open("/events")
        shown = seen.page.get_by_role("main").inner_text()
        for words in ("alarm acknowledged", "alarm shelved", "alarm unshelved", "cleared"):
            assert words in shown
        seen.open("/alarms")
        assert seen.page.locator("table").last.locator("tr", has_text="Several lines not responding").count() == 1
    with window(browser, site.url) as seen:
        seen.login("viewer")
        seen.open("/alarms")
        assert seen.page.get_by_role("button", name="Acknowledge").count() == 0


def test_a_changed_configuration_is_looked_at_and_taken_over(site: Site, browser: Browser) -> None:
    path = site.config.path
    with window(browser, site.url) as seen:
        seen.login("installer")
        seen.open("/configuration")
        seen.page.get_by_role("button", name="Review changes").click()
        assert seen.page.get_by_text("No changes since").is_visible()
        path.write_text(path.read_text().replace(LABEL, "Grid connection"))
        seen.page.get_by_role("button", name="Review changes").click()
        assert "Grid connection" in seen.page.locator(".changes").inner_text()
        seen.page.get_by_role("button", name="Apply").click()
        assert "applied; if a meter" in seen.page.get_by_role("status").inner_text()
        seen.until("!document.querySelector('main').innerText.includes('stack-co2')")  # it has answered since
        seen.open("/")
        assert seen.page.get_by_role("link", name="Grid connection").count() == 1


def publish_plan(config: Config) -> None:
    """A plan of the export register, which an exchange asks for."""
    gateway_command("plan", "init", config.path).ended()
    path = config.path.with_name("plan.toml")
    node = '[nodes.station]\nrole = "production"\nterms = [[1, "export-main/energy_export"]]\nprofile = "hourly"\n'
    unused = "".join(f'{meter} = "of no node"\n' for meter in config.meters if meter != "export-main")
    text = path.read_text().replace("# max = ", "max = 100 #")
    path.write_text(f"{text}{node}[site.unused]\n{unused}")
    gateway_command("plan", "publish", config.path).ended()


def test_an_exchanged_meter_from_its_alarm_to_its_first_values(site: Site, browser: Browser) -> None:
    publish_plan(site.config)
    with window(browser, site.url) as seen, window(browser, site.url) as other:
        seen.login("installer")
        other.login("viewer")
        seen.open("/meters/export-main")
        for each in (seen, other):
            each.until(LIVE)
            each.page.evaluate("window.same = true")
        site.meters.exchange(OLD, NEW)
        seen.until("document.querySelector('.verdict.bad form')")
        other.until("document.querySelector('main').innerText.includes('Another meter answers')")
        for each in (seen, other):
            each.until("document.title.startsWith('(')")
            assert each.page.evaluate("window.same") is True, "the page was not loaded anew"
        assert (
            f"Known meter: {OLD}. A device with another serial number" in seen.page.locator(".verdict.bad").inner_text()
        )
        assert NEW not in seen.page.locator(".verdict.bad").inner_text(), "the number to type is read off the meter"
        other.open("/meters/export-main")
        assert other.page.locator(".verdict.bad form").count() == 0
        seen.page.fill("[name=serial]", OLD)
        seen.page.evaluate("document.querySelector('#course').same = true")
        seen.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the page is looked at again
        seen.until("!document.querySelector('#course').same")
        seen.page.keyboard.press("Enter")
        assert f"a serial number other than {OLD}" in (refused := seen.page.locator(".said.bad").inner_text())
        assert NEW not in refused
        assert seen.page.input_value("[name=serial]") == OLD, "what was typed stays to be corrected"
        assert seen.page.locator("[name='final.power']").count() == 0
        seen.page.fill("[name='final.energy_export']", "99999999.5")
        seen.page.fill("[name='initial.energy_export']", "0")
        seen.page.fill("[name=serial]", NEW)
        seen.page.fill("[name=reason]", "struck by lightning")
        seen.page.keyboard.press("Enter")
        assert "accepted in place of" in seen.page.locator(".said.good").inner_text()
        seen.until("document.querySelector('[data-meter] .tag') && !document.querySelector('.verdict.bad')")
        assert f"Serial number: {NEW}" in seen.page.get_by_role("main").inner_text()
        other.until("!document.querySelector('.verdict.bad')")
        (entry,) = events(site.config, "gateway", "entry")
        assert (entry["of"], entry["user"], entry["reason"]) == (
            "export-main/energy_export", "installer", "struck by lightning",
        )  # fmt: skip
        assert str(entry["values"]["final"]) == "99999999.5"
        seen.open("/alarms")
        past = seen.page.locator("table").last.locator("tr", has_text="Another meter answers")
        until("its end", lambda: past.count() or not _acknowledge(seen))
        seen.open("/events")
        (row,) = seen.page.locator("tr", has_text="meter exchanged").all_inner_texts()
        for words in ("export-main", OLD, NEW, "installer", "struck by lightning"):
            assert words in row


def _acknowledge(seen: Window) -> bool:
    """Acknowledge an alarm that is over, if there is one."""
    seen.open("/alarms")
    button = seen.page.locator(".alarm", has_text="Another meter answers").get_by_role("button", name="Acknowledge")
    if button.count():
        button.click()
    return bool(button.count())
