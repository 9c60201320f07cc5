"""Registers of an exchanged meter for `meterseal accept`: the old device's last, the new one's first (I4)."""

from __future__ import annotations

from decimal import Decimal

import click

from gateway.cli.accounting.entry import numbers
from gateway.cli.terminal.common import user
from gateway.config.model import Config


def asked(config: Config, meter: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What somebody answers at the terminal, for each recorded counter; nothing where a line stays empty."""
    from gateway.accounting.plans.plan_draft import recorded_counters

    found: tuple[list[str], list[str]] = [], []
    for point in recorded_counters(config, config.meters[meter]):
        for words_, into in (("last register of the old device", found[0]), ("first of the new one", found[1])):
            given = click.prompt(
                f"{point.name} in {point.unit}: {words_} (empty: not known)", default="", show_default=False
            )
            if given:
                into.append(f"{point.name}={given}")
    return tuple(found[0]), tuple(found[1])


def entries(config: Config, meter: str, final: tuple[str, ...], initial: tuple[str, ...], reason: str) -> list[str]:
    """The entries ``register`` that the gateway is to sign, of the options of the command. Raises GatewayError."""
    from gateway.accounting.plans import exchange

    finals, initials = (_by_point(config, meter, given) for given in (final, initial))
    return exchange.entries(config, meter, finals, initials, reason, user())


def _by_point(config: Config, meter: str, given: tuple[str, ...]) -> dict[str, int | Decimal]:
    """Numbers by point; a single counter of a meter need not be named."""
    from gateway.accounting.plans.plan_draft import recorded_counters

    counters = [point.name for point in recorded_counters(config, config.meters[meter])]
    named = [word if "=" in word or len(counters) != 1 else f"{counters[0]}={word}" for word in given]
    return numbers(named)
