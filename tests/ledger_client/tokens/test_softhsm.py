"""Keys in SoftHSM2: made there, found again, refused where the URI, the PIN or the token is another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_client.errors import KeyAway, LedgerClientError, TokenError
from ledger_client.formats.cose import Sign1, sign1
from ledger_client.formats.cose_key import EDDSA, ES256, Signer
from ledger_client.messages import Message
from ledger_client.tokens.calls import Limits
from ledger_client.tokens.token import forget_modules
from ledger_client.tokens.uri import TokenUri
from tests.support.tokens.engine import PIN
from tests.support.tokens.softhsm import SoftHsm, add_token, softhsm

SOON = Limits(call_s=5, retry_s=0.05, idle_s=60)


@pytest.fixture
def hsm(tmp_path: Path) -> Iterator[SoftHsm]:
    with softhsm(tmp_path / "hsm") as made:
        yield made


def key(hsm: SoftHsm, name: str) -> TokenUri:
    return TokenUri.parse(hsm.uri(name))


def code(error: LedgerClientError) -> str:
    assert isinstance(error.what, Message)
    return error.what.code


def refusal(hsm: SoftHsm, uri: TokenUri) -> str:
    with pytest.raises((TokenError, KeyAway)) as caught:
        hsm.token().open(uri)
    return code(caught.value)


@pytest.mark.parametrize("alg", [None, EDDSA, ES256])
def test_a_key_signs_as_one_in_a_file_and_is_found_again(hsm: SoftHsm, alg: int | None) -> None:
    made = hsm.token().generate(key(hsm, "statement"), alg)
    assert isinstance(made, Signer)
    assert made.public.alg == (alg or EDDSA)
    for n in range(20):
        data = sign1({}, bytes([n]), made)
        Sign1.parse(data).verify(made.public)
    assert made.claims == {
        "LOCAL": True, "NEVER_EXTRACTABLE": True, "ALWAYS_SENSITIVE": True, "SENSITIVE": True, "EXTRACTABLE": False
    }  # fmt: skip
    forget_modules()
    found = hsm.token().open(key(hsm, "statement"))
    assert (found.public, found.away) == (made.public, None)
    found.public.verify(found.patient.sign(b"later"), b"later")


def test_a_key_has_one_label_and_is_destroyed_with_its_public_key(hsm: SoftHsm) -> None:
    token = hsm.token()
    first = token.generate(key(hsm, "statement"))
    with pytest.raises(TokenError) as caught:
        token.generate(key(hsm, "statement"))
    assert code(caught.value) == "token-key-exists"
    token.generate(key(hsm, "next"))
    token.destroy(key(hsm, "statement"))
    assert refusal(hsm, key(hsm, "statement")) == "token-key-none"
    again = token.generate(key(hsm, "statement"))
    assert again.public.kid != first.public.kid


def test_two_keys_of_one_label_are_told_apart_by_their_ids_only(hsm: SoftHsm) -> None:
    ids = b"\x01", b"\x02"
    made = [hsm.token().generate(TokenUri(token="site", object=str(n), id=id_)) for n, id_ in enumerate(ids)]
    import pkcs11

    library = pkcs11.lib(str(hsm.module))
    with library.get_token(token_label="site").open(rw=True) as session:  # the process is logged in
        for found in session.get_objects():
            found[pkcs11.Attribute.LABEL] = "statement"
    assert refusal(hsm, key(hsm, "statement")) == "token-key-several"
    for id_, signer in zip(ids, made, strict=True):
        assert hsm.token().open(TokenUri(token="site", object="statement", id=id_)).public == signer.public


def test_another_sites_token_is_refused_by_what_the_uri_names(hsm: SoftHsm) -> None:
    hsm.token().generate(key(hsm, "statement"))
    assert refusal(hsm, TokenUri.parse("pkcs11:token=other;object=statement")) == "token-none"
    assert refusal(hsm, TokenUri.parse("pkcs11:token=site;serial=00;object=statement")) == "token-none"
    forget_modules()
    add_token("site")
    assert refusal(hsm, key(hsm, "statement")) == "token-several"


def test_a_refused_pin_is_offered_once_whatever_is_restarted_until_its_file_holds_another(hsm: SoftHsm) -> None:
    made = hsm.token().generate(key(hsm, "statement"))
    forget_modules()
    hsm.write_pin("000000")
    for _ in range(3):
        assert refusal(hsm, key(hsm, "statement")) == "token-pin-refused"
        forget_modules()  # as a restart does
    assert "000000" not in hsm.note.read_text()
    before = hsm.note.stat().st_mtime_ns
    assert refusal(hsm, key(hsm, "statement")) == "token-pin-refused"
    assert hsm.note.stat().st_mtime_ns == before  # it was not offered again
    hsm.write_pin(PIN)
    assert hsm.token().open(key(hsm, "statement")).public == made.public
    assert not hsm.note.exists()


def test_what_one_token_refuses_is_noted_beside_what_another_refuses(hsm: SoftHsm) -> None:
    add_token("new")
    uris = key(hsm, "statement"), TokenUri.parse("pkcs11:token=new;object=statement")
    hsm.write_pin("000000")
    labels = []
    for uri in uris:
        with pytest.raises(TokenError) as caught:
            hsm.token().open(uri)
        assert isinstance(caught.value.what, Message)
        labels.append(str(caught.value.what.facts["token"]).split()[0])
    assert labels == ["site", "new"]
    before = hsm.note.read_bytes()
    assert [refusal(hsm, uri) for uri in uris] == ["token-pin-refused"] * 2
    assert hsm.note.read_bytes() == before  # neither was offered again
    hsm.write_pin(PIN)
    assert refusal(hsm, uris[0]) == "token-key-none"
    assert [json.loads(line)["token"].split()[0] for line in hsm.note.read_bytes().splitlines()] == ["new"]
    assert refusal(hsm, uris[1]) == "token-key-none"
    assert not hsm.note.exists()


def test_a_pin_that_others_can_read_or_that_is_none_is_refused(hsm: SoftHsm) -> None:
    hsm.pin_file.chmod(0o644)
    assert refusal(hsm, key(hsm, "statement")) == "at"
    hsm.pin_file.unlink()
    assert refusal(hsm, key(hsm, "statement")) == "at"


def test_a_token_that_is_unplugged_is_away_at_once_and_signs_again_when_it_is_back(hsm: SoftHsm) -> None:
    signer = hsm.token(SOON).generate(key(hsm, "statement"))
    hsm.unplug()
    signer._calls.seek(signer, "looked at")  # SoftHSM signs on from memory
    away = None
    while away is None or away.why == "looked at":
        away = signer.away
    assert isinstance(away.why, Message)
    assert away.why.code in ("token-none", "token-failed")
    with pytest.raises(KeyAway):
        signer.sign(b"")
    hsm.plug()
    while signer.away is not None:
        pass
    signer.public.verify(signer.sign(b"on"), b"on")


def test_another_key_in_its_place_does_not_sign(hsm: SoftHsm) -> None:
    token = hsm.token(SOON)
    signer = token.generate(key(hsm, "statement"))
    token.destroy(key(hsm, "statement"))
    other = token.generate(key(hsm, "statement"))
    with pytest.raises(KeyAway):
        signer.sign(b"x")
    while signer.away is None or signer.away.why == "x":
        pass
    assert isinstance(signer.away.why, Message)
    assert signer.away.why.code == "token-key-other"
    other.public.verify(other.sign(b"y"), b"y")


def test_a_module_that_is_none_is_named(hsm: SoftHsm, tmp_path: Path) -> None:
    none = SoftHsm(hsm.folder, tmp_path / "none.so", "site", hsm.env)
    assert refusal(none, key(hsm, "statement")) == "token-module"
