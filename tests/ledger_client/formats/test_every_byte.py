"""Every byte of a bundle counts: one bit of each changed, and the bundle proves nothing any more."""

from __future__ import annotations

# not quick: every bit of a bundle, 4 s of CPU
import random

import pytest

from ledger_client.errors import STEPS, LedgerClientError, VerificationError
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import ES256
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify
from tests.support.evidence import GATEWAY, METER, NOW, VALID_FROM, Site, key, records, trust

RANDOM = random.Random(9162)


def es256_meter() -> tuple[Site, Trust]:
    signer = key("meter", ES256)
    entry = key_entry("meter", signer.public, VALID_FROM, gateway=GATEWAY, meter=METER)
    return Site(records(signer)), trust(keys={"meter": entry})


SITES = {"Ed25519 meter": lambda: (Site(), trust()), "ES256 meter": es256_meter}


@pytest.mark.parametrize("kind", SITES)
@pytest.mark.parametrize("index", [0, 1, 2], ids=["reading", "coverage", "event"])
def test_one_bit_of_every_byte(kind: str, index: int) -> None:
    site, trusted = SITES[kind]()
    bundle = site.build(index)
    parsed = Bundle.parse(bundle)
    assert (len(parsed.receipts), parsed.anchors) == (1, ())
    verify(bundle, trusted, NOW)
    steps: set[int] = set()
    for position in range(len(bundle)):
        changed = bytearray(bundle)
        changed[position] ^= 1 << RANDOM.randrange(8)
        with pytest.raises(VerificationError) as caught:
            verify(bytes(changed), trusted, NOW)
        error = caught.value
        assert type(error) is not VerificationError
        assert error.step in STEPS
        assert error.detail
        steps.add(error.step)
    assert {1, 2, 3, 4, 6} <= steps  # every layer is reached; 5, 7 and 8 lie behind signatures


def test_every_bit_of_the_smallest_bundle() -> None:
    bundle, known = Site(records()[1:2]).build(), trust()
    verify(bundle, known, NOW)
    for position in range(len(bundle)):
        for bit in range(8):
            changed = bytearray(bundle)
            changed[position] ^= 1 << bit
            with pytest.raises(VerificationError):
                verify(bytes(changed), known, NOW)


@pytest.mark.parametrize("cut", [1, 2, 50, 400])
def test_bytes_cut_off_or_added(cut: int) -> None:
    bundle = Site().build()
    for changed in (bundle[:-cut], bundle[cut:], bundle + bytes(cut), bytes(cut) + bundle):
        with pytest.raises(VerificationError):
            verify(changed, trust(), NOW)


def test_every_prefix() -> None:
    bundle, known = Site().build(), trust()
    for end in range(len(bundle)):
        with pytest.raises(LedgerClientError):
            verify(bundle[:end], known, NOW)
