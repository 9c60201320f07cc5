"""A chain in this process: what it is given waits, gets into a block, becomes final, or is dropped again."""

from __future__ import annotations

from ledger_client.errors import Refused
from ledger_client.formats.bundle import Locator, encode_locator
from ledger_client.formats.statement import parse_statement, statement_id
from ledger_client.ledgers.interface import DriverNotes, Pending

CHAIN, CONTRACT = 31337, bytes(range(20))


class SmallChain:
    """The test says when something happens: ``mine``, ``finalise``, ``drop``. ``memory`` gets a note a submission."""

    def __init__(self, name: str, memory: DriverNotes | None = None) -> None:
        self.name, self.memory, self.contract = name, memory, CONTRACT
        self.submitted: list[int] = []
        self.disowned = 0  # questions that were refused
        self.refuses: set[int] = set()
        self.disowns: set[int] = set()
        """What waits and is refused when it is asked about, for want of what went before."""
        self._pool: dict[bytes, int] = {}
        self._block: dict[bytes, int] = {}
        self._final: dict[bytes, int] = {}
        self._seen: set[bytes] = set()

    def submit(self, entry: bytes) -> bytes | Pending:
        """Take a statement to where it waits for a block."""
        id_, batch = statement_id(entry), parse_statement(entry).statement.batch
        if batch in self.refuses:
            raise Refused("Unknown key", "no such account")
        if self.memory is not None:
            self.memory.keep(id_, batch.to_bytes(8, "big"))
        self.submitted.append(batch)
        held = [*self._final.values(), *self._block.values(), *self._pool.values()]
        if held and batch != max(held) + 1:
            raise Refused("Out of order", f"batch {max(held) + 1} is next, not {batch}")
        self._pool[id_] = batch
        return Pending(0.01)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """How far a statement has come."""
        if self._pool.get(statement_id) in self.disowns:
            self.disowned += 1
            raise Refused("Out of order", "the batches before it come first")
        if statement_id in self._pool:
            return Pending(0.01)
        if statement_id in self._block:
            return Pending(0.01, state="included")
        if statement_id not in self._final:
            return None
        if statement_id not in self._seen:
            self._seen.add(statement_id)
            return Pending(0.01, state="final")
        return encode_locator(Locator(self.name, CHAIN, self.contract, statement_id, 7, bytes(32)))

    def mine(self) -> None:
        """A block takes everything that waits."""
        self._block, self._pool = self._block | self._pool, {}

    def finalise(self) -> None:
        """The block stays for ever."""
        self._final, self._block = self._final | self._block, {}

    def drop(self) -> None:
        """Another block replaces it, and does not hold what it held."""
        self._block = {}

    def held(self) -> list[int]:
        """What is final, in order."""
        return list(self._final.values())

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """The newest statement that is in a block."""
        held = [(batch, id_) for id_, batch in (self._final | self._block).items()]
        return max(held) if held else None

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """A chain holds ids only."""
        return []

    def close(self) -> None:
        """Nothing is open."""
