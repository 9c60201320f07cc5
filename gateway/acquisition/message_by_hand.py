"""One message of a meter that sends by itself, heard by hand: not recorded, and not acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.errors import NotYet
from gateway.fieldbus.listening.sources import SOURCES
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message


def sends(spec: LineSpec) -> bool:
    """The meters of this line send by themselves."""
    return spec.type in SOURCES


async def hear_by_hand(spec: LineSpec, meter: str, clock: Clock, within_s: float) -> Poll:
    """Listen until this meter has sent a message; those of others are passed over.

    Raises:
        PortError: nothing can listen there.
        NotYet: none came within this time; with what was refused meanwhile.
    """
    kind = SOURCES[spec.type]
    facts, meters = kind.facts(), kind.meters(spec)
    source = await kind.open(spec, clock, facts)
    try:
        async with asyncio.timeout(within_s):
            while True:
                heard = await source.hear()
                if heard.token is not None:
                    source.release(heard.unit, heard.token)
                if meters.get((heard.unit, heard.block.label())) == meter:
                    answer = BlockAnswer(heard.block, heard.raw, heard.completed_ms)
                    return Poll(meter, heard.completed_ms, (answer,))
    except TimeoutError:
        refused: Mapping[str, int] = facts.as_json().get("refused", {})
        reasons = tuple(f"{reason} {count}" for reason, count in sorted(refused.items()))
        said = Message("read-nothing-sent", meter=meter, where=spec.where, within_s=round(within_s))
        if reasons:
            said = Message("read-only-refused", meter=meter, where=spec.where, reasons=reasons)
        raise NotYet(said) from None
    finally:
        source.close()
