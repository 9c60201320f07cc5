"""A claim's locator counts where the contract has written what the signed claim says, and is refused by name else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from ledger_client.claims.certificate import digest
from ledger_client.claims.claim import Attest, Deed, Export, Retire, SignedClaim, Transfer, Withdraw, parse_claim
from ledger_client.contracts.abi import Argument
from ledger_client.errors import BadReceipt, UnknownLedger, VerificationError
from ledger_client.formats.bundle import Locator, decode_locator
from ledger_client.ledgers.evm.node import Node
from ledger_client.online.ask import Ways
from ledger_client.online.claims_on_chain import asked
from ledger_client.verification.online_facts import ChainFact
from ledger_client.verification.trust import Trust
from tests.ledger_client.evm.chain import chain
from tests.ledger_client.evm.claim_site import REGISTRY, ClaimSite, claim_site
from tests.ledger_client.evm.evm_site import CHAIN
from tests.support import evidence
from tests.support.certificates.claimed import issue
from tests.support.processes import Anvil

WAY: dict[str, Argument] = {"number": 0, "start": 0, "a": 0, "b": 10}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain")) as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node]) -> ClaimSite:
    return claim_site(*running)


def trust_of(site: ClaimSite, **changes: object) -> Trust:
    usual: dict[str, object] = {
        "ledger": f'"{REGISTRY}"', "chain_id": CHAIN, "contract": f'"0x{site.registry.address.hex()}"',
        "claims": "true", "confirmations": 1,
    }  # fmt: skip
    lines = "".join(f"{key} = {value}\n" for key, value in (usual | changes).items())
    return evidence.trust(extra=f"[[chain]]\n{lines}")


def claim(site: ClaimSite, who: str, deed: Deed) -> tuple[SignedClaim, Locator]:
    entry = site.parties[who].sign(deed)
    with site.driver(who) as driver:
        return parse_claim(entry), decode_locator(driver.submit(entry))


def ask(site: ClaimSite, place: Locator, signed: SignedClaim, trust: Trust | None = None) -> object:
    nodes = {REGISTRY: site.process.url}
    return asked(place, signed, trust or trust_of(site), Ways(nodes, {}, None, 5.0))


def refused(
    site: ClaimSite, place: Locator, signed: SignedClaim, trust: Trust | None = None,
    kind: type[VerificationError] = BadReceipt,
) -> str:  # fmt: skip
    error = ask(site, place, signed, trust)
    assert type(error) is kind, error
    assert isinstance(error, VerificationError)
    assert error.step == 6
    return error.detail


def test_each_kind_of_claim_counts_at_its_blocks_time(site: ClaimSite) -> None:
    cert = site.parties["mint"].cert(issue("owner"))
    other = site.parties["mint"].cert(issue("owner", first=4))
    for who, deed in (
        ("mint", issue("owner")),
        ("owner", Transfer(cert, (10, 40), "works")),
        ("works", Retire(cert, (20, 30), "scope 2", 0, 3_600_000, b"\x07" * 32)),
        ("works", Retire(cert, (30, 31), "scope 2", 0, 3_600_000)),
        ("owner", Export(cert, (0, 10), "elsewhere", "X-1")),
        ("mint", issue("owner", first=4)),
        ("mint", Withdraw(other, "restated")),
    ):
        signed, place = claim(site, who, deed)
        block = site.node.block(place.block)
        assert block is not None
        assert ask(site, place, signed) == ChainFact(signed.id, block.time, shared=False)


def test_of_issues_in_one_transaction_each_counts_by_its_own_event(site: ClaimSite) -> None:
    entries = [site.parties["mint"].sign(issue("owner", first=4 * n)) for n in range(3)]
    with site.driver("mint") as driver:
        places = [decode_locator(place) for place in driver.submit_many(entries)]
    assert len({place.tx for place in places}) == 1
    for entry, place in zip(entries, places, strict=True):
        fact = ask(site, place, parse_claim(entry))
        assert isinstance(fact, ChainFact)
        assert fact.statement_id == parse_claim(entry).id


def test_an_owner_who_writes_in_a_partys_name_is_found_out(site: ClaimSite) -> None:
    """He rotates its account to his own and calls with the id of a claim that the party has signed."""
    cert = site.parties["mint"].cert(issue("owner"))
    claim(site, "mint", issue("owner"))
    signed = parse_claim(site.parties["owner"].sign(Transfer(cert, (0, 10), "works")))
    honest: dict[str, Argument] = {"cert": cert, "to": digest("works"), "claim": signed.id} | WAY
    snapshot = site.rpc("evm_snapshot")
    for name, value, problem in (
        ("a", 1, "a is 1 in the event, 0 in the signed claim"),
        ("b", 100, "b is 100 in the event, 10 in the signed claim"),
        ("to", digest("owner"), "to is "),
        ("claim", bytes(32), "does not write this claim"),
    ):
        place = rogue(site, "transfer", honest | {name: value}, "cert start a b to claim")
        assert problem in refused(site, place, signed)
        assert site.rpc("evm_revert", snapshot)
        snapshot = site.rpc("evm_snapshot")
    assert isinstance(ask(site, rogue(site, "transfer", honest, "cert start a b to claim"), signed), ChainFact)


def rogue(site: ClaimSite, method: str, values: Mapping[str, Argument], names: str) -> Locator:
    """A call of the contract's owner under the account of a party, and its place."""
    mine = site.registry.owner
    site.call_as_owner("rotate", site.accounts["owner"].address, mine)
    receipt = site.registry.send(mine, method, *(values[name] for name in ("number", *names.split())))
    return Locator(REGISTRY, CHAIN, site.registry.address, receipt.tx, receipt.block, receipt.block_hash)


def test_another_claim_of_the_same_party_is_not_this_one(site: ClaimSite) -> None:
    cert = site.parties["mint"].cert(issue("owner"))
    claim(site, "mint", issue("owner"))
    _, place = claim(site, "owner", Transfer(cert, (0, 10), "works"))
    other = parse_claim(site.parties["owner"].sign(Transfer(cert, (0, 10), "mint"), 0))
    later = parse_claim(site.parties["owner"].sign(Retire(cert, (20, 30), "x", 0, 1000)))
    for signed in (other, later):
        assert "does not write this claim" in refused(site, place, signed)


def test_only_the_contract_of_the_trust_file_counts(site: ClaimSite) -> None:
    signed, place = claim(site, "mint", issue("owner"))
    elsewhere = claim_site(site.process, site.node)
    assert "contract" in refused(site, place, signed, trust_of(elsewhere))
    assert "chain 31337" in refused(site, place, signed, trust_of(site, chain_id=5))
    assert "no [[chain]]" in refused(site, place, signed, evidence.trust(), UnknownLedger)
    assert "not final" in refused(site, place, signed, trust_of(site, confirmations=1000))


def test_an_account_of_anchors_makes_no_registry(site: ClaimSite) -> None:
    signed, place = claim(site, "mint", issue("owner"))
    lines = f'ledger = "{REGISTRY}"\nchain_id = {CHAIN}\ncontract = "0x{site.registry.address.hex()}"\n'
    trust = evidence.trust(extra=f'[[chain]]\n{lines}sender = "0x{"11" * 20}"\n')
    assert (len(trust.chains), trust.registries) == (1, ())
    assert "no [[chain]]" in refused(site, place, signed, trust, UnknownLedger)


def test_a_place_that_is_not_there(site: ClaimSite) -> None:
    signed, place = claim(site, "mint", issue("owner"))
    assert "no such transaction" in refused(site, replace(place, tx=bytes(32)), signed)
    assert "block" in refused(site, replace(place, block=place.block + 1), signed)
    foreign = parse_claim(site.parties["mint"].sign(issue("owner"), 0, "elsewhere"))
    assert "for the registry elsewhere" in refused(site, place, foreign)
    attest = parse_claim(site.parties["mint"].sign(Attest(bytes(32), "limited", "unmodified", bytes(32)), 0))
    assert "no contract can hold this claim" in refused(site, place, attest)


def test_a_node_that_is_not_there_changes_nothing(site: ClaimSite) -> None:
    signed, place = claim(site, "mint", issue("owner"))
    assert "--rpc reg=URL" in str(asked(place, signed, trust_of(site), Ways({}, {}, None, 5.0)))
    gone = Ways({REGISTRY: "http://127.0.0.1:1"}, {}, None, 5.0)
    assert "could not be asked" in str(asked(place, signed, trust_of(site), gone))
