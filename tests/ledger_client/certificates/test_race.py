"""Twenty issuers, two ledgers and a chain, all for one quarter of an hour of a device: one certificate is accepted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Final

import pytest

from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.certificates.mcert.steps import CertificateError
from ledger_client.certificates.mcert.verify import verify_certificate
from ledger_client.claims.certificate import HELD
from ledger_client.claims.claim import Issue
from ledger_client.claims.given_claim import GivenClaim
from ledger_client.claims.registry import ORIGIN_TAKEN
from ledger_client.contracts.claim_registry import CONTRACT, ISSUER, PARTY, Issued, event
from ledger_client.errors import Refused
from ledger_client.formats.bundle import Locator
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.http_registry import HttpRegistry
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.verification.trust import Trust
from tests.ledger_client.evm.chain import chain, deploy, transact
from tests.ledger_client.evm.claims import Claims, h
from tests.support.audit_batches import trusted
from tests.support.certificates.claimed import Party, enrol, policy_entries
from tests.support.certificates.mcert import DEVICE, Certified, certified_plan
from tests.support.evidence import LEDGER
from tests.support.processes import EmbeddedLedger, embedded_ledger

ISSUERS: Final = 20
CLAIMS_OF_ITS_OWN, OTHER, ON_CHAIN = "registry-1", "registry-2", "registry-chain"
CLAIMS, PLAN = 2, 7  # steps of V1


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    """A station that one registry may certify."""
    return Certified.made(tmp_path, partial(certified_plan, registry=CLAIMS_OF_ITS_OWN))


def parties(registry: str) -> tuple[list[Party], Party]:
    """Issuers and a holder, at a registry."""
    return [Party(f"issuer-{n}", "issuer", registry) for n in range(ISSUERS)], Party("owner", "party", registry)


def raced(issuers: list[Party], deed: Issue, url: str, registry: str) -> list[GivenClaim]:
    """All of them issue the same at a ledger at once; the claims that it took: the others are refused by one rule."""
    start = Barrier(ISSUERS)

    def offer(issuer: Party) -> GivenClaim | str:
        entry = issuer.sign(deed)
        with closing(HttpRegistry(registry, url)) as client:
            start.wait()
            try:
                return GivenClaim(entry, (client.submit(entry),))
            except Refused as refusal:
                return refusal.title

    with ThreadPoolExecutor(ISSUERS) as pool:
        answers = list(pool.map(offer, issuers))
    assert {answer for answer in answers if isinstance(answer, str)} == {ORIGIN_TAKEN}
    return [answer for answer in answers if isinstance(answer, GivenClaim)]


def raced_on_chain(node: Node, deed: Issue) -> list[GivenClaim]:
    """The same at the contract, by transactions that stand in one block."""
    issuers, owner = parties(ON_CHAIN)
    made = Claims(deploy(node, CONTRACT, ON_CHAIN))
    for issuer in issuers:
        made.register(issuer.name, ISSUER)
    made.register(owner.name, PARTY)
    entries = {issuer.name: issuer.sign(deed) for issuer in issuers}
    origin = deed.origin
    for name, entry in entries.items():
        what = deed.period, deed.row, h(deed.to), statement_id(entry)
        interval = origin.from_ms // 1000, origin.to_ms // 1000, deed.units, *what
        data = CONTRACT.call("issue", 0, h(origin.device), [interval])
        transact(node, made.account[name], data, made.registry.address)
    found = []
    for log in made.registry.logs():
        if isinstance(issued := event(log.topics, log.data), Issued):
            (entry,) = (entry for entry in entries.values() if statement_id(entry) == issued.claim)
            block = node.block(log.block)
            assert block is not None
            place = Locator(ON_CHAIN, node.chain_id(), made.registry.address, log.tx, log.block, block.hash)
            found.append(GivenClaim(entry, (), place))
    return found


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[tuple[EmbeddedLedger, EmbeddedLedger]]:
    with (
        embedded_ledger(tmp_path / CLAIMS_OF_ITS_OWN, CLAIMS_OF_ITS_OWN) as registry,
        embedded_ledger(tmp_path / OTHER, OTHER) as other,
    ):
        yield registry, other


def test_one_certificate_in_the_world_is_accepted(
    tmp_path: Path, certified: Certified, ledgers: tuple[EmbeddedLedger, EmbeddedLedger]
) -> None:
    deed = certified.issue(to="owner")
    keys = ""
    taken: list[tuple[str, GivenClaim]] = []
    for ledger in ledgers:
        issuers, owner = parties(ledger.name)
        enrol(ledger.folder / "policy.toml", [*issuers, owner])
        keys += policy_entries([*issuers, owner])
        won = raced(issuers, deed, ledger.url, ledger.name)
        taken += [(ledger.name, claim) for claim in won]
    with chain(tmp_path / "chain", "--accounts", "30") as (_, node):
        taken += [(ON_CHAIN, claim) for claim in raced_on_chain(node, deed)]
    assert [registry for registry, _ in taken] == [CLAIMS_OF_ITS_OWN, OTHER, ON_CHAIN]
    names = LEDGER, CLAIMS_OF_ITS_OWN, OTHER
    trust = trusted(extra=keys, ledgers=names, keys={ledger.name: trust_entry(ledger.folder) for ledger in ledgers})
    files = {registry: certified.file(claim) for registry, claim in taken}
    proven = verify_certificate(files[CLAIMS_OF_ITS_OWN].encode(), trust, int(time.time()))
    assert proven.traced.issue == deed
    assert refused(files[OTHER], trust) == (PLAN, "P8")
    assert refused(files[ON_CHAIN], trust)[0] == CLAIMS
    for ledger in ledgers:
        with closing(HttpRegistry(ledger.name, ledger.url)) as client:
            (shown,) = client.of_device(h(DEVICE), deed.origin.from_ms, deed.origin.to_ms)
            assert [(one.begin, one.end, one.status) for one in shown.slices] == [(0, deed.units, HELD)]


def refused(file: CertificateFile, trust: Trust) -> tuple[int, str]:
    """The step and the rule."""
    with pytest.raises(CertificateError) as caught:
        verify_certificate(file.encode(), trust, int(time.time()))
    return caught.value.step, caught.value.rule
