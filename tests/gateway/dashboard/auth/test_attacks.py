"""An attacker's list: each of these gains nothing, over real connections to a running gateway."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from html import escape

import pytest

from gateway.dashboard.actions import ACTS
from gateway.dashboard.shell.request_guard import HEADERS
from tests.gateway.dashboard.pages_site import SCRIPT, Browser, everything

SECRETS = (b"scrypt$", b"PRIVATE KEY", b"[gateway]", b"root:")
PATHS = (
    "/",
    "/meters/meter-000",
    "/meters/meter-000/records",
    "/charts?s=meter-000",
    "/alarms",
    "/events",
    "/batches",
    "/completeness",
    "/diagnosis",
    "/configuration",
    "/nothing",
    "/stream",
)


@pytest.fixture(scope="module")
def slow(port: int) -> Iterator[dict[str, socket.socket]]:
    """Clients that begin a request and never end it; opened first, looked at last."""
    head = f"Host: 127.0.0.1:{port}"
    form = (head, f"Origin: http://127.0.0.1:{port}", "Content-Type: application/x-www-form-urlencoded")
    links = {
        "says nothing": socket.create_connection(("127.0.0.1", port), timeout=60),
        "half a head": socket.create_connection(("127.0.0.1", port), timeout=60),
        "no body": Browser(port).raw("POST /login HTTP/1.1", *form, "Content-Length: 100"),
        "half a chunk": Browser(port).raw("POST /login HTTP/1.1", *form, "Transfer-Encoding: chunked", body=b"ff\r\na"),
    }
    links["half a head"].sendall(b"GET / HTTP/1.1\r\nHost: ")
    yield links
    for link in links.values():
        link.close()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_nothing_is_told(port: int, path: str) -> None:
    answer = Browser(port).get(path)
    assert answer.status in (303, 401)
    assert "meter-0" not in answer.text.replace(path, "")


@pytest.mark.parametrize(
    "cookie", ["", "x", "0" * 43, "A" * 10_000, "L3x9" * 10 + "abc", "../../keys", "%00", "a; b=c"]
)
def test_a_forged_session_is_none(port: int, cookie: str) -> None:
    forged = Browser(port, cookies={"meterseal-session": cookie})
    assert forged.get("/").status == 303
    assert forged.ask("GET", "/stream").status == 401
    assert forged.post("/acts/shelve", {"id": "1"}).status == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1:{port}", "http://127.0.0.1:{port}.evil"],
)
def test_a_form_of_another_site_does_nothing(installer: Browser, origin: str) -> None:
    installer.get("/")
    sent = {"form": installer.form, "line": "tcp-000"}
    assert installer.post("/acts/clear-shared", sent, Origin=origin.format(port=installer.port)).status == 403


def test_a_form_without_an_origin_or_of_two_does_nothing(installer: Browser) -> None:
    installer.get("/")
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    body = f"form={installer.form}&line=tcp-000".encode()
    assert installer.ask("POST", "/acts/clear-shared", body, **kind).status == 403


@pytest.mark.parametrize("token", ["", "x", "A" * 43])
def test_a_form_without_a_token_of_the_session_does_nothing(installer: Browser, token: str) -> None:
    assert installer.post("/acts/clear-shared", {"form": token, "line": "tcp-000"}).status == 403


def test_a_token_of_somebody_elses_session_does_nothing(installer: Browser, viewer: Browser) -> None:
    viewer.get("/")
    assert installer.post("/acts/clear-shared", {"form": viewer.form, "line": "tcp-000"}).status == 403


def test_a_form_that_is_sent_again_does_nothing(installer: Browser) -> None:
    installer.get("/")
    sent = {"form": installer.form, "fingerprint": "00" * 32}
    assert installer.post("/acts/reload", sent).status == 303
    assert installer.post("/acts/reload", sent).status == 403


@pytest.mark.parametrize("act", sorted(ACTS))
def test_a_viewer_cannot_act(viewer: Browser, act: str) -> None:
    viewer.get("/")
    sent = {"id": "1", "meter": "meter-000", "serial": "70000", "line": "tcp-000", "fingerprint": "0", "for": "1h"}
    assert viewer.post(f"/acts/{act}", sent | {"form": viewer.form}).status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../gateway.toml", "/static/..%2f..%2f..%2fgateway.toml", "/static/%2e%2e/keys/web.users",
        "/static//etc/passwd", "//etc/passwd", "/../../../../etc/passwd", "/static/..%5c..%5cgateway.toml",
        "/static/style.css%00.toml", "/static/....//....//etc/passwd", "/meters/..%2f..%2fgateway.toml",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(viewer: Browser, path: str) -> None:
    for cookie in ((), (f"Cookie: {viewer.cookie}",)):
        head = f"Host: 127.0.0.1:{viewer.port}", "Connection: close"
        answer = everything(viewer.raw(f"GET {path} HTTP/1.1", *head, *cookie))
        assert answer.split()[1] in (b"303", b"307", b"404", b"400")
        assert not any(secret in answer for secret in SECRETS)


@pytest.mark.parametrize("name", ["9223372036854775808", "9" * 5000, "-1", "%D9%A1", "0x1", "1_0", "+1", "%00"])
def test_a_record_that_cannot_be_is_none(viewer: Browser, name: str) -> None:
    for way in ("records", "prove"):
        assert viewer.get(f"/meters/meter-000/{way}/0000000000000000/{name}").status == 404


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ("Content-Length: 100000000000", b""),
        ("Content-Length: 1000000", b"a" * 100_000),
        ("Transfer-Encoding: chunked", b"10000\r\n" + b"a" * 0x10000 + b"\r\n"),
        ("Content-Length: 20000", b"&" * 20_000),
        ("Content-Length: 10\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        ("Content-Length: 10\r\nContent-Length: 11", b"a" * 11),
        ("Content-Length: -1", b""),
        ("X: " + "a" * 100_000, b""),
    ],
)
def test_a_huge_or_crooked_request_is_refused(port: int, more: str, body: bytes) -> None:
    kind = f"Origin: http://127.0.0.1:{port}", "Content-Type: application/x-www-form-urlencoded"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        lines = "\r\n".join(("POST /login HTTP/1.1", f"Host: 127.0.0.1:{port}", *kind, more, "", ""))
        try:
            link.sendall(lines.encode() + body)
            link.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass
        answer = everything(link)
    assert not answer or answer.split()[1] in (b"400", b"413", b"431")
    assert Browser(port).get("/login").status == 200


@pytest.mark.parametrize(
    "evil", ["%0d%0aSet-Cookie:%20evil=1", "\\evil.example", "//evil.example", "/%0d%0aX:1", "http://evil"]
)
def test_nothing_that_is_sent_becomes_a_header_or_leads_elsewhere(port: int, evil: str) -> None:
    browser = Browser(port)
    for path in (f"/?a={evil}", f"/login?next={evil}", f"/?language=zh&b={evil}", f"/{evil.lstrip('/')}"):
        answer = browser.get(path)
        assert not any("evil=1" in cookie for cookie in answer.cookies)
        assert "X" not in answer.headers
        assert answer.headers.get("location", "/").startswith("/")
        assert not answer.headers.get("location", "/").startswith(("//", "/\\"))
    browser.get("/login?next=/alarms")
    sent = {"form": browser.form, "user": "vera", "password": "staple of the viewer", "next": f"{evil}\r\nEvil: 1"}
    assert browser.post("/login", sent).headers["location"] == "/"


@pytest.mark.parametrize(
    "hosts",
    [
        ["Host: evil.example"], ["Host: evil.example:{port}"], ["Host: 127.0.0.1.evil.example"], [],
        ["Host: 127.0.0.1:{port}", "Host: evil.example"], ["Host: localhost@evil.example"], ["Host: 10.0.0.1:{port}"],
    ],
)  # fmt: skip
def test_a_foreign_name_gets_nothing(viewer: Browser, hosts: list[str]) -> None:
    lines = [host.format(port=viewer.port) for host in hosts]
    answer = everything(viewer.raw("GET / HTTP/1.1", *lines, f"Cookie: {viewer.cookie}", "Connection: close"))
    assert answer.split()[1] in (b"400", b"421")
    assert b"meter-0" not in answer


def test_the_names_of_this_machine_are_good(viewer: Browser) -> None:
    for host in (f"localhost:{viewer.port}", "LOCALHOST", f"127.0.0.1:{viewer.port}", "[::1]"):
        assert viewer.get("/", Host=host).status == 200


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/static/x", "/stream", "/acts/x"])
def test_every_answer_forbids_frames_foreign_scripts_and_guesses(port: int, viewer: Browser, path: str) -> None:
    for browser, host in ((Browser(port), {}), (Browser(port), {"Host": "evil.example"})):
        answer = browser.get(path, **host)
        assert {name: answer.headers.get(name.lower()) for name in HEADERS} == HEADERS
        assert "'unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
    if path != "/stream":
        assert {name: viewer.get(path).headers.get(name.lower()) for name in HEADERS} == HEADERS


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND"])
def test_no_other_method_does_anything(installer: Browser, method: str) -> None:
    assert installer.ask(method, "/").status in (400, 405)


def test_a_cookie_is_for_this_site_and_no_script(port: int) -> None:
    browser = Browser(port)
    cookies = [*browser.get("/login").cookies, *browser.login("vera").cookies]
    assert len(cookies) >= 2
    assert all(
        "httponly" in c.lower() and "samesite=strict" in c.lower() and "domain" not in c.lower() for c in cookies
    )


@pytest.mark.parametrize("path", PATHS[:-1])
def test_a_meters_label_is_text_and_nothing_else(installer: Browser, path: str) -> None:
    page = installer.get(path).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert re.search(r"<[^>]*\son[a-z]+\s*=", page) is None, "a handler in the page"
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", page) == [], "a script in the page"
    if path in PATHS[:2]:
        assert escape(SCRIPT.partition('"')[0], quote=False).replace("'", "&#39;") in page


def test_a_crowd_of_connections_keeps_nobody_out(viewer: Browser) -> None:
    elsewhere = ("127.0.0.9", 0)
    there = ("127.0.0.1", viewer.port)
    crowd = [socket.create_connection(there, timeout=60, source_address=elsewhere) for _ in range(160)]
    assert viewer.get("/").status == 200
    for link in crowd:
        link.close()


def test_who_is_slow_is_cut_off(slow: dict[str, socket.socket], viewer: Browser) -> None:
    for name, link in slow.items():
        answer = everything(link)
        assert not answer or answer.split()[1] == b"408", name
    assert viewer.get("/").status == 200
