"""Audit of one batch by itself: its statement, records, tree, receipts and keys, by the steps of ``verify``. No I/O.

What ``verify`` demands of one record stands here for all records of a batch at once, and what fails is found, not
raised. Nothing in it needs another batch; what lies between batches is for the other modules of this room.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from ledger_client.audit.notes import Kind
from ledger_client.audit.records import Fact
from ledger_client.audit.result import Audit
from ledger_client.audit.times import Moments
from ledger_client.errors import STEPS, UnknownKey, VerificationError, at_step
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.merkle import Tree
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.statement import Range, SignedStatement, Statement, check_signed_behind, check_statement
from ledger_client.messages import Message
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.key_storage import SigningKey
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import (
    TOLERANCE_S,
    demand_signed_by,
    demand_valid,
    keys_of_ledgers,
    policy_error,
    read_receipts,
    vouching_ledgers,
)


class Steps:
    """The steps of ``verify`` for whole batches; ``until`` is when enough ledgers had the batch (Unix s)."""

    def __init__(self, result: Audit, trust: Trust, now: int) -> None:
        self._result, self._trust, self._now = result, trust, now

    def statement(self, signed: SignedStatement) -> None:
        """Step 4: by a statement key of the gateway, and it agrees with itself."""
        gateway = signed.statement.gateway
        try:
            key = self._trust.find("statement", gateway=gateway, kid=signed.kid)
            if key is None:
                raise UnknownKey(f"the trust file has no key {signed.kid.hex()} for statements of {gateway}", step=4)
            with at_step(4):
                signed.sign1.verify(key.key)
            check_statement(signed)
            check_signed_behind(signed.statement)
        except VerificationError as error:
            self._result.failed(error)

    def vouching(self, file: BatchFile) -> dict[str, int]:
        """Steps 6 and 8: the ledgers that vouch, each with its time."""
        batch = self._result.place[1]
        receipts, junk = read_receipts(file.receipts)
        vouching, failures = vouching_ledgers(file.entry, receipts, self._trust, self._now)
        failures = junk + failures
        if len(vouching) < self._trust.receipts:
            self._result.failed(policy_error(vouching, failures, self._trust))
        for key in keys_of_ledgers(vouching, file.entry, receipts, self._trust, self._now):
            self._result.signed(key)
        for _, failure in failures:
            self._result.noted(f"batch {batch}: not confirmed: {failure.detail}", Kind.UNCONFIRMED, "receipts")
        for place in file.anchors:
            text = f"batch {batch}: not confirmed: {place.ledger}, chain {place.chain}"
            self._result.noted(text, Kind.UNCONFIRMED, "anchors")
        return vouching

    def record(self, fact: Fact, statement: Statement, until: int | None) -> None:
        """Steps 1, 2, 4 and 7 for one record."""
        if fact.problem is not None:
            step, detail = fact.problem
            self._result.found(STEPS[step], fact.name, detail)
        if fact.name is None:
            return
        if not statement.from_ms <= fact.time_ms <= statement.to_ms:
            detail = f"the record is of {rfc3339_ms(fact.time_ms)}, its batch of {_span(statement)}"
            self._result.found(STEPS[4], fact.name, detail)
        if until is not None and fact.time_ms > (until + TOLERANCE_S) * 1000:
            span = f"{rfc3339_ms(fact.time_ms)}, more than {TOLERANCE_S} s after {rfc3339(until)}"
            self._result.found(STEPS[7], fact.name, f"the record claims {span}, when its batch was on a ledger already")

    def whole(self, gathered: Gathered, statement: Statement) -> None:
        """Steps 3 to 5: the tree over all records, the time that they span, and the ranges that they fill."""
        leaves, found = gathered.leaves, self._result.found
        if len(leaves) != statement.size:
            found(STEPS[3], None, f"holds {len(leaves)} records, its statement counts {statement.size}")
        elif Tree(leaves).root != statement.root:
            found(STEPS[3], None, "the records do not give the root of the statement: one at least is not its own")
        from_ms, to_ms = gathered.from_ms, gathered.to_ms
        if from_ms is not None and (statement.from_ms < from_ms or to_ms < statement.to_ms):
            records = f"{rfc3339_ms(from_ms)} to {rfc3339_ms(to_ms)}"
            found(STEPS[4], None, f"its statement says from {_span(statement)}, and its records are from {records}")
        for meter in sorted({*gathered.spans, *statement.meters}):
            if gathered.ranges(meter) != statement.meters.get(meter, ()):
                found(STEPS[5], None, f"the records of {meter} are not those that the statement counts")

    def held(self, signed: SignedStatement, gathered: Gathered) -> None:
        """Where the keys of records and statement are held, as the trust file says."""
        gateway, iat, spans = signed.statement.gateway, signed.statement.iat, {**gathered.signed}
        first, last = spans.get((GATEWAY_ITSELF, signed.kid), (iat, iat))
        spans[GATEWAY_ITSELF, signed.kid] = min(first, iat), max(last, iat)
        for (meter, kid), span in spans.items():
            role, name = ("statement", None) if meter == GATEWAY_ITSELF else ("meter", meter)
            if (key := self._trust.find(role, gateway=gateway, meter=name, kid=kid)) is not None:
                self._result.signed(SigningKey(key, *span))

    def signed_by(self, statement: Statement, until: int) -> None:
        """Step 7: the statement was not signed after the ledgers had it."""
        try:
            demand_signed_by(statement, until)
        except VerificationError as error:
            self._result.failed(error)

    def keys(self, signed: SignedStatement, kids: Iterable[tuple[str, bytes]], until: int) -> None:
        """Step 7: every key counted at the time of the batch."""
        gateway, trust = signed.statement.gateway, self._trust
        owners = [
            (
                Message("verify-key-of-gateway", gateway=gateway),
                trust.find("statement", gateway=gateway, kid=signed.kid),
            )
        ]
        for meter, kid in sorted(kids):
            if meter != GATEWAY_ITSELF:
                key = trust.find("meter", gateway=gateway, meter=meter, kid=kid)
                owners.append((Message("verify-key-of-meter", meter=meter), key))
            elif kid != signed.kid:
                whose = Message("verify-key-of-events", gateway=gateway)
                owners.append((whose, trust.find("statement", gateway=gateway, kid=kid)))
        for whose, key in owners:
            try:
                if key is not None:  # else its signatures were found wanting already
                    demand_valid(key, until, whose)
            except VerificationError as error:
                self._result.failed(error)


class Gathered:
    """What the records of one batch amount to."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.kinds: Counter[str] = Counter()
        self.signed: dict[tuple[str, bytes], tuple[int, int]] = {}
        """By owner and kid: when the first and the last of its records were signed (Unix s)."""
        self.spans: dict[str, dict[bytes, list[tuple[int, int]]]] = {}
        self.from_ms: int | None = None
        self.to_ms = 0
        self.moments = Moments()
        self._delays: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, fact: Fact, until: int | None) -> None:
        self.leaves.append(fact.leaf)
        if fact.name is None:
            self.kinds["unreadable"] += 1
            return
        meter, epoch, seq = fact.name
        time_ms = fact.time_ms
        self.moments.add(fact, epoch)
        self.kinds[fact.kind] += 1
        first, last = self.signed.get((meter, fact.kid), (fact.iat, fact.iat))
        self.signed[meter, fact.kid] = min(first, fact.iat), max(last, fact.iat)
        self.from_ms = time_ms if self.from_ms is None else min(self.from_ms, time_ms)
        self.to_ms = max(self.to_ms, time_ms)
        stretches = self.spans.setdefault(meter, {}).setdefault(epoch, [])
        if stretches and stretches[-1][1] == seq - 1:
            stretches[-1] = stretches[-1][0], seq
        else:
            stretches.append((seq, seq))
        if until is not None and fact.kind == "reading":
            self._delays[meter][max(0, until - time_ms // 1000)] += 1

    @property
    def kids(self) -> Iterable[tuple[str, bytes]]:
        """The keys of the records: whose, and which."""
        return self.signed.keys()

    def ranges(self, meter: str) -> tuple[Range, ...]:
        """The numbers of one meter, by epoch."""
        spans = self.spans.get(meter, {})
        return tuple(sorted(Range(epoch, *span) for epoch, stretches in spans.items() for span in stretches))

    def delays_into(self, result: Audit) -> None:
        """Add how old each reading was when the ledgers had it."""
        for meter, delays in self._delays.items():
            result.account(meter).delays_s.update(delays)


def _span(statement: Statement) -> str:
    return f"{rfc3339_ms(statement.from_ms)} to {rfc3339_ms(statement.to_ms)}"
