"""Inputs of a gateway as they were signed, with what its recomputation found of them; and which are unusual. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.standings import REFUSED
from ledger_client.inputs.judgement import meters_elsewhere, of_entry, of_plan, of_statement, year_of
from ledger_client.inputs.listing import Input, Signed, entry_listed, plans_listed
from ledger_client.inputs.unusual import CODES, Unusual
from ledger_client.recompute.run import Result


def supplied(gateway: str, result: Result, documents: Mapping[bytes, str]) -> list[Input]:
    """Everything that people supplied to a gateway's statements: plans in the order in which they were signed, then
    entries in the order of batches and leaves.

    Args:
        gateway: its name.
        result: its recomputation, reviewed.
        documents: the files that were given, by SHA-256.
    """
    sources = result.sources
    ledgers_s = sources.proven | {one.batch: one.no_later_than for one in result.audit.batches}

    def signed(record: bytes) -> Signed:
        signed_s, batch = sources.signed[record]
        return Signed(record, signed_s, ledgers_s.get(batch))

    plans = sorted(sources.plans.items(), key=lambda item: item[1].iat_ms)
    found = list(plans_listed(gateway, [(one.plan, signed(record)) for record, one in plans]))
    reviews = [period.review for period in result.periods if period.review is not None]
    for _, entry in sources.entries:
        record = entry.record
        plan = next((one.plan.name for _, one in reversed(plans) if one.plan.concerns(entry.of)), "")
        standings = [one.standings[record] for one in reviews if record in one.standings]
        effects = [effect for one in reviews for effect in one.effects.get(record, ())]
        found.append(entry_listed(gateway, plan, entry, signed(record), documents, standings, effects))
    for record, refused in sources.refused.items():
        if refused.name in (words.PLAN, words.ENTRY):
            error = refused.error
            values = {"refused": f"{error.where}: {error.problem} ({error.rule})"}
            found.append(
                Input(
                    gateway, "", refused.name, "", 0, None, values, (), signed(record), None, None, None, None, REFUSED
                )
            )
    return found


def unusual_of(inputs: Sequence[Input], result: Result) -> list[Unusual]:
    """What is unusual of the inputs that count in the last versions of statements; each once, in the order of codes."""
    found = {(one.code, one.of, one.sentence): one for one in _unusual(inputs, result)}
    return sorted(found.values(), key=lambda one: CODES.index(one.code))


def _unusual(inputs: Sequence[Input], result: Result) -> Iterator[Unusual]:
    plans = [signed.plan for signed in result.sources.plans.values()]
    for one in inputs:
        on = [plan for plan in plans if plan.concerns(one.of)]
        yield from of_entry(one, on[-1] if on else None)
    for period in result.periods:
        if (review := period.review) is not None:
            plan, year = review.plan, year_of(review.plan, review.choice.from_ms)
            elsewhere = meters_elsewhere(plans, plan)
            yield from of_plan(plan, review.choice.plan, result.roles, elsewhere, year)
            yield from of_statement(review, period.record)
