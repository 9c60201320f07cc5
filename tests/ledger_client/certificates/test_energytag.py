"""The export for EnergyTag: fields by a JSON Schema, ids by a property, sources by a real log and gateway."""

from __future__ import annotations

# not quick: ids by chance, 1 s of CPU
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.accounting.formats.plan import Plan, parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.certificates.energytag import energytag
from ledger_client.certificates.replay import Fault, Replay
from ledger_client.claims.certificate import certificate_of
from ledger_client.claims.claim import Deed, Export, Issue, Retire, Transfer, Withdraw, parse_claim
from ledger_client.claims.registry import apply
from ledger_client.errors import Refused
from tests.ledger_client.accounting.plans import node, plan_fields
from tests.support.certificates.claimed import HASH, UNITS, Party, issue
from tests.support.certificates.exported import DEVICE, NAME, ExportedSite, exported_site
from tests.support.commands import ledger_command

SCHEMA = json.loads(Path(__file__).with_name("energytag.schema.json").read_text())
ATTRIBUTES = {
    "id": "device_id", "name": "device_name", "source": "energy_source", "technology": "device_technology_type",
    "capacity": "device_capacity", "commissioned": "device_production_start_date", "location": "device_location",
    "configuration": "registry_configuration", "class": "device_class", "scheme": "device_scheme",
}  # fmt: skip
"""The attributes of a device (P4) → their names in the file."""


@dataclass
class Registry:
    """Claims that a replay has admitted, of an issuer and two parties; devices by the names that tests give."""

    def __post_init__(self) -> None:
        self.replayed = Replay(NAME)
        self.parties = {
            n: Party(n, role, NAME) for n, role in (("i", "issuer"), ("a", "party"), ("b", "party"))
        }  # fmt: skip

    def claim(self, who: str, deed: Deed) -> bytes:
        """Admit one; the id of what it issues, else nothing. Raises Refused."""
        party = self.parties[who]
        signed = parse_claim(party.sign(deed, party.number))
        apply(self.replayed.state, signed.claim, lambda n: self.parties[n].role if n in self.parties else None, NAME)
        party.number += 1
        self.replayed.claims.append((len(self.replayed.claims), signed))
        return certificate_of(signed.claim, deed).id if isinstance(deed, Issue) else b""

    def bundles(self) -> list[dict[str, Any]]:
        """Those of the file, which fits the schema."""
        made = json.loads(energytag(self.replayed, plan_of))
        jsonschema.validate(made, SCHEMA)
        return list(made["bundles"])


def plan_of(_: bytes, device: str = "dev", **also: Any) -> Plan:
    fields = node("production", "export/energy", certificate=DEVICE | {"id": device}, zone="CN-GD", **also)
    return parse_plan(plan_fields(nodes={"node": fields}))


def demand_partition(bundles: Sequence[Mapping[str, Any]], units: int) -> None:
    """The bundles of one device have each id from 0 on once."""
    following = 0
    for one in bundles:
        first, last = one["certificate_bundle_id_range_start"], one["certificate_bundle_id_range_end"]
        assert first == following
        assert last - first + 1 == one["bundle_quantity"] > 0
        following = last + 1
    assert following == units


STEPS = st.lists(
    st.tuples(st.sampled_from(["issue", "transfer", "retire", "export", "withdraw"]), st.sampled_from("ab"),
              st.integers(0, 5), st.integers(0, UNITS - 1), st.integers(1, UNITS)),
    max_size=12,
)  # fmt: skip


@given(STEPS)
def test_the_bundles_of_a_device_partition_its_ids(steps: list[tuple[str, str, int, int, int]]) -> None:
    registry, issued = Registry(), list[bytes]()
    for op, who, which, begin, end in steps:
        try:
            if op == "issue":
                issued.append(registry.claim("i", issue(who, 1, which, row=bytes([len(issued)]) * 32)))
                continue
            cert = issued[which % len(issued)] if issued else HASH
            deeds: dict[str, Deed] = {
                "transfer": Transfer(cert, (begin, max(end, begin + 1)), "b"),
                "retire": Retire(cert, (begin, max(end, begin + 1)), "RE100", 0, 1),
                "export": Export(cert, (begin, max(end, begin + 1)), "other", "1"),
                "withdraw": Withdraw(cert, "restated"),
            }
            registry.claim("i" if op == "withdraw" else who, deeds[op])
        except Refused:
            continue
    bundles = registry.bundles()
    demand_partition(bundles, UNITS * len(issued))
    held = Counter[str]()
    for one in bundles:
        held[one["issuance_id"]] += one["bundle_quantity"]
    assert held == {cert.hex(): UNITS for cert in issued}


def test_a_split_that_is_off_by_one_is_no_partition() -> None:
    """A public copy ends the first part of a split at start + size: one id too far."""
    registry = Registry()
    cert = registry.claim("i", issue("a"))
    registry.claim("a", Transfer(cert, (0, 25), "b"))
    first, second = registry.bundles()
    demand_partition([first, second], UNITS)
    wrong = first | {"certificate_bundle_id_range_end": first["certificate_bundle_id_range_start"] + 25}
    with pytest.raises(AssertionError):
        demand_partition([wrong, second | {"certificate_bundle_id_range_start": 26}], UNITS)


def test_ids_go_on_in_the_order_of_issue_and_a_withdrawn_one_keeps_its_own() -> None:
    registry = Registry()
    late = registry.claim("i", issue("a", 1, 8))
    early = registry.claim("i", issue("a", 1, 4, row=b"\x02" * 32))
    registry.claim("i", Withdraw(late, "restated"))
    again = registry.claim("i", issue("b", 1, 8, row=b"\x03" * 32))
    states = [
        (one["issuance_id"], one["certificate_bundle_status"], one["certificate_bundle_id_range_start"])
        for one in registry.bundles()
    ]
    assert states == [(late.hex(), "Withdrawn", 0), (early.hex(), "Active", 100), (again.hex(), "Active", 200)]


def test_units_that_nobody_holds_say_where_they_went() -> None:
    registry = Registry()
    cert = registry.claim("i", issue("a"))
    registry.claim("a", Retire(cert, (0, 10), "RE100", 0, 3_600_000, b"\x07" * 32))
    registry.claim("a", Retire(cert, (10, 12), "own use", 0, 3_600_000))
    registry.claim("a", Export(cert, (12, 50), "other", "no. 1"))
    retired, used, exported, held = registry.bundles()
    statuses = [one["certificate_bundle_status"] for one in (retired, used, exported, held)]
    assert statuses == ["Cancelled", "Cancelled", "Locked", "Active"]
    period = {"from": "1970-01-01T00:00:00Z", "to": "1970-01-01T01:00:00Z"}
    assert (retired["cancellation"], retired["beneficiary"]) == ({"purpose": "RE100", **period}, "07" * 32)
    assert (used["cancellation"]["purpose"], used["beneficiary"]) == ("own use", None)
    assert exported["exported_to"] == {"registry": "other", "reference": "no. 1"}
    assert "cancellation" not in held
    assert held["meterseal"]["slice"] == [50, 100]


def test_a_device_has_all_attributes_of_its_plan() -> None:
    registry = Registry()
    registry.claim("i", issue("a"))
    (device,) = json.loads(energytag(registry.replayed, plan_of))["devices"]
    certificate = DEVICE | {"id": "dev"}
    assert {key: device[named] for key, named in ATTRIBUTES.items()} == certificate
    assert set(ATTRIBUTES) == set(certificate)
    zones = ("country_of_issuance", "connected_grid_identification", "issue_market_zone")
    assert [device[key] for key in zones] == ["CN", "CN-GD", "CN-GD"]


def test_a_schema_that_lacks_nothing_of_a_bundle_refuses_one_without_it() -> None:
    registry = Registry()
    registry.claim("i", issue("a"))
    made = json.loads(energytag(registry.replayed, plan_of))
    for key in SCHEMA["$defs"]["bundle"]["required"] + SCHEMA["$defs"]["device"]["required"]:
        (bundle,) = made["bundles"]
        lacking = made | {"bundles": [{k: v for k, v in bundle.items() if k != key}]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(lacking, SCHEMA)


def test_a_certificate_of_another_device_than_its_plans_is_refused() -> None:
    registry = Registry()
    registry.claim("i", issue("a"))
    with pytest.raises(AccountingError, match="no node node with the device dev") as refused:
        energytag(registry.replayed, lambda period: plan_of(period, "other"))
    assert refused.value.rule == "V1"


def test_a_log_at_fault_is_refused() -> None:
    registry = Registry()
    registry.replayed.faults.append(Fault(7, "Origin taken", "a quarter hour has another"))
    with pytest.raises(AccountingError, match="Origin taken: a quarter hour has another") as refused:
        energytag(registry.replayed, plan_of)
    assert refused.value.where == "entry 7 of the log"


# ---- the command, from a real log and a real gateway


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ExportedSite:
    return exported_site(tmp_path_factory.mktemp("exported"))


def run(*words: object) -> tuple[int, str]:
    result = ledger_command(*words)
    return result.code, result.output


def test_the_command_exports_what_the_log_and_the_statements_prove(site: ExportedSite, tmp_path: Path) -> None:
    out = tmp_path / "bundles.json"
    code, printed = run("energytag", site.ledger, *site.files, "--trust", site.trust, "-o", out)
    assert (code, f"wrote {out}: 4 certificates of {NAME}" in printed) == (0, True), printed
    made = json.loads(out.read_text())
    jsonschema.validate(made, SCHEMA)
    demand_partition(made["bundles"], sum(site.units))
    assert [device["device_id"] for device in made["devices"]] == [DEVICE["id"]]
    with closing(site.opened()) as log, log.read() as entries:
        assert made["log"]["entries"] == entries.size()


def test_a_statement_that_no_file_holds_is_named(site: ExportedSite, tmp_path: Path) -> None:
    code, printed = run("energytag", site.ledger, site.files[0], "--trust", site.trust, "-o", tmp_path / "x")
    assert code == 1
    assert f"none holds the statement {site.period.hex()}" in " ".join(printed.split())
    assert not (tmp_path / "x").exists()
