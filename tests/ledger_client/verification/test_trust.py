"""The trust file: what it says, what it warns of, and one message for each thing wrong with it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import TrustFileError
from ledger_client.formats import cbor
from ledger_client.formats.checks import is_ledger_name
from ledger_client.formats.cose_key import ES256, PublicKey, base64url
from ledger_client.messages import Message
from ledger_client.verification.trust import PARTY_ROLES, Held, Trust
from ledger_client.verification.trust_file import load_trust, parse_trust
from ledger_client.verification.trust_text import entry_of, key_entry
from tests.support.evidence import GATEWAY, LEDGER, METER, VALID_FROM, key, trust
from tests.support.evidence_values import NAMES, THOROUGH

METER_KEY, STATEMENT_KEY, LEDGER_KEY = key("meter").public, key("statement", ES256).public, key(LEDGER).public
POLICY = '[policy]\nreceipts = 1\nledgers = ["demo-ledger"]\n'
METER_ENTRY = key_entry("meter", METER_KEY, VALID_FROM, gateway=GATEWAY, meter=METER)
STATEMENT_ENTRY = key_entry("statement", STATEMENT_KEY, VALID_FROM, gateway=GATEWAY)
LEDGER_ENTRY = key_entry("ledger", LEDGER_KEY, VALID_FROM, ledger=LEDGER)
PARTY_KEY = key("works").public
PARTY_ENTRY = key_entry("party", PARTY_KEY, VALID_FROM, party="works")
CHAIN = (
    '[[chain]]\nledger = "consortium"\nchain_id = 31337\n'
    'contract = "0x5FbDB2315678afecb367f032d93F642f64180aa3"\nsender = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"\n'
)
WHOLE = POLICY + METER_ENTRY + STATEMENT_ENTRY + LEDGER_ENTRY


def test_a_chain_may_say_when_a_block_is_final() -> None:
    first, second = parse_trust(WHOLE + CHAIN + CHAIN + "confirmations = 6\n", "t").chains[-2:]
    assert (first.confirmations, second.confirmations) == (None, 6)


def test_what_the_file_says() -> None:
    trusted = parse_trust(WHOLE + CHAIN, "trust.toml")
    assert (trusted.receipts, trusted.ledgers, trusted.source) == (1, (LEDGER,), "trust.toml")
    found = trusted.find("meter", gateway=GATEWAY, meter=METER, kid=METER_KEY.kid)
    assert found is not None
    assert (found.key, found.valid_from, found.valid_to, found.revoked) == (METER_KEY, VALID_FROM, None, None)
    assert trusted.find("statement", gateway=GATEWAY, kid=STATEMENT_KEY.kid) is not None
    assert trusted.find("ledger", ledger=LEDGER, kid=LEDGER_KEY.kid) is not None
    (chain,) = trusted.chains
    assert (chain.ledger, chain.chain_id, chain.contract.hex()[:8]) == ("consortium", 31337, "5fbdb231")
    assert trusted.warnings == ()


def test_a_key_is_found_under_its_own_role_names_and_kid_only() -> None:
    trusted = trust()
    assert trusted.find("statement", gateway=GATEWAY, kid=METER_KEY.kid) is None
    assert trusted.find("meter", gateway="other", meter=METER, kid=METER_KEY.kid) is None
    assert trusted.find("meter", gateway=GATEWAY, meter="other", kid=METER_KEY.kid) is None
    assert trusted.find("meter", gateway=GATEWAY, kid=METER_KEY.kid) is None
    assert trusted.find("ledger", ledger="other", kid=LEDGER_KEY.kid) is None
    assert trusted.find("ledger", ledger=LEDGER, kid=METER_KEY.kid) is None


@THOROUGH
@given(NAMES, NAMES.filter(lambda name: name != "gateway"), st.integers(0, 2**32), st.integers(1, 2**31))
def test_an_entry_is_read_as_it_was_written(gateway: str, meter: str, start: int, span: int) -> None:
    text = POLICY + LEDGER_ENTRY
    text += key_entry("meter", METER_KEY, start, gateway=gateway, meter=meter, valid_to=start + span)
    found = parse_trust(text, "t").find("meter", gateway=gateway, meter=meter, kid=METER_KEY.kid)
    assert found is not None
    assert (found.key, found.valid_from, found.valid_to) == (METER_KEY, start, start + span)


def test_a_foreign_ledger_has_an_address_and_its_own_kid() -> None:
    address, kid = "https://ledger.example/scitt?x=1#a", b"key-1"
    entry = key_entry("ledger", LEDGER_KEY, VALID_FROM, ledger=address, kid=kid)
    trusted = parse_trust(f'[policy]\nreceipts = 1\nledgers = ["{address}"]\n{entry}', "t")
    assert trusted.find("ledger", ledger=address, kid=kid) is not None
    assert trusted.find("ledger", ledger=address, kid=LEDGER_KEY.kid) is None


@pytest.mark.parametrize("role", PARTY_ROLES)
def test_a_party_is_found_by_role_name_and_kid_and_written_as_it_was_read(role: str) -> None:
    entry = key_entry(role, PARTY_KEY, VALID_FROM, party=GATEWAY)  # a gateway of that name is another kind of thing
    trusted = parse_trust(WHOLE + entry, "t")
    found = trusted.find(role, party=GATEWAY, kid=PARTY_KEY.kid)
    assert found is not None
    assert (found.party, found.gateway, found.ledger, entry_of(found)) == (GATEWAY, None, None, entry)
    assert trusted.find(role, party="other", kid=PARTY_KEY.kid) is None
    assert trusted.find(role, gateway=GATEWAY, kid=PARTY_KEY.kid) is None
    assert trusted.find("statement", gateway=GATEWAY, kid=PARTY_KEY.kid) is None
    assert [r for r in PARTY_ROLES if trusted.find(r, party=GATEWAY, kid=PARTY_KEY.kid)] == [role]


def test_a_party_may_have_several_keys_of_its_role() -> None:
    other = key_entry("party", key("works-2").public, VALID_FROM, party="works")
    trusted = parse_trust(WHOLE + PARTY_ENTRY + other, "t")
    assert [k.party for k in trusted.keys[-2:]] == ["works", "works"]
    assert trusted.warnings == ()


@pytest.mark.parametrize("name", ["", "a b", "https://a b", "a/b", "://x", "x:", "é:a", 'q:"', "a" * 65, 1])
def test_no_ledger_name(name: object) -> None:
    assert is_ledger_name(name) == (name == 'q:"')  # a quote may stand in an address; it is escaped


def test_times_keep_their_zone() -> None:
    entry = METER_ENTRY.replace("2026-11-17T11:06:40Z", "2026-11-17T19:06:40+08:00")
    assert entry != METER_ENTRY
    found = parse_trust(POLICY + LEDGER_ENTRY + entry, "t").keys[1]
    assert found.valid_from == VALID_FROM == datetime(2026, 11, 17, 11, 6, 40, tzinfo=UTC).timestamp()


def test_a_revocation_is_kept_with_its_reason() -> None:
    entry = METER_ENTRY + 'revoked = 2026-11-20T00:00:00Z\nrevoked_reason = "stolen"\n'
    found = parse_trust(POLICY + LEDGER_ENTRY + entry, "t").keys[1]
    assert (found.revoked, found.revoked_reason) == (1795132800, "stolen")


HELD = 'held = "hardware"\nheld_by = "demo-ledger"\nheld_at = 2026-12-01T00:00:00Z\n'
EVIDENCE = 'evidence = "YubiHSM 2 no. 7550123, attestation certificate seen"\n'


@pytest.mark.parametrize("entry", [METER_ENTRY, STATEMENT_ENTRY, LEDGER_ENTRY])
def test_who_answers_for_a_key_in_hardware_is_read_and_written(entry: str) -> None:
    for more, evidence in (("", None), (EVIDENCE, "YubiHSM 2 no. 7550123, attestation certificate seen")):
        found = parse_trust(POLICY + entry + HELD + more, "t").keys[0]
        assert (found.held, entry_of(found)) == (Held(LEDGER, 1_796_083_200, evidence), entry + HELD + more)
    assert parse_trust(POLICY + entry, "t").keys[0].held is None


def test_a_ledger_that_answers_for_its_own_key_is_a_warning() -> None:
    itself = Message("trust-held-by-itself", number=1, ledger=LEDGER)
    assert itself in parse_trust(POLICY + LEDGER_ENTRY + HELD, "t").warnings
    assert itself not in parse_trust(POLICY + LEDGER_ENTRY + HELD.replace(LEDGER, "auditor"), "t").warnings


def test_a_gateways_key_that_an_unlisted_ledger_answers_for_is_a_warning() -> None:
    for entry in (METER_ENTRY, STATEMENT_ENTRY, LEDGER_ENTRY):  # of a ledger's key, whoever has looked may say so
        found = parse_trust(POLICY + entry + HELD.replace(LEDGER, "demo-leger"), "t").warnings
        unknown = Message("trust-held-by-unknown", number=1, by="demo-leger", ledgers=(LEDGER,))
        assert (unknown in found) == (entry != LEDGER_ENTRY)
        known = parse_trust(POLICY + entry + HELD, "t").warnings
        assert "trust-held-by-unknown" not in {one.code for one in known}


def test_a_policy_file_holds_the_ledgers_own_word() -> None:
    entry = METER_ENTRY + 'held = "hardware"\nevidence = "seen"\n'
    found = parse_trust(entry, "policy.toml", anchored=False, of_ledger=True).keys[0]
    assert (found.held, entry_of(found)) == (Held(None, None, "seen"), entry)
    for wrong, place in ((METER_ENTRY + HELD, "key 1.held_by"), (entry.replace("evidence", "#"), "key 1.evidence")):
        with pytest.raises(TrustFileError) as refused:
            parse_trust(wrong, "policy.toml", anchored=False, of_ledger=True)
        assert refused.value.key == place


def test_a_file_says_when_it_was_made_and_until_when_it_counts() -> None:
    dates = "made = 2026-12-01T08:00:00+08:00\nexpires = 2027-03-01T00:00:00Z\n"
    found = parse_trust(WHOLE.replace("receipts", dates + "receipts"), "t")
    assert (found.made, found.expires) == (1_796_083_200, 1_803_859_200)
    assert (parse_trust(WHOLE, "t").made, parse_trust(WHOLE, "t").expires) == (None, None)


def warned(receipts: int, ledgers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(str, trust(receipts=receipts, ledgers=ledgers).warnings))


def test_less_than_a_majority_is_a_warning() -> None:
    assert "is not a majority" in warned(1, ("a", "b"))[0]
    assert "is not a majority" in warned(2, ("a", "b", "c", "d"))[0]
    assert warned(1, ("a",)) == warned(2, ("a", "b", "c")) == warned(3, ("a", "b", "c", "d")) == ()


def test_a_ledger_without_a_key_is_a_warning_and_so_is_a_key_without_its_ledger() -> None:
    listed = parse_trust(POLICY + METER_ENTRY, "t").warnings
    assert listed == (Message("trust-ledger-no-key", ledger="demo-ledger"),)
    other = key_entry("ledger", key("x").public, VALID_FROM, ledger="other")
    assert "not listed in policy.ledgers" in str(parse_trust(WHOLE + other, "t").warnings[0])
    on_chain = POLICY.replace("demo-ledger", "consortium") + CHAIN
    assert parse_trust(on_chain, "t").warnings == ()


def test_the_policy_may_ask_for_verifiers() -> None:
    assert parse_trust(WHOLE, "t").attested == 0
    assert parse_trust(WHOLE.replace("receipts", "attested = 2\nreceipts"), "t").attested == 2


def test_the_most_that_a_record_may_be_held_back() -> None:
    assert parse_trust(WHOLE, "t").max_delay_s is None
    for text, seconds in (("8d", 691_200), ("36h", 129_600), ("1.5h", 5_400), ("2000ms", 2), ("36500d", 3_153_600_000)):
        assert parse_trust(WHOLE.replace("receipts", f'max_delay = "{text}"\nreceipts'), "t").max_delay_s == seconds


def test_several_senders_and_chains_of_one_ledger_are_one_ledger() -> None:
    other_sender = CHAIN.replace("0x7099", "0x7199")
    elsewhere = CHAIN.replace("consortium", "second").replace("31337", "31338")
    assert len(parse_trust(WHOLE + CHAIN + other_sender + elsewhere, "t").chains) == 3


def test_one_key_of_two_meters_or_gateways_is_a_warning() -> None:
    elsewhere = key_entry("meter", METER_KEY, VALID_FROM, gateway="other", meter=METER)
    both = key_entry("statement", STATEMENT_KEY, VALID_FROM, gateway="other")
    named = {
        "key 4 is the same as key 1": (f"meter {METER} of {GATEWAY}", f"meter import-main of {GATEWAY}"),
        "key 5 is the same as key 1": (f"meter {METER} of {GATEWAY}", f"meter {METER} of other"),
        "key 6 is the same as key 2": (f"gateway {GATEWAY}", "gateway other"),
    }
    warnings = [f"{key}: {a} and {b} could sign for each other" for key, (a, b) in named.items()]
    assert [str(x) for x in parse_trust(WHOLE + OTHER_METER + elsewhere + both, "t").warnings] == warnings


OTHER_METER = key_entry("meter", METER_KEY, VALID_FROM, gateway=GATEWAY, meter="import-main")
WEAK = base64url(cbor.encode({1: 1, -1: 6, -2: bytes(32)}))

# what: (text, the place, the problem, the way out)
WRONG: dict[str, tuple[str, str, str, str]] = {
    "no TOML": ("[policy", "", "is not TOML", "correct that line"),
    "no policy": (METER_ENTRY, "policy", "missing", "add [policy]"),
    "a policy that is no table": ("policy = 1\n", "policy", "missing", "add [policy]"),
    "an unknown table": (WHOLE + "[keys]\n", "keys", "unknown key", "use one of: chain, key, log, policy, witness"),
    "an unknown key of policy": (WHOLE.replace("receipts", "reciepts"), "policy.reciepts", "unknown key", "receipts"),
    "no receipts": (WHOLE.replace("receipts = 1\n", ""), "policy.receipts", "is None", "from 1 to 1"),
    "receipts = 0": (WHOLE.replace("receipts = 1", "receipts = 0"), "policy.receipts", "is 0", "from 1 to 1"),
    "receipts = 2 of 1": (WHOLE.replace("receipts = 1", "receipts = 2"), "policy.receipts", "is 2", "from 1 to 1"),
    "receipts = true": (WHOLE.replace("receipts = 1", "receipts = true"), "policy.receipts", "is True", "whole number"),
    "receipts as text": (WHOLE.replace("receipts = 1", 'receipts = "1"'), "policy.receipts", "is '1'", "whole number"),
    "attested below 0": (WHOLE.replace("receipts", "attested = -1\nreceipts"), "policy.attested", "is -1", "0 or more"),
    "attested = true": (WHOLE.replace("receipts", "attested = true\nreceipts"), "policy.attested", "is True", "0 or"),
    "max_delay as a number": (WHOLE.replace("receipts", "max_delay = 8\nreceipts"), "policy.max_delay", "is 8", '"8d"'),
    "max_delay of weeks": (WHOLE.replace("receipts", 'max_delay = "1w"\nreceipts'), "policy.max_delay", "1w", '"8d"'),
    "max_delay in ms": (
        WHOLE.replace("receipts", 'max_delay = "1500ms"\nreceipts'),
        "policy.max_delay",
        "not a whole number of seconds",
        '"8d"',
    ),
    "max_delay of 0": (WHOLE.replace("receipts", 'max_delay = "0s"\nreceipts'), "policy.max_delay", "above 0", '"8d"'),
    "max_delay without end": (
        WHOLE.replace("receipts", f'max_delay = "{"9" * 18}d"\nreceipts'),
        "policy.max_delay",
        'at most "36500d"',
        '"8d"',
    ),
    "one contract under two names": (
        WHOLE + CHAIN + CHAIN.replace("consortium", "second").replace("0x5FbDB", "0x5fbdb").replace("0x7099", "0x7199"),
        "chain 2.contract",
        "on chain 31337 is listed for both consortium and second",
        "list it once",
    ),
    "an end before it was made": (
        WHOLE.replace("receipts", "made = 2026-12-01T00:00:00Z\nexpires = 2026-12-01T00:00:00Z\nreceipts"),
        "policy.expires",
        "is not later than policy.made",
        "trust from",
    ),
    "an end as a date": (WHOLE.replace("receipts", "expires = 2026-12-01\nreceipts"), "policy.expires", "date", "zone"),
    "held elsewhere": (POLICY + METER_ENTRY + HELD.replace("hardware", "tpm"), "key 1.held", "is 'tpm'", "hardware"),
    "hardware that nobody attests": (
        POLICY + METER_ENTRY + 'held = "hardware"\n',
        "key 1.held_by",
        "missing beside held",
        "held_by, held_at",
    ),
    "evidence alone": (POLICY + METER_ENTRY + EVIDENCE, "key 1.held", "missing beside evidence", "held_by"),
    "hardware attested by no name": (
        POLICY + METER_ENTRY + HELD.replace("demo-ledger", "the ledger"),
        "key 1.held_by",
        "is 'the ledger'",
        "a name starts",
    ),
    "empty evidence": (POLICY + METER_ENTRY + HELD + 'evidence = ""\n', "key 1.evidence", "1 to 1024", "looked at"),
    "a party's key in hardware": (POLICY + PARTY_ENTRY + HELD, "key 1.held", "unknown key", "valid_from"),
    "no ledgers": (WHOLE.replace('ledgers = ["demo-ledger"]\n', ""), "policy.ledgers", "is None", "list the ledgers"),
    "an empty list": (WHOLE.replace('["demo-ledger"]', "[]"), "policy.ledgers", "is []", "list the ledgers"),
    "a ledger as a number": (WHOLE.replace('["demo-ledger"]', "[1]"), "policy.ledgers", "is [1]", "a name starts"),
    "a ledger twice": (
        WHOLE.replace('["demo-ledger"]', '["demo-ledger", "demo-ledger"]'),
        "policy.ledgers",
        "lists a ledger twice",
        "once",
    ),
    "one key table": (POLICY + METER_ENTRY.replace("[[key]]", "[key]"), "key", "is not a list of tables", "[[key]]"),
    "no role": (
        WHOLE.replace('role = "meter"\n', ""),
        "key 1.role",
        "is None",
        "use meter, statement, ledger, party, issuer or verifier",
    ),
    "an unknown role": (WHOLE.replace('"meter"\n', '"witness"\n', 1), "key 1.role", "is 'witness'", "use meter"),
    "a role as a list": (WHOLE.replace('"meter"\n', '["meter"]\n', 1), "key 1.role", "is ['meter']", "use meter"),
    "no meter": (WHOLE.replace('meter = "export-main"\n', ""), "key 1.meter", "missing", "a name starts"),
    "a meter that is no name": (WHOLE.replace("export-main", "export main"), "key 1.meter", "is 'export main'", "name"),
    "a meter called gateway": (
        WHOLE.replace("export-main", "gateway"),
        "key 1.meter",
        "no meter can be named",
        "rename",
    ),
    "no gateway": (
        POLICY + STATEMENT_ENTRY.replace(f'gateway = "{GATEWAY}"\n', ""),
        "key 1.gateway",
        "missing",
        "a name starts",
    ),
    "an unknown key of a key": (
        WHOLE.replace("valid_from", "valid_form", 1),
        "key 1.valid_form",
        "unknown key",
        "valid_",
    ),
    "a ledger beside a meter": (
        POLICY + METER_ENTRY + 'ledger = "demo-ledger"\n',
        "key 1.ledger",
        "unknown key",
        "use one of",
    ),
    "a kid beside a meter": (POLICY + METER_ENTRY + 'kid = "AAAA"\n', "key 1.kid", "unknown key", "use one of"),
    "a meter beside a statement key": (
        POLICY + STATEMENT_ENTRY + 'meter = "export-main"\n',
        "key 1.meter",
        "unknown key",
        "use one of",
    ),
    "no public": (WHOLE.replace("public =", "#"), "key 1.public", "missing", "paste the public COSE_Key"),
    "a public key that is no base64url": (
        WHOLE.replace('public = "', 'public = "="#', 1),
        "key 1.public",
        "not base64url",
        "paste",
    ),
    "a public key that is none": (
        WHOLE.replace(METER_KEY.to_text(), "AAAA"),
        "key 1.public",
        "after the end",
        "paste the public COSE_Key",
    ),
    "a weak public key": (
        WHOLE.replace(METER_KEY.to_text(), WEAK),
        "key 1.public",
        "small order",
        "paste the public COSE_Key",
    ),
    "no valid_from": (WHOLE.replace("valid_from", "#", 1), "key 1.valid_from", "missing", "2026-11-24T00:00:00Z"),
    "a time as text": (
        POLICY + METER_ENTRY.replace("2026-11-17T11:06:40Z", '"2026-11-17"'),
        "key 1.valid_from",
        "is '2026-11-17'",
        "with its time zone",
    ),
    "a time without a zone": (
        POLICY + METER_ENTRY.replace("11:06:40Z", "11:06:40"),
        "key 1.valid_from",
        "is datetime",
        "with its time zone",
    ),
    "a date": (POLICY + METER_ENTRY.replace("T11:06:40Z", ""), "key 1.valid_from", "is datetime", "with its time zone"),
    "a time before 1970": (
        POLICY + METER_ENTRY.replace("2026-11-17", "1969-11-17"),
        "key 1.valid_from",
        "is 1969",
        "from 1970 on",
    ),
    "a time before the year 1": (
        POLICY + METER_ENTRY.replace("2026-11-17T11:06:40Z", "0001-01-01T00:00:00+23:59"),
        "key 1.valid_from",
        "is 0001",
        "from 1970 on",
    ),
    "an end before its beginning": (
        POLICY + METER_ENTRY + "valid_to = 2026-11-17T11:06:40Z\n",
        "key 1.valid_to",
        "is not later than valid_from",
        "correct one",
    ),
    "a reason without a revocation": (
        POLICY + METER_ENTRY + 'revoked_reason = "x"\n',
        "key 1.revoked_reason",
        "revoked is not set",
        "add revoked",
    ),
    "a reason that is a number": (
        POLICY + METER_ENTRY + "revoked = 2026-11-20T00:00:00Z\nrevoked_reason = 1\n",
        "key 1.revoked_reason",
        "is not text",
        "add revoked",
    ),
    "a kid that is no text": (POLICY + LEDGER_ENTRY + "kid = 1\n", "key 1.kid", "is not 1 to 256 bytes", "own kid"),
    "a kid that is empty": (POLICY + LEDGER_ENTRY + 'kid = ""\n', "key 1.kid", "is not 1 to 256 bytes", "own kid"),
    "a kid that is no base64url": (POLICY + LEDGER_ENTRY + 'kid = "="\n', "key 1.kid", "not base64url", "own kid"),
    "the same key twice": (WHOLE + METER_ENTRY, "key 4", "is the same as key 1", "keep only one"),
    "one public key as meter and statement key": (
        POLICY + METER_ENTRY + key_entry("statement", METER_KEY, VALID_FROM, gateway=GATEWAY),
        "key 2.public",
        "one public key is used as meter and as statement",
        "use a separate key for each",
    ),
    "one public key as meter and ledger key": (
        POLICY + METER_ENTRY + key_entry("ledger", METER_KEY, VALID_FROM, ledger=LEDGER),
        "key 2.public",
        "one public key is used as meter and as ledger demo-ledger",
        "use a separate key for each",
    ),
    "one public key as meter and issuer key": (
        POLICY + METER_ENTRY + key_entry("issuer", METER_KEY, VALID_FROM, party="reg"),
        "key 2.public",
        "one public key is used as meter and as issuer reg",
        "use a separate key for each",
    ),
    "one public key as party and issuer key": (
        POLICY + PARTY_ENTRY + key_entry("issuer", PARTY_KEY, VALID_FROM, party="reg"),
        "key 2.public",
        "one public key is used as party works and as issuer reg",
        "use a separate key for each",
    ),
    "one public key of two parties": (
        POLICY + PARTY_ENTRY + key_entry("party", PARTY_KEY, VALID_FROM, party="mill"),
        "key 2.public",
        "one public key is used as party works and as party mill",
        "use a separate key for each",
    ),
    "one name of a party and an issuer": (
        POLICY + PARTY_ENTRY + key_entry("issuer", METER_KEY, VALID_FROM, party="works"),
        "key 2.role",
        "party works is listed as party and as issuer",
        "use a separate name and a separate key for each role",
    ),
    "one name of a verifier and an issuer": (
        POLICY
        + key_entry("verifier", PARTY_KEY, VALID_FROM, party="reg")
        + key_entry("issuer", METER_KEY, VALID_FROM, party="reg"),
        "key 2.role",
        "party reg is listed as verifier and as issuer",
        "use a separate name and a separate key for each role",
    ),
    "a party without its name": (
        POLICY + PARTY_ENTRY.replace("party = ", "#"),
        "key 1.party",
        "missing",
        "a name starts",
    ),
    "a party whose name is none": (
        POLICY + PARTY_ENTRY.replace('"works"', '"the works"'),
        "key 1.party",
        "is 'the works'",
        "a name starts",
    ),
    "a gateway beside a party": (
        POLICY + PARTY_ENTRY + f'gateway = "{GATEWAY}"\n',
        "key 1.gateway",
        "unknown key",
        "party",
    ),
    "a party beside a statement key": (
        POLICY + STATEMENT_ENTRY + 'party = "works"\n',
        "key 1.party",
        "unknown key",
        "use one of",
    ),
    "one public key of two ledgers": (
        POLICY + LEDGER_ENTRY + key_entry("ledger", LEDGER_KEY, VALID_FROM, ledger="other", kid=b"mine"),
        "key 2.public",
        "one public key is used as ledger demo-ledger and as ledger other",
        "use a separate key for each",
    ),
    "an unknown key of a chain": (WHOLE + CHAIN + "rpc = 1\n", "chain 1.rpc", "unknown key", "chain_id"),
    "a chain without a ledger": (WHOLE + CHAIN.replace("ledger =", "#"), "chain 1.ledger", "missing", "a name starts"),
    "a chain with another id": (WHOLE + CHAIN.replace("31337", "0"), "chain 1.chain_id", "is 0", "whole number"),
    "a chain that is final before its block": (
        WHOLE + CHAIN + "confirmations = 0\n",
        "chain 1.confirmations",
        "is 0",
        "1",
    ),
    "a chain that is final at a text": (
        WHOLE + CHAIN + "confirmations = '1'\n",
        "chain 1.confirmations",
        "is '1'",
        "1",
    ),
    "a chain with a short address": (
        WHOLE + CHAIN.replace("0x5F", "0x"),
        "chain 1.contract",
        "is '0x",
        "40 hexadecimal",
    ),
    "a chain with an address of other digits": (
        WHOLE + CHAIN.replace("0x5F", "0xXY"),
        "chain 1.contract",
        "is '0xXY",
        "40 hexadecimal",
    ),
    "a chain without a sender": (WHOLE + CHAIN.replace("sender =", "#"), "chain 1.sender", "is None", "40 hexadecimal"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong(what: str) -> None:
    text, place, problem, way_out = WRONG[what]
    with pytest.raises(TrustFileError) as caught:
        parse_trust(text, "site/trust.toml")
    error = caught.value
    assert (error.source, error.key) == ("site/trust.toml", place)
    assert problem in error.problem
    assert way_out in error.way_out
    assert str(error).startswith("site/trust.toml: ")
    assert str(error).endswith(error.way_out)


def test_one_key_may_serve_two_meters_of_one_role() -> None:
    assert len(parse_trust(WHOLE + OTHER_METER, "t").keys) == 4


def test_the_same_key_written_differently_is_still_one_key() -> None:
    fields = cbor.decode(METER_KEY.cose_key)
    disguised = PublicKey.from_cose_key(cbor.encode({**fields, 2: b"another"}))
    with pytest.raises(TrustFileError) as refused:
        parse_trust(POLICY + METER_ENTRY + key_entry("ledger", disguised, VALID_FROM, ledger=LEDGER), "t")
    assert isinstance(refused.value.what, Message)
    assert refused.value.what.code == "trust-key-two-roles"


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    path.write_text(WHOLE)
    assert isinstance(load_trust(path), Trust)
    assert load_trust(path).source == str(path)
    path.write_bytes(b"\xff")
    with pytest.raises(TrustFileError, match="is not UTF-8"):
        load_trust(path)
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(TrustFileError, match="cannot be read"):
            load_trust(missing)


@THOROUGH
@given(st.text(max_size=60))
def test_no_other_exception_for_any_text(text: str) -> None:
    for whole in (text, POLICY + text, POLICY + "[[key]]\n" + text):
        with contextlib.suppress(TrustFileError):
            parse_trust(whole, "t")


def test_a_contract_of_claims_has_no_sender() -> None:
    """It makes no ledger of statements, and is the word of one ledger like any contract."""
    sender = next(line for line in CHAIN.splitlines() if line.startswith("sender"))
    claims = CHAIN.replace(sender, "claims = true")
    trust = parse_trust(WHOLE + claims, "t")
    assert trust.chains == parse_trust(WHOLE, "t").chains
    (registry,) = trust.registries
    assert (registry.sender, registry.ledger) == (b"", parse_trust(WHOLE + CHAIN, "t").chains[-1].ledger)
    for text, problem in (
        (CHAIN + "claims = true\n", "sender"),
        (CHAIN + 'claims = "yes"\n', "which has no sender"),
        (claims + CHAIN.replace(f'"{registry.ledger}"', '"another"'), "is listed for both"),
    ):
        with pytest.raises(TrustFileError, match=problem):
            parse_trust(WHOLE + text, "t")
