"""The chain of these tests, one a file, and a gateway on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_client.ledgers.evm.node import Node
from tests.ledger_client.evm.chain import chain
from tests.ledger_client.evm.evm_site import EvmSite, evm_site, settle
from tests.support.processes import Anvil


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Anvil, Node]]:
    with chain(tmp_path_factory.mktemp("chain")) as both:
        yield both


@pytest.fixture
def site(running: tuple[Anvil, Node], tmp_path: Path) -> Iterator[EvmSite]:
    site = evm_site(*running, tmp_path)
    yield site
    site.rpc("anvil_dropAllTransactions")
    site.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    site.rpc("evm_mine")
    site.rpc("evm_setAutomine", True)


@pytest.fixture
def still(site: EvmSite) -> EvmSite:
    """The same with batch 0 on the chain, which makes a block only on request."""
    with site.driver() as driver:
        settle(driver, site.gateway.statement(0))
    site.book.forget()
    site.rpc("evm_setAutomine", False)
    return site
