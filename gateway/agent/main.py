"""Gateway process: preflight, then one epoch after another until SIGTERM or SIGINT.

Started by `meterseal run`; everything it learns is in the data folder, so it can be killed at any moment and started
again. What an epoch is made of stands in agent/epoch.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.agent.epoch import begin
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.config.token_key import wait_for_key
from gateway.errors import ConfigError, GatewayError, StartAgain
from gateway.process import instance_lock
from gateway.process.sd_notify import Manager
from gateway.process.switch_interval import switch_often
from gateway.process.threads import share_heap
from gateway.recording.committer import RETRY_MS
from gateway.startup import line_plan, meter_places
from gateway.startup.preflight import Ready, allow_files, prepare
from ledger_client.collector import seldom
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.agent")


async def run(config: Config) -> None:
    """Record, seal and anchor until SIGTERM or SIGINT; then finish the read in flight, write coverage and commit.

    Raises GatewayError or PortError before anything is started when the configuration cannot run on this machine.
    """
    share_heap()
    switch_often()
    instance_lock.demand_free(config.data)
    wait_for_key(config, time.monotonic, time.sleep, partial(log.warning, "%s"))
    ready = prepare(config, may_be_missing=True)
    line_plan.refuse(config.path, ready.plans)
    allow_files(ready.specs)
    for plan in ready.plans:
        for warning in plan.warnings:
            log.warning("%s: %s", plan.line, warning)
    with ExitStack() as held:
        held.enter_context(seldom())  # a look through what pages and meters keep holds up every line
        held.enter_context(instance_lock.take(config.data))
        meter_places.note(config.data, ready.specs)
        stop = asyncio.Event()
        epoch = begin(ready, stop)
        waiting = await _until_again(epoch.run(stop, ()))
        while waiting is not None and not stop.is_set():
            try:
                epoch = begin(_as_on_disk(epoch.ready), stop)
                waiting = await _until_again(epoch.run(stop, waiting))
            except GatewayError as error:  # the disk is not back for good, or a file has gone
                log.error("no new epoch yet: %s", error)
                Manager().alive()
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_MS / 1000):
                        await stop.wait()
    log.info("gateway %s has stopped", config.gateway_id)


def _as_on_disk(ready: Ready) -> Ready:
    """With the keys of the files, where they can be read: a change of keys that the disk has refused, and kept all the
    same, has replaced those in memory."""
    with suppress(ConfigError):
        return replace(ready, keys=load_keys(ready.config))
    return ready


async def _until_again(work: Coroutine[Any, Any, None]) -> Sequence[tuple[str, Event]] | None:
    """None when the work is done. Else the disk has kept what it had refused, so that it goes on in a new epoch, which
    is to write these: (meter, event)."""
    again: list[tuple[str, Event]] | None = None
    try:
        await work
    except* StartAgain as errors:
        log.error("beginning a new epoch: %s", errors.exceptions[0])
        again = [pair for error in errors.exceptions if isinstance(error, StartAgain) for pair in error.waiting]
    return again
