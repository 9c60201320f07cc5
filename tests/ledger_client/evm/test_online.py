"""``verify --online``: a locator counts where the chain holds the statement, and is refused by name elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger_client.cli.app import cli
from ledger_client.contracts import anchor_registry
from ledger_client.errors import BadReceipt, Forked, NotAsked, PolicyNotMet, UnknownLedger, VerificationError
from ledger_client.formats.bundle import Locator, decode_locator
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.interface import Notebook, Pending
from ledger_client.online.ask import last_batches, refresh
from ledger_client.verification.online_facts import ChainFact, OnlineFacts
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import Verified, verify
from tests.ledger_client.evm.chain import Registry, chain, mined
from tests.ledger_client.evm.evm_site import CHAIN, EvmSite, evm_site, settle
from tests.ledger_client.evm.proxy import Proxy, proxy
from tests.support import evidence
from tests.support.enrolled import Gateway
from tests.support.evidence import GATEWAY, LEDGER, Site
from tests.support.processes import Anvil, free_port

NOW = 4_000_000_000  # the node's blocks bear the time of this machine
NAME = "consortium"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain")) as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node], tmp_path: Path) -> EvmSite:
    """A chain at whose contract the evidence's own gateway is registered."""
    site = evm_site(*running, tmp_path)
    account = Account(bytes([7]) * 32)
    site.registry.send(site.registry.owner, "register", account.address, GATEWAY)
    site.fund(account.address)
    return replace(site, account=account)


def anchored(site: EvmSite) -> Locator:
    with site.driver(memory=Notebook()) as driver:
        return settle(driver, Site().entry())


def trust_of(site: EvmSite, *senders: bytes, receipts: int = 1, **changes: object) -> Trust:
    usual: dict[str, object] = {"chain_id": CHAIN, "contract": f'"0x{site.registry.address.hex()}"', "confirmations": 1}
    fields = "".join(f"{key} = {value}\n" for key, value in (usual | changes).items() if value is not None)
    entries = [f'[[chain]]\nledger = "{NAME}"\nsender = "0x{s.hex()}"\n{fields}' for s in senders or (_sender(site),)]
    return evidence.trust(ledgers=(LEDGER, NAME), receipts=receipts, extra="".join(entries), keys={NAME: ""})


def _sender(site: EvmSite) -> bytes:
    return site.account.address


def asked(bundle: bytes, trust: Trust, node: str) -> OnlineFacts:
    """What the chain says; the ledger with the log is not asked, and that changes nothing."""
    return refresh(bundle, trust, {NAME: node}, {}, timeout_s=5.0, offline_ok=True)


def check(site: EvmSite, place: Locator, trust: Trust | None = None, url: str | None = None) -> Verified:
    """Verify a bundle that has nothing but this locator."""
    bundle = Site(anchors=(place,), receipts=()).build()
    trust = trust or trust_of(site)
    return verify(bundle, trust, NOW, facts=asked(bundle, trust, url or site.process.url))


def refused(site: EvmSite, place: Locator, kind: type[VerificationError] = BadReceipt, **more: object) -> str:
    """Alone it fails by this name; beside a good receipt it changes nothing but the list of what is not confirmed."""
    with pytest.raises(VerificationError) as caught:
        check(site, place, **more)  # type: ignore[arg-type]
    assert (type(caught.value), caught.value.step) == (kind, 6 if kind is not PolicyNotMet else 8), caught.value
    trust = more.get("trust") or trust_of(site)
    assert isinstance(trust, Trust)
    plain = verify(Site().build(), trust, NOW)
    bundle = Site(anchors=(place,)).build()
    facts = asked(bundle, trust, str(more.get("url") or site.process.url))
    beside = verify(bundle, trust, NOW, facts=facts)
    of_others = [
        line
        for line in beside.unconfirmed
        if not line.startswith(f"{NAME}: has no batch 0 of") and "asked for by number" not in line
    ]
    assert len(of_others) == 2
    assert "its log was not asked" in "".join(beside.unconfirmed)
    assert replace(beside, unconfirmed=(), asked=()) == plain
    return caught.value.detail


def test_a_good_locator_counts_as_one_ledger_at_its_blocks_time(site: EvmSite) -> None:
    place = anchored(site)
    block = site.node.block(place.block)
    assert block is not None
    proven = check(site, place)
    assert (proven.receipts, proven.unconfirmed) == (((NAME, block.time),), ())
    assert proven.no_later_than == block.time


def test_it_makes_two_ledgers_with_a_receipt(site: EvmSite) -> None:
    place = anchored(site)
    bundle, trust = Site(anchors=(place, place)).build(), trust_of(site, receipts=2)
    proven = verify(bundle, trust, NOW, facts=asked(bundle, trust, site.process.url))
    assert [ledger for ledger, _ in proven.receipts] == [LEDGER, NAME]
    with pytest.raises(PolicyNotMet):
        verify(bundle, trust, NOW)


def test_without_asking_it_is_listed_only(site: EvmSite) -> None:
    place = anchored(site)
    bundle = Site(anchors=(place,)).build()
    proven = verify(bundle, trust_of(site), NOW)
    assert proven.receipts == ((LEDGER, evidence.T0 + 5),)
    assert proven.unconfirmed == (
        f"{NAME}: said to be on chain 31337, block {place.block}, transaction 0x{place.tx.hex()}",
    )


def test_another_contract_chain_or_ledger(site: EvmSite) -> None:
    place = anchored(site)
    assert "contract 0x00" in refused(site, replace(place, contract=bytes(20)))
    assert "on chain 5" in refused(site, replace(place, chain=5))
    no_chain = evidence.trust(ledgers=(LEDGER, NAME), keys={NAME: ""})
    assert "no [[chain]]" in refused(site, place, UnknownLedger, trust=no_chain)


def test_the_same_event_by_a_contract_that_only_looks_like_it(site: EvmSite) -> None:
    """The log is in a good transaction of the right sender, but another address wrote it."""
    other = Registry(site.node, bytes.fromhex("77" * 20), site.registry.owner)
    site.rpc("anvil_setCode", "0x" + other.address.hex(), "0x" + anchor_registry.CONTRACT.runtime_code().hex())
    site.rpc("anvil_setStorageAt", "0x" + other.address.hex(), "0x1", "0x" + other.owner.rjust(32, b"\0").hex())
    other.send(other.owner, "register", site.account.address, GATEWAY)
    with site.driver(memory=Notebook(), contract=other.address) as driver:
        place = settle(driver, Site().entry())
    assert "does not write this statement" in refused(site, replace(place, contract=site.registry.address))


def test_another_sender(site: EvmSite) -> None:
    place = anchored(site)
    detail = refused(site, place, trust=trust_of(site, bytes([9]) * 20))
    assert f"by account {site.account}" in detail
    assert check(site, place, trust_of(site, bytes([9]) * 20, site.account.address)).receipts  # after a rotation


def test_another_statement(site: EvmSite) -> None:
    with site.driver(memory=Notebook()) as driver:
        gateway = Gateway(GATEWAY)
        place = settle(driver, gateway.statement(0))
    facts = asked(Site(anchors=(place,)).build(), trust_of(site), site.process.url)
    assert "does not write this statement as batch 0" in str(facts.places[place])
    with pytest.raises(Forked, match=f"but {NAME} has {id_text(statement_id(gateway.statement(0)))}$"):
        check(site, place)


def test_a_fork_on_a_chain_shows_beside_a_good_receipt(site: EvmSite) -> None:
    """The proof says nothing of the chain; the policy lists it, so it is asked."""
    bundle, trust = Site().build(), trust_of(site)
    proven = verify(bundle, trust, NOW, facts=asked(bundle, trust, site.process.url))
    assert (proven.asked, proven.unconfirmed[-1]) == ((NAME,), f"{NAME}: has no batch 0 of {GATEWAY}; none at all")
    with site.driver(memory=Notebook()) as driver:
        settle(driver, Gateway(GATEWAY).statement(0))
    with pytest.raises(Forked, match=f"but {NAME} has "):
        verify(bundle, trust, NOW, facts=asked(bundle, trust, site.process.url))


def test_a_chain_that_was_not_asked_is_no_yes(site: EvmSite) -> None:
    bundle, trust = Site().build(), trust_of(site)
    for nodes, problem in (
        ({}, f"{NAME}: no node was given to ask, as --rpc {NAME}=URL"),
        ({NAME: f"http://127.0.0.1:{free_port()}"}, f"{NAME}: its chain could not be asked: "),
    ):
        with pytest.raises(NotAsked, match=problem):
            verify(bundle, trust, NOW, facts=refresh(bundle, trust, nodes, {}))
    elsewhere = trust_of(site, chain_id=5)
    with pytest.raises(NotAsked, match="follows chain 31337, not 5"):
        verify(bundle, elsewhere, NOW, facts=refresh(bundle, elsewhere, {NAME: site.process.url}, {}))


def test_the_last_batch_on_a_chain(site: EvmSite) -> None:
    trust = trust_of(site)
    assert last_batches(GATEWAY, trust, {NAME: site.process.url}, {})[NAME] == (None,)
    anchored(site)
    assert last_batches(GATEWAY, trust, {NAME: site.process.url}, {})[NAME] == ((0, statement_id(Site().entry())),)


def test_the_right_id_under_another_gateway(site: EvmSite) -> None:
    registry = site.registry
    other = Account(bytes([8]) * 32)
    site.fund(other.address)
    registry.send(registry.owner, "register", other.address, "another")
    call = anchor_registry.CONTRACT.call("anchor", 0, statement_id(Site().entry()), bytes(32), 0)
    site.rpc("anvil_impersonateAccount", str(other))
    asked = {"from": str(other), "to": "0x" + registry.address.hex(), "data": "0x" + call.hex(), "gas": hex(300_000)}
    receipt = mined(site.node, bytes.fromhex(site.rpc("eth_sendTransaction", asked)[2:]))
    place = Locator(NAME, CHAIN, registry.address, receipt.tx, receipt.block, receipt.block_hash)
    assert "under another gateway" in refused(site, place, trust=trust_of(site, other.address))


def test_a_reverted_transaction(site: EvmSite) -> None:
    call = anchor_registry.CONTRACT.call("anchor", 0, statement_id(Site().entry()), bytes(32), 0)
    stranger = "0x" + site.registry.owner.hex()
    asked = {"from": stranger, "to": "0x" + site.registry.address.hex(), "data": "0x" + call.hex(), "gas": hex(300_000)}
    receipt = mined(site.node, bytes.fromhex(site.rpc("eth_sendTransaction", asked)[2:]))
    assert not receipt.ok
    place = Locator(NAME, CHAIN, site.registry.address, receipt.tx, receipt.block, receipt.block_hash)
    assert "reverted" in refused(site, place)


def test_another_transaction_or_block(site: EvmSite) -> None:
    place = anchored(site)
    assert "no such transaction" in refused(site, replace(place, tx=bytes(32)))
    assert "in another block" in refused(site, replace(place, block=place.block - 1))
    assert "in another block" in refused(site, replace(place, block_hash=bytes(32)))


def test_a_transaction_that_the_chain_took_back(site: EvmSite) -> None:
    place = anchored(site)
    site.rpc("anvil_reorg", 1, [])
    assert "no such transaction" in refused(site, place)


def test_what_is_not_final(site: EvmSite) -> None:
    place = anchored(site)
    assert "not final yet" in refused(site, place, trust=trust_of(site, confirmations=3))
    site.rpc("anvil_mine", "0x2")
    assert check(site, place, trust_of(site, confirmations=3)).receipts
    assert "not final yet" in refused(site, place, trust=trust_of(site, confirmations=None))
    site.rpc("anvil_mine", "0x80")
    assert check(site, place, trust_of(site, confirmations=None)).receipts


def test_a_chain_that_calls_nothing_final_is_told(site: EvmSite) -> None:
    """Besu's consortium protocols answer with an error; whoever verifies hears what to write into the trust file."""
    unknown = b'{"jsonrpc":"2.0","id":1,"error":{"code":-39001,"message":"Unknown block"}}'
    place = anchored(site)
    for answered in (unknown, b'{"jsonrpc":"2.0","id":1,"result":null}'):
        with proxy(site.process.url) as between:

            def nothing_final(method: str, between: Proxy = between, answered: bytes = answered) -> bytes | None:
                asked = between.calls.count("eth_getBlockByNumber")
                return answered if method == "eth_getBlockByNumber" and asked == 2 else None

            between.before = nothing_final
            bundle, trust = Site(anchors=(place,)).build(), trust_of(site, confirmations=None)
            facts = asked(bundle, trust, between.url)
        assert "marks no block as final; set confirmations" in str(facts.places[place])


def test_a_block_that_was_replaced_between_two_questions(site: EvmSite) -> None:
    another = b'{"jsonrpc":"2.0","id":1,"result":{"number":"0x1","hash":"0x%s","timestamp":"0x1"}}' % (b"1" * 64)
    place = anchored(site)
    with proxy(site.process.url) as between:
        between.before = lambda method: another if method == "eth_getBlockByNumber" else None
        facts = refresh(Site(anchors=(place,)).build(), trust_of(site), {NAME: between.url}, {})
    assert "of the chain has been replaced" in str(facts.places[place])


def test_a_block_of_the_future_and_a_fact_of_another_statement() -> None:
    place = Locator(NAME, CHAIN, bytes(20), bytes(32), 7, bytes(32))
    bundle, id_ = Site(anchors=(place,), receipts=()).build(), statement_id(Site().entry())
    trust = evidence.trust(ledgers=(LEDGER, NAME), keys={NAME: ""})
    late = OnlineFacts({place: ChainFact(id_, evidence.NOW + 301, False)})
    with pytest.raises(BadReceipt, match="in the future"):
        verify(bundle, trust, evidence.NOW, facts=late)
    with pytest.raises(BadReceipt, match="another statement"):
        verify(bundle, trust, evidence.NOW, facts=OnlineFacts({place: ChainFact(bytes(32), evidence.NOW, False)}))
    with pytest.raises(UnknownLedger, match="not listed"):
        verify(bundle, evidence.trust(), evidence.NOW, facts=OnlineFacts({place: ChainFact(id_, evidence.NOW, False)}))


def test_a_record_that_claims_a_time_after_the_block(site: EvmSite) -> None:
    place = anchored(site)
    bundle = Site(anchors=(place,), receipts=()).build()
    early = OnlineFacts({place: ChainFact(statement_id(Site().entry()), evidence.T0 - 400, False)})
    with pytest.raises(VerificationError) as caught:
        verify(bundle, trust_of(site), NOW, facts=early)
    assert caught.value.step == 7


def test_a_shared_root(site: EvmSite) -> None:
    """A bridge's root over three gateways: the locator bears the path, and the verdict calls it shared."""
    id_ = statement_id(Site().entry())
    tree = Tree([leaf_hash(one) for one in (b"\1" * 32, id_, b"\2" * 32)])
    bridge = Account(bytes([6]) * 32)
    site.fund(bridge.address)
    site.registry.send(site.registry.owner, "setBridge", bridge.address, 1)
    with site.driver(account=bridge, memory=Notebook()) as driver:
        while isinstance(answer := driver.submit_root(tree.root, 3), Pending):
            pass
    place = replace(decode_locator(answer), inclusion=(3, 1, tuple(tree.path(1))))
    trust = trust_of(site, bridge.address)
    proven = check(site, place, trust)
    assert [ledger for ledger, _ in proven.receipts] == [NAME]
    assert "shared by many gateways" in proven.unconfirmed[0]
    assert "shared roots cannot be asked for by number" in proven.unconfirmed[1]
    for wrong in ((3, 0, tuple(tree.path(1))), (4, 1, tuple(tree.path(1))), (3, 1, (bytes(32), bytes(32))), (3, 1, ())):
        assert "under a shared root" in refused(site, replace(place, inclusion=wrong), trust=trust)
    assert "as batch 0" in refused(site, replace(place, inclusion=None), trust=trust)
    assert "by account" in refused(site, place)


@pytest.mark.parametrize("junk", [b"", b"{}", b"no json", b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'])
def test_a_node_that_does_not_answer_confirms_nothing(site: EvmSite, junk: bytes) -> None:
    place = anchored(site)
    with proxy(site.process.url) as between:
        between.before = lambda method: junk
        assert "0 do" in refused(site, place, PolicyNotMet, url=between.url)
        proven = verify(
            bundle := Site(anchors=(place,)).build(),
            trust := trust_of(site),
            NOW,
            facts=asked(bundle, trust, between.url),
        )
    assert "its chain could not be asked" in proven.unconfirmed[-1] or "follows chain 1," in proven.unconfirmed[-1]


def test_on_the_command_line(site: EvmSite, tmp_path: Path) -> None:
    place = anchored(site)
    (tmp_path / "r.mseal").write_bytes(Site(anchors=(place,), receipts=()).build())
    text = evidence.trust_text(ledgers=(NAME,), keys={NAME: ""})
    text += f'[[chain]]\nledger = "{NAME}"\nchain_id = {CHAIN}\ncontract = "0x{site.registry.address.hex()}"\n'
    text += f'sender = "{site.account}"\nconfirmations = 1\n'
    (tmp_path / "trust.toml").write_text(text)
    usual = ["verify", str(tmp_path / "r.mseal"), "--trust", str(tmp_path / "trust.toml")]
    rpc = ["--rpc", f"{NAME}={site.process.url}"]
    run = CliRunner().invoke
    done = run(cli, [*usual, "--online", *rpc, "--json"])
    assert done.exit_code == 0, done.output
    assert [receipt["ledger"] for receipt in json.loads(done.output)["receipts"]] == [NAME]
    words = run(cli, [*usual, "--online", *rpc]).output
    assert re.search(r"ledger +consortium, block of 20", words)
    assert "the batch is on consortium" in words
    for more in ([], ["--online"]):
        done = run(cli, [*usual, *more, "--json"])
        assert (done.exit_code, json.loads(done.output)["error"]) == (1, "PolicyNotMet")
    assert json.loads(run(cli, [*usual, "--online", *rpc, "--json"]).output)["asked"] == [NAME]
    for wrong in (rpc, ["--offline-ok"], ["--online", "--rpc", "x"], ["--online", "--rpc", f"{NAME}=ftp://x"]):
        assert "--rpc" in str(run(cli, [*usual, *wrong]).exception)
