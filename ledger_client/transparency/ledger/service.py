"""Transparency service: registers statements and claims, issues receipts; an entry keeps its first receipt.

The rules in order: what stands in the log gets its first receipt again; else it must be well formed and signed by a key
that is enrolled for its gateway, or party, and valid now; then the log's one writer asks that again of the policy that
the log tells, decides its place in the gateway's order, or applies the registry's rules to a claim, and appends it with
its receipt. Those who come at once share a transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from hashlib import sha256
from typing import Protocol

from ledger_client.claims.certificate import certificate_named
from ledger_client.claims.claim import is_claim
from ledger_client.claims.registry import apply
from ledger_client.errors import LedgerUnavailable, Refused, VerificationError
from ledger_client.formats.cose_key import Signer
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.statement import SignedStatement, detach_receipts
from ledger_client.http_server.token_bucket import Buckets
from ledger_client.transparency.ledger.admission import (
    BAD_SIGNATURE,
    KEY_NOT_VALID,
    MALFORMED,
    NOT_YET,
    OUT_OF_ORDER,
    TAKEN,
    UNKNOWN_KEY,
    admitted,
    check_order,
    enrolled,
)
from ledger_client.transparency.ledger.claim_admission import (
    admitted_claim,
    enrolled_party,
    roles_of,
)
from ledger_client.transparency.ledger.directory import LedgerDir
from ledger_client.transparency.ledger.held_key import KeyUnavailable
from ledger_client.transparency.log.claim_tables import owner
from ledger_client.transparency.log.counters import Counts
from ledger_client.transparency.log.entries import Expected, Place, Reader, Writer
from ledger_client.transparency.log.group_commit import GroupCommit, Registration, Work
from ledger_client.transparency.policy.ledger_keys import LedgerKey
from ledger_client.transparency.policy.policy_file import Policy
from ledger_client.transport.wire import MAX_PAGE, id_to_text

__all__ = [
    "BAD_SIGNATURE",
    "KEY_NOT_VALID",
    "MALFORMED",
    "NOT_YET",
    "OUT_OF_ORDER",
    "TAKEN",
    "UNKNOWN_KEY",
    "Service",
    "Submitted",
    "TooOften",
]

_PAGE_ENTRIES = 250
_PAGE_OVERHEAD = 8  # CBOR heads of one entry and of the page


Submitted = tuple[bytes, bytes]  # statement id and first receipt


class TooOften(LedgerUnavailable):
    """A gateway that submits faster than it may; ``retry_after_s`` says when there is room again."""


class PolicyInForce(Protocol):
    """Whose statements are taken."""

    def current(self) -> Policy:
        """The policy by now."""
        ...

    def at(self, entries: Reader) -> Policy:
        """The one that the log tells at this state of it."""
        ...


class Service:
    """A ledger over one folder and one policy; safe to call from any thread."""

    def __init__(
        self,
        folder: LedgerDir,
        policy: PolicyInForce,
        *,
        now: Callable[[], float] = time.time,
        gateway_rate: float = 0,
    ) -> None:
        """``gateway_rate``: statements a second that one gateway, or claims that one party, may submit on average, 0
        for any number."""
        self.name = folder.log.name
        self._folder = folder
        self._log = folder.log
        self.counts = Counts()
        self._group = GroupCommit(folder.log, self.counts)
        self._submitters = Buckets(gateway_rate)
        self._policy = policy
        self._now = now

    @property
    def keys(self) -> list[LedgerKey]:
        """Every key that this ledger ever signed with, the present one last."""
        with self._log.read() as log:
            return self._folder.keys(log)[1]

    def submit(self, data: bytes) -> Submitted:
        """Take a statement, with or without receipts of other ledgers; returns (statement id, first receipt), durable.

        Raises ``Refused`` with one of the titles above, ``LedgerUnavailable`` when the disk is at fault.
        """
        (outcome,) = self.submit_all([data])
        return outcome.result()

    def submit_all(self, many: Sequence[bytes]) -> list[Future[Submitted]]:
        """The same for several, with what becomes of each: they share a transaction."""
        outcomes = [Future[Submitted]() for _ in many]
        entries: list[tuple[Future[Submitted], bytes, bytes]] = []
        for data, outcome in zip(many, outcomes, strict=True):
            with _raised_into(outcome):
                entries.append((outcome, *_entry_of(data)))
        works: list[tuple[Future[Submitted], bytes, Work]] = []
        known = self._known([statement_id for _, statement_id, _ in entries])
        for outcome, statement_id, entry in entries:
            with _raised_into(outcome):
                if isinstance(known, LedgerUnavailable):
                    raise known
                if (first := known.get(statement_id)) is not None:
                    outcome.set_result((statement_id, first))
                elif (away := self._folder.away()) is not None:
                    raise away
                else:
                    work = self._claim(entry) if _means_claim(entry) else self._statement(entry)
                    works.append((outcome, statement_id, work))
        written = self._group.run_all([work for _, _, work in works]) if works else []
        for (outcome, statement_id, _), receipt in zip(works, written, strict=True):
            with _raised_into(outcome):
                outcome.set_result((statement_id, receipt.result()))
        for outcome in outcomes:
            self._count(outcome.exception())
        return outcomes

    def _count(self, error: BaseException | None) -> None:
        if error is None:
            self.counts.add("taken")
        elif isinstance(error, Refused):
            self.counts.add("refused", error.title)
        elif isinstance(error, LedgerUnavailable) and not isinstance(error, TooOften | KeyUnavailable):
            self._group.doubt()

    def _known(self, ids: Sequence[bytes]) -> dict[bytes, bytes] | LedgerUnavailable:
        try:
            return self._log.receipts(ids) if ids else {}
        except LedgerUnavailable as error:
            return error

    def _statement(self, entry: bytes) -> Work:
        """What will register a batch statement."""
        signed = self._checked(entry)
        statement = signed.statement

        def register(log: Writer) -> bytes:
            first = log.receipt(signed.id)  # again, now as the only writer: another submitter may have been faster
            if first is None:
                enrolled(statement.gateway, signed.kid, self._policy.at(log), int(self._now()))
                check_order(log, statement)
                first = self._append(log, entry, statement.gateway, statement.batch)
                log.take_ranges(signed)
            return first

        epochs = frozenset(stretch.epoch for stretches in statement.meters.values() for stretch in stretches)
        return Registration(Expected(signed.id, statement.gateway, epochs), register)

    def _claim(self, entry: bytes) -> Work:
        """What will register a claim."""
        signed = admitted_claim(entry, self._policy.current(), int(self._now()))
        claim = signed.claim
        whose = owner(claim.party)
        self._demand_room(whose)

        def register(log: Writer) -> bytes:
            first = log.receipt(signed.id)
            if first is None:
                policy, now = self._policy.at(log), int(self._now())
                enrolled_party(claim.party, signed.kid, policy, now)
                apply(log.claims, claim, roles_of(policy, now), self.name)
                if (cert := certificate_named(claim)) is not None:
                    log.claims.note(cert, log.size())
                first = self._append(log, entry, whose, claim.number)
            return first

        return register

    def _append(self, log: Writer, entry: bytes, whose: str, number: int) -> bytes:
        """Append an entry; its receipt."""
        signer, iat = self._present(log)
        sub = id_to_text(sha256(entry).digest())

        def sign(place: Place) -> bytes:
            return sign_receipt(self.name, sub, iat, place.size, place.index, place.path, place.root, signer)

        receipt = log.append(entry, sign, gateway=whose, batch=number)
        assert receipt is not None  # append returns what its signer returned
        return receipt

    def unwritable(self) -> LedgerUnavailable | None:
        """Why the ledger can take no statements; None while its disk takes what is written, its log is whole, and its
        key signs."""
        return self._group.unwritable() or self._folder.away()

    def receipt(self, statement_id: bytes) -> bytes | None:
        """The first receipt of a statement; ``None`` for one that is not in the log."""
        return self._log.receipt(statement_id)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and statement id of a gateway's last batch."""
        with self._log.read() as log:
            return log.last(gateway)

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """The next entries of a gateway above a batch number: as many as one answer may hold."""
        page: list[bytes] = []
        room = MAX_PAGE
        with self._log.read() as log:
            for entry in log.after(gateway, after):
                room -= len(entry) + _PAGE_OVERHEAD
                if room < 0 or len(page) == _PAGE_ENTRIES:
                    break
                page.append(entry)
        return page

    def register_policy(self) -> None:
        """See to it that the log tells what policy.toml asks for by now, before somebody is shown the log."""
        self._policy.current()

    def demand_key(self, gateway: str, kid: bytes) -> None:
        """Raises ``Refused`` unless statements of this gateway's key would be taken now."""
        enrolled(gateway, kid, self._policy.current(), int(self._now()))

    def _checked(self, entry: bytes) -> SignedStatement:
        signed = admitted(entry, self._policy.current(), int(self._now()))
        self._demand_room(signed.statement.gateway)
        return signed

    def _demand_room(self, whose: str) -> None:
        """Raises ``TooOften``. Asked once it is known who submits: nobody can use up another's share."""
        wait = self._submitters.take(whose)
        if wait:
            self.counts.add("limited", "gateway")
            raise TooOften(f"{whose} submits more than this ledger takes", wait)

    def _present(self, log: Reader) -> tuple[Signer, int]:
        """The key that signs at this state of the log and the time that it signs at, never one before it was named."""
        signer, keys = self._folder.keys(log)
        return signer, max(int(self._now()), keys[-1].since)


def _entry_of(data: bytes) -> tuple[bytes, bytes]:
    """(id, entry) of what was submitted."""
    try:
        entry, _ = detach_receipts(data)  # RFC 9943 §6.3: the unprotected header is emptied before inclusion
    except VerificationError as error:
        raise Refused(MALFORMED, error.detail) from error
    return sha256(entry).digest(), entry


def _means_claim(entry: bytes) -> bool:
    try:
        return is_claim(entry)
    except VerificationError as error:
        raise Refused(MALFORMED, error.detail) from error


@contextmanager
def _raised_into(outcome: Future[Submitted]) -> Iterator[None]:
    """Whatever is raised inside becomes the outcome of this statement, and of no other."""
    try:
        yield
    except Exception as error:
        outcome.set_exception(error)
