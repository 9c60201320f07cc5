"""Result of a certificate file's verification, in words and as JSON. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.certificates.mcert.steps import CERTIFICATE_STEPS, CertificateError
from ledger_client.certificates.mcert.verify import Proven
from ledger_client.claims.claim import Export, Retire, Withdraw
from ledger_client.times import rfc3339, rfc3339_ms
from ledger_client.verification.explain import clean

_KEYS: Final = (
    "verified", "step", "error", "rule", "detail", "fix", "certificate", "slice", "units", "status", "holder",
    "purpose", "use", "for", "exported", "reason", "issuer", "registry", "issued", "since", "expires", "gateway",
    "node", "device", "zone", "from", "to", "energy", "edges", "statement", "version", "complete", "stated", "plan",
    "attested", "unconfirmed", "batches", "online",
)  # fmt: skip
_ANSWER: Final[dict[str, Any]] = dict.fromkeys(_KEYS)


def proven_json(proven: Proven) -> dict[str, Any]:
    """The facts for ``--json``, always with the same keys. Times are RFC 3339, energy is in Wh as text."""
    trace, row = proven.traced, proven.row
    origin, deed = trace.issue.origin, trace.last.deed
    facts: dict[str, Any] = {
        "verified": True,
        "certificate": trace.certificate.id.hex(),
        "slice": list(trace.part),
        "units": trace.certificate.units,
        "status": trace.status,
        "holder": trace.holder,
        "issuer": trace.certificate.issuer,
        "registry": trace.registry,
        "issued": rfc3339(proven.issued_s),
        "since": rfc3339(proven.time_s),
        "expires": rfc3339_ms(trace.issue.expires_ms) if trace.issue.expires_ms is not None else None,
        "gateway": origin.gateway,
        "node": origin.node,
        "device": dict(proven.device),
        "zone": proven.node.zone,
        "from": rfc3339_ms(row.from_ms),
        "to": rfc3339_ms(row.to_ms),
        "energy": str(_wh(row.amount or 0)),
        "edges": [
            {"point": edge.point, "from": str(_wh(edge.start)), "to": str(_wh(edge.end))} for edge in proven.edges
        ],
        "statement": trace.issue.period.hex(),
        "version": proven.choice.version,
        "complete": proven.complete,
        "stated": rfc3339(proven.stated_s),
        "plan": proven.choice.plan.hex(),
        "attested": [{"verifier": verifier, "level": level} for verifier, level in proven.attested],
        "unconfirmed": list(proven.unconfirmed),
    }
    match deed:
        case Retire(_, _, purpose, from_ms, to_ms, beneficiary):
            use = [rfc3339_ms(from_ms), rfc3339_ms(to_ms)]
            facts |= {"purpose": purpose, "use": use, "for": beneficiary.hex() if beneficiary else None}
        case Export(_, _, registry, reference):
            facts["exported"] = {"registry": registry, "reference": reference}
        case Withdraw(_, reason):
            facts["reason"] = reason
    return _ANSWER | facts


def refused_json(error: CertificateError) -> dict[str, Any]:
    """The answer for ``--json`` when verification stopped: the same keys, with what stopped it and no facts."""
    stopped = {"verified": False, "step": error.step, "error": CERTIFICATE_STEPS[error.step], "rule": error.rule}
    return (
        _ANSWER
        | stopped
        | {"detail": error.detail, "fix": error.way_out, "edges": [], "attested": [], "unconfirmed": []}
    )


def steps_in_words(proven: Proven) -> list[str]:
    """The nine steps, each with what it established."""
    trace, row, choice = proven.traced, proven.row, proven.choice
    by = ", ".join(f"{verifier} ({level})" for verifier, level in proven.attested)
    facts = {
        1: "row, readings, plan, statement and claims are well formed",
        2: f"{', '.join(proven.senders)} signed the claims, and they are in the log of {trace.registry}",
        3: f"the rules give {_slice(proven)} the status {trace.status}, holder {trace.holder}",
        4: f"{trace.certificate.units} units were issued, and the row has {_wh(row.amount or 0)} Wh, {row.status}",
        5: "the row is under the root of the statement's rows",
        6: f"gateway {trace.issue.origin.gateway} signed the statement, version {choice.version}",
        7: f"plan {proven.plan.name} ruled the interval; {trace.registry} certifies its node {row.node}",
        8: "the readings at both edges give the row, byte for byte",
        9: f"attested by {by}" if by else "not attested, and the trust file asks for no verifier",
    }
    return [f"{number} {CERTIFICATE_STEPS[number]:<9} ✓ {clean(text)}" for number, text in facts.items()]


def facts_in_words(proven: Proven, asked: Sequence[str]) -> list[str]:
    """Whose units, made when and where, from which registers. ``asked``: lines of what was asked besides the file."""
    trace, row, device = proven.traced, proven.row, proven.device
    begin, end = trace.part
    lines = [
        f"VERIFIED: {end - begin} Wh, {trace.status} by {trace.holder}" if trace.status != "withdrawn" else
        f"VERIFIED: WITHDRAWN by {trace.certificate.issuer}, these units are nobody's",
        f"  certificate    {trace.certificate.id.hex()}",
        f"  slice          {_slice(proven)} of {trace.certificate.units}",
        f"  made           {rfc3339_ms(row.from_ms)} to {rfc3339_ms(row.to_ms)}, zone {proven.node.zone or 'not said'}",
        f"  device         {device['id']}, {device['name']}: {device['source']}, {device['technology']}",
        f"  capacity       {device['capacity']} W, commissioned {device['commissioned']}, at {device['location']}",
        f"  node           {row.node} of gateway {trace.issue.origin.gateway}",
        *(f"  register       {edge.point}: {_wh(edge.start)} to {_wh(edge.end)} Wh" for edge in proven.edges),
        f"  issued         {rfc3339(proven.issued_s)} by {trace.certificate.issuer}, in the log of {trace.registry}",
        *_deed(proven),
        f"  statement      {trace.issue.period.hex()}, version {proven.choice.version}, "
        f"{'complete' if proven.complete else 'not complete'}",
        *(f"  not confirmed  {line}" for line in proven.unconfirmed),
        *asked,
    ]  # fmt: skip
    return [clean(line) for line in lines]


def _deed(proven: Proven) -> Iterator[str]:
    since, trace = rfc3339(proven.time_s), proven.traced
    if trace.issue.expires_ms is not None:
        yield f"  expires        {rfc3339_ms(trace.issue.expires_ms)}"
    match trace.last.deed:
        case Retire(_, _, purpose, from_ms, to_ms, beneficiary):
            yield f"  retired        {since} for {purpose}, use of {rfc3339_ms(from_ms)} to {rfc3339_ms(to_ms)}"
            if beneficiary is not None:
                yield f"  for            {beneficiary.hex()} (SHA-256 of a salt and a name)"
        case Export(_, _, registry, reference):
            yield f"  exported       {since} to {registry}, reference {reference}"
        case Withdraw(_, reason):
            yield f"  withdrawn      {since}: {reason}"
        case _:
            yield f"  held since     {since}"


def _slice(proven: Proven) -> str:
    return "[{}, {})".format(*proven.traced.part)


def _wh(milli: int) -> Decimal:
    return scaled(milli, MILLI)
