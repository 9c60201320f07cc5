"""Pages beyond this machine: TLS and nothing less, the certificate that `status` tells of, cookies for nothing else."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from gateway.api.shapes.token_file import add_token, tokens_file
from gateway.config.model import Config
from gateway.dashboard.auth import certificate
from tests.gateway.dashboard.pages_site import Browser, everything, pages_of, running
from tests.support.gateways.farm import farm
from tests.support.processes import free_port
from tests.system.demo_site import until


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Config]]:
    port, folder = free_port(), tmp_path_factory.mktemp("tls") / "site"
    section = f'listen = "0.0.0.0:{port}"\ncert = "keys/web.crt"\nkey = "keys/web.key"\nhosts = ["Meters.example"]\n'
    with farm(1) as meters:
        loaded = pages_of(folder, meters.ports, section)
        certificate.make(loaded.keys, "tls", ["127.0.0.1"], 1_790_000_000)
        with running(loaded):
            yield port, loaded


@pytest.fixture
def browser(place: tuple[int, Config]) -> Browser:
    port, loaded = place
    return Browser(port, ssl.create_default_context(cafile=str(loaded.keys / "web.crt")))


def test_pages_are_reached_by_the_certificate_that_the_status_tells_of(
    browser: Browser, place: tuple[int, Config]
) -> None:
    port, loaded = place
    assert browser.login("ines").status == 303
    assert browser.get("/", Host="meters.example").status == 200
    assert browser.get("/", Host="other.example").status == 421
    status = subprocess.run([sys.executable, "-m", "gateway.cli", "status", loaded.path, "--json"], capture_output=True)
    served = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    assert json.loads(status.stdout)["web"] == {
        "address": f"https://0.0.0.0:{port}/",
        "fingerprint": hashlib.sha256(served).digest().hex(":").upper(),
    }


def test_a_cookie_crosses_nothing_but_tls(browser: Browser) -> None:
    cookies = [*browser.get("/login").cookies, *browser.login("vera").cookies]
    assert all(cookie.startswith("__Host-") and "; Secure" in cookie and "Path=/" in cookie for cookie in cookies)


def test_plain_http_gets_no_word(place: tuple[int, Config]) -> None:
    assert b"HTTP" not in everything(Browser(place[0]).raw("GET /login HTTP/1.1", f"Host: 127.0.0.1:{place[0]}"))


def test_programs_ask_over_tls_as_people_do(browser: Browser, place: tuple[int, Config]) -> None:
    port, loaded = place
    token = add_token(tokens_file(loaded.keys), "afar", "readings", None, None, secrets.token_bytes(32))
    given = {"Authorization": f"Bearer {token}"}

    def items(path: str) -> list[str]:
        answer = browser.get(path, **given)
        assert answer.status in (200, 429)
        return [item["gateway"] for item in json.loads(answer.text).get("items", ())]

    for path in ("/api/v1/gateways", "/api/v1/readings?limit=1"):
        assert until(path, partial(items, path)) == [loaded.gateway_id]
        assert browser.get(path).status == 401
        refused = browser.get(path, Host="other.example", **given)
        assert (refused.status, refused.headers["content-type"]) == (421, "application/problem+json")
    plain = Browser(port).raw(
        "GET /api/v1/gateways HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {token}"
    )
    assert b"HTTP" not in everything(plain)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_refused(place: tuple[int, Config], version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", place[0])) as link, pytest.raises(OSError):  # noqa: PT011 — SSLError or reset
        context.wrap_socket(link)


def test_without_a_token_there_are_no_figures_from_afar(browser: Browser) -> None:
    assert "meterseal_" not in browser.get("/metrics").text


def test_a_page_of_plain_http_cannot_send_its_forms_here(browser: Browser) -> None:
    browser.login("ines")
    browser.get("/")
    sent = {"form": browser.form, "line": "tcp-000"}
    assert browser.post("/acts/clear-shared", sent, Origin=f"http://127.0.0.1:{browser.port}").status == 403
    assert browser.post("/acts/clear-shared", sent).status == 303
