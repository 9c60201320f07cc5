"""Bridge process: one folder, one broker, one ledger."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger_client.bridge.backlog import Backlog
from ledger_client.bridge.broker_side import Door, Place, taking_for_chain, taking_for_relay
from ledger_client.bridge.chain_anchoring import Anchorage
from ledger_client.bridge.claim import Part
from ledger_client.bridge.http_relay import Relay
from ledger_client.errors import LedgerClientError
from ledger_client.ledgers.interface import DriverNotes, Ledger
from ledger_client.transparency.ledger.directory import BOOK, POLICY, lock_folder
from ledger_client.transparency.ledger.held_key import LedgerDirError
from ledger_client.transparency.policy.policy_file import EMPTY_POLICY, PolicyFile, write_policy
from ledger_client.transport.access import Access

if TYPE_CHECKING:
    from ledger_client.ledgers.evm.driver import EvmLedger

_LEAST_PENDING_S = 1.0


class BridgeError(LedgerClientError):
    """This bridge cannot go on: why, and the way out."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The folder, the ledger's name and the broker of a bridge."""

    folder: Path
    ledger: str
    mqtt: str
    broker: Access


class _Ending:
    """The process's end: by a signal, or because something failed for good."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._why = ""

    def fail(self, why: str) -> None:
        self._why = self._why or why
        self.event.set()

    def wait(self) -> None:
        """Until the end; raises ``BridgeError`` where it failed."""
        self.event.wait()
        if self._why:
            raise BridgeError(self._why)


def to_http(bridge: Bridge, make: Callable[[DriverNotes], Ledger], say: Callable[[str], None]) -> None:
    """Relay to the ledger that ``make`` makes, until SIGTERM or SIGINT. Raises ``LedgerClientError``."""
    with _begun(bridge, f"to ledger {bridge.ledger} over HTTP") as (book, ending, stack):
        ledger = stack.enter_context(closing(make(book)))
        doors: list[Door] = []
        relay = Relay(
            ledger, book, lambda *answer: _each(doors, lambda door: door.tell(*answer)),
            lambda *pending: _each(doors, lambda door: door.pend(*pending)),
        )  # fmt: skip
        stack.callback(relay.close)
        place = Place(bridge.ledger, bridge.mqtt, bridge.broker, Part(), shared=True)
        door = Door(place, book.identity, taking_for_relay(book, relay.wake), say, ending.fail)
        doors.append(door)
        stack.callback(door.close)
        ending.wait()


def to_chain(
    bridge: Bridge, make: Callable[[DriverNotes], EvmLedger], part: Part, gather_s: float, say: Callable[[str], None]
) -> None:
    """Anchor at the contract of the driver that ``make`` makes, until SIGTERM or SIGINT. Raises
    ``LedgerClientError``."""
    with _begun(bridge, f"to ledger {bridge.ledger} on a chain, part {part}") as (book, ending, stack):
        path = bridge.folder / POLICY
        if not path.exists():
            write_policy(path, EMPTY_POLICY)
        policy = PolicyFile(path)
        chain = stack.enter_context(closing(make(book)))
        doors: list[Door] = []
        anchorage = Anchorage(
            chain, book, lambda *answer: _each(doors, lambda door: door.tell(*answer)), gather_s=gather_s
        )
        pending_s = max(_LEAST_PENDING_S, 12 * gather_s)
        take = taking_for_chain(book, policy.current, anchorage, pending_s)
        place = Place(bridge.ledger, bridge.mqtt, bridge.broker, part, shared=False)
        stop = threading.Event()
        anchoring = threading.Thread(target=anchorage.run, args=(stop, ending.fail), name="anchorage")
        door = Door(place, book.identity, take, say, ending.fail)
        doors.append(door)
        stack.callback(door.close)
        anchoring.start()
        stack.callback(anchoring.join)
        stack.callback(stop.set)
        ending.wait()


def _each(doors: list[Door], act: Callable[[Door], None]) -> None:
    for door in doors:  # none yet at the start: who has no answer asks again
        act(door)


@contextmanager
def _begun(bridge: Bridge, duty: str) -> Iterator[tuple[Backlog, _Ending, ExitStack]]:
    with ExitStack() as stack:
        try:
            bridge.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(lock_folder(bridge.folder))
        except OSError as error:
            raise LedgerDirError(
                f"{bridge.folder}: {error.strerror}", "give a folder that this user may write in"
            ) from None
        book = stack.enter_context(closing(Backlog(bridge.folder / BOOK, duty)))
        ending = _Ending()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: ending.event.set())
        yield book, ending, stack
