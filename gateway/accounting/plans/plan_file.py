"""Plan file: what an installer writes of a plan, in TOML, and the fields of the event ``plan`` that follow from it.

Times are text (``from = "2026-10-01T00:00:00+08:00"``, ``civil = "+08:00"``, ``sample = "10s"``). Profiles and factors
that a node names and the file does not hold are copied from the catalog.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.accounting.plans import catalog
from gateway.accounting.plans.moments import moment_ms
from gateway.errors import GatewayError
from gateway.field_types import duration_ms
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import offset_min
from ledger_client.formats import cbor
from ledger_client.text_file import NotText, NotToml, text_of, toml_of

NAME = "plan.toml"


def read_plan(path: Path, version: int = 1) -> dict[str, Any]:
    """The fields of the event for a plan file. They are not checked yet (``parse_plan``). Raises GatewayError."""
    try:
        table = toml_of(text_of(path.read_bytes()), Decimal)
    except FileNotFoundError:
        raise GatewayError(Message("plan-no-file", path=str(path))) from None
    except OSError as error:
        raise GatewayError(Message("plan-unreadable", path=str(path), error=os_error(error))) from None
    except (NotText, NotToml) as error:
        raise GatewayError(Message("plan-unreadable", path=str(path), error=error.sentence)) from None
    return plan_fields(table, version)


def plan_fields(table: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The same of a document that was read."""
    fields = {"v": version, "rules": words.RULES, "site": {}, "disclosure": "full", **table}
    if isinstance(begin := fields.get("from"), str):
        fields["from"] = moment_ms(begin, UTC)
    if (minutes := offset_min(fields.get("civil"))) is not None:
        fields["civil"] = minutes
    fields["points"] = {name: _point(point) for name, point in _table(fields, "points").items()}
    nodes = fields["nodes"] = _table(fields, "nodes")
    named = {node.get("profile") for node in nodes.values() if isinstance(node, Mapping)}
    known = {name: profile for name, profile in catalog.profiles().items() if name in named}
    fields["profiles"] = {**known, **_table(fields, "profiles")}
    factors = list(fields.get("factors", ()))
    series = {node.get("factor") for node in nodes.values() if isinstance(node, Mapping)}
    series -= {factor.get("series") for factor in factors if isinstance(factor, Mapping)}
    fields["factors"] = [*factors, *(dict(factor) for factor in catalog.factors() if factor.get("series") in series)]
    return fields


def _table(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key, {})
    return value if isinstance(value, Mapping) else {}


def _point(point: Any) -> Any:
    if not isinstance(point, Mapping) or not isinstance(point.get("sample"), str):
        return point
    try:
        return {**point, "sample": duration_ms(point["sample"])}
    except ValueError:  # as it is: whoever checks the plan names it
        return point


def plan_bytes(fields: Mapping[str, Any]) -> int:
    """How large the payload of the event is."""
    return len(cbor.encode({"event": words.PLAN, **fields}))
