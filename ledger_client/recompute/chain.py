"""The chain of statements of a plan's name: each hour is stated once, by the plan in force, from all that there is.

Rules P2, P6, T2, T4, T5. A statement that follows from its batches may still be the better one of two, or begin behind
a bad day. What only files that nobody gave could show is not judged. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ledger_client.accounting.assembly import history_from_ms
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.reigns import Reign, closed_nodes, reigns, shared
from ledger_client.accounting.statement import Choice, Statement, parse_choice
from ledger_client.recompute.compare import Difference
from ledger_client.recompute.sources import SignedPlan, Sources
from ledger_client.times import rfc3339_ms


class Link(NamedTuple):
    """A statement in its chain: its record, its plan's, what its owner chose; in the order of batches and leaves."""

    record: bytes
    plan: Plan
    choice: Choice

    @property
    def span(self) -> tuple[int, int]:
        """From and to."""
        return self.choice.from_ms, self.choice.to_ms


def links_of(sources: Sources) -> list[Link]:
    """The statements of the files that can be read, with a plan that the files hold."""
    links = []
    for period in sorted(sources.periods.values(), key=lambda period: period.batch):
        with suppress(AccountingError):  # it is named where it is recomputed
            signed = sources.plan_of(period)
            links.append(Link(period.record, signed.plan, parse_choice(period.fields, signed.iat_ms)))
    return links


def chain(sources: Sources) -> dict[bytes, list[Difference]]:
    """What does not hold of statements beside each other, by record."""
    links = links_of(sources)
    known = {link.record: link for link in links}
    named = reigns((record, signed.plan, signed.iat_ms) for record, signed in sources.plans.items())
    entries = [entry for _, entry in sources.entries]
    found: dict[bytes, list[Difference]] = defaultdict(list)
    for place, link in enumerate(links):
        same_name = [other for other in links if other.plan.name == link.plan.name]
        earlier = [other for other in links[:place] if other.plan.name == link.plan.name]
        found[link.record] += [
            *_in_force(link, sources.plans),
            *_alone(link, named, entries),
            *_versions(link, same_name, known),
            *_tiles(link, earlier, known),
            *_populations(link, same_name, known),
            *_reaches_back(link, sources.batches),
        ]
    return found


def _in_force(link: Link, plans: Mapping[bytes, SignedPlan]) -> Iterator[Difference]:
    """The plan rules the whole period (P2): the first of its name from its ``from``, another from its signing."""
    mine = plans[link.choice.plan]
    named = {record: signed for record, signed in plans.items() if signed.plan.name == mine.plan.name}
    before = [record for record, signed in named.items() if signed.iat_ms < mine.iat_ms]
    from_ms, to_ms = link.span
    if before and mine.plan.rules_from_ms(mine.iat_ms) > from_ms:
        ruled = max(before, key=lambda record: named[record].plan.rules_from_ms(named[record].iat_ms)).hex()
        problem = f"plan {ruled} of this name ruled until {rfc3339_ms(mine.plan.rules_from_ms(mine.iat_ms))}"
        yield Difference("P2", "plan", link.choice.plan.hex(), problem)
    for record, signed in named.items():
        if signed.iat_ms > mine.iat_ms and signed.plan.rules_from_ms(signed.iat_ms) < to_ms:
            problem = (
                f"plan {record.hex()} of this name rules from {rfc3339_ms(signed.plan.rules_from_ms(signed.iat_ms))}"
            )
            yield Difference("P2", "plan", link.choice.plan.hex(), problem)


def _alone(link: Link, named: Mapping[str, Sequence[Reign]], entries: Sequence[Entry]) -> Iterator[Difference]:
    """No plan of another name that rules in its time has had one of its points for longer (P6)."""
    mine = next(reign for reign in named[link.plan.name] if reign.record == link.choice.plan)
    for other, point in shared(mine, named, *link.span, closed_nodes(entries, link.choice.from_ms)):
        problem = f"plan {other.plan.name} ({other.record.hex()}) has {point} too, and has had it for longer"
        yield Difference("P6", "plan", link.choice.plan.hex(), problem)


def _versions(link: Link, same_name: Sequence[Link], known: Mapping[bytes, Link]) -> Iterator[Difference]:
    """A number once, from 1 on, each naming the one before (T4)."""
    version = link.choice.version
    for other in same_name:
        if other.span == link.span and other.choice.version == version and other.record != link.record:
            yield Difference("T4", "version", str(version), f"statement {other.record.hex()} is of this version too")
    named = link.choice.supersedes
    if (named is None) != (version == 1):
        problem = "a first version supersedes nothing" if named else "a later version names the one that it supersedes"
        yield Difference("T4", "supersedes", named.hex() if named else None, problem)
    before = known.get(named) if named else None
    if before is None:
        return
    if (before.plan.name, before.span, before.choice.version) != (link.plan.name, link.span, version - 1):
        yield Difference("T4", "supersedes", before.record.hex(), f"that is no version {version - 1} of this time")
    last = before.choice.batches[1][0]
    if link.choice.batches[1][0] < last:
        yield Difference("T4", "batches", None, f"version {version - 1} was made of batches up to {last}")


def _tiles(link: Link, earlier: Sequence[Link], known: Mapping[bytes, Link]) -> Iterator[Difference]:
    """Statements of a name lie one behind the other, and name the one before (T2)."""
    from_ms, to_ms = link.span
    for other in earlier:
        if other.span != link.span and other.choice.from_ms < to_ms and from_ms < other.choice.to_ms:
            times = " to ".join(map(rfc3339_ms, other.span))
            yield Difference("T2", "from", rfc3339_ms(from_ms), f"statement {other.record.hex()} has {times} already")
    named = link.choice.before
    before = known.get(named) if named else None
    if before is not None and (before.plan.name, before.choice.to_ms) != (link.plan.name, from_ms):
        problem = f"that is of plan {before.plan.name} and ends at {rfc3339_ms(before.choice.to_ms)}"
        yield Difference("T2", "before", before.record.hex(), problem)
    if named is None and (passed := [other for other in earlier if other.choice.to_ms <= from_ms]):
        problem = f"statement {passed[-1].record.hex()} came before"
        yield Difference("T2", "before", None, problem)


def _populations(link: Link, same_name: Sequence[Link], known: Mapping[bytes, Link]) -> Iterator[Difference]:
    """Every statement before is used, as far back as the rules of its measured emissions look (T5)."""
    used = {other.span for other in same_name if other.record in link.choice.uses}
    named, begin_ms = link.choice.before, history_from_ms(link.plan, link.choice.from_ms)
    while named and (before := known.get(named)) is not None and before.choice.to_ms > begin_ms:
        if before.span not in used:
            yield Difference("T5", "uses", None, f"statement {named.hex()} is of the population, and is not used")
        earlier = known.get(before.choice.before or b"")
        named = before.choice.before if earlier and earlier.choice.to_ms <= before.choice.from_ms else None


def _reaches_back(link: Link, batches: Mapping[int, int]) -> Iterator[Difference]:
    """The batch before the cited ones has nothing of the period (T2)."""
    first = link.choice.batches[0][0]
    to_ms = batches.get(first - 1)
    if to_ms is not None and to_ms > link.choice.from_ms:
        yield Difference("T2", "batches", str(first), f"batch {first - 1} is of this period too")


def goes_on(link: Link, statement: Statement, before: Statement) -> Iterator[Difference]:
    """Each node begins at the last edge that the statement before knows of it (I5)."""
    for node, stated in statement.stated.items():
        last = before.stated[node].last if node in before.stated else None
        if last is None or (stated.last is None and not stated.open):
            continue  # it begins here, or was closed
        step, begins = link.plan.interval_ms, stated.last
        if stated.rows:
            begins = stated.rows[0].from_ms // step
        if begins != last:
            problem = f"the statement before ends at {rfc3339_ms(last * step)}: its batches do not reach back so far"
            yield Difference("I5", f"nodes.{node}", rfc3339_ms(begins * step) if begins is not None else None, problem)
