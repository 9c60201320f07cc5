"""Claim of a balance: what it cites and its totals, and whether another balance says the same (B4). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import NamedTuple

from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.balance.result import Result
from ledger_client.claims.claim import Balance, Offset
from ledger_client.formats import cbor
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.times import rfc3339_ms


def totals(result: Result) -> dict[str, Decimal]:
    """The figures that a claim bears: energy in Wh, mass in kg, each with three places (N5)."""
    numbers = {
        "load_wh": result.load_milli, "unallocated_wh": result.unallocated_milli, "retired_wh": result.retired_milli,
        "covered_wh": result.hourly.covered_milli, "uncovered_wh": result.hourly.uncovered_milli,
        "covered_monthly_wh": result.monthly.covered_milli, "covered_yearly_wh": result.yearly.covered_milli,
        "location_kg": result.location_g, "market_kg": result.market_g, "market_monthly_kg": result.monthly.market_g,
        "market_yearly_kg": result.yearly.market_g, "scope_1_kg": result.scope_1_g, "offsets_kg": result.offsets_g,
        "residual_kg": result.residual_g,
    }  # fmt: skip
    if result.reductions_g is not None:
        numbers["reductions_kg"] = result.reductions_g
    return {key: scaled(number, MILLI) for key, number in numbers.items()}


def slices_tree(result: Result) -> Tree:
    """The tree over the leaves [certificate, a, b], by certificate and place."""
    return Tree(leaf_hash(cbor.encode(list(one))) for one in result.slices)


def claim_of(result: Result) -> Balance:
    """What a party signs of a balance. Refuses one without a boundary, or of no statement."""
    if not result.boundary:
        refuse("B4", "boundary", "it is not named", "say in the balance's file what belongs to it")
    if not result.statements:
        refuse("B4", "statements", "there is none", "give the statements of the loads")
    tree = slices_tree(result)
    factors = sorted({factor.id for factor in (result.average, result.residual, *result.devices)})
    return Balance(
        result.from_ms, result.to_ms, result.boundary, result.exclusions,
        tuple(sorted(statement.record for statement in result.statements)), tuple(factors), (tree.size, tree.root),
        tuple(stated.offset for stated in result.offsets), totals(result),
    )  # fmt: skip


class Difference(NamedTuple):
    """A fact of a claim that a balance of the same says otherwise: what is claimed, and what follows."""

    what: str
    claimed: str
    made: str

    @property
    def in_words(self) -> str:
        """For a reader."""
        return f"{self.what} is {self.claimed} in the claim, and {self.made} by its files"


def differences_of(party: str, claimed: Balance, result: Result) -> list[Difference]:
    """What of a party's claim a balance says otherwise; none: the claim comes out of it."""
    whose = [] if party == result.party else [Difference("party", party, result.party)]
    return [*whose, *differences(claimed, claim_of(result))]


def differences(claimed: Balance, made: Balance) -> Iterator[Difference]:
    """What of a claim does not follow from what it cites."""
    for what in ("from_ms", "to_ms"):
        theirs, ours = getattr(claimed, what), getattr(made, what)
        if theirs != ours:
            yield Difference(what.removesuffix("_ms"), rfc3339_ms(theirs), rfc3339_ms(ours))
    for what in ("boundary", "exclusions", "periods", "factors", "slices"):
        theirs, ours = getattr(claimed, what), getattr(made, what)
        if theirs != ours:
            yield Difference(what, _text(theirs), _text(ours))
    for theirs, ours in zip_longest(claimed.offsets, made.offsets):
        if theirs != ours:
            yield Difference("offsets", _offset_text(theirs), _offset_text(ours))
    yield from _totals(claimed.totals, made.totals)


def _totals(claimed: Mapping[str, Decimal], made: Mapping[str, Decimal]) -> Iterator[Difference]:
    for key in sorted({*claimed, *made}):
        theirs, ours = claimed.get(key), made.get(key)
        if str(theirs) != str(ours):  # with their places
            yield Difference(f"totals.{key}", _text(theirs), _text(ours))


def _offset_text(one: Offset | None) -> str:
    if one is None:
        return "nothing"
    serials = f"serials {one.first} to {one.last} of {one.project}, {one.vintage}, at {one.registry}"
    return f"{serials}, by the document {one.document.hex()}"


def _text(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return value.hex()
    return ", ".join(map(_text, value)) if isinstance(value, tuple) else str(value)
