"""Comparison of a ledger's statements of this gateway with its database. Pure: answers in, findings out.

A database may be older than a ledger (restored, rolled back by a lying disk, new on a new card), newer (the ledger has
lost data), or another one altogether (a cloned card). docs/storage.md says what becomes of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from gateway.evidence.sealing import Before
from gateway.messages.message import Message
from gateway.storage.rows import Conflict
from ledger_client.errors import LedgerClientError, Refused
from ledger_client.formats.checks import is_name
from ledger_client.formats.statement import Range, SignedStatement, id_text, parse_statement

if TYPE_CHECKING:  # `status` needs no key
    from ledger_client.formats.cose_key import PublicKey

MAX_BATCH = 2**63 - 1  # SQLite's integers


class Odd(Exception):
    """An answer of a ledger that cannot be true: ``sentence`` is why."""

    def __init__(self, sentence: Message) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class LedgerHead(NamedTuple):
    """The last statement of this gateway that a ledger holds."""

    batch: int
    statement_id: bytes


@dataclass(frozen=True, slots=True)
class Agreed:
    """Whatever the ledger holds is held here too."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The ledger holds nothing above ``batch`` (-1: nothing at all) and has given receipts up to ``settled``."""

    batch: int
    settled: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """The ledger holds batches that come after all that is known here, ``last`` at their end."""

    last: LedgerHead


@dataclass(frozen=True, slots=True)
class Another:
    """The ledger holds another statement under a number that this database has sealed: two gateways bear one name."""

    batch: int
    statement_id: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Records that a statement of a ledger holds, of an epoch that stands unsealed here."""

    statement_id: bytes
    meter: str
    stretch: Range


@dataclass(frozen=True, slots=True)
class Rollback:
    """The database is older than the ledger: ``last`` is the statement to go on from, ``marks`` what is sealed there.

    ``complete`` is false where the ledger did not give every batch between: a record of before this epoch that has no
    mark may be sealed or not.
    """

    last: LedgerHead
    marks: tuple[Mark, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Holds:
    """What a ledger that cannot be asked says that it holds, in a refusal: the gateway's last statement, and of meters
    and epochs that it was offered the last numbers."""

    last: LedgerHead
    numbers: Mapping[tuple[str, bytes], int]


MOST_NUMBERS = 500
"""Of a refusal's numbers so many are read; so the event that tells of them fits a record."""

Unsealed = Mapping[tuple[str, bytes], int]
"""The highest unsealed sequence number of each meter and epoch that was recorded before the present epoch."""


def holds(refusal: Refused) -> Holds | None:
    """What a refusal says that its ledger holds (docs/ledger.md, ``held``); None where it says nothing of that."""
    match refusal.more.get("held"):
        case {"batch": int(batch), "id": bytes(id_), "ranges": list(ranges)} if len(id_) == 32 and batch < MAX_BATCH:
            numbers = {}
            for entry in ranges[:MOST_NUMBERS]:
                match entry:
                    case [str(meter), bytes(epoch), int(last), int(_)] if is_name(meter) and last <= MAX_BATCH:
                        numbers[meter, epoch] = last
                    case _:
                        return None
            return Holds(LedgerHead(batch, id_), numbers)
    return None


def judge(
    last: LedgerHead | None, here: Before, ours: bytes | None, settled: int | None
) -> Agreed | Lost | Ahead | Another:
    """What the last statement of a ledger means.

    ``here`` is the last statement known here, ``ours`` the id of the one that bears the number of the ledger's last,
    ``settled`` the highest batch that this ledger gave a receipt for.
    """
    number = last.batch if last is not None else -1
    if number > MAX_BATCH - 1:
        raise Odd(Message("odd-number-impossible", batch=number))
    if last is not None and number > here.batch:
        return Ahead(last)
    if last is not None and ours is not None and ours != last.statement_id:
        return Another(number, last.statement_id)
    if settled is not None and settled > number:
        return Lost(number, settled)
    return Agreed()


@dataclass(slots=True)
class Walk:
    """The statements of a ledger from the last one known here on, one after the other; raises Odd.

    ``batch`` and ``statement_id`` are where it has come to; ``another`` is set, and nothing more is to be taken, where
    the two lines part.
    """

    gateway: str
    keys: Mapping[bytes, PublicKey]
    here: Before
    last: LedgerHead
    unsealed: Unsealed
    batch: int = field(init=False)
    statement_id: bytes | None = field(init=False)
    another: Another | None = None
    _marks: list[Mark] = field(default_factory=list)
    _complete: bool = True
    _began: bool = False

    def __post_init__(self) -> None:
        self.batch, self.statement_id = self.here.batch, self.here.statement_id

    @property
    def after(self) -> int:
        """The number behind which the ledger is to be asked next."""
        if self._began:
            return self.batch
        # The statement at ``here.batch`` is asked for as well: it must be ours. A database that holds nothing from
        # before needs only the last.
        return max(-1, self.here.batch - 1) if self.here.batch >= 0 or self.unsealed else self.last.batch - 1

    @property
    def ended(self) -> bool:
        """The ledger's last statement was met, or the point where the lines part."""
        return self.batch >= self.last.batch or self.another is not None

    def take(self, entries: Collection[bytes]) -> None:
        """The next statements, as the ledger gave them. Raises Odd."""
        if not entries:
            raise Odd(Message("odd-nothing-after", batch=self.last.batch, after=self.after))
        for entry in entries:
            if self.another is None:
                self._take(self._read(entry))

    def rollback(self) -> Rollback:
        """What was found, once it has ``ended`` and nothing stands against it."""
        assert self.statement_id is not None
        return Rollback(LedgerHead(self.batch, self.statement_id), tuple(self._marks), self._complete)

    def _read(self, entry: bytes) -> SignedStatement:
        try:
            signed = parse_statement(entry)
            key = self.keys.get(signed.kid)
            if key is None:
                raise Odd(Message("odd-unknown-key", batch=signed.statement.batch))
            signed.sign1.verify(key)
        except LedgerClientError as error:
            raise Odd(Message("odd-invalid-statement", why=error.sentence)) from None
        if signed.statement.gateway != self.gateway:
            raise Odd(Message("odd-other-gateway", gateway=signed.statement.gateway))
        return signed

    def _take(self, signed: SignedStatement) -> None:
        statement = signed.statement
        if statement.batch == self.here.batch and not self._began:
            self._began = True
            if signed.id != self.here.statement_id:
                self.another = Another(statement.batch, signed.id)
            return
        if statement.batch <= self.batch:
            raise Odd(Message("odd-order", batch=statement.batch, before=self.batch))
        self._link(signed)
        if self.another is not None:
            return
        met = (signed.id == self.last.statement_id) == (statement.batch == self.last.batch)
        if not met or (self.batch < self.last.batch < statement.batch):
            raise Odd(Message("odd-contradiction", statement=id_text(self.last.statement_id), batch=self.last.batch))
        self._began, self.batch, self.statement_id = True, statement.batch, signed.id
        for meter, stretches in statement.meters.items():
            for stretch in stretches:
                if stretch.first <= self.unsealed.get((meter, stretch.epoch), -1):
                    self._marks.append(Mark(signed.id, meter, stretch))

    def _link(self, signed: SignedStatement) -> None:
        """How a statement hangs on the one before it."""
        statement = signed.statement
        first_new = self.batch == self.here.batch
        if statement.batch == self.batch + 1 and statement.prev == self.statement_id:
            return
        if statement.resume is not None or (first_new and statement.batch > self.batch + 1):
            self._complete = False  # it went on from what this ledger never held, or the ledger came later
        elif first_new and statement.prev is not None:
            self.another = Another(self.batch, statement.prev)
        else:
            raise Odd(Message("odd-gap", batch=statement.batch, before=self.batch))


@dataclass(slots=True)
class Waiting:
    """Which ledgers sealing still waits for: every required one that can tell, else the first that can; and every one
    must have been asked once, so that what is there to be known is known."""

    required: frozenset[str]
    optional: frozenset[str]
    compared: set[str] = field(default_factory=set)
    unable: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    def for_whom(self) -> list[str]:
        """The ledgers that sealing waits for."""
        everyone = self.required | self.optional
        done = self.compared | self.unable
        missing = self.required - done
        if not self.required and not self.compared:
            missing = self.optional - self.unable
        return sorted(missing | (everyone - done - self.asked))


def waiting(names: Sequence[str], odd: Mapping[str, Message]) -> Message:
    """Why nothing is sealed yet: these ledgers have not been compared; ``odd``: what was wrong with answers of some."""
    waits = Message("sealing-waits", n=len(names), ledgers=tuple(names))
    found = tuple(Message("ledger-odd", ledger=name, odd=odd[name]) for name in names if name in odd)
    return Message("sealing-waits-for-odd", waits=waits, odd=found) if found else waits


def resume_text(ledger: str, here: int, last: int) -> str:
    """What the next statement says under ``resume``: a text by its format, without a code."""
    ours = f"ended with batch {here}" if here >= 0 else "was new"
    return f"restored: the database {ours}, ledger {ledger} held batch {last}"


def older(ledger: str, here: int, last: int) -> Message:
    """What the status says of an older database during the epoch in which it was found.

    Args:
        ledger: name of the ledger that is ahead.
        here: last batch of the database; -1: none.
        last: last batch that the ledger holds.
    """
    if here < 0:
        return Message("database-new-ledger-older", ledger=ledger, last=last)
    return Message("database-older", here=here, ledger=ledger, last=last)


def equivocation(gateway: str, conflict: Conflict, database: str) -> Message:
    """Another batch under a number that was sealed here, and what to do."""
    return Message(
        "gateway-name-twice",
        ledger=conflict.ledger,
        batch=conflict.batch,
        statement=id_text(conflict.statement_id),
        gateway=gateway,
        database=database,
    )
