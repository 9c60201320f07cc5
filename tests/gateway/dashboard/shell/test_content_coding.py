"""Pages and static files by gzip for whoever takes it, the login and proofs never; tokens that no length betrays."""

from __future__ import annotations

import gzip
import http.client
import re

import pytest

from gateway.dashboard.routes import MSEAL
from gateway.dashboard.shell.content_coding import coded, takes_gzip
from gateway.dashboard.shell.page import Answer
from tests.gateway.dashboard.pages_site import Browser


def fetched(browser: Browser, path: str, accepts: str = "gzip, deflate, br") -> tuple[http.client.HTTPResponse, bytes]:
    """An answer as it came over the wire."""
    link = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=30)
    link.request("GET", path, headers={"Cookie": browser.cookie, "Accept-Encoding": accepts})
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer, body


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True), ("GZIP;q=0.5", True), ("br, x-gzip", True), ("*", True), ("deflate, *;q=0.1", True),
        ("", False), ("br", False), ("gzip;q=0", False), ("gzip; q=0.000, *", False), ("gzipped", False),
        ("gzip;q=", False), ("," * 10_000 + "gzip", False),
    ],
)  # fmt: skip
def test_the_header_is_read_as_the_standard_has_it(header: str, takes: bool) -> None:
    assert takes_gzip(header) == takes


def test_pages_and_static_files_are_compressed_and_the_same(viewer: Browser) -> None:
    page = viewer.get("/").text
    files = re.findall(r'(?:href|src)="(/static/[a-z]+\.(?:css|js)\?[0-9a-f]+)"', page)
    assert len(files) >= 2
    for path in ("/", "/events", *files):
        (coded, body), (plain, whole) = fetched(viewer, path), fetched(viewer, path, "gzip;q=0")
        assert (coded.status, coded.headers["content-encoding"], plain.headers["content-encoding"]) == (
            200,
            "gzip",
            None,
        )
        assert coded.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert int(coded.headers["content-length"]) == len(body) < len(whole) * 0.6
        if path in files:
            assert gzip.decompress(body) == whole
            assert coded.headers["etag"] != plain.headers["etag"]
            assert "immutable" in coded.headers["cache-control"]
        else:
            assert gzip.decompress(body).decode().partition("<body")[0] == whole.decode().partition("<body")[0]
            assert coded.headers["cache-control"] == "no-store"


def test_the_login_refusals_and_proofs_are_not(viewer: Browser) -> None:
    for path, status in (("/login", 200), ("/meters/nobody", 404)):
        answer, body = fetched(viewer, path)
        assert (answer.status, answer.headers["content-encoding"], body[:2]) == (status, None, b"<!")
    proof = Answer(b"\0" * 5000, MSEAL, headers={"Content-Disposition": "attachment"})
    assert coded(proof, gzip=True) == proof


def test_a_token_shares_nothing_with_the_next_one(viewer: Browser) -> None:
    def token() -> str:
        found = re.search(rb'name="form" value="([^"]{40,})"', gzip.decompress(fetched(viewer, "/")[1]))
        assert found is not None
        return found[1].decode()

    first, second = token(), token()
    behind_the_time = range(11, len(first) - 5)  # random bits, and a hash over both
    pieces = {first[n : n + 6] for n in behind_the_time}
    assert not {piece for piece in pieces if piece in second}
