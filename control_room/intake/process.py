"""The process of one receiver: signals, the service manager, the clocks."""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from control_room.intake.receiver import Receiver
from control_room.settings import Settings
from gateway.process.sd_notify import Manager
from gateway.process.switch_interval import switch_often
from gateway.process.threads import share_heap

log = logging.getLogger("meterseal.control")


def run_receiver(settings: Settings) -> None:
    """Receive until SIGTERM or SIGINT. Raises what keeps it from starting: ConfigError, TrustFileError."""
    share_heap()
    switch_often()
    receiver = Receiver(settings, now_ms=_now_ms, monotonic=time.monotonic, manager=Manager())
    asyncio.run(_until_signal(receiver))
    log.info("the receiver of %s has stopped", settings.name)


async def _until_signal(receiver: Receiver) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await receiver.run(stop)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
