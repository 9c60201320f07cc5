"""The registry on a chain: what its driver writes, once each, and what it shows of the contract's events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ledger_client.claims.certificate import HELD, RETIRED, WITHDRAWN, Slice, digest
from ledger_client.claims.claim import Attest, Deed, Export, Issue, Retire, Transfer, Withdraw, parse_claim
from ledger_client.claims.registry import (
    FINAL,
    MALFORMED,
    NOT_THE_HOLDER,
    NOT_THE_ISSUER,
    NOT_THIS_SLICE,
    NUMBER_TAKEN,
    ORIGIN_TAKEN,
    OUT_OF_ORDER,
    UNKNOWN_PARTY,
)
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.formats.bundle import Locator, decode_locator
from ledger_client.ledgers.evm.node import Node
from tests.ledger_client.evm.chain import chain, deploy
from tests.ledger_client.evm.claim_site import REGISTRY, ClaimSite, claim_site
from tests.ledger_client.evm.evm_site import CHAIN
from tests.ledger_client.evm.proxy import proxy
from tests.support.certificates.claimed import UNITS, issue
from tests.support.processes import Anvil


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain"), "--slots-in-an-epoch", "1") as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node]) -> ClaimSite:
    return claim_site(*running)


def claim(site: ClaimSite, who: str, deed: Deed) -> tuple[bytes, Locator]:
    """A party's next claim, written: its entry, and where."""
    entry = site.parties[who].sign(deed)
    site.kept[parse_claim(entry).id] = entry
    with site.driver(who) as driver:
        return entry, decode_locator(driver.submit(entry))


def refused(site: ClaimSite, who: str, deed: Deed, number: int | None = None) -> Refused:
    """Why a claim is not written; it does not count as the party's next."""
    party = site.parties[who]
    before = site.registry.logs()
    entry = party.sign(deed, party.number if number is None else number)
    with site.driver(who) as driver, pytest.raises(Refused) as caught:
        driver.submit(entry)
    assert site.registry.logs() == before
    return caught.value


def hour_of(site: ClaimSite, first: int = 0) -> bytes:
    """The certificate of an hour, issued to the owner."""
    deed = issue("owner", first=first)
    claim(site, "mint", deed)
    return site.parties["mint"].cert(deed)


def test_the_whole_walk_of_a_certificate(site: ClaimSite) -> None:
    deed = issue("owner")
    cert = site.parties["mint"].cert(deed)
    entries = [claim(site, "mint", deed)]
    entries += [claim(site, "owner", Transfer(cert, (10, 40), "works"))]
    entries += [claim(site, "works", Retire(cert, (20, 30), "scope 2", 0, 3_600_000, b"\x07" * 32))]
    with site.driver(None) as looking:
        shown = looking.certificate(cert)
        assert shown is not None
        made = shown.certificate
        assert (made.issuer, made.holder, made.units, made.device) == ("mint", "owner", UNITS, digest("dev"))
        assert (made.from_ms, made.to_ms) == (deed.origin.from_ms, deed.origin.to_ms)
        assert shown.slices == (
            Slice(0, 10, HELD, "owner"), Slice(10, 20, HELD, "works"), Slice(20, 30, RETIRED, "works"),
            Slice(30, 40, HELD, "works"), Slice(40, 100, HELD, "owner"),
        )  # fmt: skip
        assert [(one.entry, decode_locator(one.receipt)) for one in shown.claims] == entries
        assert [one.slices for one in looking.of_holder("owner")] == [(shown.slices[0], shown.slices[4])]
        assert [one.slices for one in looking.of_device(digest("dev"), 0, 3_600_000)] == [shown.slices]
        assert list(looking.of_device(digest("dev"), 1, 3_600_000)) == []
        assert (looking.party("owner"), looking.party("nobody")) == ((1, "party"), (0, None))
        assert looking.party("mint") == (1, "issuer")
        assert looking.certificate(bytes(32)) is None
    for _, place in entries:
        receipt = site.node.receipt(place.tx)
        assert receipt is not None
        assert place == Locator(REGISTRY, CHAIN, site.registry.address, receipt.tx, receipt.block, receipt.block_hash)


def test_claims_that_nobody_gave_are_not_shown(site: ClaimSite) -> None:
    cert = hour_of(site)
    entry, _ = claim(site, "owner", Export(cert, (0, 5), "i-rec", "X-1"))
    del site.kept[parse_claim(entry).id]
    with site.driver(None) as looking:
        shown = looking.certificate(cert)
    assert shown is not None
    assert len(shown.claims) == 1


def test_the_same_claim_again_gets_its_first_locator(site: ClaimSite) -> None:
    entry, place = claim(site, "mint", issue("owner"))
    nonce = site.node.nonce(site.accounts["mint"].address)
    with site.driver("mint") as driver:
        assert decode_locator(driver.submit(entry)) == place
    assert site.node.nonce(site.accounts["mint"].address) == nonce


def test_issues_of_a_device_and_day_go_together(site: ClaimSite) -> None:
    mint = site.parties["mint"]
    deeds = [issue("owner", quarters=1, first=n) for n in range(30)]
    deeds += [issue("owner", quarters=1, first=n) for n in (96, 97)]  # of the next day
    deeds += [issue("works", quarters=1, device="other")]
    entries = [mint.sign(deed) for deed in deeds]
    with site.driver("mint") as driver:
        places = [decode_locator(place) for place in driver.submit_many(entries)]
        assert driver.party("mint") == (33, "issuer")
        again = [decode_locator(place) for place in driver.submit_many(entries)]
    assert [places.count(place) for place in dict.fromkeys(places)] == [24, 6, 2, 1]
    assert again == places
    assert site.node.nonce(site.accounts["mint"].address) == 4


def test_a_withdrawn_hour_may_be_issued_again(site: ClaimSite) -> None:
    cert = hour_of(site)
    claim(site, "mint", Withdraw(cert, "restated"))
    other = hour_of_other_units(site)
    with site.driver(None) as looking:
        shown = looking.certificate(cert)
        assert shown is not None
        assert shown.slices == (Slice(0, UNITS, WITHDRAWN, "owner"),)
        assert [one.certificate.id for one in looking.of_device(digest("dev"), 0, 1)] == sorted([cert, other])


def hour_of_other_units(site: ClaimSite) -> bytes:
    deed = replace(issue("owner"), units=UNITS - 1)
    claim(site, "mint", deed)
    return site.parties["mint"].cert(deed)


def test_each_refusal_says_what_where_and_the_way_out(site: ClaimSite) -> None:
    cert = hour_of(site)
    claim(site, "owner", Transfer(cert, (0, 10), "works"))
    claim(site, "works", Retire(cert, (0, 5), "scope 2", 0, 1000))
    use = Retire(cert, (10, 20), "scope 2", 0, 1000)
    cases = [
        (refused(site, "mint", issue("owner")), ORIGIN_TAKEN, "certificate list"),
        (refused(site, "mint", issue("nobody", first=8)), UNKNOWN_PARTY, "evm register"),
        (refused(site, "owner", issue("owner", first=8)), NOT_THE_ISSUER, "role issuer"),
        (refused(site, "owner", Withdraw(bytes(32), "no")), NOT_THE_ISSUER, "role issuer"),
        (refused(site, "works", use), NOT_THE_HOLDER, "certificate show"),
        (refused(site, "works", replace(use, part=(0, 5))), FINAL, "do not move"),
        (refused(site, "owner", replace(use, part=(100, 101))), NOT_THIS_SLICE, "how many units"),
        (refused(site, "owner", use, number=0), NUMBER_TAKEN, "taken meanwhile"),
        (refused(site, "owner", use, number=9), OUT_OF_ORDER, "is missing"),
        (refused(site, "owner", replace(use, to_ms=1001)), MALFORMED, "give whole seconds"),
        (refused(site, "owner", Attest(bytes(32), "limited", "unmodified", bytes(32))), MALFORMED, "embedded ledger"),
    ]
    assert [(error.title, way in error.detail) for error, _, way in cases] == [(title, True) for _, title, _ in cases]


def test_an_account_writes_for_its_own_party(site: ClaimSite) -> None:
    cert = hour_of(site)
    entry = site.parties["owner"].sign(Transfer(cert, (0, 1), "works"), 0)
    with site.driver("works") as driver, pytest.raises(Refused, match=r"does not write for owner.*evm register"):
        driver.submit(entry)
    with site.driver(None) as driver, pytest.raises(Refused, match="give its key file as --key"):
        driver.submit(entry)
    site.call_as_owner("revoke", site.accounts["owner"].address)
    with site.driver("owner") as driver:
        assert driver.party("owner") == (0, None)
        with pytest.raises(Refused, match="does not write for owner"):
            driver.submit(entry)
    site.call_as_owner("register", site.account("owner").address, "owner", 1)
    with site.driver("owner") as driver:
        driver.submit(entry)
        assert driver.party("owner") == (1, "party")


def test_a_claim_for_another_registry_is_not_written(site: ClaimSite) -> None:
    entry = site.parties["mint"].sign(issue("owner"), registry="elsewhere")
    with site.driver("mint") as driver, pytest.raises(Refused, match=r"for the registry elsewhere.*P8"):
        driver.submit(entry)
    with site.driver("mint") as driver, pytest.raises(Refused, match=MALFORMED):
        driver.submit(b"no claim")


def test_another_contract_or_chain_is_refused(site: ClaimSite) -> None:
    with site.driver(None, "elsewhere") as driver, pytest.raises(Refused, match=r"give the name.*deployed for"):
        driver.party("owner")
    with site.driver(None, settings={"chain_id": 5}) as driver, pytest.raises(Refused, match="Wrong chain"):
        driver.party("owner")
    anchors = deploy(site.node).address
    with (
        site.driver(None, settings={"contract": anchors}) as driver,
        pytest.raises(Refused, match="neither AnchorRegistry"),
    ):
        driver.party("owner")
    with site.driver(None, settings={"contract": b"\x09" * 20}) as driver, pytest.raises(Refused, match="Wrong con"):
        driver.party("owner")


@pytest.mark.parametrize("confirmations", [None, 9])
def test_it_waits_until_the_block_is_final(site: ClaimSite, confirmations: int | None) -> None:
    """Each pause mines a block; by its own word this node calls final what lies two blocks back."""
    entry = site.parties["mint"].sign(issue("owner"))
    mined = 0

    def sleep(seconds: float) -> None:
        nonlocal mined
        mined += 1
        site.rpc("evm_mine")

    with site.driver("mint", settings={"confirmations": confirmations}, sleep=sleep) as driver:
        place = decode_locator(driver.submit(entry))
    newest, finalized = site.node.block("latest"), site.node.block("finalized")
    assert newest is not None
    assert finalized is not None
    if confirmations is None:
        assert place.block <= finalized.number
    else:
        assert newest.number == place.block + confirmations - 1
    assert mined


def test_a_claim_that_does_not_become_final_is_told(site: ClaimSite) -> None:
    entry = site.parties["mint"].sign(issue("owner"))
    with (
        site.driver("mint", settings={"confirmations": 1000}, wait_s=0.0) as driver,
        pytest.raises(LedgerUnavailable, match=r"claim 0 of mint .*certificate show"),
    ):
        driver.submit(entry)


def test_a_block_that_is_replaced_leaves_nothing_behind(site: ClaimSite) -> None:
    """What was read of it is read again, and the claim that it held is written once more, under the same id."""
    cert = hour_of(site)
    snapshot = site.rpc("evm_snapshot")
    entry, first = claim(site, "owner", Transfer(cert, (0, 10), "works"))
    with site.driver("owner") as driver:
        assert driver.party("owner") == (1, "party")
        assert site.rpc("evm_revert", snapshot)
        site.rpc("evm_mine")
        assert driver.party("owner") == (0, "party")
        second = decode_locator(driver.submit(entry))
        shown = driver.certificate(cert)
    assert second.block_hash != first.block_hash
    assert shown is not None
    assert shown.slices[0] == Slice(0, 10, HELD, "works")


def test_a_node_that_gives_few_blocks_at_once_is_asked_more_often(site: ClaimSite) -> None:
    cert = hour_of(site)
    left = [3]

    def few(method: str) -> bytes | None:
        if method != "eth_getLogs" or not left[0]:
            return None
        left[0] -= 1
        return b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"block range is too large"}}'

    with proxy(site.process.url) as spoilt:
        spoilt.before = few
        with site.driver(None, url=spoilt.url) as driver:
            assert driver.certificate(cert) is not None
    assert left == [0]


def test_events_from_after_the_deployment_are_not_believed(site: ClaimSite) -> None:
    _, place = claim(site, "mint", issue("owner"))
    with site.driver(None, since=place.block) as driver, pytest.raises(LedgerUnavailable, match="--since-block"):
        driver.party("mint")


def test_a_crash_between_sending_and_the_answer_costs_nothing(site: ClaimSite) -> None:
    """The transaction waits in the node when the process ends; the next one finds it, or what it wrote."""
    entry = site.parties["mint"].sign(issue("owner"))

    class Crash(BaseException):
        pass

    def crash(seconds: float) -> None:
        raise Crash

    site.rpc("evm_setAutomine", False)
    try:
        with site.driver("mint", sleep=crash) as driver, pytest.raises(Crash):
            driver.submit(entry)
        with site.driver("mint", sleep=lambda seconds: site.rpc("evm_mine")) as driver:
            driver.submit(entry)
            assert driver.party("mint") == (1, "issuer")
    finally:
        site.rpc("evm_setAutomine", True)
    assert site.node.nonce(site.accounts["mint"].address) == 1


def test_no_money_is_told(site: ClaimSite) -> None:
    site.rpc("anvil_setBalance", "0x" + site.accounts["mint"].address.hex(), "0x1")
    with pytest.raises(Refused, match="No funds"):
        claim(site, "mint", issue("owner"))


def test_an_issue_names_all_of_the_certificate(site: ClaimSite) -> None:
    """Units that were withdrawn and issued again under the same id are Final, and say so."""
    cert = hour_of(site)
    claim(site, "mint", Withdraw(cert, "mistake"))
    error = refused(site, "mint", issue("owner"))
    assert isinstance(issue("owner"), Issue)
    assert (error.title, "do not move" in error.detail) == (FINAL, True)
