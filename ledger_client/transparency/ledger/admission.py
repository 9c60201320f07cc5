"""Admission of a statement to a ledger: form, key and signature, then its place in its gateway's order.

Whoever registers statements asks this: the embedded ledger, and a bridge to a chain whose contract sees roots only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from ledger_client.errors import BadSignature, Refused, VerificationError
from ledger_client.formats.statement import Range, SignedStatement, Statement, check_signed_behind, parse_statement
from ledger_client.transparency.log import ranges
from ledger_client.transparency.log.entries import MAX_NUMBER
from ledger_client.transparency.policy.policy_file import Policy, flaw_at
from ledger_client.transport.wire import id_to_text
from ledger_client.verification.trust import TrustKey

MALFORMED: Final = "Malformed statement"
BAD_SIGNATURE: Final = "Bad signature"
UNKNOWN_KEY: Final = "Unknown key"
KEY_NOT_VALID: Final = "Key not valid"
TAKEN: Final = "Batch number taken"
OUT_OF_ORDER: Final = "Out of order"
NOT_YET: Final = "Not yet"

FUTURE_S: Final = 300
"""So far a gateway's clock may be ahead of this one as a verifier allows a record."""
GRACE_MS: Final = 1000
MOST_RANGES: Final = 500
"""Ranges that a refusal tells of: with the longest names they fit the largest answer."""


class Held(Protocol):
    """What is registered of each gateway."""

    def at(self, gateway: str, batch: int) -> bytes | None:
        """The id of the statement that holds a batch number."""
        ...

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and statement id of a gateway's highest batch."""
        ...

    def order(self, gateway: str) -> ranges.Order | None:
        """What is known of a gateway's order."""
        ...

    def held(self, gateway: str, epoch: bytes) -> Mapping[str, ranges.Held]:
        """What is held of an epoch of a gateway, by meter."""
        ...


def admitted(entry: bytes, policy: Policy, now: int) -> SignedStatement:
    """A statement that is well formed and signed by a key that is enrolled and valid; raises ``Refused``."""
    try:
        signed = parse_statement(entry)
        check_signed_behind(signed.statement)
    except VerificationError as error:
        raise Refused(MALFORMED, error.detail) from error
    statement, gateway = signed.statement, signed.statement.gateway
    most = max(statement.batch, *[stretch.last for stretches in statement.meters.values() for stretch in stretches])
    if most > MAX_NUMBER:
        raise Refused(MALFORMED, f"number {most} is beyond what this log can count, {MAX_NUMBER}")
    key = enrolled(gateway, signed.kid, policy, now)
    try:
        signed.sign1.verify(key.key)
    except BadSignature as error:
        raise Refused(BAD_SIGNATURE, error.detail) from error
    _demand_past(statement, now)
    return signed


def _demand_past(statement: Statement, now: int) -> None:
    """Raises ``Refused`` for a statement of the future, with when it is taken."""
    reached_s = -(-statement.to_ms // 1000)
    latest_s = max(reached_s, statement.iat)
    if latest_s <= now + FUTURE_S:
        return
    at = latest_s - FUTURE_S
    which = (
        f"its records reach to {time_text(statement.to_ms)}"
        if reached_s >= statement.iat
        else f"it was signed at {time_text(statement.iat * 1000)}"
    )
    detail = (
        f"{which}, by the clock here it is {time_text(now * 1000)}: "
        f"batch {statement.batch} is taken from {time_text(at * 1000)} on"
    )
    raise Refused(NOT_YET, detail, {"at": at, "now": now})


def enrolled(gateway: str, kid: bytes, policy: Policy, now: int) -> TrustKey:
    """The gateway's statement key of this kid, enrolled and valid at ``now`` (Unix seconds); raises ``Refused``."""
    key = policy.find(gateway, kid)
    if key is None:
        raise Refused(
            UNKNOWN_KEY,
            f"no statement key {id_to_text(kid)} is enrolled for gateway {gateway}; "
            f"`meterseal-ledger enroll` takes the gateway's gateway.enrol",
        )
    flaw = flaw_at(key, now)
    if flaw is not None:
        raise Refused(KEY_NOT_VALID, f"statement key {id_to_text(kid)} of gateway {gateway} {flaw}")
    return key


def check_order(held: Held, statement: Statement) -> None:
    """The order of a gateway's batches, of their times and of their records; raises ``Refused``, which bears under
    ``held`` what is registered of all that the statement names."""
    order = held.order(statement.gateway)
    last = held.last(statement.gateway) if order is None else (order.batch, order.id)
    try:
        _check_batch(held, statement, last)
        _check_from(statement, order)
        _check_ranges(held, statement, order)
    except Refused as error:
        if last is None:
            raise
        registered = _ranges_held(held, statement)
        raise Refused(
            error.title, error.detail, {"held": {"batch": last[0], "id": last[1], "ranges": registered}}
        ) from None


def _check_batch(held: Held, statement: Statement, last: tuple[int, bytes] | None) -> None:
    """Number and prev."""
    if last is None:
        return
    gateway, batch = statement.gateway, statement.batch
    number, statement_id = last
    if batch <= number and (holder := held.at(gateway, batch)) is not None:
        detail = f"batch {batch} of gateway {gateway} is statement {id_to_text(holder)} for ever; another was offered"
        raise Refused(TAKEN, detail)
    if statement.resume is not None:
        if batch < number:
            raise Refused(
                OUT_OF_ORDER, f"a statement with resume must stand above batch {number}; batch {batch} was offered"
            )
    elif batch != number + 1:
        raise Refused(OUT_OF_ORDER, f"batch {number + 1} of gateway {gateway} is next; batch {batch} was offered")
    elif statement.prev != statement_id:
        offered = "nothing" if statement.prev is None else id_to_text(statement.prev)
        raise Refused(
            OUT_OF_ORDER, f"prev must be {id_to_text(statement_id)}, the id of batch {number}; it is {offered}"
        )


def _check_from(statement: Statement, order: ranges.Order | None) -> None:
    """Time goes on, to within a second: an event's time is in whole ones, and a grid may be a little off the clock."""
    if order is None or statement.resume is not None or statement.from_ms >= order.from_ms - GRACE_MS:
        return
    raise Refused(
        OUT_OF_ORDER,
        f"from is {time_text(statement.from_ms)}, before that of a batch before it, {time_text(order.from_ms)}",
    )


def _check_ranges(held: Held, statement: Statement, order: ranges.Order | None) -> None:
    """One id, one record: each number of a meter and epoch comes once, and none is left out but under resume.

    Of a gateway that comes from another ledger the first statement begins anywhere, and so does a meter that is not in
    it, in an epoch that was under way then.
    """
    epochs, free = _epochs(held, statement), statement.resume is not None
    for meter, stretches in statement.meters.items():
        before: Range | None = None
        for stretch in stretches:
            epoch, known = stretch.epoch, epochs[stretch.epoch].get(meter)
            if before is not None and before.epoch == epoch:
                last = before.last
            elif known is not None:
                last = known.last
            else:
                last = -1 if order is not None and not _open(epochs[epoch], order) else stretch.first - 1
            before = stretch
            if stretch.first == last + 1 or (free and stretch.first > last):
                continue
            place = f", in batch {known.batch}" if known is not None and known.last == last else ""
            come = f"have come to {last}{place}" if last >= 0 else "begin with 0"
            way_out = "" if stretch.first <= last else "; numbers may be left out only under resume"
            raise Refused(
                OUT_OF_ORDER,
                f"the numbers of {meter} in epoch {epoch.hex()} {come}; "
                f"{stretch.first} to {stretch.last} were offered{way_out}",
            )


def _open(epoch: Mapping[str, ranges.Held], order: ranges.Order) -> bool:
    """Whether an epoch was under way before a statement of it came here: with the gateway's first one, or with
    ``resume``."""
    return any(meter.first > 0 or meter.since == order.since > 0 for meter in epoch.values())


def _epochs(held: Held, statement: Statement) -> dict[bytes, Mapping[str, ranges.Held]]:
    named = {stretch.epoch for stretches in statement.meters.values() for stretch in stretches}
    return {epoch: held.held(statement.gateway, epoch) for epoch in named}


def _ranges_held(held: Held, statement: Statement) -> list[list[object]]:
    """[meter, epoch, last number held, the batch that holds it] of the ranges that do not go on from there; as many as
    an answer can bear."""
    epochs = _epochs(held, statement)
    found: dict[tuple[str, bytes], list[object]] = {}
    for meter, stretches in sorted(statement.meters.items()):
        for stretch in stretches:
            known = epochs[stretch.epoch].get(meter)
            if known is not None and stretch.first != known.last + 1 and len(found) < MOST_RANGES:
                found.setdefault((meter, stretch.epoch), [meter, stretch.epoch, known.last, known.batch])
    return list(found.values())


def time_text(ms: int) -> str:
    """A time in ms as people read it, to the second."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
