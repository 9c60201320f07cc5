"""What `meterseal init --web` and `meterseal password` make, and what `check` and `run` refuse."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.access_files import fingerprint
from gateway.config.load import load_config
from gateway.dashboard.auth import certificate
from gateway.dashboard.shell.users import matches, read_users
from gateway.errors import ConfigError
from tests.gateway.dashboard.pages_site import Browser, pages_of, running
from tests.support.commands import Answer, gateway_command
from tests.support.processes import free_port

PASSWORD = "basement without light"


def meterseal(*arguments: object, typed: str = "") -> Answer:
    return gateway_command(*arguments, typed=typed)


def pages_site(folder: Path, web: str) -> Path:
    """A site that `check` likes but for what is wrong with its pages."""
    return pages_of(folder / "site", (502,), web).path


def test_a_new_site_with_pages(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        done = meterseal("init", tmp_path / "site", "--web", "192.0.2.7", typed=f"{PASSWORD}\n{PASSWORD}\n")
    finally:
        os.umask(before)
    assert done.code == 0, done.output
    loaded = load_config(tmp_path / "site" / "gateway.toml")
    web = loaded.document.web
    assert web is not None
    assert (web.listen, web.scheme) == ("192.0.2.7:8080", "https")
    (user,) = read_users(loaded.keys / "web.users").values()
    assert (user.name, user.role) == ("installer", "installer")
    assert matches(PASSWORD, user.hash)
    assert fingerprint(loaded.keys / "web.crt") in done.output
    assert PASSWORD not in done.output
    for name in ("web.users", "web.key"):
        assert stat.S_IMODE((loaded.keys / name).stat().st_mode) == 0o600


def test_the_certificate_is_for_the_address_and_the_machine(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(PASSWORD + "\nsecond line\n")
    done = meterseal("init", tmp_path / "site", "--web", "[2001:db8::7]:8443", "--password-file", tmp_path / "pw")
    assert done.code == 0, done.output
    certificate_text = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "site/keys/web.crt", "-noout", "-text", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "IP Address:2001:DB8:0:0:0:0:0:7, DNS:localhost, IP Address:127.0.0.1" in certificate_text
    assert "NIST CURVE: P-256" in certificate_text
    assert "CA:FALSE" in certificate_text
    printed = re.search("certificate SHA-256 ([0-9A-F:]{95})", done.output)
    assert printed is not None
    assert f"sha256 Fingerprint={printed[1]}" in certificate_text


def test_a_site_that_is_there_gets_only_what_it_lacks(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (tmp_path / "pw").write_text(PASSWORD)
    with_pages = ("init", site, "--web", "127.0.0.1", "--password-file", tmp_path / "pw")
    assert meterseal("init", site).code == 0
    text = (site / "gateway.toml").read_text()
    keys = {path: path.read_bytes() for path in (site / "keys").iterdir()}
    assert meterseal(*with_pages).code == 0
    assert (site / "gateway.toml").read_text().startswith(text)
    assert all(path.read_bytes() == data for path, data in keys.items())
    again = meterseal(*with_pages)
    assert (again.code, "already set up" in again.output) == (2, True)
    other = meterseal("init", site, "--web", "127.0.0.1:9", "--password-file", tmp_path / "pw")
    assert (other.code, "init does not overwrite" in other.output) == (2, True)
    users, old = (site / "keys/web.users").read_bytes(), fingerprint(site / "keys/web.crt")
    (site / "keys/web.crt").unlink()
    (site / "keys/web.key").rename(tmp_path / "old.key")
    renewed = meterseal(*with_pages[:4])
    assert renewed.code == 0, renewed.output
    assert fingerprint(site / "keys/web.crt") != old
    assert (site / "keys/web.users").read_bytes() == users


@pytest.mark.parametrize("address", ["localhost", "192.0.2.7:70000", "http://192.0.2.7", "192.0.2.7:", "", "::g"])
def test_what_is_no_address_is_named_before_anything_is_made(tmp_path: Path, address: str) -> None:
    done = meterseal("init", tmp_path / "site", "--web", address, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert (done.code, "IP address" in done.output) == (2, True)
    assert not (tmp_path / "site").exists()


def test_a_weak_password_makes_nothing(tmp_path: Path) -> None:
    done = meterseal("init", tmp_path / "site", "--web", "192.0.2.7", typed="short\nshort\n")
    assert (done.code, "8 to 256 characters" in done.output) == (2, True)
    assert not (tmp_path / "site").exists()


def test_users_come_change_and_go(tmp_path: Path) -> None:
    path = pages_site(tmp_path, 'listen = "127.0.0.1:0"\n')
    users = path.parent / "keys" / "web.users"
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    assert meterseal("password", path, "otto", typed=typed).code == 0
    assert read_users(users)["otto"].role == "viewer"
    assert meterseal("password", path, "otto", "--role", "installer", typed=typed).code == 0
    assert meterseal("password", path, "otto", typed=typed).code == 0
    assert read_users(users)["otto"].role == "installer", "a new password leaves the role"
    assert meterseal("password", path, "otto", "--remove").code == 0
    assert list(read_users(users)) == ["ines", "vera"]
    assert meterseal("password", path, "otto", "--remove").code == 1
    assert meterseal("password", path, "../otto", typed=typed).code == 2


@pytest.mark.parametrize(
    ("web", "problem"),
    [
        ('listen = "192.0.2.7:8080"\n', "web, cert: missing"),
        ('listen = "0.0.0.0:8080"\n', "web, cert: missing"),
        ('listen = "[::]:8080"\n', "web, cert: missing"),
        ('listen = "127.0.0.1:8080"\ncert = "x"\n', "web, key: is missing: cert and key go together"),
        ('listen = "127.0.0.1:8080"\ncert = "x"\nkey = "y"\n', "web, cert: "),
        ('listen = "127.0.0.1:8080"\nmetrics_token_file = "x"\n', "web, metrics_token_file: "),
        ('listen = "127.0.0.1"\n', "web, listen: "),
        ('listen = "localhost:80"\n', "web, listen: "),
        ('listen = "127.0.0.1:80"\nhosts = ["http://x"]\n', "web, hosts"),
        ('listen = "127.0.0.1:80"\npassword = "x"\n', "web, password: unknown key"),
    ],
)
def test_pages_that_must_not_be_opened_are_refused_with_file_key_and_way_out(
    tmp_path: Path, web: str, problem: str
) -> None:
    path = tmp_path / "site" / "gateway.toml"
    with suppress(ConfigError):  # some of it is said before there is a site to check
        pages_of(path.parent, (502,), web, users=())
    for command in ("check", "run"):
        done = meterseal(command, path)
        assert done.code == 2, done.output
        assert problem in done.output
        assert str(path) in done.output
        assert "fix: " in done.output


def test_beyond_this_machine_there_must_be_a_password(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(PASSWORD)
    site = tmp_path / "site"
    loaded = pages_of(site, (502,), 'listen = "192.0.2.7:8080"\ncert = "keys/web.crt"\nkey = "keys/web.key"\n')
    (loaded.keys / "web.users").unlink()
    certificate.make(loaded.keys, "x", ["192.0.2.7"], 1_800_000_000)
    for command in ("check", "run"):
        done = meterseal(command, loaded.path)
        assert (done.code, "no password is set" in done.output) == (2, True)


def test_on_this_machine_without_a_user_nobody_gets_past_the_login(tmp_path: Path) -> None:
    port = free_port()
    loaded = pages_of(tmp_path / "site", (502,), f'listen = "127.0.0.1:{port}"\n')
    (loaded.keys / "web.users").unlink()
    with running(loaded) as server:
        browser = Browser(port)
        assert browser.get("/").status == 303
        assert browser.login("vera").status == 403
        meterseal("password", loaded.path, "vera", typed=f"{PASSWORD}\n{PASSWORD}\n")
        assert browser.login("vera", PASSWORD).status == 303
        assert browser.get("/").status == 200
        meterseal("password", loaded.path, "vera", "--remove")
        assert browser.get("/").status == 303, "taken off is logged out"
        assert "no user can log in to the pages yet; run `meterseal password" in server.log.read_text()


def test_a_port_in_use_costs_no_reading_and_is_taken_when_it_is_free(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as held:
        loaded = pages_of(tmp_path / "site", (502,), f'listen = "127.0.0.1:{port}"\n')
        with running(loaded, "another process listens there") as server:
            assert "recording continues" in server.log.read_text()
            held.close()
            server.wait_for("pages at")
            assert Browser(port).get("/login").status == 200
        assert server.log.read_text().count("another process listens there") == 1
