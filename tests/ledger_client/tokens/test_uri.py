"""Key URIs: RFC 7512 read strictly, written again as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.messages import Message
from ledger_client.tokens.uri import KeyUriError, TokenUri

NAMES = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" ;?%&"), min_size=1, max_size=30)
PRINTABLE = NAMES.filter(str.isprintable)


def code(text: str) -> str:
    with pytest.raises(KeyUriError) as caught:
        TokenUri.parse(text)
    assert isinstance(caught.value.what, Message)
    assert "123456" not in str(caught.value)
    return caught.value.what.code


@given(PRINTABLE, PRINTABLE, st.none() | st.binary(min_size=1, max_size=16))
def test_a_uri_that_was_written_is_read_again(token: str, key: str, id_: bytes | None) -> None:
    uri = TokenUri(token=token, object=key, id=id_)
    assert TokenUri.parse(uri.to_text()) == uri


def test_the_examples_of_rfc_7512_name_their_token_and_key() -> None:
    text = "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
    text += "object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91;serial="
    uri = TokenUri.parse(text + "8f")
    assert (uri.token, uri.manufacturer) == ("The Software PKCS#11 Softtoken", "Snake Oil, Inc.")
    assert (uri.id, uri.serial) == (bytes.fromhex("69953e5cf4bdec91"), "8f")
    assert code(text) == "key-uri-part"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("pkcs11:token=site;object=statement?pin-value=123456", "key-uri-pin"),
        ("pkcs11:token=site;object=statement;pin-value=123456", "key-uri-pin"),
        ("pkcs11:token=site;object=statement?pin-source=file:/123456", "key-uri-pin"),
        ("pkcs11:token=site;object=statement?module-path=/lib/x.so", "key-uri-module"),
        ("pkcs11:token=site;object=statement?vendor=123456", "key-uri-unknown"),
        ("pkcs11:token=site;object=statement;slot-id=1", "key-uri-unknown"),
        ("pkcs11:token=site;object=statement;object=other", "key-uri-twice"),
        ("pkcs11:token=site;object=statement;type=public", "key-uri-type"),
        ("pkcs11:token=site", "key-uri-no-key"),
        ("pkcs11:object=statement", "key-uri-no-token"),
        ("pkcs11:token=site;object=a b", "key-uri-part"),
        ("pkcs11:token=site;object=%FF", "key-uri-part"),
        ("pkcs11:token=site;object=%0A", "key-uri-part"),
        ("pkcs11:token=site;object=%4", "key-uri-part"),
        ("pkcs11:token=site;object=", "key-uri-part"),
        ("pkcs11:token=site;;object=x", "key-uri-part"),
        ("pkcs11:", "key-uri-part"),
        ("PKCS11:token=site;object=statement", "key-uri-scheme"),
        ("key.pem", "key-uri-scheme"),
        ("pkcs11:token=site;object=" + "x" * 1000, "key-uri-long"),
    ],
)
def test_a_uri_that_may_name_something_else_is_refused(text: str, what: str) -> None:
    assert code(text) == what
