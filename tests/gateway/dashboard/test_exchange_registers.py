"""Registers of an exchange on a meter's page: typed in a real browser, signed by the gateway, and in the statement."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.dashboard.auth import setup
from ledger_client.formats.senml import Quality
from tests.gateway.accounting.statements.test_statement import period
from tests.gateway.dashboard.pages_plant import PASSWORDS
from tests.gateway.dashboard.pages_site import Browser, running
from tests.gateway.dashboard.test_actions import events
from tests.gateway.dashboard.window import chromium, window
from tests.support.commands import gateway_command
from tests.support.processes import free_port
from tests.support.stated import METER, QUARTER_MS, Site, accounted_site

PAGE = f"/meters/{METER}"


def recorded(tmp_path: Path) -> tuple[Site, int]:
    """A site with pages that has recorded registers up to 1130 kWh."""
    loaded, port = accounted_site(tmp_path / "site"), free_port()
    text = re.sub(r'(\[seal\]\nevery = )"\w+"', r'\1"1s"', loaded.path.read_text())
    text = re.sub(r"\n\[\[ledger\]\][^\[]*", "\n", text)  # sealing waits for no ledger
    loaded.path.write_text(f'{text}\n[web]\nlisten = "127.0.0.1:{port}"\n')
    loaded = load_config(loaded.path)
    for name, password in PASSWORDS.items():
        setup.set_user(loaded, name, name, password)
    site = Site(tmp_path / "site", loaded, began_ms=int(time.time() * 1000) - 5 * QUARTER_MS)
    site.publish()
    site.polls(130)
    return site, port


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Site, int]]:
    """A site whose meter was exchanged within the last hours; the new device began at 7 kWh. Its gateway runs."""
    site, port = recorded(tmp_path)
    site.event(METER, "meter-exchange", identity="serial_number=2", old="serial_number=1", last={}, first={})
    site.register = 6
    site.polls(1, quality=int(Quality.METER_EXCHANGED))
    site.polls(200)
    site.stop()
    with running(site.loaded):
        yield site, port


def stated(site: Site) -> dict[str, str]:
    """Amounts by status of the quarters of an hour around the exchange."""
    words = ["statement", str(site.loaded.path), "--period", period(site.from_ms, 3), "--dry-run", "--json"]
    done = gateway_command(*words)
    while "in no sealed batch yet" in done.err:  # the entry
        done = gateway_command(*words)
    assert done.code == 0, done.output + done.err
    (one,) = done.facts["statements"]
    return {node["status"]: node["amount"] for node in one["nodes"]}


def test_registers_typed_on_the_page_make_an_unknown_exchange_a_bridged_one(place: tuple[Site, int]) -> None:
    site, port = place
    assert "unknown" in stated(site)
    with chromium() as browser, window(browser, f"http://127.0.0.1:{port}") as seen:
        seen.login("installer")
        seen.open(PAGE)
        page = seen.page
        final, initial = (page.locator(f"[name='{which}.energy_export']") for which in ("final", "initial"))
        for wrong, old, new, why in (
            ("final", "1130,5", "7", "is not a number"),
            ("final", "1129", "7", "is below 1130"),
            ("initial", "1131", "8", "is above 7"),
            ("initial", "1131", "", "only one of the two"),
        ):
            final.fill(old)
            initial.fill(new)
            page.get_by_role("button", name="Sign the registers").click()
            problem = page.locator(f"label:has([name='{wrong}.energy_export']) .wrong")
            assert why in problem.inner_text()
            assert (final.input_value(), initial.input_value()) == (old, new)
            assert not events(site.loaded, "gateway", "entry")
        assert seen.faults() == []
        final.fill("1130.25")
        initial.fill("6.75")
        page.fill("#registers [name=reason]", "lightning")
        page.get_by_role("button", name="Sign the registers").click()
        assert "are signed" in page.locator(".said.good").inner_text()
        assert page.locator("#registers").count() == 0
    (entry,) = events(site.loaded, "gateway", "entry")
    assert {name: str(value) for name, value in entry["values"].items()} == {"final": "1130.25", "initial": "6.75"}
    assert (entry["of"], entry["unit"], entry["user"]) == (f"{METER}/energy_export", "kWh", "installer")
    assert entry["reason"] == "lightning"
    found = stated(site)
    assert "bridged" in found
    assert "unknown" not in found


def test_only_an_installer_states_registers(place: tuple[Site, int]) -> None:
    site, port = place
    viewer = Browser(port)
    assert viewer.login("viewer", PASSWORDS["viewer"]).status == 303
    assert "final.energy_export" not in viewer.get(PAGE).text
    fields = {"form": viewer.form, "meter": METER, "final.energy_export": "1131", "initial.energy_export": "6"}
    assert viewer.post("/acts/registers", fields).status == 403
    installer = Browser(port)
    assert installer.login("installer", PASSWORDS["installer"]).status == 303
    installer.get(PAGE)
    used = {**fields, "form": installer.form}
    foreign = installer.post("/acts/registers", fields)
    assert foreign.status == 403
    assert installer.post("/acts/registers", used | {"meter": "nobody"}).status == 303
    assert "no meter nobody" in installer.get(PAGE).text
    assert installer.post("/acts/registers", used).status == 403
    assert not events(site.loaded, "gateway", "entry")


@pytest.fixture
def numberless(tmp_path: Path) -> Iterator[tuple[Site, int]]:
    """A site whose meter tells no number: within the last hours its register fell to 7 kWh. Its gateway runs."""
    site, port = recorded(tmp_path)
    site.register = 6
    site.polls(1, quality=int(Quality.COUNTER_RESET))
    site.event(METER, "alarm", code="counter-back", line="rs485-1", text="it decreased", raised=True)
    site.polls(200)
    site.stop()
    with running(site.loaded):
        yield site, port


def test_a_meter_that_tells_no_number_is_exchanged_by_hand_on_its_page(numberless: tuple[Site, int]) -> None:
    site, port = numberless
    viewer = Browser(port)
    assert viewer.login("viewer", PASSWORDS["viewer"]).status == 303
    assert "exchange-by-hand" not in viewer.get(PAGE).text
    fields = {"form": viewer.form, "meter": METER, "reason": "age", "since_fall": "yes"}
    assert viewer.post("/acts/exchange-by-hand", fields).status == 403
    with chromium() as browser, window(browser, f"http://127.0.0.1:{port}") as seen:
        seen.login("installer")
        seen.open(PAGE)
        page, sign = seen.page, seen.page.get_by_role("button", name="Sign the exchange")
        assert "Counter decreased" in page.locator("#exchange").inner_text()
        page.select_option("[name=since_fall]", label="the new meter has been read since then")
        for name, text in (("serial", "4712"), ("final.energy_export", "1129"), ("initial.energy_export", "6.75")):
            page.fill(f"#exchange [name='{name}']", text)
        page.fill("#exchange [name=reason]", " ")
        sign.click()
        assert "needs its reason" in page.locator("label:has([name=reason]) .wrong").inner_text()
        page.fill("#exchange [name=reason]", "lightning")
        sign.click()
        assert "is below 1130" in page.locator("label:has([name='final.energy_export']) .wrong").inner_text()
        assert page.locator("[name=since_fall]").input_value() == "yes"
        assert not events(site.loaded, METER, "meter-exchange")
        page.fill("#exchange [name='final.energy_export']", "1130.25")
        assert seen.faults() == []
        sign.click()
        assert "is signed by hand" in page.locator(".said.good").inner_text()
    (event,) = events(site.loaded, METER, "meter-exchange")
    assert (event["by-hand"], event["plate"], event["user"], event["reason"]) == (
        True,
        "4712",
        "installer",
        "lightning",
    )
    found = stated(site)
    assert "bridged" in found
    assert "unknown" not in found
