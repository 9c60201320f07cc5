"""Trust files that are not accepted, whatever the bundle is; and unusual ones that are."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.making import evidence as e
from tests.corpus.making.keys import key, text_of
from tests.corpus.making.table import PLAIN_BUNDLE, PLAIN_TRUST, Made, bad, good, refused, rows
from tests.corpus.making.trust_text import ledger, meter, moment, statement, table, trust
from tests.corpus.making.wire import Raw, encode, indefinite, long_head, with_pair

CHAIN = (
    f'\n[[chain]]\nledger = "chain"\nchain_id = 1\ncontract = "0x{bytes(20).hex()}"\nsender = "0x{bytes(20).hex()}"\n'
)


def cases() -> Iterator[Made]:
    yield from _good()
    yield from _texts()
    yield from _policies()
    yield from _entries()
    yield from _publics()
    yield from _together()
    yield from _chains()


def _good() -> Iterator[Made]:
    for name, text, why in (
        ("comments", f"# what I trust\n{PLAIN_TRUST}\n# the end", "comments"),
        (
            "identity",
            trust(keys={"meter": meter('identity = "serial_number=<b>4711"')}),
            "the device that a key was enrolled for",
        ),
        (
            "other-keys",
            trust(
                extra="\n"
                + meter(public=key("second"), name="second")
                + "\n"
                + table("party", key("works"), party="works")
            ),
            "keys of another meter and of a party",
        ),
        ("shared-key", trust(extra="\n" + meter(name="second")), "one key of two meters"),
        ("three-ledgers", trust(ledgers=(e.LEDGER, "ledger-a", "ledger-b")), "one of three ledgers is enough"),
        (
            "ledger-without-key",
            trust(ledgers=(e.LEDGER, "ledger-a"), keys={"ledger-a": ""}),
            "a ledger of the policy that has no key",
        ),
        ("attested", trust(policy="attested = 1\n"), "attested speaks of certificates"),
        ("offset", PLAIN_TRUST.replace("2026-02-28T08:00:00Z", "2026-02-28T16:00:00+08:00"), "a time with an offset"),
        (
            "fraction",
            PLAIN_TRUST.replace("2026-02-28T08:00:00Z", "2026-02-28 08:00:00.999Z"),
            "a time with a fraction and a space",
        ),
        ("chain", PLAIN_TRUST + CHAIN, "a chain that is asked online"),
        ("crlf", PLAIN_TRUST.replace("\n", "\r\n"), "lines that end in CR LF"),
        (
            "revoked-reason",
            trust(keys={"meter": meter(f"revoked = {moment(e.NOW)}", 'revoked_reason = "<script>"')}),
            "a reason of any text",
        ),
    ):
        yield good(f"trust-good-{name}", PLAIN_BUNDLE, f"trust file: {why}", text)
    empty = '[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n'
    yield bad("record", "trust-without-keys", PLAIN_BUNDLE, "a trust file without any key", empty)
    exact = PLAIN_TRUST.replace("2026-02-28T08:00:00Z", "2026-03-01T08:00:05.999Z")
    yield good("trust-good-fraction-down", PLAIN_BUNDLE, "a fraction of a second does not count", exact)
    yield bad("parse", "trust-good-bundle-bad", b"", "a good trust file, and no bundle")


def _texts() -> Iterator[Made]:
    for name, data, why in rows(
        ("empty", b"", "no bytes"),
        ("bom", b"\xef\xbb\xbf" + PLAIN_TRUST.encode(), "a byte order mark"),
        ("utf-16", PLAIN_TRUST.encode("utf-16"), "UTF-16"),
        ("latin-1", b"# \xe9\n" + PLAIN_TRUST.encode(), "not UTF-8"),
        ("null", PLAIN_TRUST.encode() + b"# \0\n", "a U+0000"),
        ("control", PLAIN_TRUST.encode() + b"# \x01\n", "a control character"),
        ("json", b'{"policy": {}}', "JSON"),
        ("bundle", PLAIN_BUNDLE, "a bundle in its place"),
        ("half", PLAIN_TRUST[: len(PLAIN_TRUST) // 2 - 10].encode(), "the second half is missing"),
        (
            "key-twice",
            PLAIN_TRUST.replace("receipts = 1", "receipts = 1\nreceipts = 1").encode(),
            "a key of TOML twice",
        ),
        ("policy-twice", (PLAIN_TRUST + "\n[policy]\n").encode(), "two tables policy"),
        ("deep", (PLAIN_TRUST + "\nx = " + "[" * 70 + "]" * 70 + "\n").encode(), "70 arrays within each other"),
        (
            "number",
            (PLAIN_TRUST.replace("receipts = 1", "receipts = 18446744073709551617")).encode(),
            "a number beyond 64 bits",
        ),
    ):
        yield refused(f"trust-text-{name}", data, f"trust file: {why}")


def _policies() -> Iterator[Made]:
    def changed(old: str, new: str) -> str:
        assert old in PLAIN_TRUST
        return PLAIN_TRUST.replace(old, new)

    listed = 'ledgers = ["demo-ledger"]'
    for name, text, why in (
        ("missing", PLAIN_TRUST.partition("\n\n")[2], "no policy"),
        ("array", changed("[policy]", "[[policy]]"), "an array of policies"),
        ("more", trust(policy="x = 1\n"), "a key that is not known"),
        ("table-more", PLAIN_TRUST + "\n[more]\nx = 1\n", "a table that is not known"),
        ("receipts-missing", changed("receipts = 1\n", ""), "no number of receipts"),
        ("receipts-0", changed("receipts = 1", "receipts = 0"), "no receipt is enough"),
        ("receipts-2", changed("receipts = 1", "receipts = 2"), "more than there are ledgers"),
        ("receipts-negative", changed("receipts = 1", "receipts = -1"), "less than none"),
        ("receipts-float", changed("receipts = 1", "receipts = 1.0"), "a number that is a float"),
        ("receipts-true", changed("receipts = 1", "receipts = true"), "a number that is true"),
        ("receipts-text", changed("receipts = 1", 'receipts = "1"'), "a number that is text"),
        ("ledgers-missing", changed(listed + "\n", ""), "no ledgers"),
        ("ledgers-empty", changed(listed, "ledgers = []"), "an empty list of ledgers"),
        ("ledgers-text", changed(listed, 'ledgers = "demo-ledger"'), "ledgers that are no list"),
        ("ledgers-name", changed(listed, 'ledgers = ["<b>"]'), "a ledger whose name is none"),
        ("ledgers-twice", changed(listed, 'ledgers = ["demo-ledger", "demo-ledger"]'), "a ledger twice"),
        ("delay-number", trust(policy="max_delay = 5\n"), "a delay without a unit"),
        ("delay-unit", trust(policy='max_delay = "5 s"\n'), "a delay with a space"),
        ("delay-weeks", trust(policy='max_delay = "1w"\n'), "a delay in weeks"),
        ("delay-0", trust(policy='max_delay = "0s"\n'), "no delay at all"),
        ("delay-negative", trust(policy='max_delay = "-5s"\n'), "a delay below 0"),
        ("delay-ms", trust(policy='max_delay = "1500ms"\n'), "a delay of parts of a second"),
        ("delay-100-years", trust(policy='max_delay = "36501d"\n'), "a delay of more than 36500 days"),
        ("attested-negative", trust(policy="attested = -1\n"), "less than no attestation"),
        ("attested-float", trust(policy="attested = 1.0\n"), "a number that is a float"),
    ):
        yield refused(f"trust-policy-{name}", text, f"trust file: {why}")


def _entries() -> Iterator[Made]:
    def with_meter(entry: str) -> str:
        return trust(keys={"meter": entry})

    plain = meter()
    begin = f"valid_from = {moment(e.VALID_FROM)}"
    for name, text, why in (
        ("role", with_meter(plain.replace('role = "meter"', 'role = "admin"')), "a role that there is not"),
        ("role-missing", with_meter(plain.replace('role = "meter"\n', "")), "no role"),
        ("role-number", with_meter(plain.replace('role = "meter"', "role = 1")), "a role that is a number"),
        ("gateway-missing", with_meter(plain.replace(f'gateway = "{e.GATEWAY}"\n', "")), "a meter without a gateway"),
        ("meter-missing", with_meter(plain.replace(f'meter = "{e.METER_NAME}"\n', "")), "a meter without a name"),
        ("meter-gateway", with_meter(meter(name="gateway")), "a meter called gateway"),
        ("meter-script", with_meter(meter(name="<script>")), "a meter whose name is markup"),
        ("meter-bidi", with_meter(meter(name="\u202emain")), "a meter's name with a control character"),
        ("ledger-in-meter", with_meter(meter('ledger = "demo-ledger"')), "a meter's key with a ledger"),
        ("kid-in-meter", with_meter(meter('kid = "a2V5LTE"')), "a kid of its own, of a meter's key"),
        ("more", with_meter(meter("x = 1")), "a key that is not known"),
        ("ledger-missing", trust(keys={e.LEDGER: table("ledger", e.LEDGER_KEY)}), "a ledger without a name"),
        (
            "meter-in-statement",
            trust(keys={"statement": statement('meter = "export-main"')}),
            "a statement key with a meter",
        ),
        ("party-missing", trust(extra="\n" + table("party", key("works"))), "a party without a name"),
        ("identity-empty", with_meter(meter('identity = ""')), "an empty identity"),
        ("identity-1025", with_meter(meter(f'identity = "{"x" * 1025}"')), "an identity of 1,025 characters"),
        ("kid-empty", trust(keys={e.LEDGER: ledger('kid = ""')}), "an empty kid"),
        ("kid-257", trust(keys={e.LEDGER: ledger(f'kid = "{text_of(bytes(257))}"')}), "a kid of 257 bytes"),
        ("kid-padded", trust(keys={e.LEDGER: ledger('kid = "a2V5LTE="')}), "a kid with padding"),
        ("kid-loose-bits", trust(keys={e.LEDGER: ledger('kid = "a2V5LTF"')}), "a kid of which bits are lost"),
        ("public-missing", with_meter(plain.replace(f'public = "{e.METER.text}"\n', "")), "no public key"),
        ("public-padded", with_meter(meter(public=e.METER.text + "=")), "a public key with padding"),
        (
            "public-base64",
            with_meter(meter(public=e.METER.text.replace("-", "+").replace("_", "/") + "+")),
            "a public key in base64",
        ),
        ("public-space", with_meter(meter(public=e.METER.text + " ")), "a space behind the public key"),
        ("from-missing", with_meter(plain.replace(begin + "\n", "")), "no time from which it is valid"),
        (
            "from-text",
            with_meter(plain.replace(begin, f'valid_from = "{moment(e.VALID_FROM)}"')),
            "a time that is text",
        ),
        (
            "from-local",
            with_meter(plain.replace(begin, "valid_from = 2026-02-28T08:00:00")),
            "a time without an offset",
        ),
        ("from-date", with_meter(plain.replace(begin, "valid_from = 2026-02-28")), "a date"),
        ("from-number", with_meter(plain.replace(begin, f"valid_from = {e.VALID_FROM}")), "a time that is a number"),
        ("from-1969", with_meter(plain.replace(begin, "valid_from = 1969-12-31T23:59:59Z")), "a time before 1970"),
        ("to-is-from", with_meter(meter(f"valid_to = {moment(e.VALID_FROM)}")), "it ends when it begins"),
        ("to-before-from", with_meter(meter(f"valid_to = {moment(e.VALID_FROM - 1)}")), "it ends before it begins"),
        ("to-local", with_meter(meter("valid_to = 2027-02-28T08:00:00")), "an end without an offset"),
        ("revoked-true", with_meter(meter("revoked = true")), "revoked without a time"),
        ("reason-alone", with_meter(meter('revoked_reason = "stolen"')), "a reason without a revocation"),
        (
            "reason-number",
            with_meter(meter(f"revoked = {moment(e.NOW)}", "revoked_reason = 1")),
            "a reason that is a number",
        ),
        ("table", PLAIN_TRUST.replace("[[key]]", "[key]", 1).partition("[[key]]")[0], "one table in place of a list"),
        ("array", '[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n\n[key]\n', "a table that is no list"),
    ):
        yield refused(f"trust-key-{name}", text, f"trust file: {why}")


def _publics() -> Iterator[Made]:
    """COSE_Keys that no key may be."""
    x = e.METER.fields[-2]
    p256 = key("meter-p256", "P-256").fields
    assert isinstance(x, bytes)
    p = 2**255 - 19

    def point(y: int) -> dict[int, object]:
        return {1: 1, -1: 6, -2: y.to_bytes(32, "little")}

    order_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    for name, fields, why in rows(
        ("empty", Raw(b""), "no bytes"),
        ("array", [], "an array"),
        ("private", {**e.METER.fields, -4: bytes(32)}, "with its private part"),
        ("kty-missing", {-1: 6, -2: x}, "no type"),
        ("kty-text", {1: "OKP", -1: 6, -2: x}, "a type that is text"),
        ("kty-symmetric", {1: 4, -1: 6, -2: x}, "a symmetric key"),
        ("kty-true", {1: True, -1: 6, -2: x}, "a type that is true"),
        ("crv-missing", {1: 1, -2: x}, "no curve"),
        ("crv-ed448", {1: 1, -1: 7, -2: x}, "Ed448"),
        ("crv-x25519", {1: 1, -1: 4, -2: x}, "X25519"),
        ("crv-p384", {**p256, -1: 2}, "P-384"),
        ("x-missing", {1: 1, -1: 6}, "no point"),
        ("x-31", {1: 1, -1: 6, -2: x[:31]}, "a point of 31 bytes"),
        ("x-text", {1: 1, -1: 6, -2: "x" * 32}, "a point that is text"),
        ("y-in-ed25519", {1: 1, -1: 6, -2: x, -3: x}, "Ed25519 with a y"),
        ("y-missing", {1: 2, -1: 1, -2: p256[-2]}, "P-256 without y"),
        ("y-sign", {**p256, -3: True}, "a compressed point"),
        ("y-31", {**p256, -3: bytes(31)}, "a y of 31 bytes"),
        ("not-on-p256", {**p256, -3: bytes(32)}, "a point that is not on P-256"),
        ("p256-zero", {**p256, -2: bytes(32), -3: bytes(32)}, "0, 0"),
        ("alg-other", {**e.METER.fields, 3: -7}, "ES256 for Ed25519"),
        ("alg-text", {**e.METER.fields, 3: "EdDSA"}, "an alg that is text"),
        ("more", {**e.METER.fields, "x": 1}, "a parameter that is not known"),
        ("identity", point(1), "the identity"),
        ("identity-minus-0", point(1 | 1 << 255), "the identity, with the sign of x = 0"),
        ("order-2", point(p - 1), "of order 2"),
        ("order-4", point(0), "of order 4"),
        ("order-4-minus", point(1 << 255), "of order 4, the other one"),
        ("order-8", point(order_8), "of order 8"),
        ("order-8-minus", point(p - order_8 | 1 << 255), "of order 8, another one"),
        ("not-canonical-0", point(p), "0 as p"),
        ("not-canonical-1", point(p + 1), "1 as p + 1"),
        ("not-canonical-3", point(p + 3), "y beyond p"),
        ("not-on-ed25519", point(2), "a point that is not on the curve"),
        ("indefinite", indefinite(e.METER.fields), "a map without a length"),
        ("key-twice", with_pair(e.METER.fields, 1), "a key comes twice"),
        ("trailing", Raw(encode(e.METER.fields) + b"\0"), "a byte behind it"),
        ("truncated", Raw(encode(e.METER.fields)[:-1]), "the last byte is missing"),
    ):
        text = text_of(encode(fields))
        yield refused(f"trust-public-{name}", trust(keys={"meter": meter(public=text)}), f"a public key: {why}")
    for name, item, why in (
        ("long-head", long_head(e.METER.fields), "a head longer than it need be"),
        (
            "backwards",
            Raw(b"\xa3" + b"".join(encode(k) + encode(e.METER.fields[k]) for k in (-2, -1, 1))),
            "keys in another order",
        ),
    ):
        text = text_of(encode(item))
        yield good(
            f"trust-public-good-{name}", PLAIN_BUNDLE, f"a public key: {why}", trust(keys={"meter": meter(public=text)})
        )


def _together() -> Iterator[Made]:
    for name, text, why in (
        ("two-roles", trust(keys={"statement": statement(public=e.METER)}), "one key of a meter and of the gateway"),
        ("ledger-and-meter", trust(keys={e.LEDGER: ledger(public=e.METER)}), "one key of a meter and of a ledger"),
        (
            "two-ledgers",
            trust(ledgers=(e.LEDGER, "ledger-a"), keys={"ledger-a": ledger(name="ledger-a", public=e.LEDGER_KEY)}),
            "one key of two ledgers",
        ),
        (
            "two-ledgers-other-form",
            trust(
                ledgers=(e.LEDGER, "ledger-a"),
                keys={"ledger-a": ledger(name="ledger-a", public=text_of(encode(e.LEDGER_KEY.fields)))},
            ),
            "one key of two ledgers, without its alg",
        ),
        (
            "two-parties",
            trust(
                extra="\n"
                + table("party", key("works"), party="works")
                + "\n"
                + table("party", key("works"), party="mill")
            ),
            "one key of two parties",
        ),
        (
            "party-two-roles",
            trust(
                extra="\n"
                + table("party", key("works"), party="works")
                + "\n"
                + table("issuer", key("works-2"), party="works")
            ),
            "a party that issues, too",
        ),
        ("same-twice", trust(extra="\n" + meter()), "one key twice"),
        ("same-twice-other-times", trust(extra="\n" + meter(valid_from=e.NOW)), "one key twice, of other times"),
        (
            "kid-twice",
            trust(extra="\n" + ledger(f'kid = "{text_of(e.LEDGER_KEY.kid)}"', public=key("other"))),
            "one kid of two keys of a ledger",
        ),
    ):
        yield refused(f"trust-keys-{name}", text, f"trust file: {why}")


def _chains() -> Iterator[Made]:
    def changed(old: str, new: str) -> str:
        assert old in CHAIN
        return PLAIN_TRUST + CHAIN.replace(old, new, 1)

    address = f"0x{bytes(20).hex()}"
    for name, text, why in (
        ("ledger", changed('ledger = "chain"', 'ledger = ""'), "a ledger without a name"),
        ("id-0", changed("chain_id = 1", "chain_id = 0"), "chain 0"),
        ("id-text", changed("chain_id = 1", 'chain_id = "1"'), "a chain's number that is text"),
        ("id-missing", changed("chain_id = 1\n", ""), "no chain"),
        ("contract", changed(f'contract = "{address}"', f'contract = "{address[:-2]}"'), "an address of 19 bytes"),
        ("contract-0x", changed(f'contract = "{address}"', f'contract = "{address[2:]}"'), "an address without 0x"),
        ("sender-missing", changed(f'sender = "{address}"\n', ""), "no sender"),
        ("sender-of-claims", PLAIN_TRUST + CHAIN + "claims = true\n", "a contract of claims with a sender"),
        ("claims-text", PLAIN_TRUST + CHAIN + 'claims = "yes"\n', "claims that are text"),
        ("confirmations-0", PLAIN_TRUST + CHAIN + "confirmations = 0\n", "no confirmation"),
        ("more", PLAIN_TRUST + CHAIN + "x = 1\n", "a key that is not known"),
        ("two-ledgers", PLAIN_TRUST + CHAIN + CHAIN.replace('"chain"', '"chain-2"'), "one contract of two ledgers"),
    ):
        yield refused(f"trust-chain-{name}", text, f"trust file, chain: {why}")
