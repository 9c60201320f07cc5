"""AnchorRegistry itself, on a node whose EVM knows no opcode younger than London."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import count

import pytest

from ledger_client.contracts import anchor_registry
from ledger_client.contracts.abi import address, flag, number
from ledger_client.contracts.anchor_registry import CONTRACT, Anchored, AnchoredMany, gateway_hash
from ledger_client.ledgers.evm.node import Node, Reverted
from tests.ledger_client.evm import build
from tests.ledger_client.evm.chain import Registry, accounts, chain, deploy, refused

_numbers = count(1)
NOBODY = bytes(20)


def id_of(text: str) -> bytes:
    return sha256(text.encode()).digest()


A, B, C, D = map(id_of, "abcd")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with chain(tmp_path_factory.mktemp("chain"), "--hardfork", "london") as (_, node):
        yield node


@pytest.fixture
def registry(node: Node) -> Registry:
    return deploy(node)


@pytest.fixture
def sender(registry: Registry) -> bytes:
    """The account of gateway gw."""
    account = accounts(registry.node)[1]
    registry.send(registry.owner, "register", account, "gw")
    return account


def test_the_bytecode_comes_from_the_source() -> None:
    assert build.NAMES == ["AnchorRegistry", "ClaimRegistry"]
    for contract in build.NAMES:
        for name, text in build.products(contract).items():
            assert (build.CONTRACTS / name).read_text() == text, (
                "python -m tests.ledger_client.evm.build writes them anew"
            )


@pytest.mark.parametrize("contract", build.NAMES)
def test_no_opcode_is_younger_than_constantinople(contract: str) -> None:
    opcodes = set(build.vyper(contract, "opcodes_runtime")[0].split())
    young = {"PUSH0", "MCOPY", "TLOAD", "TSTORE", "BASEFEE", "BLOBHASH", "BLOBBASEFEE", "CHAINID", "SELFBALANCE"}
    assert "SSTORE" in opcodes
    assert not young & opcodes


def test_what_stands_on_the_chain_is_what_we_ship(registry: Registry) -> None:
    assert registry.node.code(registry.address) == CONTRACT.runtime_code()


def test_anchors_follow_each_other(registry: Registry, sender: bytes) -> None:
    assert registry.last("gw") is None
    registry.anchor(sender, 0, A)
    registry.anchor(sender, 1, B, A)
    receipt = registry.anchor(sender, 2, C, B)
    assert registry.last("gw") == (2, C, receipt.block)
    assert [registry.get("gw", n) for n in range(4)] == [A, B, C, bytes(32)]


def test_the_same_again_is_nothing(registry: Registry, sender: bytes) -> None:
    registry.anchor(sender, 0, A)
    registry.anchor(sender, 1, B, A)
    for batch, id_, prev in ((0, A, bytes(32)), (1, B, A), (0, A, D)):
        data = CONTRACT.call("anchor", batch, id_, prev, 0)
        assert not flag(registry.node.call(registry.address, data, sender))
        assert registry.anchor(sender, batch, id_, prev).logs == []
    assert registry.last("gw") is not None
    assert len(registry.anchors()) == 2


def test_another_statement_for_a_taken_number_is_refused(registry: Registry, sender: bytes) -> None:
    registry.anchor(sender, 0, A)
    registry.anchor(sender, 1, B, A)
    for batch, prev, resume in ((0, bytes(32), 0), (1, A, 0), (1, A, 1), (0, A, 1)):
        assert refused(registry, sender, "anchor", batch, D, prev, resume) == "Batch number taken"


def test_batches_come_in_order(registry: Registry, sender: bytes) -> None:
    registry.anchor(sender, 0, A)
    registry.anchor(sender, 1, B, A)
    for batch, prev in ((3, B), (4, B), (2, A), (2, bytes(32)), (2**64 - 1, B)):
        assert refused(registry, sender, "anchor", batch, C, prev, 0) == "Out of order"
    registry.anchor(sender, 2, C, B)


@pytest.mark.parametrize("first", [0, 7, 2**64 - 1])
def test_the_first_one_is_taken_at_any_number(registry: Registry, sender: bytes, first: int) -> None:
    registry.anchor(sender, first, A, D)
    assert registry.last("gw") is not None
    if first == 7:
        assert refused(registry, sender, "anchor", 3, C, bytes(32), 0) == "Out of order"
        registry.anchor(sender, 8, B, A)
    if first == 2**64 - 1:
        assert refused(registry, sender, "anchor", 0, C, A, 0) == "Out of order"


def test_resume_is_taken_above_the_last_and_nowhere_else(registry: Registry, sender: bytes) -> None:
    registry.anchor(sender, 4, A)
    registry.anchor(sender, 9, B, D, resume=True)
    assert refused(registry, sender, "anchor", 7, C, D, 1) == "Out of order"
    registry.anchor(sender, 10, C, B)
    registry.anchor(sender, 11, D, C, resume=True)
    last = registry.last("gw")
    assert last is not None
    assert last[:2] == (11, D)


def test_an_empty_id_is_none(registry: Registry, sender: bytes) -> None:
    assert refused(registry, sender, "anchor", 0, bytes(32), bytes(32), 0) == "No statement id"


def test_whoever_is_not_registered_writes_nothing(registry: Registry, sender: bytes) -> None:
    registry.anchor(sender, 0, A)
    for stranger in (registry.owner, accounts(registry.node)[2]):
        assert refused(registry, stranger, "anchor", 1, B, A, 0) == "Unknown account"


def test_gateways_do_not_meet(registry: Registry, sender: bytes) -> None:
    other = accounts(registry.node)[2]
    registry.send(registry.owner, "register", other, "other")
    registry.anchor(sender, 0, A)
    registry.anchor(other, 5, B)
    assert [registry.last(name) and registry.last(name)[:2] for name in ("gw", "other")] == [(0, A), (5, B)]  # type: ignore[index]


def test_a_rotated_account_hands_its_story_on(registry: Registry, sender: bytes) -> None:
    new = accounts(registry.node)[2]
    registry.anchor(sender, 0, A)
    registry.send(registry.owner, "rotate", sender, new)
    assert registry.account_of("gw") == new
    assert refused(registry, sender, "anchor", 1, B, A, 0) == "Unknown account"
    assert refused(registry, new, "anchor", 1, B, D, 0) == "Out of order"
    registry.anchor(new, 1, B, A)
    assert registry.last("gw") is not None
    assert [registry.get("gw", n) for n in range(2)] == [A, B]


def test_a_revoked_account_is_out_for_ever_and_its_gateway_goes_on(registry: Registry, sender: bytes) -> None:
    new = accounts(registry.node)[2]
    registry.anchor(sender, 0, A)
    registry.send(registry.owner, "revoke", sender)
    assert registry.account_of("gw") == NOBODY
    gateway, active = registry.view("gatewayOf", sender, count=2)
    assert (gateway, flag(active)) == (gateway_hash("gw"), False)
    assert refused(registry, sender, "anchor", 1, B, A, 0) == "Unknown account"
    assert refused(registry, sender, "anchor", 0, A, bytes(32), 0) == "Unknown account"
    for name in ("gw", "other"):
        assert refused(registry, registry.owner, "register", sender, name) == "Account was used before"
    registry.send(registry.owner, "register", new, "gw")
    registry.anchor(new, 1, B, A)


def test_what_an_owner_cannot_do(registry: Registry, sender: bytes) -> None:
    new, owner = accounts(registry.node)[2], registry.owner
    assert refused(registry, owner, "register", new, "gw") == "Gateway has an account: rotate"
    assert refused(registry, owner, "register", sender, "other") == "Account was used before"
    assert refused(registry, owner, "register", new, "") == "No name"
    assert refused(registry, owner, "register", NOBODY, "other") == "No account"
    assert refused(registry, owner, "rotate", new, accounts(registry.node)[3]) == "Unknown account"
    assert refused(registry, owner, "rotate", sender, sender) == "Account was used before"
    assert refused(registry, owner, "rotate", sender, NOBODY) == "No account"
    assert refused(registry, owner, "revoke", new) == "Unknown account"
    assert registry.account_of("gw") == sender


@pytest.mark.parametrize("method", ["register", "rotate", "revoke", "setBridge", "offerOwnership"])
def test_only_the_owner_rules(registry: Registry, sender: bytes, method: str) -> None:
    new = accounts(registry.node)[2]
    arguments: dict[str, tuple[bytes | int | str, ...]] = {
        "register": (new, "other"),
        "rotate": (sender, new),
        "revoke": (sender,),
        "setBridge": (new, 1),
        "offerOwnership": (new,),
    }
    for stranger in (sender, new):
        assert refused(registry, stranger, method, *arguments[method]) == "Not the owner"


def test_ownership_is_offered_and_taken(registry: Registry, sender: bytes) -> None:
    heir, other = accounts(registry.node)[2:4]
    registry.send(registry.owner, "offerOwnership", heir)
    assert address(registry.view("owner")[0]) == registry.owner
    assert refused(registry, other, "takeOwnership") == "Not the heir"
    registry.send(heir, "takeOwnership")
    assert refused(registry, registry.owner, "revoke", sender) == "Not the owner"
    assert refused(registry, heir, "takeOwnership") == "Not the heir"
    registry.send(heir, "revoke", sender)


def test_a_bridge_anchors_many_under_one_root(registry: Registry, sender: bytes) -> None:
    bridge = accounts(registry.node)[2]
    for stranger in (bridge, sender, registry.owner):
        assert refused(registry, stranger, "anchorMany", A, 10) == "Unknown account"
    registry.send(registry.owner, "setBridge", bridge, 1)
    receipt = registry.send(bridge, "anchorMany", A, 10)
    assert registry.send(bridge, "anchorMany", A, 10).logs == []
    assert refused(registry, bridge, "anchorMany", A, 11) == "Root taken"
    assert refused(registry, bridge, "anchorMany", bytes(32), 1) == "No root"
    assert refused(registry, bridge, "anchorMany", B, 0) == "No root"
    assert [number(word) for word in registry.view("shared", A, count=2)] == [10, receipt.block]
    assert [number(word) for word in registry.view("shared", B, count=2)] == [0, 0]
    assert refused(registry, bridge, "anchor", 0, A, bytes(32), 0) == "Unknown account"
    registry.send(registry.owner, "setBridge", bridge, 0)
    assert refused(registry, bridge, "anchorMany", B, 1) == "Unknown account"
    assert registry.anchors() == [AnchoredMany(A, bridge, 10)]


def test_the_contract_takes_no_money_and_knows_no_other_call(registry: Registry, sender: bytes) -> None:
    for data in (
        b"",
        b"\0\0\0\0",
        CONTRACT.call("anchor", 0, A, bytes(32), 2),
        CONTRACT.call("anchor", 0, A),
    ):
        with pytest.raises(Reverted):
            registry.node.call(registry.address, data, sender)
    asked = {"from": "0x" + sender.hex(), "to": "0x" + registry.address.hex(), "value": "0x1", "data": "0x60536172"}
    with pytest.raises(Exception, match="revert"):
        registry.node.ask("eth_call", asked, "latest")


def test_everything_can_be_rebuilt_from_the_events(registry: Registry) -> None:
    """Whoever replays the events knows what the contract knows, and every link back from the last anchor holds."""
    one, two, three, four, bridge = accounts(registry.node)[1:6]
    owner = registry.owner
    registry.send(owner, "register", one, "gw")
    registry.send(owner, "register", two, "other")
    registry.send(owner, "setBridge", bridge, 1)
    registry.anchor(one, 0, A)
    registry.anchor(two, 7, B, D)
    registry.send(owner, "rotate", one, three)
    registry.anchor(three, 1, C, A)
    registry.send(owner, "revoke", two)
    registry.send(bridge, "anchorMany", D, 4)
    registry.anchor(three, 5, D, B, resume=True)
    registry.send(owner, "register", four, "other")
    registry.anchor(four, 8, A, B)
    registry.send(owner, "setBridge", bridge, 0)
    registry.send(owner, "offerOwnership", four)
    registry.send(four, "takeOwnership")

    rebuilt = Rebuilt(registry)
    assert rebuilt.owner == address(registry.view("owner")[0]) == four
    assert rebuilt.names == {gateway_hash("gw"): "gw", gateway_hash("other"): "other"}
    assert rebuilt.roots == {D: number(registry.view("shared", D, count=2)[0])}
    assert rebuilt.bridges == {bridge: flag(registry.view("isBridge", bridge)[0])} == {bridge: False}
    for name in ("gw", "other"):
        gateway = gateway_hash(name)
        assert rebuilt.accounts[gateway] == registry.account_of(name)
        anchors = rebuilt.anchors[gateway]
        assert all(registry.get(name, anchor.batch) == anchor.id for _, anchor in anchors)
        assert registry.last(name) == (anchors[-1][1].batch, anchors[-1][1].id, anchors[-1][0])
        assert [anchor.previous for _, anchor in anchors] == [0, *[block for block, _ in anchors[:-1]]]
    assert [(a.batch, a.id, a.prev, a.resume, a.account) for _, a in rebuilt.anchors[gateway_hash("gw")]] == [
        (0, A, bytes(32), False, one),
        (1, C, A, False, three),
        (5, D, B, True, three),
    ]


class Rebuilt:
    """The contract's state from its events alone, in plain words of its source."""

    def __init__(self, registry: Registry) -> None:
        self.owner = NOBODY
        self.names: dict[bytes, str] = {}
        self.accounts: dict[bytes, bytes] = {}
        self.bridges: dict[bytes, bool] = {}
        self.roots: dict[bytes, int] = {}
        self.anchors: dict[bytes, list[tuple[int, Anchored]]] = {}
        by_topic = {CONTRACT.topic(name): getattr(self, f"on_{name}", None) for name in _EVENTS}
        for log in registry.logs():
            anchored = anchor_registry.event(log.topics, log.data)
            if isinstance(anchored, Anchored):
                self.anchors.setdefault(anchored.gateway, []).append((log.block, anchored))
            elif isinstance(anchored, AnchoredMany):
                self.roots[anchored.root] = anchored.size
            else:
                handler = by_topic[log.topics[0]]
                if handler is not None:
                    handler(log.topics[1:], log.data)

    def on_OwnershipTaken(self, topics: list[bytes], _: bytes) -> None:
        self.owner = address(topics[0])

    def on_Registered(self, topics: list[bytes], data: bytes) -> None:
        self.names[topics[0]] = data[64 : 64 + number(data[32:64])].decode()
        self.accounts[topics[0]] = address(topics[1])

    def on_Rotated(self, topics: list[bytes], _: bytes) -> None:
        assert self.accounts[topics[0]] == address(topics[1])
        self.accounts[topics[0]] = address(topics[2])

    def on_Revoked(self, topics: list[bytes], _: bytes) -> None:
        assert self.accounts[topics[0]] == address(topics[1])
        self.accounts[topics[0]] = NOBODY

    def on_BridgeSet(self, topics: list[bytes], data: bytes) -> None:
        self.bridges[address(topics[0])] = flag(data)


_EVENTS = ("OwnershipOffered", "OwnershipTaken", "Registered", "Rotated", "Revoked", "BridgeSet")
