"""Profiles that come with Meterseal: each is one that a plan may bear, with a clause for each parameter (H7)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from pycddl import Schema

from ledger_client.accounting import profiles
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.regimes import parse_regime
from ledger_client.formats import cbor
from ledger_client.formats.senml import Quality

CDDL = Path(__file__).parents[3] / "docs" / "accounting.cddl"
PARAMETERS = {
    "edge",
    "accept",
    "validity",
    "share",
    "minutes",
    "reference",
    "most_sample",
    "substitution",
    "carbon",
    "density",
}


@pytest.mark.parametrize("name", profiles.names())
def test_every_parameter_has_its_clause(name: str) -> None:
    fields = profiles.load(name)
    regime = parse_regime(name, fields)
    assert regime.clauses.keys() == fields.keys() & PARAMETERS
    assert set(regime.unconfirmed) <= regime.clauses.keys()
    data = cbor.encode(dict(fields))
    assert cbor.decode(data) == fields
    Schema(f"start = profile\n{CDDL.read_text()}").validate_cbor(data)


@pytest.mark.parametrize("name", profiles.names())
def test_no_bit_without_a_name_is_accepted(name: str) -> None:
    """Every set of one bit, beside none and beside those that are accepted: named ones alone count (I1)."""
    regime = parse_regime(name, profiles.load(name))
    named = {bit.bit_length() - 1 for bit in map(int, Quality)}
    accepted = {n for n in range(64) if regime.accepts(1 << n)}
    assert accepted <= named
    assert {n for n in range(64) if regime.accepts(1 << n | Quality.CLOCK_STEP)} == accepted
    assert [n for n in (16, 17, 18, 21, 22) if not regime.accepts(1 << n)] == []  # with rules of their own


def test_what_the_two_regimes_ask() -> None:
    eu, cn = (parse_regime(name, profiles.load(name)) for name in ("EU-MRR", "CN-HJ75"))
    assert (eu.validity, eu.share, eu.substitution, eu.carbon) == ("share", Fraction(4, 5), "EU-45", Fraction("3.664"))
    assert (cn.validity, cn.minutes, cn.most_sample_ms) == ("minutes", 45, 60_000)
    assert (cn.substitution, cn.carbon) == ("CN-HJ75", Fraction(44, 12))


def test_densities_are_molar_mass_by_molar_volume() -> None:
    """44.01 g/mol; 22.414 l/mol (CODATA, ideal gas) and the 22.4 of HJ 75-2017, to four places."""
    assert profiles.load("EU-MRR")["density"] == round(Decimal("44.01") / Decimal("22.414"), 4)
    assert profiles.load("CN-HJ75")["density"] == round(Decimal("44.01") / Decimal("22.4"), 4)


def test_a_profile_that_is_not_there_is_refused() -> None:
    with pytest.raises(AccountingError, match="no such profile") as refused:
        profiles.load("../EU-MRR")
    assert refused.value.rule == "H7"
