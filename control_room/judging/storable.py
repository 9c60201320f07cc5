"""What evidence may hold and PostgreSQL cannot: the character U+0000, and numbers beyond 63 bits. Pure.

No gateway of ours writes either. Refused here, it is seen with its reason, and costs no other message of its portion
the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.messages.message import Message
from ledger_client.errors import Malformed

MOST: Final = 2**63 - 2
"""The last number that a range of bigint can hold."""


def demand_numbers(numbers: Iterable[tuple[str, int]], *, step: int) -> None:
    """Raises Malformed at this step for the first of these (name, number) that is too large."""
    for name, number in numbers:
        if number > MOST:
            raise Malformed(Message("control-number-large", name=name, number=str(number)), step=step)


def demand_text(value: object, name: str, *, step: int) -> None:
    """Raises Malformed at this step where a text, or one within a value of CBOR, holds U+0000."""
    if _has_null(value):
        raise Malformed(Message("control-null-character", name=name), step=step)


def _has_null(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_has_null(key) or _has_null(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(map(_has_null, value))
