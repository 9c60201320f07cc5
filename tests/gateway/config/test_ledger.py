"""The way to a ledger in gateway.toml: what cannot be used is named, with the way out and without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.anchoring import ledger_drivers
from gateway.config.load import load_config
from gateway.errors import ConfigError
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Notebook
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.messages import Message
from ledger_client.transport.access import Access
from tests.gateway.config.refusals import refused
from tests.support.brokers.pki import Authority
from tests.support.samples import site

LINE = 'url = "http://127.0.0.1:8700"'
SECRET = "do-not-print-me"

RULES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "password in the url": (
        "http",
        f'url = "https://gw:{SECRET}@h"',
        ("url: contains a user name or password", "token_file"),
    ),
    "password in the proxy": (
        "http",
        f'url = "https://h"\nproxy = "http://gw:{SECRET}@p:3128"',
        ("proxy: contains a user name or password",),
    ),
    "no proxy": (
        "http",
        'url = "https://h"\nproxy = "p:3128"',
        ("proxy: 'p:3128' is not a proxy address", "http://HOST:PORT"),
    ),
    "token in the clear": (
        "http",
        'url = "http://10.0.0.5:8700"\ntoken_file = "token"',
        ("token_file: would be sent unencrypted to 10.0.0.5", "https://"),
    ),
    "password in the clear": (
        "mqtt",
        'url = "mqtt://10.0.0.5"\nuser = "gw"\npassword_file = "token"',
        ("password_file: would be sent unencrypted", "mqtts://"),
    ),
    "cert without key": (
        "http",
        'url = "https://h"\ncert = "c.pem"',
        ("key: is missing; cert and key are used together",),
    ),
    "key without cert": (
        "mqtt",
        'url = "mqtts://h"\nkey = "k.pem"',
        ("cert: is missing; cert and key are used together",),
    ),
    "ca without tls": ("http", 'url = "http://h"\nca = "ca.pem"', ("ca: has no effect", "https://")),
    "ca without tls, mqtt": ("mqtt", 'url = "mqtt://h"\nca = "ca.pem"', ("ca: has no effect", "mqtts://")),
    "two logins": (
        "http",
        'url = "https://h"\ntoken_file = "t"\nuser = "u"',
        ("token_file: cannot be used together with user",),
    ),
    "password of nobody": ("mqtt", 'url = "mqtts://h"\npassword_file = "p"', ("user: is missing",)),
    "nobody": ("mqtt", 'url = "mqtt://h"\nuser = ""', ("user: is empty",)),
    "colon": ("http", 'url = "https://h"\nuser = "a:b"', ("user: contains a colon",)),
    "token over mqtt": (
        "mqtt",
        'url = "mqtts://h"\ntoken_file = "t"',
        ("token_file: belongs to ledgers of type",),
    ),
    "proxy over mqtt": ("mqtt", 'url = "mqtts://h"\nproxy = "http://p"', ("proxy: belongs to ledgers of type http",)),
    "protocol over http": ("http", 'url = "https://h"\nprotocol = "5"', ("protocol: belongs to ledgers of type mqtt",)),
    "mqtt 4": ("mqtt", 'url = "mqtt://h"\nprotocol = "4"', ("protocol", 'one of "auto", "5", "3.1.1"')),
    "half a place": ("mqtt", 'url = "mqtt://h"\nchain_id = 1', ("contract: is missing", "behind a bridge")),
    "a place over http": (
        "http",
        'url = "https://h"\nchain_id = 1',
        ("chain_id: applies to ledgers of type evm only",),
    ),
    "an account behind a bridge": (
        "mqtt",
        'url = "mqtt://h"\ncontract = "0x' + 40 * "a" + '"\nchain_id = 1\nkeystore = "k"',
        ("keystore: applies to ledgers of type evm only",),
    ),
    "no port": ("http", 'url = "https://h:port"', ("url: is not an address",)),
    "mqtt for http": ("http", 'url = "mqtts://h"', ("url: a ledger of type http needs http://HOST:PORT or https://",)),
    "timeout": ("http", 'url = "https://h"\ntimeout = 10', ("timeout", "in quotes")),
}


def write(folder: Path, kind: str, lines: str) -> Path:
    path = site(folder).path
    text = path.read_text()
    assert LINE in text
    text = text.replace(LINE, lines)
    path.write_text(text.replace('type = "http"', f'type = "{kind}"'))
    return path


@pytest.mark.parametrize("name", RULES)
def test_what_cannot_be_is_named_at_load(name: str, tmp_path: Path) -> None:
    kind, lines, words = RULES[name]
    path = write(tmp_path / "site", kind, lines)
    refused(path, "ledger 'demo-ledger', ", *words)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert SECRET not in str(caught.value)


def test_one_contract_under_two_names_is_refused(tmp_path: Path) -> None:
    place = 'url = "mqtt://h"\ncontract = "0x{}"\nchain_id = {}'
    path = write(tmp_path / "site", "mqtt", place.format("ab" * 20, 5))
    other = '\n[[ledger]]\nname = "another"\ntype = "mqtt"\n'
    text = path.read_text()
    path.write_text(text + other + place.format("ab" * 20, 6) + "\n")
    load_config(path)
    path.write_text(text + other + place.format("AB" * 20, 5) + "\n")
    refused(path, "ledger 'another', contract: is the contract of ledger 'demo-ledger'", "list it once")


class Files:
    """A site whose ledger has every file that it may have, all good until a test spoils one."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "site" / "tls", "ca")
        self.other = Authority(folder / "other", "ca").issue("other")
        pair = authority.issue("gw")
        (folder / "site" / "token").write_text(SECRET + "\n")
        (folder / "site" / "token").chmod(0o600)
        self.folder = folder / "site"
        self.cert, self.key, self.ca, self.token = pair.cert, pair.key, authority.ca, self.folder / "token"
        lines = (
            'url = "https://127.0.0.1:1"\nca = "tls/ca.pem"\ncert = "tls/gw.pem"\nkey = "tls/gw.key"\n'
            'token_file = "token"\ntimeout = "2s"\nproxy = "http://127.0.0.1:3128"'
        )
        self.path = write(folder / "site", "http", lines)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_option_reaches_the_driver(files: Files) -> None:
    loaded = load_config(files.path)
    ledger_drivers.check_ledger_access(loaded)
    memory = Notebook()
    driver = ledger_drivers.driver(loaded, loaded.document.ledger[0], memory=memory)
    assert isinstance(driver, HttpLedger)
    access = Access(files.ca, files.cert, files.key, files.token, proxy="http://127.0.0.1:3128")
    assert (driver._client.access, driver._client.timeout_s, driver._memory) == (access, 2.0, memory)
    driver.close()


def test_the_driver_of_a_broker(tmp_path: Path) -> None:
    lines = 'url = "mqtt://127.0.0.1:1"\nuser = "gw"\nprotocol = "3.1.1"\ntimeout = "1s"'
    loaded = load_config(write(tmp_path / "site", "mqtt", lines))
    driver = ledger_drivers.driver(loaded, loaded.document.ledger[0], Notebook())
    assert isinstance(driver, MqttLedger)
    assert driver._broker.protocol == "3.1.1"
    driver.close()


def test_files_that_cannot_be_used_are_named(files: Files) -> None:
    spoiled: list[tuple[Path, bytes | None, int, str]] = [
        (files.token, None, 0, "token_file: {} does not exist"),
        (files.token, b"do-not-print-me\n", 0o640, "token_file: {} has mode 0640: other users can read it"),
        (files.token, b"", 0o600, "token_file: {} does not contain exactly one line"),
        (files.token, b"do-not-print-me\ntwice\n", 0o600, "token_file: {} does not contain exactly one line"),
        (files.token, b"do-not-print-me caf\xc3\xa9", 0o600, "token_file: {} does not contain exactly one bearer"),
        (files.token, b"x" * 10_000, 0o600, "token_file: {} is larger than 8192 bytes"),
        (files.key, files.key.read_bytes(), 0o644, "key: {} has mode 0644: other users can read it"),
        (files.key, files.other.key.read_bytes(), 0o600, "cert: {cert} and {} do not belong together"),
        (files.key, b"no key", 0o600, "cert: {cert} and {} do not belong together"),
        (files.cert, b"no certificate", 0o644, "cert: {} and {key} do not belong together"),
        (files.ca, b"no certificate", 0o644, "ca: {} contains no valid certificate"),
        (files.ca, None, 0, "ca: {} does not exist"),
    ]
    for path, data, mode, words in spoiled:
        good = path.read_bytes()
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
            path.chmod(mode)
        with pytest.raises(ConfigError) as caught:
            ledger_drivers.check_ledger_access(load_config(files.path))
        text = str(caught.value)
        assert f"ledger 'demo-ledger', {words.format(path, cert=files.cert, key=files.key)}" in text
        assert "fix: " in text
        assert SECRET not in text
        path.write_bytes(good)
        path.chmod(0o644 if path in (files.ca, files.cert) else 0o600)
    ledger_drivers.check_ledger_access(load_config(files.path))


def test_an_encrypted_key_does_not_wait_at_the_terminal(files: Files) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    with pytest.raises(ConfigError) as refused:
        ledger_drivers.check_ledger_access(load_config(files.path))
    assert isinstance(refused.value.what, Message)
    assert refused.value.what.code == "access-pair-mismatch"
    assert refused.value.what.facts["key"] == str(files.key)
    assert "without a password" in refused.value.way_out


def test_a_secret_may_be_a_systemd_credential(files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = files.path.read_text().replace('"token"', '"$CREDENTIALS_DIRECTORY/ledger-token"')
    files.path.write_text(text)
    loaded = load_config(files.path)
    with pytest.raises(ConfigError, match=r"LoadCredential=ledger-token:FILE"):
        ledger_drivers.check_ledger_access(loaded)
    credential = tmp_path / "credentials" / "ledger-token"
    credential.parent.mkdir()
    credential.write_text(SECRET)
    credential.chmod(0o440)  # systemd lets the service read by an ACL, which shows here
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credential.parent))
    ledger_drivers.check_ledger_access(loaded)
    credential.chmod(0o444)
    with pytest.raises(ConfigError) as refused:
        ledger_drivers.check_ledger_access(loaded)
    assert refused.value.what == Message("access-file-open", path=str(credential), mode="0444")


def test_every_setting_of_a_chain_reaches_the_driver(tmp_path: Path) -> None:
    lines = (
        f'url = "http://127.0.0.1:1"\ncontract = "0x{"ab" * 20}"\nchain_id = 5\nkeystore = "k"\n'
        'keystore_password_file = "p"\nconfirmations = 7\ngas = "legacy"\ngas_limit = 200000\nmax_fee_gwei = 3\n'
        'poll = "2s"\nstuck_after = "90s"\ntimeout = "4s"'
    )
    (entry,) = load_config(write(tmp_path / "site", "evm", lines)).document.ledger
    assert entry.evm_settings == EvmSettings(
        bytes.fromhex("ab" * 20), 5, confirmations=7, legacy=True, gas_limit=200_000, max_fee=3 * 10**9, poll_s=2.0,
        stuck_after_s=90.0, timeout_s=4.0,
    )  # fmt: skip


def test_an_entry_and_the_driver_have_the_same_defaults(tmp_path: Path) -> None:
    lines = (
        f'url = "http://127.0.0.1:1"\ncontract = "0x{"ab" * 20}"\nchain_id = 5\nkeystore = "k"\n'
        'keystore_password_file = "p"'
    )
    (entry,) = load_config(write(tmp_path / "site", "evm", lines)).document.ledger
    assert entry.evm_settings == EvmSettings(bytes.fromhex("ab" * 20), 5)
