"""BALANCE.toml: what it says, and each mistake with its own message and rule."""

from __future__ import annotations

import pytest

from ledger_client.accounting import factors
from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.balance.form import Form, parse_form
from ledger_client.balance.given import Excluded

FORM = """
party = "works"
period = "2023-10"
civil = "+08:00"
zone = "CN-ZJ"
deliverable = ["CN-JS"]
boundary = "the works at the river, by operational control"
exclusions = []

[factors]
average = "CN-ZJ-average"
residual = "CN-residual"

[[site]]
files = ["october/*.mbatch"]
rows = ["main-2023-10-v1.mrows"]
loads = ["grid"]
emissions = ["boiler"]

[[certificates]]
files = ["certs/*.mcert"]
salt = "00ff"

[[offset]]
registry = "their-registry"
project = "P-1"
vintage = 2022
first = 1
last = 30
each_kg = 1000
document = "retirement.pdf"

[base]
period = "2020"
kg = 1234.5
document = "inventory-2020.pdf"
"""


def read(text: str = FORM) -> Form:
    return parse_form(text.encode(), factors.load())


def test_what_a_form_says() -> None:
    form = read()
    period = form.terms.from_ms, form.terms.to_ms
    assert tuple(map(utc_text, period)) == ("2023-09-30T16:00:00Z", "2023-10-31T16:00:00Z")
    assert (form.terms.average.factor.id, form.terms.average.provisional) == ("CN-ZJ-average-2023", False)
    assert form.terms.residual.factor.value == "0.6096"
    assert form.terms.residual.factor.kind == "residual"
    assert form.certificates[0].salt == b"\x00\xff"
    assert form.terms.exclusions == ()
    assert read(FORM.replace("exclusions = []", "")).terms.exclusions is None
    assert form.base is not None
    assert form.base.mass_g == 1_234_500
    assert utc_text(form.base.to_ms) == "2020-12-31T16:00:00Z"


def test_the_newest_factor_before_the_year_is_provisional() -> None:
    form = read(FORM.replace("2023-10", "2031"))
    assert (form.terms.average.factor.vintage, form.terms.average.provisional) == (2023, True)
    fixed = read(FORM.replace("2023-10", "2031").replace("[factors]", '[factors]\naverage_id = "CN-ZJ-average-2021"'))
    assert (fixed.terms.average.factor.vintage, fixed.terms.average.provisional) == (2021, False)


def test_a_year_is_a_number_or_a_text() -> None:
    of_number, of_text = (read(FORM.replace('"2023-10"', year)) for year in ("2023", '"2023"'))
    assert of_number.terms == of_text.terms
    assert utc_text(of_number.terms.to_ms) == "2023-12-31T16:00:00Z"


def test_what_is_chosen_is_marked() -> None:
    """A factor of the file's is the party's, unless it is published as it stands there; an id fixes one (B7)."""
    assert (read().terms.average.unpublished, read().terms.average.fixed) == (False, False)
    fixed = read(FORM.replace("[factors]", '[factors]\naverage_id = "CN-ZJ-average-2021"'))
    assert (fixed.terms.average.unpublished, fixed.terms.average.fixed) == (False, True)
    ours = read(FORM.replace("CN-residual", "AIB-DE-residual") + OWN_FACTOR)
    assert (ours.terms.residual.unpublished, ours.terms.residual.fixed) == (True, False)


def test_exclusions_of_nodes_and_what_is_attested() -> None:
    node = '{ of = "gw-1/main/boiler", reason = "the tenant\'s" }'
    more = f'exclusions = ["lorries", {node}]\nsigned = "b.claim"\nattestations = ["*.claim"]'
    form = read(FORM.replace("exclusions = []", more))
    assert form.terms.exclusions == ("lorries", Excluded("gw-1", "main", "boiler", "the tenant's"))
    assert (form.signed, form.attestations) == ("b.claim", ("*.claim",))


OWN_FACTOR = """
[[factor]]
series = "AIB-DE-residual"
id = "own-AIB-DE-residual-2023"
kind = "residual"
value = "0.7"
unit = "kg/kWh"
region = "DE"
vintage = 2023
published = "2024-05-30"
document = "ours"
confirmed = true
"""


def test_a_form_may_bring_its_own_factors() -> None:
    assert read(FORM.replace('"CN-residual"', '"AIB-DE-residual"') + OWN_FACTOR).terms.residual.factor.region == "DE"


@pytest.mark.parametrize(
    ("old", "new", "rule", "problem"),
    [
        ("2023-10", "2023-13", "N6", "is no period"),
        ("2023-10", "9999-12", "N6", "is no period"),
        ("2023-10", "9999", "N6", "is no period"),
        ("2023-10", "0000", "N6", "is no period"),
        ("2023-10", "2023-10-01/2023-10-02", "N6", "is no period"),
        ('"+08:00"', '"8"', "N6", "no offset"),
        ('"CN-residual"', '"CN-nothing"', "F3", "no series CN-nothing"),
        ("2023-10", "1999-10", "F2", "no factor for 1999"),
        ('loads = ["grid"]', 'loads = ["grid", "grid"]', "B1", "twice"),
        ('loads = ["grid"]\nemissions = ["boiler"]', "", "B1", "neither loads nor emissions"),
        ('salt = "00ff"', 'salt = "xyz"', "Z3", "hexadecimal"),
        ("last = 30", "last = 0", "C4", "before the first"),
        ("each_kg = 1000", "each_kg = 0", "C4", "not an integer"),
        ("kg = 1234.5", "kg = 1234.5678", "N2", "three places"),
        ("kg = 1234.5", "kg = nan", "B4", "not a number"),
        ('zone = "CN-ZJ"', 'zone = "CN-ZJ"\nzones = []', "B4", "no such key"),
        ('party = "works"', 'party = "the works"', "B4", "is not a name"),
        ('party = "works"', "party = ", "B4", "Invalid value"),
        ("[base]", "[[base]]", "B4", "not a map"),
        ('"2023-10"', "202310", "N6", "is no period"),
        ("exclusions = []", "exclusions = [1]", "B6", "not a map"),
        ("exclusions = []", 'exclusions = [{ of = "boiler", reason = "x" }]', "B6", "is not GATEWAY/PLAN/NODE"),
        ("exclusions = []", 'exclusions = [{ of = "g/p/n", reason = " " }]', "B6", "1 to 700 characters"),
        ("exclusions = []", 'exclusions = [{ of = "g/p/n" }]', "B6", "it is missing"),
    ],
)
def test_each_mistake_has_its_rule(old: str, new: str, rule: str, problem: str) -> None:
    assert old in FORM
    with pytest.raises(AccountingError) as refused:
        read(FORM.replace(old, new))
    assert refused.value.rule == rule
    assert problem in refused.value.problem
    assert "balance" in refused.value.where
