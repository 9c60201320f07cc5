"""Whether a statement may stand in a ledger: form, key and signature first, then its place in its gateway's order.

Whoever registers statements asks this: the embedded ledger, and a bridge to a chain whose contract sees roots only.
"""

from __future__ import annotations

from typing import Final, Protocol

from ledger_client.errors import BadSignature, Refused, VerificationError
from ledger_client.ledgers.wire import id_to_text
from ledger_client.statement import SignedStatement, Statement, parse_statement
from ledger_client.transparency.log import MAX_NUMBER
from ledger_client.transparency.policy import Policy, flaw_at
from ledger_client.trust import TrustKey

MALFORMED: Final = "Malformed statement"
BAD_SIGNATURE: Final = "Bad signature"
UNKNOWN_KEY: Final = "Unknown key"
KEY_NOT_VALID: Final = "Key not valid"
TAKEN: Final = "Batch number taken"
OUT_OF_ORDER: Final = "Out of order"


class Held(Protocol):
    """What is registered of each gateway."""

    def at(self, gateway: str, batch: int) -> bytes | None:
        """The id of the statement that holds a batch number."""
        ...

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and statement id of a gateway's highest batch."""
        ...


def admitted(entry: bytes, policy: Policy, now: int) -> SignedStatement:
    """A statement that is well formed and signed by a key that is enrolled and valid; raises ``Refused``."""
    try:
        signed = parse_statement(entry)
    except VerificationError as error:
        raise Refused(MALFORMED, error.detail) from error
    gateway = signed.statement.gateway
    if signed.statement.batch > MAX_NUMBER:
        raise Refused(MALFORMED, f"batch {signed.statement.batch} is beyond what this log can count, {MAX_NUMBER}")
    key = enrolled(gateway, signed.kid, policy, now)
    try:
        signed.sign1.verify(key.key)
    except BadSignature as error:
        raise Refused(BAD_SIGNATURE, error.detail) from error
    return signed


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
    """The order of a gateway's batches; raises ``Refused``."""
    gateway, batch = statement.gateway, statement.batch
    holder = held.at(gateway, batch)
    if holder is not None:
        detail = f"batch {batch} of gateway {gateway} is statement {id_to_text(holder)} for ever; another was offered"
        raise Refused(TAKEN, detail)
    last = held.last(gateway)
    if last is None:
        return
    number, statement_id = last
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
