"""The statement key in real tokens: made, listed, refused, stopped and killed under a gateway of real processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.commissioning.site_init import add_to_trust
from gateway.config import token_key
from gateway.config.device_keys import REQUEST_FILE, STATEMENT, load_keys, make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.site_backup.contents import contents
from ledger_client.enrolment.request import parse_request
from ledger_client.errors import KeyAway
from ledger_client.tokens.token import forget_modules
from tests.campaigns.endurance import hsm_away
from tests.support.commands import gateway_command
from tests.support.samples import rewrite, site
from tests.support.tokens.softhsm import SoftHsm, softhsm


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftHsm]:
    with softhsm(tmp_path / "token") as made:
        yield made
        token_key._OPEN.clear()


@pytest.fixture
def loaded(tmp_path: Path, token: SoftHsm) -> Config:
    """A site whose statement key is in the token, and not made yet."""
    made = site(tmp_path / "site")
    (made.keys / "statement.pem").unlink()
    (made.keys / REQUEST_FILE).unlink()
    lines = (
        f'statement_key = "{token.uri(STATEMENT)}"\npkcs11_module = "{token.module}"\npin_file = "{token.pin_file}"\n'
    )
    rewrite(made, ("[gateway]\n", f"[gateway]\n{lines}"))
    return load_config(made.path)


def test_a_key_is_made_in_the_token_once_and_enrolled_and_stands_in_no_file(loaded: Config, token: SoftHsm) -> None:
    assert make_missing(loaded, 0) == [STATEMENT]
    add_to_trust(loaded, [STATEMENT], 0)
    assert make_missing(loaded, 0) == []
    kid = load_keys(loaded).statement.public.kid
    assert parse_request((loaded.keys / REQUEST_FILE).read_bytes()).statement.kid == kid
    assert not (loaded.keys / "statement.pem").exists()
    listed = gateway_command("keys", loaded.path, "--json").ended().facts
    assert [key["kid"] for key in listed["keys"] if key["role"] == STATEMENT] == [kid.hex()]
    assert listed["token"]["uri"] == token.uri(STATEMENT)
    assert listed["token"]["claims"]["EXTRACTABLE"] is False
    found = [row for row in gateway_command("doctor", loaded.path, "--json").facts["checks"] if row["check"] == "keys"]
    assert {row["result"] for row in found} == {"ok"}
    assert loaded.document.gateway.statement_key in contents(loaded).elsewhere
    forget_modules()
    token_key._OPEN.clear()
    assert load_keys(load_config(loaded.path)).statement.public.kid == kid


def test_a_start_waits_for_the_token_and_no_longer_than_it_may(loaded: Config, token: SoftHsm) -> None:
    make_missing(loaded, 0)
    forget_modules()
    token_key._OPEN.clear()
    token.unplug()
    with pytest.raises(KeyAway):
        token_key.open_key(loaded)
    now_s, notes = [0.0], list[object]()

    def pause(seconds: float) -> None:
        now_s[0] += seconds * 10

    with pytest.raises(GatewayError) as late:
        token_key.wait_for_key(loaded, lambda: now_s[0], pause, notes.append)
    assert not isinstance(late.value, ConfigError)
    assert (now_s[0], len(notes)) == (token_key.START_S, 1)


def test_a_wrong_pin_ends_a_start_at_once_and_is_not_offered_again(loaded: Config, token: SoftHsm) -> None:
    make_missing(loaded, 0)
    forget_modules()
    token_key._OPEN.clear()
    token.write_pin("000000")
    for _ in range(2):
        with pytest.raises(ConfigError) as refused:
            token_key.wait_for_key(loaded, lambda: 0.0, lambda _: None, lambda _: None)
        assert refused.value.key == "gateway, pin_file"
    assert (loaded.data / token_key.NOTE).exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (";object=", ";pin-value=135790;object="),
        ("statement_key = ", "# statement_key = "),
        ('pkcs11_module = "/', 'pkcs11_module = "'),
        ("object=statement", "type=cert;object=statement"),
    ],
)
def test_what_names_no_key_is_refused_by_file_and_key(old: str, new: str, loaded: Config) -> None:
    rewrite(loaded, (old, new))
    with pytest.raises(ConfigError) as refused:
        load_config(loaded.path)
    assert refused.value.key.startswith("gateway, ")
    assert "135790" not in str(refused.value)


def test_a_key_in_a_token_is_part_of_the_fingerprint_and_no_key_in_a_file_is(loaded: Config) -> None:
    document = loaded.document
    plain = dataclasses.replace(
        loaded,
        document=document.model_copy(
            update={
                "gateway": document.gateway.model_copy(
                    update=dict.fromkeys(("statement_key", "pkcs11_module", "pin_file"))
                )
            }
        ),
    )
    assert loaded.fingerprint() != plain.fingerprint()


def test_a_tpm_that_is_stopped_and_killed_costs_no_reading_and_the_audit_is_sound() -> None:
    figures = hsm_away.run(**hsm_away.SMALLEST[0])
    assert (figures["lost"], figures["audit_findings"], figures["sealed_away"]) == (0, 0, 0)
    assert min(figures["readings_away"]) > 0  # type: ignore[call-overload]
