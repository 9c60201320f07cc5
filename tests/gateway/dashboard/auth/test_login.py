"""Who gets in: names, passwords, sessions and their ends, over real connections to a running gateway."""

from __future__ import annotations

from tests.gateway.dashboard.pages_site import Browser


def test_without_a_login_there_is_only_the_login(port: int) -> None:
    browser = Browser(port)
    answer = browser.get("/")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=%2F")
    assert browser.ask("GET", "/stream").status == 401
    assert browser.post("/acts/accept", {"meter": "meter-000", "serial": "1"}).status == 403


def test_a_login_leads_to_the_page_and_a_logout_ends_it(port: int) -> None:
    browser = Browser(port)
    assert browser.login("vera").status == 303
    page = browser.get("/")
    assert page.status == 200
    assert "meter-001" in page.text
    old = dict(browser.cookies)
    assert browser.post("/logout", {"form": browser.form}).status == 303
    browser.cookies = old
    assert browser.get("/").status == 303


def test_a_wrong_password_and_a_wrong_name_are_told_alike(port: int) -> None:
    answers = [Browser(port).login("vera", "wrong"), Browser(port).login("nobody", "wrong")]
    assert {answer.status for answer in answers} == {403}
    assert len({len(answer.text) for answer in answers}) == 1


def test_a_session_is_new_at_each_login(port: int) -> None:
    browser = Browser(port)
    browser.login("ines")
    first = dict(browser.cookies)
    browser.login("ines")
    assert browser.cookies["meterseal-session"] != first["meterseal-session"]
    browser.cookies = first
    assert browser.get("/").status == 303
