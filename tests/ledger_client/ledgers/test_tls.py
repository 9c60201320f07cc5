"""TLS to the embedded ledger and to mosquitto: a private CA, mutual TLS, a login; every wrong certificate is named."""

from __future__ import annotations

import logging
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import pbkdf2_hmac
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Ledger
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transport.access import Access
from tests.support.brokers.pki import Authority, Pair
from tests.support.enrolled import Gateway
from tests.support.ledger_site import Site, persist
from tests.support.processes import EmbeddedLedger, embedded_ledger, free_port, mosquitto

NAME = "secure-ledger"
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Secure:
    """A ledger and a broker that want certificates, and more doors that nobody should go through."""

    site: Site
    authority: Authority
    other: Authority
    client: Pair
    stranger: Pair
    urls: dict[str, str]

    def access(self) -> Access:
        """What gets in."""
        return Access(ca=self.authority.ca, cert=self.client.cert, key=self.client.key)

    def driver(self, kind: str, door: str, access: Access) -> Ledger:
        """``door``: ``good``, ``expired``, ``elsewhere`` (a certificate for another name), ``plain``."""
        url = self.urls[f"{kind} {door}"]
        if kind == "http":
            return HttpLedger(NAME, url, access, timeout_s=TIMEOUT_S)
        return MqttLedger(NAME, url, access, timeout_s=TIMEOUT_S)


def listener(port: int, ca: Path, pair: Pair, more: str) -> str:
    return (
        f"listener {port} 127.0.0.1\nset_tcp_nodelay true\n"
        f"cafile {ca}\ncertfile {pair.cert}\nkeyfile {pair.key}\n{more}"
    )


def stranger(secure: Secure) -> Access:
    """Somebody with a certificate by a CA that nobody here knows."""
    return replace(secure.access(), cert=secure.stranger.cert, key=secure.stranger.key)


@contextmanager
def tunnel() -> Iterator[tuple[str, list[str]]]:
    """A proxy that does nothing but CONNECT: its address, and what it was asked."""
    asked: list[str] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode())
            while self.rfile.readline().strip():
                pass
            host, _, port = asked[-1].split()[1].rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=copy, args=(far, self.connection))
                back.start()
                copy(self.connection, far)
                back.join()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("tls")
    authority, other = Authority(folder, "own-ca"), Authority(folder, "other-ca")
    pairs = {
        "good": authority.issue("good"),
        "expired": authority.issue("expired", days=-1),
        "elsewhere": authority.issue("elsewhere", address="192.0.2.1", host="elsewhere.example"),
    }
    client, stranger = authority.issue("client"), other.issue("stranger")
    passwords = folder / "passwords"
    salt = b"twelve bytes"
    hashed = pbkdf2_hmac("sha512", b"sesame", salt, 101)  # as mosquitto_passwd writes it
    passwords.write_text(f"gw:$7$101${b64encode(salt).decode()}${b64encode(hashed).decode()}\n")
    ports = {door: free_port() for door in (*pairs, "login")}
    mutual = "allow_anonymous true\nrequire_certificate true\n"
    extra = "".join(listener(ports[door], authority.ca, pair, mutual) for door, pair in pairs.items())
    extra += listener(
        ports["login"], authority.ca, pairs["good"], f"allow_anonymous false\npassword_file {passwords}\n"
    )
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder, extra))
        urls = {f"mqtt {door}": f"mqtts://127.0.0.1:{port}" for door, port in ports.items()}
        urls["mqtt plain"] = broker.url.replace("mqtt:", "mqtts:")
        ledgers: dict[str, EmbeddedLedger] = {}
        for door, pair in pairs.items():
            options = ["--cert", str(pair.cert), "--key", str(pair.key), "--client-ca", str(authority.ca)]
            if door == "good":
                options += [
                    "--mqtt-ca",
                    str(authority.ca),
                    "--mqtt-cert",
                    str(client.cert),
                    "--mqtt-key",
                    str(client.key),
                ]
            mqtt = urls["mqtt good"] if door == "good" else None
            ledgers[door] = EmbeddedLedger(folder / door, NAME, mqtt, None, options)
            stack.callback(ledgers[door].close)
            ledgers[door].start()
            urls[f"http {door}"] = ledgers[door].url
        urls["http plain"] = broker.url.replace("mqtt:", "https:")
        yield Secure(Site(ledgers["good"], broker, folder), authority, other, client, stranger, urls)


@pytest.mark.parametrize("kind", ["http", "mqtt"])
def test_mutual_tls_with_a_private_ca(secure: Secure, kind: str) -> None:
    gateway = secure.site.enroll(Gateway(f"gw-{kind}"))
    driver = secure.driver(kind, "good", secure.access())
    try:
        persist(driver, gateway.statement(0))
        persist(driver, gateway.statement(1))
    finally:
        driver.close()
    assert secure.site.held(gateway) == [0, 1]


def test_through_a_proxy_tls_goes_to_the_ledger_itself(secure: Secure) -> None:
    gateway = secure.site.enroll(Gateway("gw-proxy"))
    with tunnel() as (proxy, asked):
        driver = secure.driver("http", "good", replace(secure.access(), proxy=proxy))
        try:
            persist(driver, gateway.statement(0))
        finally:
            driver.close()
        driver = secure.driver("http", "expired", replace(secure.access(), proxy=proxy))
        with pytest.raises(LedgerUnavailable, match="the server certificate has expired"):
            driver.submit(gateway.statement(1))
        driver.close()
    assert {line.split()[0] for line in asked} == {"CONNECT"}
    assert secure.site.held(gateway) == [0]


@pytest.mark.parametrize("kind", ["http", "mqtt"])
@pytest.mark.parametrize(
    ("door", "change", "words"),
    [
        ("good", "other CA", "is issued by a CA that is not trusted here: set ca to that CA"),
        ("good", "no CA", "is issued by a CA that is not trusted here: set ca to that CA"),
        ("good", "no certificate", "client certificate"),
        ("good", "stranger", "not accept the client certificate"),
        ("expired", "", "the server certificate has expired"),
        ("elsewhere", "", "the server certificate is for another IP address than the one in url"),
        ("plain", "", "the port (does|may) not use TLS"),
    ],
)
def test_a_wrong_certificate_is_named(secure: Secure, kind: str, door: str, change: str, words: str) -> None:
    access = secure.access()
    if change == "other CA":
        access = replace(access, ca=secure.other.ca)
    elif change == "no CA":
        access = replace(access, ca=None)
    elif change == "no certificate":
        access = replace(access, cert=None, key=None)
    elif change == "stranger":
        access = stranger(secure)
    driver = secure.driver(kind, door, access)
    try:
        with pytest.raises(LedgerUnavailable, match=words):
            driver.submit(Gateway("gw").statement(0))
    finally:
        driver.close()


def test_a_login_at_the_broker(secure: Secure, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = secure.site.enroll(Gateway("gw-login"))
    password = tmp_path / "password"
    password.write_text("open\n")
    password.chmod(0o600)
    driver = secure.driver("mqtt", "login", Access(ca=secure.authority.ca, user="gw", password_file=password))
    try:
        with pytest.raises(LedgerUnavailable, match="check user and password_file"):
            driver.submit(gateway.statement(0))
        password.write_text("sesame\n")  # the next connection uses it
        persist(driver, gateway.statement(0))
    finally:
        driver.close()
    assert secure.site.held(gateway) == [0]
    assert "sesame" not in caplog.text


def test_a_certificate_is_renewed_while_the_driver_runs(secure: Secure, tmp_path: Path) -> None:
    gateway = secure.site.enroll(Gateway("gw-renewed"))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(pair: Pair) -> None:
        cert.write_bytes(pair.cert.read_bytes())
        key.write_bytes(pair.key.read_bytes())
        key.chmod(0o600)

    for batch, kind in enumerate(("http", "mqtt")):
        put(secure.stranger)
        driver = secure.driver(kind, "good", Access(ca=secure.authority.ca, cert=cert, key=key))
        try:
            with pytest.raises(LedgerUnavailable, match="not accept the client certificate"):
                driver.submit(gateway.statement(batch))
            put(secure.client)
            persist(driver, gateway.statement(batch))
        finally:
            driver.close()
    assert secure.site.held(gateway) == [0, 1]


def test_the_ledgers_own_certificate_is_renewed_while_it_serves(secure: Secure, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(pair: Pair) -> None:
        for source, target in ((pair.key, key), (pair.cert, cert)):
            new = target.with_suffix(".new")
            new.write_bytes(source.read_bytes())
            new.chmod(0o600)
            new.rename(target)

    put(secure.authority.issue("old", days=-1))
    options = ["--cert", str(cert), "--key", str(key), "--client-ca", str(secure.authority.ca)]
    with embedded_ledger(tmp_path / "ledger", NAME, options=options) as ledger:
        driver = HttpLedger(NAME, ledger.url, secure.access(), timeout_s=TIMEOUT_S)
        with pytest.raises(LedgerUnavailable, match="the server certificate has expired"):
            driver.lookup(bytes(32))
        cert.write_text("half a certifica")  # nobody is locked out by a renewal that went wrong
        with pytest.raises(LedgerUnavailable, match="the server certificate has expired"):
            driver.lookup(bytes(32))
        put(secure.authority.issue("new"))
        assert driver.lookup(bytes(32)) is None
        driver.close()
        for access in (replace(secure.access(), cert=None, key=None), stranger(secure)):  # as strict as before
            driver = HttpLedger(NAME, ledger.url, access, timeout_s=TIMEOUT_S)
            with pytest.raises(LedgerUnavailable, match="certificate"):
                driver.lookup(bytes(32))
            driver.close()
    assert "goes on with the certificate of before: cert" in ledger.log.read_text()
