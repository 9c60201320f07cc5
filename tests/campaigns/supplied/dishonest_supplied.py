"""Plans, factors and entries that are within the rules and make a figure prettier: what their recomputation lays open.

A station of one meter is stated under each, with a statement that comes out as it was signed. Where it is not NO, it is
YES with an unusual input, named with its code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ledger_client.accounting import factors
from ledger_client.accounting.formats.rows import Rows
from ledger_client.recompute.report import in_words
from ledger_client.recompute.verdict import judge
from ledger_client.verification.trust_file import parse_trust
from tests.campaigns.dishonest.dishonest_entries import RECOMPUTE
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage
from tests.support.accounted import POINT, QUARTER_MS, SECRET, Accounted, plan_fields
from tests.support.evidence import NOW, trust_text

Deed = Callable[[Accounted, int], None]
NODE = {"role": "production", "terms": [[1, POINT]], "profile": "own-test"}
CERTIFICATE = {
    **dict.fromkeys(("id", "name", "source", "technology", "commissioned", "location", "class"), "x"),
    "capacity": 100_000, "configuration": 1, "scheme": "gc",
}  # fmt: skip


def nothing(site: Accounted, from_ms: int) -> None:
    """No deed beside the plan."""


def case(where: str, says: str, deed: Deed = nothing, **plan: Any) -> Case:
    """``plan``: its fields that are otherwise; ``deed``: what is signed or written besides, before the polls; ``says``:
    how it has to be named, under ``why`` or ``unusual``."""

    def story(stage: Stage) -> list[Objection]:
        site = Accounted(stage.folder)
        from_ms = site.from_ms
        site.publish(plan_fields(from_ms, **plan))
        deed(site, from_ms)
        site.polls(300)
        site.seal()
        site.state(from_ms, from_ms + 2 * QUARTER_MS, (0, 0))
        site.polls(2)
        site.seal()
        lines = in_words(judge([stage.folder], parse_trust(trust_text(), "trust.toml"), NOW))
        named = [line for line in lines if line.startswith(("  why ", "  unusual "))]
        return [Objection(RECOMPUTE, line.split()[0], line) for line in named]

    return Case(RECOMPUTE, where, says, story)


def node(**keys: Any) -> dict[str, Any]:
    """The nodes of a plan with one station."""
    return {"station": {**NODE, **keys}}


def load_by(value: str, rule: Mapping[str, Any], **also: Any) -> dict[str, Any]:
    """A load by a factor of China's average."""
    (published,) = (dict(one) for one in factors.load() if one["id"] == "CN-average-2022")
    of = {"role": "emission", "method": "electricity", "factor": "CN-average", **rule}
    return {"nodes": node(**of), "factors": [published | {"value": value} | also]}


def _entry(site: Accounted, from_ms: int, kind: str, values: Mapping[str, Any], **also: Any) -> bytes:
    of = {"kind": kind, "of": "station", "from": from_ms, "to": from_ms + QUARTER_MS, "unit": "kWh"}
    return site.event("entry", **of | also, values=values, reason="bill", user="u")


def _settled(value: int, **also: Any) -> Deed:
    def deed(site: Accounted, from_ms: int) -> None:
        _entry(site, from_ms, "settlement", {"value": value}, **also)

    return deed


def _twice(site: Accounted, from_ms: int) -> None:
    for value in (90, 80):
        _entry(site, from_ms, "settlement", {"value": value})


def _another_file(site: Accounted, from_ms: int) -> None:
    """Its document lies there, and is another one than was signed."""
    (site.folder / "bill.pdf").write_bytes(b"another bill")
    _settled(90, document=bytes(32))(site, from_ms)


def _closed(site: Accounted, from_ms: int) -> None:
    """The station is closed after a quarter, and goes on."""
    moment = {"kind": "closure", "of": "station", "from": from_ms + QUARTER_MS, "to": from_ms + QUARTER_MS}
    site.event("entry", **moment, values={}, reason="sold", user="u")


def _rows_of_none(site: Accounted, from_ms: int) -> None:
    (site.folder / "prettier.mrows").write_bytes(Rows(SECRET, ()).encode())


def _hidden(site: Accounted, from_ms: int) -> None:
    """A second plan has what looks bad, and is never stated."""
    site.event("plan", **plan_fields(from_ms, f"{POINT}.second") | {"plan": "boiler"})


CASES = {
    "plan-of-an-own-profile": case("unusual", "own-profile: .*own-test"),
    "plan-that-produces-by-another-meter": case("unusual", "role: station takes .*not as generation"),
    "plan-that-subtracts-from-a-load": case(
        "unusual", "negative-term: station, of role consumption",
        nodes=node(role="consumption", terms=[[-1, POINT]]),
    ),
    "plan-of-a-capacity-that-is-never-passed": case(
        "unusual", "out-of-reach: .*certificate", nodes=node(capacity=200_000, certificate=CERTIFICATE)
    ),
    "plan-that-is-never-stated": case("why", "plan boiler: no statement is of .*T2", _hidden),
    "factor-of-its-own-figure": case(
        "unusual", "own-factor: factor own-clean",
        **load_by("0.001", {"factor_rule": "fixed", "factor_id": "own-clean"}, id="own-clean", confirmed=False),
    ),
    "factor-of-a-cleaner-year": case(
        "unusual", "own-factor: .*fixed on 2022",
        **load_by("0.5366", {"factor_rule": "fixed", "factor_id": "CN-average-2022"}),
    ),
    "entry-without-a-document": case("unusual", "no-document: .*names no document", _settled(90)),
    "entry-with-another-document": case("unusual", "no-document: .*no file here has the SHA-256", _another_file),
    "entry-settlement-below-0": case("unusual", "settlement-below-0", _settled(-90)),
    "entry-that-contradicts": case("unusual", "finding entry", _twice),
    "entry-closes-what-goes-on": case("unusual", "closed-but-counting: station", _closed),
    "entry-rows-of-no-statement": case("why", "rows are of no statement.*T1", _rows_of_none),
}  # fmt: skip
