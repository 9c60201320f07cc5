"""The gateway process: everything is checked before anything is started, then one epoch after the other until a signal.

Started by `meterseal run`; everything it learns is in the data folder, so it can be killed at any moment and started
again. What an epoch is made of stands in epoch.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from gateway import budget, instance
from gateway.commits import RETRY_MS
from gateway.config import Config
from gateway.drivers import check_ledger_access, check_ledger_keys, trust_of
from gateway.epoch import begin
from gateway.errors import StartAgain, StoreError
from gateway.fieldbus.bus import check_port
from gateway.keys import load_keys
from gateway.lines import line_specs
from gateway.notify import Manager
from ledger_client.record import Event

log = logging.getLogger("meterseal.agent")


async def run(config: Config) -> None:
    """Record, seal and anchor until SIGTERM or SIGINT; then finish the read in flight, write coverage and commit.

    Raises GatewayError or PortError before anything is started when the configuration cannot run on this machine.
    """
    keys, trust = load_keys(config), trust_of(config)
    check_ledger_keys(config, trust)
    check_ledger_access(config)
    specs = line_specs(config)
    for spec in specs:
        check_port(spec)
    plans = budget.line_plans(specs)
    budget.refuse(config.path, plans)
    for plan in plans:
        for warning in plan.warnings:
            log.warning("%s: %s", plan.line, warning)
    with ExitStack() as held:
        held.enter_context(instance.take(config.data))
        stop = asyncio.Event()
        waiting = await _until_again(begin(config, keys, trust, specs, stop).run(stop, ()))
        while waiting is not None and not stop.is_set():
            try:
                waiting = await _until_again(begin(config, keys, trust, specs, stop).run(stop, waiting))
            except StoreError as error:  # the disk is not back for good
                log.error("no new epoch yet: %s", error)
                Manager().alive()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY_MS / 1000)


async def _until_again(work: Coroutine[Any, Any, None]) -> Sequence[tuple[str, Event]] | None:
    """None when the work is done. Else the disk has kept what it had refused, so that it goes on in a new epoch, which
    is to write these: (meter, event)."""
    again: list[tuple[str, Event]] | None = None
    try:
        await work
    except* StartAgain as errors:
        log.error("the gateway begins a new epoch: %s", errors.exceptions[0])
        again = [pair for error in errors.exceptions if isinstance(error, StartAgain) for pair in error.waiting]
    return again
