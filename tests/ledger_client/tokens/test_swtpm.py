"""Keys in a TPM (swtpm, libtpm2-pkcs11): P-256, stopped, killed, power-cycled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ledger_client.errors import KeyAway, TokenError
from ledger_client.formats.cose_key import EDDSA, ES256
from ledger_client.messages import Message
from ledger_client.tokens.calls import Limits
from ledger_client.tokens.token import TokenSigner, forget_modules
from ledger_client.tokens.uri import TokenUri
from tests.support.tokens.engine import PIN
from tests.support.tokens.swtpm import SwTpm, swtpm

SOON = Limits(call_s=1, retry_s=0.1, idle_s=0.2)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwTpm]:
    with swtpm(tmp_path_factory.mktemp("tpm") / "tpm") as made:
        yield made


@pytest.fixture(scope="module")
def signer(engine: SwTpm) -> TokenSigner:
    uri = TokenUri.parse(engine.uri("statement"))
    made = engine.token().generate(uri)
    forget_modules()
    found = engine.token(SOON).open(uri)
    assert found.public == made.public
    return found


def demand_signing(signer: TokenSigner) -> None:
    """It signs; a machine that is busy may take a call of it for one that hangs."""
    signature = None
    while signature is None:
        with suppress(KeyAway):
            signature = signer.sign(b"on")
    signer.public.verify(signature, b"on")
    assert signer.away is None


def away_codes(signer: TokenSigner, n: int) -> set[str]:
    """What ``n`` who ask at once hear."""
    heard: list[str] = []

    def ask() -> None:
        with pytest.raises(KeyAway) as caught:
            signer.sign(b"asked")
        assert isinstance(caught.value.what, Message)
        heard.append(caught.value.what.code)

    threads = [threading.Thread(target=ask) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == n
    return set(heard)


def test_a_tpm_has_p_256_and_no_ed25519(engine: SwTpm, signer: TokenSigner) -> None:
    assert signer.public.alg == ES256
    assert signer.claims["NEVER_EXTRACTABLE"]
    demand_signing(signer)
    with pytest.raises(TokenError):
        engine.token(SOON).generate(TokenUri.parse(engine.uri("other")), EDDSA)


def test_a_stopped_tpm_is_away_for_all_at_once_and_signs_on(engine: SwTpm, signer: TokenSigner) -> None:
    demand_signing(signer)
    engine.tpm.suspend()
    assert away_codes(signer, 10) == {"token-silent"}
    assert signer.away is not None
    engine.tpm.resume()
    demand_signing(signer)


def test_a_stopped_tpm_that_nobody_asks_is_found_out(engine: SwTpm, signer: TokenSigner) -> None:
    demand_signing(signer)
    engine.tpm.suspend()
    while signer.away is None:
        threading.Event().wait(0.01)
    engine.tpm.resume()
    demand_signing(signer)


def test_a_power_cycle_that_nobody_noticed_costs_nothing(engine: SwTpm, signer: TokenSigner) -> None:
    demand_signing(signer)
    engine.tpm.kill()
    engine.tpm.start()
    demand_signing(signer)


def test_a_killed_tpm_is_away_until_it_is_back(engine: SwTpm, signer: TokenSigner) -> None:
    demand_signing(signer)
    engine.tpm.kill()
    assert away_codes(signer, 5) <= {"token-failed", "token-none"}
    assert signer.away is not None
    engine.tpm.start()
    demand_signing(signer)


def test_a_tpm_that_is_killed_while_stopped_is_found_again(engine: SwTpm, signer: TokenSigner) -> None:
    demand_signing(signer)
    engine.tpm.suspend()
    away_codes(signer, 2)
    engine.tpm.kill()
    engine.tpm.start()
    demand_signing(signer)


def away_by(signer: TokenSigner, code: str) -> None:
    """Until it is away for this reason."""
    while not (signer.away is not None and isinstance(signer.away.why, Message) and signer.away.why.code == code):
        threading.Event().wait(0.01)


def test_a_wrong_pin_is_not_offered_twice_to_a_tpm(engine: SwTpm, signer: TokenSigner) -> None:
    demand_signing(signer)
    engine.write_pin("999999")
    engine.tpm.kill()
    engine.tpm.start()
    with pytest.raises(KeyAway):
        signer.sign(b"x")
    away_by(signer, "token-pin-refused")
    noted = engine.note.read_bytes()
    threading.Event().wait(0.3)  # it is tried again meanwhile
    assert engine.note.read_bytes() == noted
    engine.write_pin(PIN)
    demand_signing(signer)
