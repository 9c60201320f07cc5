"""Form of a balance, BALANCE.toml: whose, of when and where, and which files it is made of. Pure.

Paths are relative to the file's folder and may have wildcards.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from ledger_client.accounting.formats.civil_time import civil, named_month, offset_min
from ledger_client.accounting.formats.factor import Factor, in_use, parse_factor
from ledger_client.accounting.formats.fields import Fields
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.shipped import demand_factor
from ledger_client.balance.given import Chosen, Excluded, Terms
from ledger_client.claims.claim import MAX_NUMBER, MOST_TEXT
from ledger_client.formats.checks import is_name
from ledger_client.text_file import WrongText, text_of, toml_of

FILE: Final = "balance"
_KEYS: Final = (
    "party", "period", "civil", "zone", "deliverable", "boundary", "exclusions", "partial", "factors", "factor", "site",
    "certificates", "offset", "base", "signed", "attestations",
)  # fmt: skip
_YEAR: Final = re.compile(r"\d{4}")
_MOST_REASON: Final = 700
"""Characters, so that with names and amount it is a text of a claim."""
_HEX: Final = re.compile(r"([0-9a-f]{2})+")


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """What one gateway states: batches or proofs, rows, and the nodes that are the party's loads and emissions;
    ``documents``: those that its entries cite."""

    files: tuple[str, ...]
    rows: tuple[str, ...]
    loads: tuple[str, ...]
    emissions: tuple[str, ...]
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Certificate files; ``salt``: with which their beneficiary was hashed (Z3)."""

    files: tuple[str, ...]
    salt: bytes | None


@dataclass(frozen=True, slots=True)
class OffsetFile:
    """Serials of an offset, how many kg each is, the document of their retirement, and the device that earned them."""

    registry: str
    project: str
    vintage: int
    first: int
    last: int
    each_kg: int
    document: str
    device: str | None


@dataclass(frozen=True, slots=True)
class BaseFile:
    """The base period of reductions, in grams, and its document."""

    from_ms: int
    to_ms: int
    mass_g: int
    document: str


@dataclass(frozen=True, slots=True)
class Form:
    """A balance as its file describes it; ``base``: what the terms do not bear yet, as its document is not read.

    ``digest``: SHA-256 of the file. ``signed``: the file of its claim, ``attestations``: those of verifiers' (B7).
    """

    terms: Terms
    sites: tuple[SiteFiles, ...]
    certificates: tuple[CertificateFiles, ...]
    offsets: tuple[OffsetFile, ...]
    base: BaseFile | None
    digest: bytes
    signed: str | None
    attestations: tuple[str, ...]


def parse_form(data: bytes, published: tuple[Mapping[str, Any], ...]) -> Form:
    """Read a BALANCE.toml; ``published``: the factors that it may name besides its own. Raises AccountingError."""
    try:
        document = toml_of(text_of(data), Decimal)
    except WrongText as error:
        refuse("B4", FILE, error.problem, "write it as docs/claims.md shows")
    of = Fields(document, FILE, "B4", _KEYS)
    civil_min = offset_min(of.text("civil"))
    if civil_min is None:
        of.refuse("civil", f"{of.text('civil')!r} is no offset from UTC", "write it as +08:00", rule="N6")
    from_ms, to_ms = _period(of, civil_min)
    average, residual = _factors(of, published, civil(from_ms, civil_min).year)
    terms = Terms(
        of.name("party"), from_ms, to_ms, civil_min, of.text("zone"), _texts(of, "deliverable"),
        of.text("boundary", ""), _exclusions(of) if "exclusions" in of else None, average, residual,
        of.of.get("partial") is True,
    )  # fmt: skip
    return Form(
        terms,
        tuple(_site(n, value) for n, value in enumerate(of.items("site", 1), 1)),
        tuple(_certificates(n, value) for n, value in enumerate(_tables(of, "certificates"), 1)),
        tuple(_offset(n, value) for n, value in enumerate(_tables(of, "offset"), 1)),
        _base(of.of["base"], civil_min) if "base" in of else None,
        hashlib.sha256(data).digest(),
        of.text("signed") if "signed" in of else None,
        _texts(of, "attestations"),
    )  # fmt: skip


def _tables(of: Fields, key: str) -> list[Any]:
    return of.items(key) if key in of else []


def _texts(of: Fields, key: str, least: int = 0) -> tuple[str, ...]:
    found = of.items(key, least) if key in of or least else []
    if not all(type(one) is str and one for one in found):
        of.refuse(key, "it is not a list of texts")
    return tuple(found)


def _exclusions(of: Fields) -> tuple[str | Excluded, ...]:
    """Texts, and nodes with the reason why they are left out (B6)."""
    return tuple(_exclusion(n, value) for n, value in enumerate(of.items("exclusions"), 1))


def _exclusion(number: int, value: object) -> str | Excluded:
    where = f"{FILE}.exclusions {number}"
    if type(value) is str and 0 < len(value) <= MOST_TEXT:
        return value
    of = Fields(value, where, "B6", ("of", "reason"))
    names, reason = of.text("of").split("/"), of.text("reason").strip()
    gateway, plan, node = names if len(names) == 3 else ("", "", "")
    if not all(map(is_name, (gateway, plan, node))):
        of.refuse("of", f"{of.text('of')!r} is not GATEWAY/PLAN/NODE", "write it as gw-1/main/boiler")
    if not 0 < len(reason) <= _MOST_REASON:
        of.refuse("reason", f"it has not 1 to {_MOST_REASON} characters", "say why it is left out")
    return Excluded(gateway, plan, node, reason)


def _period(of: Fields, civil_min: int) -> tuple[int, int]:
    """``2026`` as text or a number, ``2026-10``, or two times with a slash between."""
    year = of.get("period")
    text = str(year) if type(year) is int else of.text("period")
    first, last = (f"{text}-01", f"{text}-12") if _YEAR.fullmatch(text) else (text, text)
    if (begins := named_month(first, civil_min)) and (ends := named_month(last, civil_min)):
        return begins[0], ends[1]
    begin, _, end = text.partition("/")
    try:
        times = [datetime.fromisoformat(part) for part in (begin, end)]
        from_ms, to_ms = ((time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) for time in times)
    except (ValueError, TypeError):
        of.refuse("period", f"{text!r} is no period", "write 2026, 2026-10, or two times with offset: A/B", rule="N6")
    return from_ms, to_ms


def _factors(of: Fields, published: tuple[Mapping[str, Any], ...], year: int) -> tuple[Chosen, Chosen]:
    """The factors of both methods: published ones and the file's own, by series and year, or one by its id (F2)."""
    in_file = [parse_factor(n, value, f"{FILE}.factor") for n, value in enumerate(_tables(of, "factor"))]
    for n, factor in enumerate(in_file):
        demand_factor(factor, f"{FILE}.factor[{n}]")
    known = [*(parse_factor(n, value) for n, value in enumerate(published)), *in_file]
    brought = [factor for factor in in_file if factor not in known[: len(published)]]
    names = Fields(of.table("factors"), f"{FILE}.factors", "F3", ("average", "residual", "average_id", "residual_id"))
    return _chosen(names, "average", known, brought, year), _chosen(names, "residual", known, brought, year)


def _chosen(names: Fields, use: str, known: list[Factor], brought: list[Factor], year: int) -> Chosen:
    series, fixed = names.text(use), f"{use}_id" in names
    found = [factor for factor in known if factor.series == series]
    if not found:
        names.refuse(use, f"there is no series {series}", "meterseal-ledger factors lists them; or give a [[factor]]")
    named = names.text(f"{use}_id") if fixed else None
    factor, provisional = in_use(found, series, fixed=fixed, named=named, year=year, where=f"{FILE}.factors.{use}")
    return Chosen(factor, provisional, unpublished=factor in brought, fixed=fixed)


def _site(number: int, value: object) -> SiteFiles:
    of = Fields(value, f"{FILE}.site {number}", "B1", ("files", "rows", "loads", "emissions", "documents"))
    loads, emissions = _texts(of, "loads"), _texts(of, "emissions")
    if not loads and not emissions:
        of.refuse("loads", "it has neither loads nor emissions", "name nodes of its plan")
    for key, names in (("loads", loads), ("emissions", emissions)):
        if len(set(names)) < len(names):
            of.refuse(key, "a node stands in them twice")
    return SiteFiles(_texts(of, "files", 1), _texts(of, "rows", 1), loads, emissions, _texts(of, "documents"))


def _certificates(number: int, value: object) -> CertificateFiles:
    of = Fields(value, f"{FILE}.certificates {number}", "B1", ("files", "salt"))
    salt = of.text("salt") if "salt" in of else None
    if salt is not None and not _HEX.fullmatch(salt):
        of.refuse("salt", "it is not in hexadecimal digits", "give the salt of the retirement", rule="Z3")
    return CertificateFiles(_texts(of, "files", 1), None if salt is None else bytes.fromhex(salt))


def _offset(number: int, value: object) -> OffsetFile:
    known = ("registry", "project", "vintage", "first", "last", "each_kg", "document", "device")
    of = Fields(value, f"{FILE}.offset {number}", "C4", known)
    first, last = of.uint("first", 0, MAX_NUMBER), of.uint("last", 0, MAX_NUMBER)
    if last < first:
        of.refuse("last", f"serial {last} is before the first, {first}")
    return OffsetFile(
        of.text("registry"), of.text("project"), of.uint("vintage", 1990, 9999), first, last,
        of.uint("each_kg", 1, 1_000_000), of.text("document"), of.text("device") if "device" in of else None,
    )  # fmt: skip


def _base(value: object, civil_min: int) -> BaseFile:
    of = Fields(value, f"{FILE}.base", "B4", ("period", "kg", "document"))
    mass = Fraction(of.number("kg")) * 1000
    if mass.denominator != 1 or mass < 0:
        of.refuse("kg", "it is not a mass with at most three places", rule="N2")
    return BaseFile(*_period(of, civil_min), int(mass), of.text("document"))
