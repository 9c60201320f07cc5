"""The standards' own examples, byte for byte. The source of each stands above it."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.errors import BadSignature, EncodeError, Malformed
from ledger_client.formats import cbor, cose, ed25519_points
from ledger_client.formats.cose_key import PublicKey
from ledger_client.formats.merkle import EMPTY_ROOT, Tree, leaf_hash, root_from_path
from ledger_client.formats.receipt import parse_receipt

# RFC 8949 Appendix A, in the order of the appendix; the same table as github.com/cbor/test-vectors, appendix_a.json
APPENDIX_A: list[tuple[str, Any]] = [
    ("00", 0),
    ("01", 1),
    ("0a", 10),
    ("17", 23),
    ("1818", 24),
    ("1819", 25),
    ("1864", 100),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1b000000e8d4a51000", 1000000000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("3bffffffffffffffff", -18446744073709551616),
    ("20", -1),
    ("29", -10),
    ("3863", -100),
    ("3903e7", -1000),
    ("f90000", 0.0),
    ("f98000", -0.0),
    ("f93c00", 1.0),
    ("fb3ff199999999999a", 1.1),
    ("f93e00", 1.5),
    ("f97bff", 65504.0),
    ("fa47c35000", 100000.0),
    ("fa7f7fffff", 3.4028234663852886e38),
    ("fb7e37e43c8800759c", 1.0e300),
    ("f90001", 5.960464477539063e-8),
    ("f90400", 0.00006103515625),
    ("f9c400", -4.0),
    ("fbc010666666666666", -4.1),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("6161", "a"),
    ("6449455446", "IETF"),
    ("62225c", '"\\'),
    ("62c3bc", "\u00fc"),
    ("63e6b0b4", "\u6c34"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("83010203", [1, 2, 3]),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("826161a161626163", ["a", {"b": "c"}]),
    ("a56161614161626142616361436164614461656145", {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}),
]
# The rest of Appendix A: well-formed CBOR that has no place in evidence
APPENDIX_A_REFUSED = {
    "c249010000000000000000": "bignum",
    "c349010000000000000000": "negative bignum",
    "f97c00": "Infinity",
    "f97e00": "NaN",
    "f9fc00": "-Infinity",
    "fa7f800000": "Infinity, not shortest",
    "fa7fc00000": "NaN, not shortest",
    "faff800000": "-Infinity, not shortest",
    "fb7ff0000000000000": "Infinity, not shortest",
    "fb7ff8000000000000": "NaN, not shortest",
    "fbfff0000000000000": "-Infinity, not shortest",
    "f7": "undefined",
    "f0": "simple(16)",
    "f8ff": "simple(255)",
    "c074323031332d30332d32315432303a30343a30305a": "tag 0",
    "c11a514b67b0": "tag 1",
    "c1fb41d452d9ec200000": "tag 1",
    "d74401020304": "tag 23",
    "d818456449455446": "tag 24",
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d": "tag 32",
    "5f42010243030405ff": "indefinite bytes",
    "7f657374726561646d696e67ff": "indefinite text",
    "9fff": "indefinite array",
    "9f018202039f0405ffff": "indefinite array",
    "9f01820203820405ff": "indefinite array",
    "83018202039f0405ff": "indefinite array",
    "83019f0203ff820405": "indefinite array",
    "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff": "indefinite array",
    "bf61610161629f0203ffff": "indefinite map",
    "826161bf61626163ff": "indefinite map",
    "bf6346756ef563416d7421ff": "indefinite map",
}


@pytest.mark.parametrize(("encoded", "value"), APPENDIX_A)
def test_rfc_8949_appendix_a(encoded: str, value: Any) -> None:
    assert cbor.encode(value).hex() == encoded
    decoded = cbor.decode(bytes.fromhex(encoded))
    assert decoded == value
    assert type(decoded) is type(value)
    assert str(decoded) == str(value)  # −0.0 is not 0.0


@pytest.mark.parametrize("encoded", APPENDIX_A_REFUSED)
def test_rfc_8949_appendix_a_what_evidence_does_not_hold(encoded: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(encoded))


# RFC 8949 §3.4.4: the decimal fraction 273.15
def test_rfc_8949_decimal_fraction() -> None:
    assert cbor.encode(Decimal("273.15")).hex() == "c48221196ab3"
    assert cbor.decode(bytes.fromhex("c48221196ab3")).as_tuple() == Decimal("273.15").as_tuple()


# RFC 8428 §6: the SenML pack of §5.1.2 in CBOR (github.com/core-wg/senml-spec, ex3.gen.cbor)
SENML_EXAMPLE = bytes.fromhex(
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b0010622361412005006776"
    "6f6c74616765016156 02fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a300676375"
    "7272656e74062302fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272"
    "656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
)


def test_rfc_8428_cbor_example() -> None:
    pack = [
        {-2: "urn:dev:ow:10e2073a0108006:", -3: 1276020076.001, -4: "A", -1: 5, 0: "voltage", 1: "V", 2: 120.1},
        {0: "current", 6: -5, 2: 1.2},
        {0: "current", 6: -4, 2: 1.3},
        {0: "current", 6: -3, 2: 1.4},
        {0: "current", 6: -2, 2: 1.5},
        {0: "current", 6: -1, 2: 1.6},
        {0: "current", 6: 0, 2: 1.7},
    ]
    assert len(SENML_EXAMPLE) == 0xC3
    assert cbor.decode(SENML_EXAMPLE, foreign=True) == pack
    # the example's maps are not in deterministic order, ours are: the same entries, other bytes
    with pytest.raises(Malformed, match="out of order"):
        cbor.decode(SENML_EXAMPLE)
    assert cbor.decode(cbor.encode(pack)) == pack
    assert len(cbor.encode(pack)) == len(SENML_EXAMPLE)


# github.com/cose-wg/Examples at 53c9d634333b: the key "11" (P-256) and an Ed25519 key of RFC 8032 §7.1
P256_KEY = cbor.encode(
    {
        1: 2,
        -1: 1,
        -2: base64.urlsafe_b64decode("usWxHK2PmfnHKwXPS54m0kTcGJ90UiglWiGahtagnv8="),
        -3: base64.urlsafe_b64decode("IBOL-C3BttVivg-lSreASjpkttcsz-1rb7btKLv8EX4="),
    }
)
ED25519_KEY = cbor.encode(
    {1: 1, -1: 6, -2: bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")}
)
CONTENT = "546869732069732074686520636F6E74656E742E"  # "This is the content."
PLAIN = "846A5369676E61747572653143A101264054" + CONTENT
C_2_1_SIGNATURE = (
    "8EB33E4CA31D1C465AB05AAC34CC6B23D58FEF5C083106C4D25A91AEF0B0117E"
    "2AF9A291AA32E14AB834DC56ED2A223444547E01F11D3B0916E5A4C345CACB36"
)
ECDSA_SIGNATURE = (
    "6520BBAF2081D7E0ED0F95F76EB0733D667005F7467CEC4B87B9381A6BA1EDE8"
    "E00DF29F32A37230F39A842A54821FDD223092819D7728EFB9D3A0080B75380B"
)
EDDSA_SIGNATURE = (
    "7142FD2FF96D56DB85BEE905A76BA1D0B7321A95C8C4D3607C5781932B7AFB87"
    "11497DFA751BF40B58B3BCC32300B1487F3DB34085EEF013BF08F4A44D6FEF0D"
)
# (name, key, Sig_structure, COSE_Sign1)
COSE_EXAMPLES = [
    (  # RFC8152/Appendix_C_2_1.json = RFC 9052 Appendix C.2.1
        "RFC 9052 C.2.1",
        P256_KEY,
        PLAIN,
        f"D28443A10126A10442313154{CONTENT}5840{C_2_1_SIGNATURE}",
    ),
    (  # eddsa-examples/eddsa-sig-01.json
        "EdDSA-01",
        ED25519_KEY,
        f"846A5369676E61747572653145A2012703004054{CONTENT}",
        f"D28445A201270300A10442313154{CONTENT}5840{EDDSA_SIGNATURE}",
    ),
]


@pytest.mark.parametrize(("name", "key", "to_be_signed", "message"), COSE_EXAMPLES)
def test_cose_wg_sign1_examples(name: str, key: bytes, to_be_signed: str, message: str) -> None:
    sign1 = cose.Sign1.parse(bytes.fromhex(message))
    assert sign1.payload is not None
    assert cose.sig_structure(sign1.protected_bytes, sign1.payload).hex().upper() == to_be_signed
    sign1.verify(PublicKey.from_cose_key(key))
    assert sign1.encode().hex().upper() == message


# ecdsa-examples/ecdsa-sig-01.json: valid, but with s > n/2, the form that nothing of ours is accepted in
def test_cose_wg_ecdsa_01_is_a_twin() -> None:
    sign1 = cose.Sign1.parse(bytes.fromhex(f"D28445A201260300A10442313154{CONTENT}5840{ECDSA_SIGNATURE}"))
    key = PublicKey.from_cose_key(P256_KEY)
    sign1.verify(key, low_s=False)
    with pytest.raises(BadSignature, match="s > n/2"):
        sign1.verify(key)


# sign1-tests/sign-pass-01.json: h'a0' on the wire, h'' in the Sig_structure (RFC 9052 §4.4)
def test_cose_wg_sign_pass_01_empty_protected_header() -> None:
    signature = (
        "87DB0D2E5571843B78AC33ECB2830DF7B6E0A4D5B7376DE336B23C591C90C425"
        "317E56127FBE04370097CE347087B233BF722B64072BEB4486BDA4031D27244F"
    )
    sign1 = cose.Sign1.parse(bytes.fromhex(f"D28441A0A201260442313154{CONTENT}5840{signature}"))
    assert sign1.payload is not None
    message = cose.sig_structure(sign1.protected_bytes, sign1.payload)
    assert message.hex().upper() == f"846A5369676E617475726531404054{CONTENT}"
    PublicKey.from_cose_key(P256_KEY).verify(sign1.signature, message, low_s=False)
    with pytest.raises(BadSignature, match="alg None"):  # an algorithm that nobody signed is none
        sign1.verify(PublicKey.from_cose_key(P256_KEY))


SIGN_FAIL = {
    "01 wrong tag": f"D903E68443A10126A10442313154{CONTENT}5840{C_2_1_SIGNATURE}",
    "02 changed content": f"D28443A10126A10442313154{CONTENT[:-2]}2F5840{C_2_1_SIGNATURE}",
    "03 changed alg": f"D28445A1013903E6A10442313154{CONTENT}5840{C_2_1_SIGNATURE}",
    "04 unknown alg": f"D2844AA10167756E6B6E6F776EA10442313154{CONTENT}5840{C_2_1_SIGNATURE}",
    "06 added header": f"D28445A201260300A10442313154{CONTENT}5840{C_2_1_SIGNATURE}",
    "07 removed header": f"D28443A10126A10442313154{CONTENT}5840{ECDSA_SIGNATURE}",
    "pass-03 no tag": f"8443A10126A10442313154{CONTENT}5840{C_2_1_SIGNATURE}",  # tag 18 is demanded here
}


@pytest.mark.parametrize("name", SIGN_FAIL)
def test_cose_wg_sign1_failures(name: str) -> None:
    with pytest.raises((BadSignature, Malformed)):
        cose.Sign1.parse(bytes.fromhex(SIGN_FAIL[name])).verify(PublicKey.from_cose_key(P256_KEY), low_s=False)


# RFC 9679 §6: an EC2 key with further members, and its thumbprint
def test_rfc_9679_thumbprint() -> None:
    key = {
        1: 2,
        2: b"meriadoc.brandybuck@buckland.example",
        -1: 1,
        -2: bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"),
        -3: bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"),
    }
    kid = PublicKey.from_cose_key(cbor.encode(key)).kid
    assert kid.hex() == "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"


# github.com/transparency-dev/merkle at 417fb0c31475, testonly/constants.go: the reference leaves of Certificate
# Transparency (RFC 6962, the same trees in RFC 9162) and the roots of their first 0 to 8
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# testdata/inclusion/*/happy-path.json: (index, size, path)
CT_PATHS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
        ],
    ),
    (
        5,
        8,
        [
            "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
            "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
    (2, 3, ["+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU="]),
    (
        1,
        5,
        [
            "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
        ],
    ),
]


@pytest.mark.parametrize("size", range(9))
def test_rfc_6962_reference_roots(size: int) -> None:
    assert Tree([leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES[:size]]).root.hex() == CT_ROOTS[size]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == CT_ROOTS[0]


@pytest.mark.parametrize(("index", "size", "path"), CT_PATHS)
def test_rfc_6962_reference_paths(index: int, size: int, path: list[str]) -> None:
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES[:size]]
    hashes = [base64.b64decode(part) for part in path]
    assert Tree(leaves).path(index) == hashes
    assert root_from_path(leaves[index], size, index, hashes).hex() == CT_ROOTS[size]


# github.com/cose-wg/draft-ietf-cose-merkle-tree-proofs (RFC 9942) at e08aa7beab9d, examples/inclusion-receipt.cbor
INCLUSION_RECEIPT = bytes.fromhex(
    "d2845840a40126044a746573742d6b65792d3119018b010fa101782868747470733a2f2f7472616e73706172656e63792d736572766963652e"
    "6578616d706c652e636f6da119018ca12081586a8305038358203d06455dd33da4e9bbd8090677a2d0955e6dffe4b92069605a468920d11980"
    "95582033a5211719e06238a191c7244a7633187da2c9aaa5bc6dec54e2cbb49825543458204d75742d9ea02f7767dcd554a7878ff22cdb208b"
    "e9f3d35f7aa7700b57e741c0f6584034e81008fb0e4e521657668745450df608d0e5c015dffc5d607dd78236c2908f4e2b643817d9191d0abd"
    "7c074aff2b1bfda519ab3fab210ff2e0a1de275de6a7"
)


def test_rfc_9942_inclusion_receipt() -> None:
    receipt = parse_receipt(INCLUSION_RECEIPT)
    assert receipt.ledger == "https://transparency-service.example.com"
    assert (receipt.alg, receipt.kid, receipt.vds) == (-7, b"test-key-1", 1)
    assert (receipt.sub, receipt.iat, receipt.size_claim) == (None, None, None)
    assert (receipt.size, receipt.index, len(receipt.path)) == (5, 3, 3)
    assert receipt.path[0].hex().startswith("3d06455d")
    assert receipt.path[2].hex().endswith("57e741c0")
    assert len(root_from_path(bytes(32), receipt.size, receipt.index, receipt.path)) == 32


# github.com/C2SP/CCTV at 1e3d2860d46e, ed25519/README.md: every encoding of the low-order points
CCTV_LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("point", CCTV_LOW_ORDER)
def test_cctv_low_order_points_are_no_keys_and_no_commitments(point: str) -> None:
    with pytest.raises(Malformed, match="small order"):
        PublicKey.from_cose_key(cbor.encode({1: 1, -1: 6, -2: bytes.fromhex(point)}))
    with pytest.raises(BadSignature, match="small order"):
        PublicKey.from_cose_key(ED25519_KEY).verify(bytes.fromhex(point) + bytes(32), b"")


def test_cctv_list_is_complete() -> None:
    assert {bytes.fromhex(point) for point in CCTV_LOW_ORDER} == ed25519_points.LOW_ORDER


# RFC 8032 §7.1 test 2, with S + L in place of S: §5.1.7 demands S < L
def test_rfc_8032_s_below_l() -> None:
    x = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = PublicKey.from_cose_key(cbor.encode({1: 1, -1: 6, -2: x}))
    key.verify(signature, b"\x72")
    again = int.from_bytes(signature[32:], "little") + ed25519_points.L
    with pytest.raises(BadSignature, match="S ≥ L"):
        key.verify(signature[:32] + again.to_bytes(32, "little"), b"\x72")


# RFC 9162 §2.1.1: the prefixes that keep leaves and nodes apart
def test_rfc_9162_domain_separation() -> None:
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()
    two = Tree([leaf_hash(b"a"), leaf_hash(b"b")])
    assert two.root == hashlib.sha256(b"\x01" + leaf_hash(b"a") + leaf_hash(b"b")).digest()
    assert leaf_hash(b"\x01" + leaf_hash(b"a") + leaf_hash(b"b")) != two.root


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2**64, -(2**64) - 1, Decimal("NaN")])
def test_what_evidence_does_not_hold_is_not_written_either(value: object) -> None:
    with pytest.raises(EncodeError):
        cbor.encode(value)
