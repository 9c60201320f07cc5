"""What may happen to a chain while a gateway anchors on it, on anvil: a block every second, or none for a while."""

from __future__ import annotations

import shutil

from tests.contract.on_chain import EvmStand
from tests.contract.stands import Stand

DEPTH = 3
"""Blocks that a reorganisation takes back; an anchor counts with twice as many on it."""
DEARER = 20
STUCK_AFTER_S = 2.0


def blocks(stand: Stand) -> None:
    """A block every second, many anchors in each; an anchor counts when some more have come."""
    chain = _chain(stand)
    chain.settings |= {"confirmations": 2 * DEPTH, "poll_s": 0.2, "stuck_after_s": STUCK_AFTER_S}
    chain.rpc("anvil_mine", hex(DEPTH + 1))  # what came before the gateway's first batch is not taken back
    chain.rpc("evm_setIntervalMining", 1)


def reorganised(stand: Stand) -> None:
    """The newest blocks are replaced by empty ones."""
    _chain(stand).rpc("anvil_reorg", DEPTH, [])


def stuck(stand: Stand) -> None:
    """Gas becomes so dear that what has been sent does not get into a block."""
    chain = _chain(stand)
    latest = chain.node.block("latest")
    assert latest is not None
    assert latest.base_fee is not None
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(DEARER * latest.base_fee))


def gap(stand: Stand) -> None:
    """The node forgets the transaction that is next: behind the hole nothing moves."""
    chain = _chain(stand)
    waiting = chain.rpc("txpool_content")["pending"]
    for by_nonce in waiting.values():
        chain.rpc("anvil_dropTransaction", by_nonce[min(by_nonce, key=int)]["hash"])


def older_state(stand: Stand) -> None:
    """The first time the node's state is saved; the next time it is put back, and what came since is lost."""
    chain = _chain(stand)
    saved = chain.process.state.with_suffix(".older")
    if saved.exists():
        chain.process.kill()
        shutil.copy(saved, chain.process.state)
    else:
        assert chain.process.stop() == 0
        shutil.copy(chain.process.state, saved)
    chain.process.start()


def _chain(stand: Stand) -> EvmStand:
    assert isinstance(stand, EvmStand)
    return stand
