"""Heads of a log: what is signed, and that nothing else is read as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from ledger_client.errors import BadSignature, EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.log_head import CONTENT_HEAD, LogHead, check_head, parse_head, sign_head
from tests.support.evidence import LEDGER, T0, Site, key

SIGNER = key(LEDGER)
HEAD = LogHead(LEDGER, 7, bytes(range(32)), T0)
SIGNED = sign_head(HEAD, SIGNER)


def test_the_form_of_a_head() -> None:
    sign1 = cose.Sign1.parse(SIGNED)
    assert sign1.protected == {1: -8, 3: CONTENT_HEAD, 4: SIGNER.public.kid, 15: {1: LEDGER, 2: "log", 6: T0}}
    assert sign1.unprotected == {}
    assert sign1.payload is not None
    assert cbor.decode(sign1.payload) == {"root": HEAD.root, "size": 7}


def test_a_head_is_read_back() -> None:
    assert check_head(SIGNED, LEDGER, SIGNER.public) == HEAD
    assert parse_head(SIGNED).kid == SIGNER.public.kid
    assert parse_head(SIGNED).id == sha256(SIGNED).digest()
    with pytest.raises(BadSignature):
        check_head(SIGNED, LEDGER, key("other").public)
    with pytest.raises(Malformed, match="not of other"):
        check_head(SIGNED, "other", SIGNER.public)


@pytest.mark.parametrize(
    "head",
    [replace(HEAD, size=0), replace(HEAD, root=bytes(31)), replace(HEAD, ledger="a b"), replace(HEAD, iat=-1)],
)
def test_what_is_never_signed(head: LogHead) -> None:
    with pytest.raises(EncodeError):
        sign_head(head, SIGNER)


def changed(change: Callable[[dict[Any, Any], dict[str, Any]], object]) -> bytes:
    sign1 = cose.Sign1.parse(SIGNED)
    header, payload = dict(sign1.protected), cbor.decode(sign1.payload or b"")
    header[15] = dict(header[15])
    change(header, payload)
    return cose.sign1(header, cbor.encode(payload), SIGNER)


@pytest.mark.parametrize(
    "data",
    [
        changed(lambda h, p: h.update({3: "application/cbor"})),
        changed(lambda h, p: h.update({5: b""})),
        changed(lambda h, p: h[15].update({2: "batch/0"})),
        changed(lambda h, p: h[15].pop(6)),
        changed(lambda h, p: h[15].update({"size": 7})),
        changed(lambda h, p: p.update({"size": 0})),
        changed(lambda h, p: p.update({"size": "7"})),
        changed(lambda h, p: p.update({"root": bytes(31)})),
        changed(lambda h, p: p.update({"note": 1})),
        cose.sign1({3: CONTENT_HEAD, 15: {1: LEDGER, 2: "log", 6: T0}}, bytes(2000), SIGNER),
        Site().entry(),
        b"",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(data)
