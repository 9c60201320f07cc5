"""Overhearing by hand: every exchange on a line on which another master asks, as it happens. It only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from gateway.clock import Clock
from gateway.devices.blocks import Content
from gateway.devices.points import FACTORS, Profile
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.passive import Event, Exchange, Pairing
from gateway.fieldbus.modbus.passive_source import UNENDED_SERIAL_S, UNENDED_TCP_S, Blocks, PairReader
from gateway.fieldbus.wire.errors import LineDown
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.line_spec import NETWORK_LIFE_MS, SERIAL_LIFE_MS, LineSpec
from gateway.fieldbus.wire.source import Wrote, open_to_read
from gateway.fieldbus.wire.stream_link import ReadEnd
from ledger_client.messages import Sentence

TIMEOUT_MS = 1000


class Overheard(NamedTuple):
    """A read of the other master: at which record time it ended, how long after the question, whom and what it asked.

    ``words``: the registers or bits of the answer; ``why``: there is none that counts. ``values``: by point of the
    profile, value and unit.
    """

    at_ms: int
    latency_ms: float
    unit: int
    block: RegisterBlock
    words: tuple[int, ...]
    why: Sentence | None
    values: dict[str, tuple[Content, str]]


async def overhear(
    spec: LineSpec,
    profile: Profile | None,
    clock: Clock,
    tell: Callable[[Overheard | Wrote], None],
    seconds: float | None = None,
) -> None:
    """Tell of each exchange and write, for so long (None: without end).

    Args:
        spec: of the line; its meters are not looked at.
        profile: of the units on it; None: nothing is decoded.

    Raises:
        PortError: the port cannot be opened.
        LineDown: the connection cannot be opened, or the line broke off.
    """
    blocks = Blocks([p for p in profile.points if not set(FACTORS).intersection(p.factor_from)] if profile else [])
    life_s = (spec.answer_life_ms or (SERIAL_LIFE_MS if spec.port is not None else NETWORK_LIFE_MS)) / 1000
    timeout_s = (profile.timeout_ms if profile is not None else TIMEOUT_MS) / 1000
    unended_s = UNENDED_TCP_S if spec.port is None else UNENDED_SERIAL_S

    def heard(event: Event) -> None:
        if isinstance(event, Exchange):
            tell(_overheard(event, blocks.of(event.question), clock))
        else:
            tell(Wrote(event.unit, event.function, event.address, clock.at_ms(event.at)))

    end = ReadEnd(await open_to_read(spec))
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ended(why: LineDown) -> None:
        if not over.done():
            over.set_exception(why)

    reader = PairReader(end, Pairing(KeyTable(life_s), lambda unit: timeout_s, unended_s), heard, ended)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await over
    finally:
        reader.close()


def _overheard(event: Exchange, block: RegisterBlock, clock: Clock) -> Overheard:
    values: dict[str, tuple[Content, str]] = {}
    if event.refused is None:
        decoder = block.decoder({})
        split = decoder.split(event.raw)
        contents = decoder.values(split, decoder.scales(split))
        values = {p.name: (value, p.unit or "") for p, value in zip(decoder.points, contents, strict=True)}
    why = event.refused.sentence if event.refused is not None else None
    latency_ms = 1000 * (event.ended - event.asked)
    return Overheard(clock.at_ms(event.ended), latency_ms, event.question.unit, block, event.raw, why, values)
