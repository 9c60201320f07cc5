"""One message of a meter that is not asked, heard by hand: not recorded, and not acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.errors import NotYet
from gateway.fieldbus.listening.listened_meter import ListenedMeter
from gateway.fieldbus.listening.pairs import Pairs
from gateway.fieldbus.listening.sources import source_kind
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.source import Crowded, Wrote
from gateway.messages.message import Message


def sends(spec: LineSpec) -> bool:
    """The meters of this line send by themselves, or answer another master."""
    return source_kind(spec) is not None


async def hear_by_hand(spec: LineSpec, meter: str, clock: Clock, within_s: float) -> Poll:
    """Listen until this meter has sent a message; those of others are passed over. Where another master asks: until it
    has asked for every point, or the time is over; the answer life in which nothing counts there does not.

    Raises:
        PortError: nothing can listen there.
        NotYet: none came within this time; with what was refused meanwhile.
    """
    kind = source_kind(spec)
    assert kind is not None
    facts, meters = kind.facts(spec), kind.meters(spec)
    wanted = next(m for m in spec.meters if m.name == meter)
    pairs = Pairs(spec, wanted) if kind.gathers else None
    life_s = spec.answer_life_of(wanted) / 1000 if kind.gathers else 0.0
    source = await kind.open(spec, clock, facts)
    try:
        async with asyncio.timeout(within_s + life_s):
            while True:
                heard = await source.hear()
                if isinstance(heard, Wrote | Crowded):
                    continue
                if heard.token is not None:
                    source.release(heard.unit, heard.token)
                if meters.get(kind.place(heard)) != meter:
                    continue
                if pairs is None:
                    return ListenedMeter(wanted).poll(heard, heard.completed_ms)
                pairs.take(heard)
                if pairs.holds_all and (whole := pairs.poll(heard.completed_ms)) is not None:
                    return whole
    except TimeoutError:
        if pairs is not None and (poll := pairs.poll(clock.now_ms())) is not None:
            return poll
        refused: Mapping[str, int] = facts.as_json().get("refused", {})
        reasons = tuple(f"{reason} {count}" for reason, count in sorted(refused.items()))
        if pairs is not None:
            nothing = Message("read-nothing-overheard", meter=meter, where=spec.where, within_s=round(within_s))
            raise NotYet(nothing) from None
        if spec.type == "p1":
            came = facts.came
            raise NotYet(kind.silence(spec, wanted if came["heard"] or came["unchecked"] else None, came)) from None
        sentence = Message("read-nothing-sent", meter=meter, where=spec.where, within_s=round(within_s))
        if reasons:
            sentence = Message("read-only-refused", meter=meter, where=spec.where, reasons=reasons)
        raise NotYet(sentence) from None
    finally:
        source.close()
