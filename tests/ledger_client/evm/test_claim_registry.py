"""ClaimRegistry itself, on a node whose EVM knows no opcode younger than London."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.carbon import claim_gas
from ledger_client.contracts.abi import Argument, NotAbi, address, flag, number
from ledger_client.contracts.claim_registry import (
    CONTRACT,
    ISSUER,
    PARTY,
    STATUSES,
    Exported,
    Issued,
    Registered,
    Retired,
    Revoked,
    Rotated,
    Transferred,
    Withdrawn,
    event,
    name_hash,
)
from ledger_client.ledgers.evm.node import Node, NodeError, Reverted
from tests.ledger_client.evm import build
from tests.ledger_client.evm.chain import accounts, chain, refused
from tests.ledger_client.evm.claims import DAY, DAY_S, NOBODY, REGISTRY, Cert, Claims, claims, h, hour

HELD, RETIRED, EXPORTED, WITHDRAWN = (STATUSES.index(status) for status in ("held", "retired", "exported", "withdrawn"))
CLAIM = h("claim")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with chain(tmp_path_factory.mktemp("chain"), "--hardfork", "london") as (_, node):
        yield node


@pytest.fixture
def made(node: Node) -> Claims:
    """A registry with an issuer, a buyer and another party."""
    return claims(node)


def no(made: Claims, who: str, method: str, *arguments: Argument) -> str:
    """Why a party's next claim is refused; its number stays free."""
    before = made.next(who)
    why = refused(made.registry, made.account[who], method, made.numbers[who], *arguments)
    assert made.next(who) == before
    return why


def no_issue(made: Claims, *certs: Cert, who: str = "issuer") -> str:
    return no(made, who, "issue", h(certs[0].device), [cert.interval for cert in certs])


def moved(made: Claims, who: str, cert: Cert, start: int, a: int, b: int, to: str = "other") -> None:
    made.claim(who, "transfer", cert.id, start, a, b, h(to), CLAIM)


def unmoved(made: Claims, who: str, cert: Cert, start: int, a: int, b: int, to: str = "other") -> str:
    return no(made, who, "transfer", cert.id, start, a, b, h(to), CLAIM)


def retired(made: Claims, who: str, cert: Cert, start: int, a: int, b: int) -> None:
    made.claim(who, "retire", cert.id, start, a, b, "consumption", cert.begin, cert.end, h("for"), CLAIM)


def test_what_stands_on_the_chain_is_what_we_ship_and_the_registry_s_name(made: Claims) -> None:
    registry = made.registry
    assert registry.node.code(registry.address) == CONTRACT.runtime_code() + name_hash(REGISTRY)
    assert registry.view("registry") == [h(REGISTRY)]


def test_a_registry_has_a_name(node: Node) -> None:
    with pytest.raises(NodeError, match="No name"):
        node.gas(accounts(node)[0], CONTRACT.creation_code(""), None)


def test_nothing_is_called_but_what_is_precompiled() -> None:
    """So that nobody can call back: no call with value, of another's code, no creation, no end."""
    opcodes = build.vyper("ClaimRegistry", "asm")[0].split()
    assert not {"CALL", "CALLCODE", "DELEGATECALL", "CREATE", "CREATE2", "SELFDESTRUCT"} & set(opcodes)
    called = [opcodes[i - 3 : i] for i, opcode in enumerate(opcodes) if opcode == "STATICCALL"]
    sha256, identity = (["PUSH1", address, "GAS"] for address in ("0x02", "0x04"))
    assert sha256 in called
    assert [call for call in called if call not in (sha256, identity)] == []


def test_a_certificate_is_issued(made: Claims) -> None:
    cert = hour(5, 2**40)
    receipt = made.issue(cert)
    assert made.slice(cert, 0) == (2**40, HELD, h("buyer"))
    assert made.quarters() == 0xF << 20
    assert made.next("issuer") == 1
    (log,) = receipt.logs
    assert event(log.topics, log.data) == Issued(
        cert.id, h("issuer"), h("buyer"), 0, h("turbine"), cert.begin, cert.end, 2**40, h("period 0"), h("row 5"),
        h("claim of row 5"), made.account["issuer"],
    )  # fmt: skip


def test_a_day_goes_in_one_call_and_each_hour_takes_a_number(made: Claims) -> None:
    made.issue(hour(-24))
    hours = [hour(n, n + 1, "buyer" if n % 2 else "other") for n in range(24)]
    receipt = made.issue(*hours)
    events = [event(log.topics, log.data) for log in receipt.logs]
    assert [(one.cert, one.number) for one in events if isinstance(one, Issued)] == [
        (cert.id, n + 1) for n, cert in enumerate(hours)
    ]
    assert made.quarters() == 2**96 - 1
    assert made.quarters(day=DAY - 1) == 0xF
    assert made.next("issuer") == 25
    assert [made.slice(cert, 0) for cert in hours] == [(n + 1, HELD, h(cert.holder)) for n, cert in enumerate(hours)]


def test_the_same_call_again_does_nothing(made: Claims) -> None:
    hours = [hour(n) for n in range(3)]
    made.issue(*hours)
    moved(made, "buyer", hours[0], 0, 0, 30)
    sender, registry = made.account["issuer"], made.registry
    data = CONTRACT.call("issue", 0, h("turbine"), [cert.interval for cert in hours])
    assert not flag(registry.node.call(registry.address, data, sender))
    assert registry.send(sender, "issue", 0, h("turbine"), [cert.interval for cert in hours]).logs == []
    assert made.next("issuer") == 3
    assert made.slice(hours[0], 0) == (30, HELD, h("other"))


def test_another_call_under_a_taken_number_is_refused(made: Claims) -> None:
    hours = [hour(n) for n in range(3)]
    made.issue(*hours)
    sender, registry = made.account["issuer"], made.registry
    for certs in ([], [hour(3)], [hours[0], hour(3)], [hours[0]._replace(units=99)]):
        intervals = [cert.interval for cert in certs]
        assert refused(registry, sender, "issue", 0, h("turbine"), intervals) == "Claim number taken"
    made.claim("issuer", "withdraw", *hours[1].parts, "wrong", CLAIM)
    again = [cert.interval for cert in hours]
    assert refused(registry, sender, "issue", 0, h("turbine"), again) == "Claim number taken"


@pytest.mark.parametrize(
    ("begin", "end", "units"),
    [
        (1, 900, 5),  # off the quarter
        (0, 901, 5),
        (0, 0, 5),
        (900, 0, 5),
        (0, 4500, 5),  # above an hour
        (DAY_S - 900, DAY_S + 900, 5),  # two days
        (0, 900, 0),
    ],
)
def test_an_interval_that_is_none_is_malformed(made: Claims, begin: int, end: int, units: int) -> None:
    start = DAY * DAY_S
    bad = hour(0)._replace(begin=start + begin, end=start + end, units=units)
    assert no_issue(made, bad) == "Malformed claim"
    assert no_issue(made, hour(2), bad) == "Malformed claim"


def test_a_call_is_of_one_day_and_of_one_to_24_intervals(made: Claims) -> None:
    assert no_issue(made, hour(0), hour(24)) == "Malformed claim"
    assert no_issue(made, hour(0), hour(-1)) == "Malformed claim"
    midnight = hour(0).begin
    for across in (midnight - 900, midnight + DAY_S - 900):
        assert no_issue(made, hour(5), hour(6)._replace(begin=across, end=across + 1800)) == "Malformed claim"
    assert no(made, "issuer", "issue", h("turbine"), []) == "Malformed claim"
    quarters = [hour(0)._replace(begin=DAY * DAY_S + n * 900, end=DAY * DAY_S + n * 900 + 900) for n in range(25)]
    with pytest.raises(Reverted):
        made.issue(*quarters)
    made.issue(*quarters[:24])
    assert made.quarters() == 2**24 - 1


def test_an_hour_and_its_quarters_exclude_each_other(made: Claims) -> None:
    first = hour(7)
    second = first._replace(end=first.begin + 900)
    made.issue(first)
    assert no_issue(made, second) == "Origin taken"
    assert no_issue(made, hour(8), second) == "Origin taken"
    made.issue(second._replace(begin=first.end, end=first.end + 900))
    assert no_issue(made, hour(8)) == "Origin taken"
    assert no_issue(made, hour(9), hour(9)._replace(row="another")) == "Origin taken"
    made.issue(hour(8)._replace(device="another turbine"))


def test_no_issuer_takes_what_another_has_issued(made: Claims) -> None:
    made.register("rival", ISSUER)
    made.issue(hour(0))
    assert no_issue(made, hour(0, issuer="rival"), who="rival") == "Origin taken"
    assert no(made, "rival", "withdraw", *hour(0).parts, "mine", CLAIM) == "Not the issuer"


def test_the_same_certificate_under_the_next_number_is_refused(made: Claims) -> None:
    made.issue(hour(0))
    assert no_issue(made, hour(0)) == "Origin taken"
    made.claim("issuer", "withdraw", *hour(0).parts, "wrong", CLAIM)
    assert no_issue(made, hour(0)) == "Final"
    made.issue(hour(0)._replace(units=99))


def test_whoever_is_no_issuer_issues_and_withdraws_nothing(made: Claims) -> None:
    made.issue(hour(0))
    assert no_issue(made, hour(1), who="buyer") == "Not the issuer"
    assert no(made, "buyer", "withdraw", *hour(0).parts, "mine", CLAIM) == "Not the issuer"


def test_an_issuer_holds_and_moves_nothing(made: Claims) -> None:
    made.issue(hour(0))
    assert no_issue(made, hour(1, holder="issuer")) == "Unknown party"
    assert unmoved(made, "buyer", hour(0), 0, 0, 100, to="issuer") == "Unknown party"
    assert unmoved(made, "issuer", hour(0), 0, 0, 100) == "Unknown party"


def test_an_unknown_party_gets_nothing(made: Claims) -> None:
    made.issue(hour(0))
    assert no_issue(made, hour(1, holder="nobody")) == "Unknown party"
    assert unmoved(made, "buyer", hour(0), 0, 0, 100, to="nobody") == "Unknown party"
    same_start = h("other")[:20] + bytes(12)
    assert no(made, "buyer", "transfer", hour(0).id, 0, 0, 100, same_start, CLAIM) == "Unknown party"


def test_numbers_have_no_hole_and_serve_once(made: Claims) -> None:
    made.issue(hour(0))
    moved(made, "buyer", hour(0), 0, 0, 10)
    calls: dict[str, tuple[Argument, ...]] = {
        "transfer": (hour(0).id, 10, 10, 20, h("other"), CLAIM),
        "retire": (hour(0).id, 10, 10, 20, "consumption", 1, 2, h("for"), CLAIM),
        "export": (hour(0).id, 10, 10, 20, "elsewhere", "7", CLAIM),
        "withdraw": (*hour(0).parts, "wrong", CLAIM),
        "issue": (h("turbine"), [hour(1).interval]),
    }
    for who in ("buyer", "issuer"):
        for method, arguments in calls.items():
            assert refused(made.registry, made.account[who], method, 0, *arguments) == "Claim number taken"
            for ahead in (2, 3, 2**64 - 1):
                assert refused(made.registry, made.account[who], method, ahead, *arguments) == "Out of order"


@pytest.mark.parametrize(
    ("a", "b", "left"),
    [
        (0, 100, []),
        (0, 40, [(40, 100)]),
        (60, 100, [(0, 60)]),
        (20, 60, [(0, 20), (60, 100)]),
    ],
)
def test_a_part_splits_the_slice(made: Claims, a: int, b: int, left: list[tuple[int, int]]) -> None:
    cert = hour(0)
    made.issue(cert)
    receipt = made.claim("buyer", "transfer", cert.id, 0, a, b, h("other"), CLAIM)
    assert made.slice(cert, a) == (b, HELD, h("other"))
    for begin, end in left:
        assert made.slice(cert, begin) == (end, HELD, h("buyer"))
    (log,) = receipt.logs
    assert event(log.topics, log.data) == Transferred(
        cert.id, h("buyer"), h("other"), 0, 0, a, b, CLAIM, made.account["buyer"]
    )


def test_a_part_goes_on_through_slices(made: Claims) -> None:
    """Units count, not how they came: what was split moves in one claim, and stays split."""
    cert = hour(0)
    made.issue(cert)
    moved(made, "buyer", cert, 0, 20, 40, to="buyer")
    moved(made, "buyer", cert, 0, 10, 50)
    assert [made.slice(cert, start) for start in (0, 10, 20, 40, 50)] == [
        (10, HELD, h("buyer")), (20, HELD, h("other")), (40, HELD, h("other")), (50, HELD, h("other")),
        (100, HELD, h("buyer")),
    ]  # fmt: skip
    assert unmoved(made, "other", cert, 10, 10, 51) == "Not the holder"
    assert unmoved(made, "buyer", cert, 0, 5, 60) == "Not the holder"
    retired(made, "other", cert, 20, 25, 50)
    assert unmoved(made, "other", cert, 10, 15, 30) == "Final"


def test_what_is_no_part_of_a_slice_is_refused(made: Claims) -> None:
    cert = hour(0)
    made.issue(cert)
    moved(made, "buyer", cert, 0, 40, 60, to="buyer")
    for start, a, b in ((1, 1, 2), (20, 20, 30), (0, 40, 50), (40, 39, 50), (0, 60, 61), (60, 60, 101), (0, 100, 101)):
        assert unmoved(made, "buyer", cert, start, a, b) == "Not this slice"
    assert unmoved(made, "buyer", hour(1), 0, 0, 1) == "Not this slice"
    for a, b in ((0, 0), (5, 4)):
        assert unmoved(made, "buyer", cert, 0, a, b) == "Malformed claim"
        assert no(made, "buyer", "export", cert.id, 0, a, b, "elsewhere", "7", CLAIM) == "Malformed claim"
        assert no(made, "buyer", "retire", cert.id, 0, a, b, "use", 1, 2, h("for"), CLAIM) == "Malformed claim"
    for begin, end in ((2, 2), (3, 2)):
        assert no(made, "buyer", "retire", cert.id, 0, 0, 1, "use", begin, end, h("for"), CLAIM) == "Malformed claim"


def test_only_the_holder_moves_a_slice(made: Claims) -> None:
    cert = hour(0)
    made.issue(cert)
    for method, rest in (
        ("transfer", (h("other"), CLAIM)),
        ("retire", ("use", 1, 2, h("for"), CLAIM)),
        ("export", ("elsewhere", "7", CLAIM)),
    ):
        assert no(made, "other", method, cert.id, 0, 0, 10, *rest) == "Not the holder"
    moved(made, "buyer", cert, 0, 0, 100)
    assert unmoved(made, "buyer", cert, 0, 0, 100) == "Not the holder"


def test_what_is_retired_or_exported_is_final(made: Claims) -> None:
    cert = hour(0)
    made.issue(cert)
    first = made.claim("buyer", "retire", cert.id, 0, 0, 30, "a use: 用电", 7, 8, h("for"), CLAIM)
    second = made.claim("buyer", "export", cert.id, 30, 30, 60, "elsewhere", "reference " + "x" * 118, CLAIM)
    assert made.slice(cert, 0) == (30, RETIRED, h("buyer"))
    assert made.slice(cert, 30) == (60, EXPORTED, h("buyer"))
    assert made.slice(cert, 60) == (100, HELD, h("buyer"))
    events = [event(log.topics, log.data) for log in (*first.logs, *second.logs)]
    account = made.account["buyer"]
    assert events == [
        Retired(cert.id, h("buyer"), h("for"), 0, 0, 0, 30, 7, 8, CLAIM, account, "a use: 用电"),
        Exported(cert.id, h("buyer"), 1, 30, 30, 60, CLAIM, account, "elsewhere", "reference " + "x" * 118),
    ]
    for start in (0, 30):
        for who in ("buyer", "other"):
            assert unmoved(made, who, cert, start, start, start + 1) == "Final"
            assert no(made, who, "retire", cert.id, start, start, start + 1, "use", 1, 2, h("for"), CLAIM) == "Final"
            assert no(made, who, "export", cert.id, start, start, start + 1, "elsewhere", "7", CLAIM) == "Final"
    assert no(made, "issuer", "withdraw", *cert.parts, "wrong", CLAIM) == "Final"


def test_text_above_what_the_contract_takes_is_refused(made: Claims) -> None:
    made.issue(hour(0))
    with pytest.raises(Reverted):
        made.claim("buyer", "retire", hour(0).id, 0, 0, 1, "x" * 65, 1, 2, h("for"), CLAIM)
    with pytest.raises(Reverted):
        made.claim("buyer", "export", hour(0).id, 0, 0, 1, "x" * 65, "7", CLAIM)
    with pytest.raises(Reverted):
        made.claim("buyer", "export", hour(0).id, 0, 0, 1, "x", "7" * 129, CLAIM)
    made.claim("buyer", "export", hour(0).id, 0, 0, 1, "x" * 64, "7" * 128, CLAIM)


def test_an_issuer_takes_back_what_its_first_holder_holds(made: Claims) -> None:
    cert = hour(5)
    made.issue(cert, hour(6))
    moved(made, "buyer", cert, 0, 40, 60)
    assert no(made, "issuer", "withdraw", *cert.parts, "read wrongly", CLAIM) == "Not the holder"
    moved(made, "other", cert, 40, 40, 60, to="buyer")
    receipt = made.claim("issuer", "withdraw", *cert.parts, "read wrongly", CLAIM)
    assert [made.slice(cert, start) for start in (0, 40, 60)] == [(end, WITHDRAWN, h("buyer")) for end in (40, 60, 100)]
    assert made.quarters() == 0xF << 24
    (log,) = receipt.logs
    assert event(log.topics, log.data) == Withdrawn(
        cert.id, h("issuer"), h("buyer"), 2, h("turbine"), cert.begin, cert.end, 100, h("period 0"), h("row 5"), CLAIM,
        made.account["issuer"], "read wrongly",
    )  # fmt: skip
    assert no(made, "issuer", "withdraw", *cert.parts, "again", CLAIM) == "Final"
    assert unmoved(made, "buyer", cert, 0, 0, 100) == "Final"
    assert unmoved(made, "buyer", cert, 40, 40, 60) == "Final"
    made.issue(cert._replace(units=90))
    assert made.quarters() == 0xFF << 20


def test_no_other_certificate_is_taken_back_than_the_one_that_is_named(made: Claims) -> None:
    cert = hour(0)
    made.issue(cert)
    changed = {"device": "another", "begin": 1, "end": 2, "units": 99, "period": "x", "row": "x", "holder": "other"}
    for part, value in changed.items():
        other = cert._replace(**{part: value})  # type: ignore[arg-type]
        assert no(made, "issuer", "withdraw", *other.parts, "wrong", CLAIM) == "Not the issuer"


def test_an_account_that_is_not_registered_claims_nothing(made: Claims) -> None:
    made.issue(hour(0))
    for stranger in (made.registry.owner, made.fresh()):
        assert refused(made.registry, stranger, "issue", 0, h("turbine"), [hour(1).interval]) == "Unknown party"
        move = hour(0).id, 0, 0, 100, h("other"), CLAIM
        assert refused(made.registry, stranger, "transfer", 0, *move) == "Unknown party"


def test_a_rotated_account_hands_on_numbers_and_slices(made: Claims) -> None:
    made.issue(hour(0))
    moved(made, "buyer", hour(0), 0, 0, 10)
    old, new = made.account["buyer"], made.fresh()
    made.call_as_owner("rotate", old, new)
    assert made.next("buyer") == 1
    assert address(made.registry.view("accountOf", h("buyer"))[0]) == new
    assert unmoved(made, "buyer", hour(0), 10, 10, 100) == "Unknown party"
    made.account["buyer"] = new
    assert refused(made.registry, new, "transfer", 0, hour(0).id, 10, 10, 20, h("other"), CLAIM) == "Claim number taken"
    moved(made, "buyer", hour(0), 10, 10, 20)
    moved(made, "other", hour(0), 0, 0, 10, to="buyer")
    assert [standing(made, account) for account in (old, new)] == [
        (h("buyer"), PARTY, False), (h("buyer"), PARTY, True)
    ]  # fmt: skip


def test_a_revoked_party_keeps_what_it_holds_gets_nothing_and_comes_back(made: Claims) -> None:
    made.issue(hour(0))
    moved(made, "buyer", hour(0), 0, 0, 10)
    old = made.account["buyer"]
    made.call_as_owner("revoke", old)
    assert unmoved(made, "buyer", hour(0), 10, 10, 100) == "Unknown party"
    assert unmoved(made, "other", hour(0), 0, 0, 10, to="buyer") == "Unknown party"
    assert no_issue(made, hour(1)) == "Unknown party"
    assert address(made.registry.view("accountOf", h("buyer"))[0]) == NOBODY
    assert standing(made, old) == (h("buyer"), PARTY, False)
    assert made.slice(hour(0), 10) == (100, HELD, h("buyer"))
    assert refused(made.registry, made.registry.owner, "register", old, "buyer", PARTY) == "Account was used before"
    assert made.next("buyer") == 1
    made.register("buyer", PARTY)
    assert made.next("buyer") == 1
    moved(made, "buyer", hour(0), 10, 10, 100)


def test_a_revoked_issuer_issues_nothing(made: Claims) -> None:
    made.issue(hour(0))
    made.call_as_owner("revoke", made.account["issuer"])
    assert no_issue(made, hour(1)) == "Unknown party"
    sender = made.account["issuer"]
    assert refused(made.registry, sender, "issue", 0, h("turbine"), [hour(0).interval]) == "Unknown party"


def standing(made: Claims, account: bytes) -> tuple[bytes, int, bool]:
    party, role, active = made.registry.view("party", account, count=3)
    return party, number(role), flag(active)


def test_what_an_owner_cannot_do(made: Claims) -> None:
    new, owner, buyer = made.fresh(), made.registry.owner, made.account["buyer"]
    for arguments, why in (
        ((new, "buyer", PARTY), "Party has an account: rotate"),
        ((new, "buyer", ISSUER), "Name has another role"),
        ((new, "issuer", PARTY), "Name has another role"),
        ((buyer, "new", PARTY), "Account was used before"),
        ((buyer, "new", ISSUER), "Account was used before"),
        ((new, "", PARTY), "No name"),
        ((new, "new", 0), "No role"),
        ((new, "new", 3), "No role"),
        ((NOBODY, "new", PARTY), "No account"),
    ):
        assert refused(made.registry, owner, "register", *arguments) == why
    assert refused(made.registry, owner, "rotate", new, made.fresh()) == "Unknown account"
    assert refused(made.registry, owner, "rotate", buyer, buyer) == "Account was used before"
    assert refused(made.registry, owner, "rotate", buyer, made.account["issuer"]) == "Account was used before"
    assert refused(made.registry, owner, "rotate", buyer, NOBODY) == "No account"
    assert refused(made.registry, owner, "revoke", new) == "Unknown account"
    made.call_as_owner("revoke", buyer)
    assert refused(made.registry, owner, "revoke", buyer) == "Unknown account"
    assert refused(made.registry, owner, "rotate", buyer, new) == "Unknown account"
    assert refused(made.registry, owner, "register", new, "buyer", ISSUER) == "Name has another role"


@pytest.mark.parametrize("method", ["register", "rotate", "revoke", "offerOwnership"])
def test_only_the_owner_rules(made: Claims, method: str) -> None:
    new = made.fresh()
    arguments: dict[str, tuple[Argument, ...]] = {
        "register": (new, "new", PARTY),
        "rotate": (made.account["buyer"], new),
        "revoke": (made.account["buyer"],),
        "offerOwnership": (new,),
    }
    for stranger in (made.account["issuer"], new):
        assert refused(made.registry, stranger, method, *arguments[method]) == "Not the owner"


def test_ownership_is_offered_and_taken(made: Claims) -> None:
    heir, other = made.fresh(), made.fresh()
    made.call_as_owner("offerOwnership", heir)
    assert address(made.registry.view("owner")[0]) == made.registry.owner
    assert address(made.registry.view("heir")[0]) == heir
    assert refused(made.registry, other, "takeOwnership") == "Not the heir"
    made.registry.send(heir, "takeOwnership")
    assert address(made.registry.view("owner")[0]) == heir
    assert refused(made.registry, made.registry.owner, "revoke", made.account["buyer"]) == "Not the owner"
    assert refused(made.registry, heir, "takeOwnership") == "Not the heir"
    made.registry.send(heir, "revoke", made.account["buyer"])


def test_accounts_are_told_of(made: Claims) -> None:
    issuer, buyer, other = (made.account[name] for name in ("issuer", "buyer", "other"))
    new = made.fresh()
    made.call_as_owner("rotate", buyer, new)
    made.call_as_owner("revoke", other)
    assert made.events() == [
        Registered(h("issuer"), issuer, ISSUER, "issuer"),
        Registered(h("buyer"), buyer, PARTY, "buyer"),
        Registered(h("other"), other, PARTY, "other"),
        Rotated(h("buyer"), buyer, new),
        Revoked(h("other"), other),
    ]


def test_the_contract_takes_no_money_and_knows_no_other_call(made: Claims) -> None:
    sender, registry = made.account["buyer"], made.registry
    for data in (b"", b"\0\0\0\0", CONTRACT.call("transfer", 0, hour(0).id), CONTRACT.call("revoke", 2**200)):
        with pytest.raises(Reverted):
            registry.node.call(registry.address, data, sender)
    asked = {"from": "0x" + sender.hex(), "to": "0x" + registry.address.hex(), "value": "0x1", "data": "0x60536172"}
    with pytest.raises(Exception, match="revert"):
        registry.node.ask("eth_call", asked, "latest")


def test_an_event_of_another_form_is_no_event_of_ours(made: Claims) -> None:
    made.issue(hour(0))
    made.claim("buyer", "export", hour(0).id, 0, 0, 1, "elsewhere", "7", CLAIM)
    log = made.registry.logs()[-1]
    assert isinstance(event(log.topics, log.data), Exported)
    assert event([h("another event")], log.data) is None
    for topics, data in (
        (log.topics, log.data[:-32]),
        (log.topics, log.data + bytes(32)),
        (log.topics, log.data[:-1] + b"\1"),  # not what pads a text
        (log.topics, log.data[:32 * 6] + (2**64 - 1).to_bytes(32) + log.data[32 * 7 :]),
        (log.topics, b"\1" + log.data[1:]),
        (log.topics[:2], log.data),
        (log.topics + log.topics * 3, log.data),
    ):  # fmt: skip
        with pytest.raises(NotAbi):
            event(topics, data)


def test_what_claims_cost(node: Node) -> None:
    """On London's prices; docs/evm.md says the figures."""
    gas = claim_gas.measure(node)
    bounds = {
        "gas_issue_hour": 35_000,
        "gas_transfer_whole": 45_000,
        "gas_transfer_end": 70_000,
        "gas_transfer_middle": 95_000,
        "gas_retire_whole": 50_000,
    }
    assert {name: used for name, used in gas.items() if used > bounds.get(name, used)} == {}
