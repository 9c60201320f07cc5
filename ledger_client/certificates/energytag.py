"""Certificates of a registry in the words of EnergyTag's registry API: devices and bundles of ids (X1). Pure.

A bundle is a slice. The ids of a device's units begin with 0 and go on without a hole in the order in which its
certificates were issued; those of a withdrawn one are never given again. Both ends of a range are included.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ledger_client.accounting.formats.civil_time import utc_text
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.certificates.replay import Replay
from ledger_client.claims.certificate import (
    EXPORTED,
    HELD,
    RETIRED,
    WITHDRAWN,
    Certificate,
    Slice,
    certificate_of,
)
from ledger_client.claims.claim import Claim, Deed, Export, Issue, Retire, Withdraw
from ledger_client.times import rfc3339

SPECIFICATION: Final = "EnergyTag GC Registry API Specification 2.0"
BEGINNING: Final = f'{{\n  "specification": "{SPECIFICATION}"'.encode()
"""What every file of this kind begins with."""
STATUSES: Final = {HELD: "Active", RETIRED: "Cancelled", WITHDRAWN: "Withdrawn", EXPORTED: "Locked"}
"""The API has no word for units that live on in another registry; a locked bundle is one that nobody moves."""
_COUNTRY: Final = re.compile(r"([A-Z]{2})(-.*)?")

PlanOf = Callable[[bytes], Plan]
"""The plan of a statement by the record hash of that one. Raises AccountingError: nobody gave it."""


def energytag(replayed: Replay, plan_of: PlanOf) -> bytes:
    """The file, as JSON. Raises AccountingError: the log is at fault, or a certificate's device is in no plan."""
    for fault in replayed.faults:
        way_out = "export the log of a registry that keeps its rules"
        refuse("R1", f"entry {fault.number} of the log", f"{fault.title}: {fault.detail}", way_out)
    devices: dict[str, dict[str, Any]] = {}
    bundles: list[dict[str, Any]] = []
    firsts = Counter[str]()
    uses = _uses(replayed)
    for _, signed in replayed.claims:
        claim, deed = signed.claim, signed.claim.deed
        if isinstance(deed, Issue):
            made = certificate_of(claim, deed)
            device = _device(deed, plan_of(deed.period))
            devices[deed.origin.device] = device
            for part in replayed.state.parts[made.id]:
                ids = {"first": firsts[deed.origin.device] + part.begin, "quantity": part.end - part.begin}
                bundles.append(_bundle(claim, deed, made, part, device, uses.get(made.id, ()), **ids))
            firsts[deed.origin.device] += made.units
    bundles.sort(key=lambda one: (one["device_id"], one["certificate_bundle_id_range_start"]))
    made_of = {"registry": replayed.registry, "entries": len(replayed.leaves), "root": replayed.root.hex()}
    document = {
        "specification": SPECIFICATION,
        "log": made_of,
        "devices": [devices[name] for name in sorted(devices)],
        "bundles": bundles,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _uses(replayed: Replay) -> Mapping[bytes, list[Deed]]:
    """What ended units of a certificate, by its id."""
    found: dict[bytes, list[Deed]] = {}
    for _, signed in replayed.claims:
        deed = signed.claim.deed
        if isinstance(deed, Retire | Export | Withdraw):
            found.setdefault(deed.cert, []).append(deed)
    return found


def _device(deed: Issue, plan: Plan) -> dict[str, Any]:
    """All attributes of P4 of the device that a certificate names."""
    node = plan.nodes.get(deed.origin.node)
    if node is None or node.certificate is None or node.certificate["id"] != deed.origin.device:
        problem = f"the plan of its statement has no node {deed.origin.node} with the device {deed.origin.device}"
        refuse("V1", f"the certificate of {utc_text(deed.origin.from_ms)}", problem, "ask its issuer; withdraw it")
    country = _COUNTRY.fullmatch(node.zone or "")
    attributes = node.certificate
    return {
        "device_id": attributes["id"], "device_name": attributes["name"], "energy_source": attributes["source"],
        "device_technology_type": attributes["technology"], "device_capacity": attributes["capacity"],
        "device_production_start_date": attributes["commissioned"], "device_location": attributes["location"],
        "registry_configuration": attributes["configuration"], "device_class": attributes["class"],
        "device_scheme": attributes["scheme"], "device_type": "production", "is_storage": False,
        "country_of_issuance": country[1] if country else None, "connected_grid_identification": node.zone,
        "issue_market_zone": node.zone,
    }  # fmt: skip


def _bundle(
    claim: Claim, deed: Issue, made: Certificate, part: Slice, device: Mapping[str, Any], ends: list[Deed] | tuple[()],
    *, first: int, quantity: int,
) -> dict[str, Any]:  # fmt: skip
    begin, end = (utc_text(ms) for ms in (deed.origin.from_ms, deed.origin.to_ms))
    return {
        "issuance_id": made.id.hex(), "certificate_bundle_status": STATUSES[part.status], "account_id": part.holder,
        "certificate_bundle_id_range_start": first, "certificate_bundle_id_range_end": first + quantity - 1,
        "bundle_quantity": quantity, "face_value": 1, "energy_carrier": "electricity",
        "issuance_post_energy_carrier_conversion": False, **device,
        "production_starting_interval": begin, "production_ending_interval": end,
        "issuance_datestamp": rfc3339(claim.iat), "issuing_body": claim.party,
        "expiry_datestamp": None if deed.expires_ms is None else utc_text(deed.expires_ms),
        "sdr_allocation_id": None, "storage_efficiency_factor": None, "beneficiary": None,
        **dict(_end(part, ends)),
        "meterseal": {
            "certificate_units": made.units, "slice": [part.begin, part.end], "gateway": deed.origin.gateway,
            "node": deed.origin.node, "statement": made.period.hex(), "row": made.row.hex(),
        },
    }  # fmt: skip


def _end(part: Slice, ends: list[Deed] | tuple[()]) -> Iterator[tuple[str, Any]]:
    """What is to be said of units that nobody holds any more: who has the use of them, or where they went."""
    for deed in ends:
        if isinstance(deed, Withdraw):
            yield "withdrawal", {"reason": deed.reason}
        elif isinstance(deed, Retire | Export) and deed.part[0] <= part.begin and part.end <= deed.part[1]:
            if isinstance(deed, Export):
                yield "exported_to", {"registry": deed.registry, "reference": deed.reference}
                continue
            period = {"from": utc_text(deed.from_ms), "to": utc_text(deed.to_ms)}
            yield "cancellation", {"purpose": deed.purpose, **period}
            if deed.beneficiary is not None:
                yield "beneficiary", deed.beneficiary.hex()
