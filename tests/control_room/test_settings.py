"""CONTROL.toml: what it says, and what is said against it: file, key, fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_room.settings import DAY_MS, load_settings, new_settings, settings_of
from gateway.errors import ConfigError
from ledger_client.messages import Message

PATH = Path("/etc/meterseal/CONTROL.toml")
WHOLE = """
[control]
name = "main"
[database]
url = "postgresql://meterseal@db.example:5432/meterseal?sslmode=verify-full"
[intake]
url = "tls://n1.example:4222"
"""


def codes(error: ConfigError) -> set[str]:
    """Codes of a message and of those within it."""
    found, rest = set(), [error.message]
    while rest:
        message = rest.pop()
        if isinstance(message, Message):
            found.add(message.code)
            rest += [fact for fact in message.facts.values() if isinstance(fact, Message)]
    return found


def test_defaults_and_paths_relative_to_the_file() -> None:
    settings = settings_of(PATH, WHOLE.encode())
    assert settings.trust == Path("/etc/meterseal/trust.toml")
    assert settings.archive == Path("/etc/meterseal/archive")
    assert (settings.database.hot, settings.database.readings) == (7 * DAY_MS, 400 * DAY_MS)
    assert settings.intake.urls == ("tls://n1.example:4222",)
    assert settings.intake.portion == 500


def test_several_servers() -> None:
    text = WHOLE.replace('"tls://n1.example:4222"', '["tls://n1.example:4222", "tls://n2.example:4222"]')
    assert settings_of(PATH, text.encode()).intake.urls == ("tls://n1.example:4222", "tls://n2.example:4222")


@pytest.mark.parametrize(
    ("old", "new", "key", "code"),
    [
        ('name = "main"', "", "control, name", "config-missing"),
        ('name = "main"', 'name = "a.b"', "control, name", "control-room-name"),
        ('name = "main"', 'name = "main"\ntrusts = "x"', "control, trusts", "config-unknown-key-meant"),
        ("postgresql://", "mysql://", "database, url", "control-room-database-url"),
        ("/meterseal?", "/?", "database, url", "control-room-database-url"),
        ("meterseal@db", "meterseal:secret@db", "database, url", "control-room-database-login"),
        ("sslmode=verify-full", "password=secret", "database, url", "control-room-database-login"),
        ("?sslmode=verify-full", "", "database, url", "control-room-database-sslmode"),
        ("?sslmode=verify-full", "?sslmode=prefer", "database, url", "control-room-database-sslmode"),
        ("[intake]", 'hot = "1h"\n[intake]', "database, hot", "control-room-days"),
        ("[intake]", 'hot = "1w"\n[intake]', "database, hot", "duration-meant"),
        ("tls://n1", "mqtt://n1", "intake, url", "control-room-intake-url"),
        ("tls://n1", "tls://me:secret@n1", "intake, url", "access-login-in-url"),
        ("tls://n1", "nats://n1", "intake, url", ""),
        ('url = "tls', 'user = "x"\nurl = "tls', "intake, password_file", "control-room-intake-login"),
        ('url = "tls', 'user = "x"\npassword_file = "p"\nurl = "nats', "intake, password_file", "access-plain"),
        ('url = "tls', 'ca = "ca.pem"\nurl = "nats', "intake, ca", "access-no-tls"),
        ('url = "tls', 'portion = 0\nurl = "tls', "intake, portion", "config-too-small"),
        ('"tls://n1.example:4222"', '["tls://a", "nats://b"]', "intake, url", "control-room-intake-mixed"),
        ("[intake]", "[intake", "", "config-not-toml"),
    ],
)
def test_a_mistake_names_its_file_and_key(old: str, new: str, key: str, code: str) -> None:
    text = WHOLE.replace(old, new)
    assert text != WHOLE
    if not code:
        assert settings_of(PATH, text.encode()).intake.urls == ("nats://n1.example:4222",)
        return
    with pytest.raises(ConfigError) as caught:
        settings_of(PATH, text.encode())
    assert (caught.value.file, caught.value.key) == (str(PATH), key)
    assert code in codes(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "CONTROL.toml")
    assert "control-room-no-file" in codes(caught.value)


def test_new_settings_are_read_back_as_they_were_given(tmp_path: Path) -> None:
    path = tmp_path / "CONTROL.toml"
    trust, password = tmp_path / "trust.toml", Path("/run/secrets/database")
    url = "postgresql://m@localhost/meterseal"
    made, text = new_settings(path, url, password, "nats://localhost:4222", trust, "north")
    path.write_text(text)
    assert load_settings(path) == made
    assert (made.name, made.trust, made.database.url) == ("north", trust, url)
    assert made.document.database.password_file == str(password)
    assert '\ntrust = "trust.toml"\n' in text


@pytest.mark.parametrize("name", ['x"\n[intake]', "a b", "", "ü"])
def test_new_settings_hold_no_other_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        new_settings(tmp_path / "C", "postgresql://h/d", None, "nats://h", tmp_path / "t", name)
    assert caught.value.key == "control, name"
