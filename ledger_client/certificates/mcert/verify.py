"""Verification of a certificate file: nine numbered steps, no I/O; the proven facts, or the one error that stopped it.

What a file cannot tell needs more: that no later version of the statement says otherwise its batches
(batches.py), what became of the units since and that nobody issued the hour twice the registry (fate.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node, Plan, parse_plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import LeafProof, Row, parse_row, salted_leaf
from ledger_client.accounting.shipped import demand_shipped
from ledger_client.accounting.statement import Choice, parse_choice
from ledger_client.certificates.mcert.claims import Traced, all_counted, notes, traced
from ledger_client.certificates.mcert.edges import StatedEdge, demand_row, stated_edges, stated_jumps
from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.certificates.mcert.steps import (
    ATTESTED,
    EDGES,
    ISSUE,
    PARSE,
    PERIOD,
    PLAN,
    ROW,
    CertificateError,
    at,
)
from ledger_client.claims.attestation import unmodified
from ledger_client.claims.claim import Attest
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.merkle import root_from_path
from ledger_client.formats.record import GATEWAY_ITSELF, Event, parse_record, record_hash
from ledger_client.formats.statement import read_statement
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.online_facts import NOTHING_ASKED, OnlineFacts
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import Verified, verify

LATEST_PLAN_MS: Final = 24 * 3_600_000
"""How long behind a plan's beginning, and behind its signing, the ledgers may have it (P2)."""
SCHEME: Final = "gc"


@dataclass(frozen=True, slots=True)
class Proven:
    """What a certificate file proved.

    ``part`` of the certificate has ``status`` and ``holder`` by the claims in the file; ``time_s`` is when the registry
    had the last of them, ``issued_s`` the first (Unix seconds). ``edges``: the registers behind the energy, in
    thousandths of Wh; ``amount`` the energy of the row in thousandths of Wh. ``attested``: (verifier, level) of those
    whose last verdict is ``unmodified``. ``senders``: of the claims, the issuer first.
    """

    traced: Traced
    senders: tuple[str, ...]
    row: Row
    edges: Sequence[StatedEdge]
    plan: Plan
    node: Node
    choice: Choice
    complete: bool
    issued_s: int
    time_s: int
    stated_s: int
    attested: tuple[tuple[str, str], ...]
    unconfirmed: tuple[str, ...]

    @property
    def device(self) -> Mapping[str, Any]:
        """What the plan says of the device: id, name, source, technology, capacity, location … (P4)."""
        assert self.node.certificate is not None
        return self.node.certificate


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of a file, each read and none believed."""

    proof: LeafProof
    row: Row
    edges: Sequence[StatedEdge]
    looks: Sequence[tuple[bytes, bytes]]
    """Readings: record hash, and the bytes of the proof."""
    plan: bytes
    period: bytes


def verify_certificate(data: bytes, trust: Trust, now: int, *, facts: OnlineFacts = NOTHING_ASKED) -> Proven:
    """What a certificate file proves to someone who believes ``trust`` at the time ``now`` (Unix seconds).

    ``facts``: what asking chains has brought out of the claims' locators; without it none counts. Raises the
    ``CertificateError`` of the first step that fails, and nothing else, for any bytes.
    """
    # 1 parse: every layer, strictly
    with at(PARSE, "the file"):
        file = CertificateFile.parse(data)
    members = _parsed(file)

    # 2 claims: by keys of the role that each needs, with a receipt of its registry, valid then
    claims = all_counted(file.claims, trust, now, facts)

    # 3 state: the registry's rules give these units this status and this holder
    trace = traced(claims, trust)

    # 4 issue: of this row, which may be certified, and of no more than it has
    _demand_issued(trace, members)

    # 5 row: under the root of the statement; its form comes first, for the root
    fields = _event_fields(members.period, words.PERIOD, PERIOD, "period")
    with at(PERIOD, "period"):
        choice = parse_choice(fields, 0)
    _demand_row_in(fields, choice, members)

    # 6 period: the statement that the issue names
    period = _proven_event(members.period, trace.issue.period, "the issue", trust, now, PERIOD, "period")

    # 7 plan: the one that the statement names, in force for the interval, whose node may be certified here
    plan_fact = _proven_event(members.plan, choice.plan, "the statement", trust, now, PLAN, "plan")
    if plan_fact.gateway != period.gateway:
        _fail(PLAN, f"it is of the gateway {plan_fact.gateway}, the statement is of {period.gateway}", "P2")
    with at(PLAN, "plan"):
        plan = parse_plan(_event_fields(members.plan, words.PLAN, PLAN, "plan"))
        demand_shipped(plan)
        node = _demand_certifiable(plan, members.row.node, trace.registry)
    _demand_in_force(plan, plan_fact, members.row)

    # 4 again, now that gateway and device are proven
    _demand_origin(trace, period.gateway, node)

    # 8 edges: the readings around both edges give the row, byte for byte
    looks = _proven_looks(members, period.gateway, trust, now)
    with at(EDGES, "row"):
        demand_row(members.proof.row, members.row, plan, node, plan_fact.time_ms, looks)

    # 9 attested: by as many verifiers as the policy asks for
    attested = _attested(trace, trust)

    senders = tuple(dict.fromkeys(one.signed.claim.party for one in claims))
    unconfirmed = (*notes(claims), *period.unconfirmed, *plan_fact.unconfirmed)
    return Proven(
        trace, senders, members.row, members.edges, plan, node, choice, fields["complete"], claims[0].time_s,
        trace.last.time_s, period.no_later_than, attested, unconfirmed,
    )  # fmt: skip


def _parsed(file: CertificateFile) -> _Members:
    looks: list[tuple[bytes, bytes]] = []
    for what, bundle in (("plan", file.plan), ("period", file.period), *(("edge", edge) for edge in file.edges)):
        with at(PARSE, what):
            parts = Bundle.parse(bundle)
            read_statement(parts.statement)
            parse_record(parts.record)
        if what == "edge":
            looks.append((record_hash(parts.record), bundle))
    with at(PARSE, "row"):
        row = parse_row(file.row.row)
        edges = stated_edges(row)
        stated_jumps(row)
    return _Members(file.row, row, edges, looks, file.plan, file.period)


def _demand_issued(trace: Traced, members: _Members) -> None:
    """The row is that of the issue, may be certified, and has its units (C2, N4)."""
    issue, row = trace.issue, members.row
    origin = issue.origin
    if salted_leaf(members.proof.salt, members.proof.row) != issue.row:
        _fail(ISSUE, "the issue names another row", "C2")
    for what, theirs, ours in (
        ("node", origin.node, row.node),
        ("from", rfc3339_ms(origin.from_ms), rfc3339_ms(row.from_ms)),
        ("to", rfc3339_ms(origin.to_ms), rfc3339_ms(row.to_ms)),
    ):
        if theirs != ours:
            _fail(ISSUE, f"{what} of its origin is {theirs}, and {ours} in the row", "C2")
    if row.status != words.MEASURED:
        _fail(ISSUE, f"the interval is {row.status}, and only a measured one is certified", "C2")
    if row.facts.get("retrospective"):
        _fail(ISSUE, "the interval began before its plan was signed: it is retrospective", "P2")
    if mended := [jump.kind for jump in stated_jumps(row) if jump.kind != words.WRAP]:
        _fail(ISSUE, f"the register's line is mended by a jump {mended[0]}", "C2")
    units = (row.amount or 0) // 1000
    if issue.units > units:
        _fail(ISSUE, f"{issue.units} units were issued, and the interval has {units} Wh", "N4")


def _demand_row_in(fields: Mapping[str, Any], choice: Choice, members: _Members) -> None:
    proof, row = members.proof, members.row
    size, root = fields["rows"]
    with at(ROW, "row", "T1"):
        computed = root_from_path(salted_leaf(proof.salt, proof.row), proof.size, proof.place, proof.path)
    if (proof.size, computed) != (size, root):
        _fail(ROW, "it is not under the root of the statement's rows", "T1")
    if not choice.from_ms <= row.from_ms < row.to_ms <= choice.to_ms:
        _fail(ROW, "its interval is not within the statement's time", "I5")


def _event_fields(bundle: bytes, name: str, step: int, what: str) -> Mapping[str, Any]:
    """The facts of an event of the gateway itself; not yet proven."""
    record = parse_record(Bundle.parse(bundle).record)
    if not isinstance(record.body, Event) or (record.claims.meter, record.body.name) != (GATEWAY_ITSELF, name):
        _fail(step, f"{what} is {record.id}, which is no event {name} of a gateway", "T1")
    return record.body.fields


def _proven_event(
    bundle: bytes, named: bytes, by: str, trust: Trust, now: int, step: int, what: str
) -> Verified:  # fmt: skip
    """An event whose proof holds and whose record has the hash that somebody names."""
    hashed = record_hash(Bundle.parse(bundle).record)
    if hashed != named:
        _fail(step, f"{by} names {what} {named.hex()}, and this one is {hashed.hex()}", "T1")
    with at(step, what):
        return verify(bundle, trust, now, kind="event")


def _demand_certifiable(plan: Plan, name: str, registry: str) -> Node:
    """The node of a row, if it is one of production, of energy, with a device, and this registry may certify it.
    Raises AccountingError."""
    where = f"nodes.{name}"
    node = plan.nodes.get(name)
    if node is None:
        refuse("P4", where, "the plan has no such node")
    if node.role != words.PRODUCTION:
        refuse("C2", where, f"it is of role {node.role}, and only production is certified")
    if any((unit := plan.points[point].unit) is None or unit.base != "Wh" for _, point in node.terms):
        refuse("C2", where, "it does not count energy")
    if node.certificate is None:
        refuse("P4", where, "it has no device that certificates could be of")
    if node.certificate["scheme"] != SCHEME:
        refuse("C4", where, f"it is of scheme {node.certificate['scheme']}, which gets no certificate")
    if node.registry != registry:
        refuse("P8", where, f"its registry is {node.registry or 'none'}, and these claims are of {registry}")
    return node


def _demand_in_force(plan: Plan, fact: Verified, row: Row) -> None:
    """The plan ruled one interval that is the row's, and the ledgers had it in time (P2)."""
    if row.to_ms - row.from_ms != plan.interval_ms or row.from_ms % plan.interval_ms:
        _fail(PLAN, "the row is not of one interval of the plan", "N6")
    if row.from_ms < plan.rules_from_ms(fact.time_ms):
        began = rfc3339_ms(plan.rules_from_ms(fact.time_ms))
        _fail(PLAN, f"it rules from {began} on, and the interval begins at {rfc3339_ms(row.from_ms)}", "P2")
    latest_ms = min(plan.from_ms, fact.time_ms) + LATEST_PLAN_MS
    if fact.no_later_than * 1000 >= latest_ms:
        problem = (
            f"ledgers had it at {rfc3339(fact.no_later_than)}, and it had to be there before {rfc3339_ms(latest_ms)}"
        )
        _fail(PLAN, problem, "P2")


def _demand_origin(trace: Traced, gateway: str, node: Node) -> None:
    origin = trace.issue.origin
    device = (node.certificate or {})["id"]
    for what, theirs, ours in (("gateway", origin.gateway, gateway), ("device", origin.device, device)):
        if theirs != ours:
            _fail(ISSUE, f"{what} of its origin is {theirs}, and {ours} by statement and plan", "C2")


def _proven_looks(members: _Members, gateway: str, trust: Trust, now: int) -> dict[bytes, Verified]:
    """The readings that the row names, all of them and no other, each with its proof."""
    named = dict.fromkeys(look for edge in members.edges for look in edge.looks)
    given = [look for look, _ in members.looks]
    if lacking := named.keys() - set(given):
        _fail(EDGES, f"reading {min(lacking).hex()}, which the row names, is not in the file", "T1")
    if given != [*named]:
        _fail(EDGES, "the readings are not those that the row names, each once and in its order", "T1")
    found = {}
    for look, bundle in members.looks:
        with at(EDGES, f"reading {look.hex()}"):
            found[look] = verify(bundle, trust, now, kind="reading")
        if found[look].gateway != gateway:
            problem = f"it is of the gateway {found[look].gateway}, the statement is of {gateway}"
            _fail(EDGES, f"reading {look.hex()}: {problem}", "T1")
    return found


def _attested(trace: Traced, trust: Trust) -> tuple[tuple[str, str], ...]:
    """(verifier, level) of those whose last verdict is ``unmodified``; as many as the policy asks for."""
    for one in trace.attests:
        assert isinstance(one.deed, Attest)
        if one.deed.period != trace.issue.period:
            _fail(ATTESTED, f"{one.signed.claim.party} attests something else, {one.deed.period.hex()}", "V1")
    found = unmodified(opinion for one in trace.attests if (opinion := one.opinion) is not None)
    if len(found) < trust.attested:
        by = ", ".join(name for name, _ in found) or "nobody"
        _fail(ATTESTED, f"the policy asks for {trust.attested} verifiers, and {by} attests the statement", "V1")
    return found


def _fail(step: int, problem: str, rule: str) -> NoReturn:
    raise CertificateError(problem, step=step, rule=rule)
