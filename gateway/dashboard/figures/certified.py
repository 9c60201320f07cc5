"""Facts of certificates beside the figures: who certified which hours of a node, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.accounting.certified.asking import Answer, Question, Registries
from gateway.accounting.hours.hour import Hour
from gateway.accounting.statements.keeper import Known
from gateway.accounting.statements.stated import StatedRows
from gateway.dashboard.figures.choice import MONTH, Choice, Stretch
from gateway.dashboard.figures.figures_page import ENERGY, FiguresFacts, NodeFigures, figures
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node
from ledger_client.claims.answers import Shown
from ledger_client.claims.certificate import HELD, RETIRED, STATUSES, WITHDRAWN, digest
from ledger_client.messages import Sentence

PARTLY: Final = "partly"
"""Status of an hour of which some units are retired."""
BALANCE: Final = "balance"


@dataclass(frozen=True, slots=True)
class LedgerLook:
    """What a ledger says of a node's certificates: ``shown`` None where it was not asked, ``problem``: why."""

    ledger: str
    shown: tuple[Shown, ...] | None
    problem: Sentence | None
    asking: bool

    @classmethod
    def of(cls, several: Iterable[Answer]) -> LedgerLook:
        """One ledger's answers for one stretch after the other, as one."""
        answers = list(several)
        known = [one for one in answers if one.shown is not None]
        shown = tuple(shown for one in known for shown in one.shown or ()) if len(known) == len(answers) else None
        problem = next((one.problem for one in answers if one.problem is not None), None)
        return cls(answers[0].ledger, shown, problem, any(one.asking for one in answers))

    def between(self, from_ms: int, to_ms: int) -> list[Shown]:
        """Certificates that touch a time."""
        return [s for s in self.shown or () if s.certificate.from_ms < to_ms and s.certificate.to_ms > from_ms]

    def units(self, from_ms: int, to_ms: int) -> Counter[str]:
        """Units by status of the certificates that begin in a time."""
        found: Counter[str] = Counter()
        for shown in self.between(from_ms, to_ms):
            if from_ms <= shown.certificate.from_ms:
                for part in shown.slices:
                    found[part.status] += part.end - part.begin
        return found


@dataclass(frozen=True, slots=True)
class NodeCertified:
    """The certificates of a node: of which device, at which registry by its plan, and what each ledger shows."""

    device: str
    registry: str
    ledgers: tuple[LedgerLook, ...]

    @property
    def asking(self) -> bool:
        """Whether an answer is still pending."""
        return any(look.asking for look in self.ledgers)

    def of_hour(self, hour: Hour) -> list[tuple[str, Shown]]:
        """Ledgers and what they show of an hour."""
        return [(look.ledger, shown) for look in self.ledgers for shown in look.between(hour.from_ms, hour.to_ms)]

    def status(self, hour: Hour) -> str:
        """In one word what became of an hour's certificates: "" where there are none; of several the units together."""
        units: Counter[str] = Counter()
        for _, shown in self.of_hour(hour):
            for part in shown.slices:
                units[part.status] += part.end - part.begin
        present = [status for status in STATUSES if units[status]]
        if len(present) > 1:
            return PARTLY if RETIRED in present else HELD if HELD in present else present[0]
        return present[0] if present else ""


class CertifiedFacts:
    """Certificates of the nodes of a page."""

    def __init__(self, registries: Registries, known: Known) -> None:
        self._registries, self._known = registries, known

    def of_node(self, plan: str, name: str, stretches: Iterable[Stretch]) -> NodeCertified | None:
        """Certificates of a node that begin in some stretches; None: nobody can certify it."""
        node = self._node(plan, name)
        if node is None or node.certificate is None:
            return None
        device = digest(node.certificate["id"])
        asked = [self._registries.look(Question(device, *stretch)) for stretch in stretches]
        looks = tuple(LedgerLook.of(answers) for answers in zip(*asked, strict=True))
        return NodeCertified(node.certificate["id"], node.registry or "", looks)

    def _node(self, plan: str, name: str) -> Node | None:
        signed = self._known.history.of_plan(plan)
        return signed[-1].plan.nodes.get(name) if signed else None


def of_day(
    known: Known, found: FiguresFacts, registries: Registries, now_ms: int
) -> dict[tuple[str, str], NodeCertified]:
    """Certificates of the month in which a page's day lies, by plan and node, of nodes that can be certified."""
    facts, certified = CertifiedFacts(registries, known), {}
    for plan in found.plans:
        month = found.choice.month(now_ms, plan.civil_min)
        for node in plan.nodes:
            one = facts.of_node(plan.name, node.name, [month])
            if one is not None:
                certified[plan.name, node.name] = one
    return certified


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """A month of a node: what was measured (thousandths of a Wh), and by ledger the units of each status."""

    from_ms: int
    to_ms: int
    measured: int | None
    units: tuple[tuple[str, Counter[str]], ...]

    def issued(self, units: Counter[str]) -> int:
        """What counts of the units of a ledger: those that were withdrawn do not."""
        return sum(count for status, count in units.items() if status != WITHDRAWN)

    def excess(self, units: Counter[str]) -> bool:
        """More is certified than was measured."""
        return self.measured is not None and self.issued(units) * 1000 > self.measured


@dataclass(frozen=True, slots=True)
class BalanceNode:
    """A node that can be certified: its figures by month, its certificates."""

    plan: str
    figures: NodeFigures
    certified: NodeCertified

    @property
    def lines(self) -> Iterator[BalanceLine]:
        """A line a month that is over or has begun, the newest first."""
        for line in reversed(self.figures.lines):
            amounts = [one.amount for one in line.sums if one.status == words.MEASURED and one.amount is not None]
            units = tuple((x.ledger, x.units(line.from_ms, line.to_ms)) for x in self.certified.ledgers)
            yield BalanceLine(line.from_ms, line.to_ms, sum(amounts) if amounts else None, units)


@dataclass(frozen=True, slots=True)
class BalanceFacts:
    """The page Balance: twelve months of all nodes that can be certified; ``figures``: the same of all plans."""

    figures: FiguresFacts
    nodes: tuple[BalanceNode, ...]
    names: tuple[str, ...]

    @property
    def asking(self) -> bool:
        """A ledger is still being asked."""
        return any(node.certified.asking for node in self.nodes)


def balance(
    known: Known, rows: StatedRows, store: Database, registries: Registries, choice: Choice, now_ms: int
) -> BalanceFacts:
    """The facts of the page. Raises StoreError."""
    choice = Choice(MONTH, choice.at, choice.plan, choice.node)
    found, facts = figures(known, rows, store, ENERGY, choice, now_ms), CertifiedFacts(registries, known)
    nodes = []
    for plan in found.plans:
        for node in plan.nodes:
            certified = facts.of_node(plan.name, node.name, [(line.from_ms, line.to_ms) for line in node.lines])
            if certified is not None:
                nodes.append(BalanceNode(plan.name, node, certified))
    return BalanceFacts(found, tuple(nodes), tuple(registries.names))
