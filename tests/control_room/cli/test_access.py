"""`meterseal-control token`, `password` and `web`: who may come in, and what the pages load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.dashboard.shell.users import read_users
from tests.control_room.cli.test_init import control


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "CONTROL.toml"
    found.write_text(
        '[control]\nname = "main"\n[database]\nurl = "postgresql://nobody@127.0.0.1:1/nothing"\n'
        '[intake]\nurl = "nats://127.0.0.1:4222"\n[web]\nlisten = "127.0.0.1:0"\n'
    )
    return found


def test_a_token_is_shown_once_and_listed_by_what_it_opens(path: Path) -> None:
    code, printed = control("token", "add", path, "grid", "--scope", "readings", "--gateway", "pv-1", "--meter", "m")
    assert (code, printed[:4]) == (0, "mst_")
    _, listed = control("token", "list", path, "--json")
    assert json.loads(listed)["tokens"] == [
        {"name": "grid", "scope": "readings", "gateway": "pv-1", "meter": "m", "expires": None, "expired": False}
    ]
    assert printed.split()[0] not in (path.parent / "keys" / "api.tokens").read_text()
    assert control("token", "add", path, "grid", "--scope", "status")[0] == 2
    assert control("token", "add", path, "m", "--scope", "status", "--meter", "m")[0] == 2
    assert control("token", "remove", path, "grid")[0] == 0
    assert control("token", "remove", path, "grid")[0] == 2


def test_pages_beyond_this_machine_need_tls_and_a_user(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse battery\n")
    given = ("--role", "installer", "--password-file", tmp_path / "secret")
    assert control("password", path, "ines", *given)[0] == 0
    users = path.parent / "keys" / "web.users"
    assert {name: user.role for name, user in read_users(users).items()} == {"ines": "installer"}
    assert users.stat().st_mode & 0o077 == 0
    path.write_text(path.read_text().replace("127.0.0.1:0", "0.0.0.0:0"))
    code, printed = control("web", path)
    assert (code, "cert" in printed) == (2, True)
    path.write_text(path.read_text().partition("[web]")[0])
    code, printed = control("web", path)
    assert (code, "[web]" in printed) == (2, True)


def test_the_pages_load_no_gateway_and_no_broker() -> None:
    """They face the network: neither a site's configuration and database nor what speaks to NATS is there."""
    code = "import sys\nimport control_room.web.server\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ("gateway.config", "gateway.storage", "gateway.recording", "gateway.fieldbus", "sqlite3", "nats",
             "control_room.intake")  # fmt: skip
    assert [name for name in names if any(m == name or m.startswith(f"{name}.") for m in done.stdout.split())] == []
