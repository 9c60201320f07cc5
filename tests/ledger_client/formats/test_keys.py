"""Keys: what is no public key, what is no signature of one, and key files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import BadSignature, EncodeError, KeyFileError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.cose_key import (
    EDDSA,
    ES256,
    P256_ORDER,
    PrivateKey,
    PublicKey,
    Signer,
    base64url,
    load_private_key,
    raw_low_s,
    save_private_key,
    unbase64url,
)
from tests.support.evidence import key
from tests.support.evidence_values import THOROUGH

ED = cbor.decode(key("a").public.cose_key)
EC = cbor.decode(key("a", ES256).public.cose_key)
OFF_CURVE = bytes.fromhex("0200000000000000000000000000000000000000000000000000000000000000")
NOT_CANONICAL = (2**255 - 19 + 3).to_bytes(32, "little")

NO_KEYS = {
    "private part, Ed25519": (ED | {-4: bytes(32)}, "private part"),
    "private part, P-256": (EC | {-4: bytes(32)}, "private part"),
    "no map": ([1], "not a map"),
    "no x": ({1: 1, -1: 6}, "lacks -2"),
    "short x": (ED | {-2: bytes(31)}, "x is not 32 bytes"),
    "unknown label": (ED | {7: 0}, "unknown key 7"),
    "RSA": (ED | {1: 3}, "neither Ed25519 nor P-256"),
    "X25519": (ED | {-1: 4}, "neither Ed25519 nor P-256"),
    "P-384": (EC | {-1: 2}, "neither Ed25519 nor P-256"),
    "Ed25519 with y": (ED | {-3: bytes(32)}, "neither Ed25519 nor P-256"),
    "compressed point": (EC | {-3: True}, "y is not 32 bytes"),
    "no y": ({k: v for k, v in EC.items() if k != -3}, "y is not 32 bytes"),
    "P-256 off the curve": (EC | {-3: bytes(32)}, "not on P-256"),
    "Ed25519 off the curve": (ED | {-2: OFF_CURVE}, "not on the curve"),
    "Ed25519 not canonical": (ED | {-2: NOT_CANONICAL}, "canonical"),
    "alg of the other pair": (ED | {3: -7}, "not for its curve"),
    "alg of the other pair, P-256": (EC | {3: -8}, "not for its curve"),
    "alg as text": (EC | {3: "ES256"}, "not for its curve"),
    "alg as float": (EC | {3: -7.0}, "not for its curve"),
    "kty as boolean": (ED | {1: True}, "not an integer"),
    "crv as float": (EC | {-1: 1.0}, "not an integer"),
}


@pytest.mark.parametrize("what", NO_KEYS)
def test_no_public_key(what: str) -> None:
    fields, problem = NO_KEYS[what]
    with pytest.raises(Malformed, match=problem):
        PublicKey.from_cose_key(cbor.encode(fields))


@pytest.mark.parametrize("alg", [EDDSA, ES256])
def test_a_key_has_one_thumbprint_however_it_is_written(alg: int) -> None:
    public = key("a", alg).public
    fields = cbor.decode(public.cose_key)
    other = PublicKey.from_cose_key(cbor.encode({**fields, 2: b"my name", 4: [2]}))
    assert other.kid == public.kid
    assert PublicKey.from_cose_key(cbor.encode({k: v for k, v in fields.items() if k != 3})).kid == public.kid
    assert PublicKey.from_text(public.to_text()) == public


@pytest.mark.parametrize(("alg", "pair"), [(EDDSA, (-8, -19)), (ES256, (-7, -9))])
def test_both_names_of_an_algorithm_are_accepted_of_its_curve_only(alg: int, pair: tuple[int, int]) -> None:
    fields = cbor.decode(key("a", alg).public.cose_key)
    for algorithm in pair:
        public = PublicKey.from_cose_key(cbor.encode(fields | {3: algorithm}))
        assert [a for a in (-7, -8, -9, -19, -35, -37, None, "ES256") if public.accepts(a)] == sorted(
            pair, reverse=True
        )


@pytest.mark.parametrize("alg", [EDDSA, ES256])
def test_sign_and_verify(alg: int) -> None:
    private = key("a", alg)
    assert isinstance(private, Signer)
    signature = private.sign(b"message")
    assert len(signature) == 64
    assert private.sign(b"message") == signature  # no randomness that a small machine could lack
    private.public.verify(signature, b"message")
    for wrong_signature, wrong_message in (
        (signature, b"massage"),
        (signature[:63], b"message"),
        (bytes(64), b"message"),
    ):
        with pytest.raises(BadSignature):
            private.public.verify(wrong_signature, wrong_message)
    with pytest.raises(BadSignature, match="does not match key"):
        key("b", alg).public.verify(signature, b"message")


def twin(signature: bytes) -> bytes:
    """The other valid form of an ES256 signature."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + (P256_ORDER - s).to_bytes(32, "big")


def test_the_es256_twin_is_refused() -> None:
    private = key("a", ES256)
    other = twin(private.sign(b"message"))
    private.public.verify(other, b"message", low_s=False)  # it is valid ECDSA
    with pytest.raises(BadSignature, match="s > n/2"):
        private.public.verify(other, b"message")


@THOROUGH
@given(st.binary(max_size=40))
def test_a_signer_gives_the_low_form_of_whatever_its_key_signs(message: bytes) -> None:
    private = ec.derive_private_key(12345, ec.SECP256R1())
    signature = raw_low_s(private.sign(message, ec.ECDSA(hashes.SHA256())))
    assert int.from_bytes(signature[32:], "big") <= P256_ORDER // 2
    PrivateKey(private).public.verify(signature, message)


@THOROUGH
@given(st.binary(min_size=64, max_size=64), st.sampled_from([EDDSA, ES256]))
def test_random_bytes_are_no_signature(signature: bytes, alg: int) -> None:
    with pytest.raises(BadSignature):
        key("a", alg).public.verify(signature, b"message")


@pytest.mark.parametrize("alg", [EDDSA, ES256])
def test_a_key_file_comes_back_as_it_was_saved(alg: int, tmp_path: Path) -> None:
    private = PrivateKey.generate(alg)
    path = tmp_path / "meter.pem"
    os.umask(os.umask(0))
    save_private_key(path, private)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = load_private_key(path)
    assert loaded.public == private.public
    assert loaded.to_pem() == private.to_pem() == PrivateKey.from_pem(private.to_pem()).to_pem()
    with pytest.raises(KeyFileError, match="a key file already exists"):
        save_private_key(path, private)
    assert load_private_key(path).public == private.public


def test_no_keys_for_other_algorithms() -> None:
    with pytest.raises(EncodeError, match="alg -35"):
        PrivateKey.generate(-35)


def pem(private: object, encryption: serialization.KeySerializationEncryption | None = None) -> bytes:
    assert hasattr(private, "private_bytes")
    return private.private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )


NO_KEY_FILES = {
    "empty": (b"", "not an unencrypted PKCS#8"),
    "a public key": (b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "not an unencrypted PKCS#8"),
    "broken": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a valid PKCS#8"),
    "encrypted": (
        pem(ec.derive_private_key(1, ec.SECP256R1()), serialization.BestAvailableEncryption(b"secret")),
        "not an unencrypted PKCS#8",
    ),
    "P-384": (pem(ec.derive_private_key(1, ec.SECP384R1())), "neither Ed25519 nor P-256"),
    "Ed448": (pem(ed448.Ed448PrivateKey.from_private_bytes(bytes(57))), "neither Ed25519 nor P-256"),
    "RSA": (pem(rsa.generate_private_key(65537, 1024)), "neither Ed25519 nor P-256"),
}


@pytest.mark.parametrize("what", NO_KEY_FILES)
def test_no_key_file(what: str, tmp_path: Path) -> None:
    content, problem = NO_KEY_FILES[what]
    path = tmp_path / "meter.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=problem) as caught:
        load_private_key(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "openssl genpkey" in caught.value.way_out


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_file_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "meter.pem"
    save_private_key(path, PrivateKey.generate())
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"run `chmod 600 {path}`"):
        load_private_key(path)


def test_a_key_file_that_is_missing_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="the key file does not exist"):
        load_private_key(tmp_path / "none.pem")
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_private_key(tmp_path)
    with pytest.raises(KeyFileError, match="cannot be written"):
        save_private_key(tmp_path / "none" / "a.pem", PrivateKey.generate())


@THOROUGH
@given(st.binary(max_size=50))
def test_base64url_both_ways(data: bytes) -> None:
    assert unbase64url(base64url(data)) == data


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "A+/A", "AA A", "é", "AAA\n"])
def test_no_base64url(text: str) -> None:
    with pytest.raises(Malformed):
        unbase64url(text)
