"""`meterseal token`, and the file that it writes: shown once, kept as a hash, read by nobody else."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

from gateway.api.shapes.token_file import MOST, Tokens, add_token, read_tokens, tokens_file
from gateway.api.shapes.tokens import hash_of
from gateway.config.model import Config
from gateway.errors import ConfigError, Declined
from gateway.messages.message import Message
from gateway.site_backup.backup import backup
from gateway.storage.database import Database
from tests.support.commands import Answer, gateway_command
from tests.support.samples import site


def meterseal(*arguments: object) -> Answer:
    return gateway_command("token", *arguments)


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    return site(tmp_path / "site")


def test_a_token_is_printed_once_and_kept_as_a_hash(loaded: Config) -> None:
    options = ("--scope", "readings", "--meter", "pv-inverter", "--expires", "90d")
    done = meterseal("add", loaded.path, "dashboard", *options)
    assert done.code == 0, done.err
    text = done.out.strip()
    file = tokens_file(loaded.keys)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert text not in file.read_text()
    kept = read_tokens(file)["dashboard"]
    assert (kept.scope, kept.meter, kept.hash) == ("readings", "pv-inverter", hash_of(text))
    assert Tokens(file).find(text) == kept
    listed = meterseal("list", loaded.path, "--json")
    (row,) = json.loads(listed.out)["tokens"]
    assert row.keys() == {"name", "scope", "meter", "expires", "expired"}
    assert "mst_" not in listed.out + meterseal("list", loaded.path).out
    assert meterseal("remove", loaded.path, "dashboard").code == 0
    assert Tokens(file).find(text) is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "x"), 2),
        (("add", "x", "--scope", "everything"), 2),
        (("add", "x/y", "--scope", "status"), 2),
        (("add", "x", "--scope", "status", "--meter", "nobody"), 2),
        (("add", "x", "--scope", "status", "--expires", "soon"), 2),
        (("add", "x", "--scope", "status", "--expires", "99999999999999999999d"), 2),
        (("remove", "x"), 1),
    ],
)
def test_what_makes_no_token_leaves_no_file(loaded: Config, arguments: tuple[str, ...], code: int) -> None:
    done = meterseal(arguments[0], loaded.path, *arguments[1:])
    assert (done.code, done.out) == (code, "")
    assert "Traceback" not in done.err
    assert not tokens_file(loaded.keys).exists()


def test_a_name_is_taken_once_and_there_is_room_for_so_many(tmp_path: Path) -> None:
    file = tmp_path / "api.tokens"
    add_token(file, "a", "status", None, None, bytes(32))
    with pytest.raises(Declined) as taken:
        add_token(file, "a", "proofs", None, None, bytes(32))
    assert taken.value.message == Message("token-exists", path=str(file), name="a")
    entry = file.read_text().partition("\n")[2]
    file.write_text("".join(entry.replace('"a"', f'"a{n}"') for n in range(MOST)))
    with pytest.raises(Declined) as full:
        add_token(file, "b", "status", None, None, bytes(32))
    assert full.value.message == Message("tokens-too-many", path=str(file), limit=MOST)


ENTRY = f'[[token]]\nname = "a"\nscope = "status"\nhash = "{"0" * 64}"\n'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not toml", "tokens-invalid"),
        ("[token]\n", "tokens-not-tables"),
        (ENTRY + "[other]\n", "tokens-not-tables"),
        (ENTRY + ENTRY, "tokens-entry-invalid"),
        (ENTRY.replace("status", "everything"), "tokens-entry-invalid"),
        (ENTRY.replace('"status"', "[]"), "tokens-entry-invalid"),
        (ENTRY.replace("0000", "000"), "tokens-entry-invalid"),
        (ENTRY + "expires_ms = -1\n", "tokens-entry-invalid"),
        (ENTRY + "expires_ms = true\n", "tokens-entry-invalid"),
        (ENTRY + 'expires = "2030"\n', "tokens-entry-invalid"),
        (ENTRY + 'meter = "../x"\n', "tokens-entry-invalid"),
    ],
)
def test_a_file_that_is_none_opens_nothing(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "api.tokens"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        Tokens(file).find("mst_" + "A" * 43)
    assert isinstance(refused.value.what, Message)
    assert refused.value.what.code == code


def test_a_backup_without_a_passphrase_has_no_tokens(loaded: Config, tmp_path: Path) -> None:
    add_token(tokens_file(loaded.keys), "a", "status", None, None, bytes(32))
    loaded.data.mkdir(exist_ok=True)
    Database(loaded.database).close()
    made = backup(loaded, tmp_path / "site.tar", "test/1", 1_800_000_000_000)
    assert "keys/api.tokens" in str(made)
    with tarfile.open(tmp_path / "site.tar") as archive:
        assert not [name for name in archive.getnames() if "tokens" in name]
