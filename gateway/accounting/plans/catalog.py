"""Profiles and factors that come with Meterseal, as a plan copies them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from ledger_client.accounting import factors as published
from ledger_client.accounting import profiles as shipped


@cache
def profiles() -> Mapping[str, Mapping[str, Any]]:
    """Every profile by its id, as a plan bears it."""
    return MappingProxyType({name: shipped.load(name) for name in shipped.names()})


def factors() -> tuple[Mapping[str, Any], ...]:
    """Every factor, as a plan bears it."""
    return published.load()
