"""``[[notify]]``: what is refused, where, with which way out; and what of a secret comes to light."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.notify import check_notify
from gateway.errors import ConfigError
from ledger_client import messages
from tests.support.samples import site

HOOK = 'type = "webhook"\nurl = "https://example.org/hook/s3cr3t"\n'
MAIL = 'type = "email"\nurl = "smtp://mail.example.org"\nfrom = "a@example.org"\nto = "b@example.org"\n'
NTFY = 'type = "ntfy"\nurl = "https://ntfy.example.org/hydro"\n'


def written(folder: Path, text: str) -> Path:
    path = site(folder).path
    path.write_text(f'{path.read_text()}\n[[notify]]\nname = "duty"\n{text}')
    return path


@pytest.mark.parametrize(
    ("text", "key", "code"),
    [
        (HOOK.replace("https", "ftp"), "url", "notify-url"),
        (HOOK.replace("example.org", "me:word@example.org"), "url", "access-login-in-url"),
        (HOOK.replace("https", "http") + 'token_file = "t"\n', "token_file", "access-plain"),
        (HOOK.replace("https", "http") + 'ca = "ca.pem"\n', "ca", "access-no-tls"),
        (HOOK + 'to = "b@example.org"\n', "to", "notify-other-type"),
        (HOOK + 'user = "u"\ntoken_file = "t"\n', "token_file", "access-two-logins"),
        (MAIL.replace('from = "a@example.org"\n', ""), "from", "notify-email-missing"),
        (MAIL.replace('"b@example.org"', "[]"), "to", "notify-email-missing"),
        (MAIL.replace("b@example.org", "b@example.org\\nBcc: c@example.org"), "to", "notify-address"),
        (MAIL.replace('"b@example.org"', '"B <b@example.org>"'), "to", "notify-address"),
        (MAIL.replace("mail.example.org", "mail.example.org/path"), "url", "notify-url"),
        (MAIL + 'token_file = "t"\n', "token_file", "notify-other-type"),
        (MAIL + 'secret_file = "s"\n', "secret_file", "notify-other-type"),
        (MAIL + 'password_file = "p"\n', "user", "access-user-missing"),
        (NTFY.replace("/hydro", ""), "url", "notify-url"),
        (NTFY.replace("/hydro", "/a/b"), "url", "notify-url"),
        (NTFY.replace("/hydro", "/hydro?up=1"), "url", "notify-url"),
        (NTFY + 'secret_file = "s"\n', "secret_file", "notify-other-type"),
    ],
)
def test_a_receiver_that_cannot_work_is_refused_by_its_key(tmp_path: Path, text: str, key: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text))
    assert caught.value.key.removesuffix(" number 1") == f"notify 'duty', {key}"
    assert caught.value.message is not None
    what = caught.value.message.facts["what"]
    assert (isinstance(what, messages.Message) and what.code, "s3cr3t" in str(caught.value)) == (code, False)


@pytest.mark.parametrize("key", ["token_file", "password_file", "secret_file", "ca"])
def test_each_of_its_files_is_there_and_a_secret_one_nobody_elses(tmp_path: Path, key: str) -> None:
    more = 'user = "u"\n' if key == "password_file" else ""
    loaded = load_config(written(tmp_path, f'{HOOK}{more}{key} = "file"\n'))
    for text, mode in ((None, 0), ("a-secret-of-some-length", 0o644)):
        if text is not None:
            (tmp_path / "file").write_text(text)
            (tmp_path / "file").chmod(mode)
        with pytest.raises(ConfigError) as caught:
            check_notify(loaded.path, loaded.document.notify)
        assert (caught.value.key, "of-some-length" in str(caught.value)) == (f"notify 'duty', {key}", False)


def test_without_the_table_a_configuration_has_the_fingerprint_that_it_had(tmp_path: Path) -> None:
    """And a secret is not in it: the file's name is."""
    loaded = site(tmp_path / "a")
    assert loaded.document.notify == ()
    before = loaded.fingerprint()
    path = written(tmp_path / "b", f'{HOOK}secret_file = "file"\n')
    after = load_config(path).fingerprint()
    (path.parent / "file").write_text("another")
    assert after != before
    assert load_config(path).fingerprint() == after


def test_the_server_is_named_without_what_may_be_a_secret(tmp_path: Path) -> None:
    (receiver,) = load_config(written(tmp_path, HOOK)).document.notify
    assert (receiver.server, receiver.port) == ("https://example.org", 443)


@pytest.mark.parametrize(
    ("url", "more", "starttls"),
    [
        ("smtp://mail.example.org", "", True),
        ("smtp://127.0.0.1:25", "", False),
        ("smtp://127.0.0.1:25", 'ca = "ca.pem"\n', True),
        ("smtps://mail.example.org", "", False),
    ],
)
def test_mail_needs_tls_unless_it_stays_on_this_machine(tmp_path: Path, url: str, more: str, starttls: bool) -> None:
    path = written(tmp_path, MAIL.replace("smtp://mail.example.org", url) + more)
    (receiver,) = load_config(path).document.notify
    assert (receiver.starttls, receiver.tls_at_once) == (starttls, url.startswith("smtps"))
