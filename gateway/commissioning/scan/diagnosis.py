"""Diagnosis of a serial line in words: what is wrong with it, from the bytes that a scan heard. Pure.

One function a sentence; none has anything to say of a healthy line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.commissioning.scan.frame_search import pieces
from gateway.commissioning.scan.line_asker import Heard
from gateway.fieldbus.dlt645 import frames as dlt645
from gateway.messages.message import Message

FEW: Final = 3
"""Fewer bytes may be chance: an adapter that was just opened, a line without termination."""
MOST: Final = 0.9
"""Share of the bytes that "every byte" means; the ends of a burst may differ."""
MANY: Final = 0.3
MOST_PAIRS: Final = 2
"""Addresses that two devices may share on a line where no unit answers well."""
_EVEN, _ODD = Message("scan-try-even"), Message("scan-try-odd")


def of_line(heard: Sequence[Heard], *, shared: bool = False, complete: bool = True) -> tuple[Message, ...]:
    """What is wrong, all of it.

    Args:
        heard: what came at each setting, in the order in which they were tried.
        shared: another master was heard.
        complete: all was asked that was to be asked.
    """
    if shared:
        return (other_master(heard),)
    looks = (*_LOOKS, nothing) if complete else _LOOKS
    return tuple(sentence for look in looks for sentence in look(heard))


def other_master(heard: Sequence[Heard]) -> Message:
    """Somebody else asks on this line."""
    best = max(heard, key=lambda one: (len(one.foreign), one.count))
    if best.foreign:
        n = sum(one.count for one in heard)
        return Message("scan-other-master", settings=str(best.settings), n=n, units=_overheard(best.foreign))
    return Message("scan-traffic", n=sum(one.count for one in heard))


def _overheard(frames: Sequence[bytes]) -> tuple[str, ...]:
    """Units with the functions of their frames, such as ``7 (3, 4)``, and numbers of DL/T 645 meters."""
    functions, numbers = dict[int, set[int]](), dict[str, None]()
    for piece in (piece for frame in frames for piece in pieces(frame)):
        if piece.protocol == "modbus":
            functions.setdefault(piece.unit, set()).add(piece.function)
        elif piece.protocol == "dlt645":
            numbers[f"DL/T 645 {dlt645.parse(piece.data).address}"] = None
    units = (f"{unit} ({', '.join(map(str, sorted(those)))})" for unit, those in sorted(functions.items()))
    return (*units, *numbers)


def echo(heard: Sequence[Heard]) -> Iterator[Message]:
    """A two-wire adapter gives back what it sends; or nothing else came."""
    if sum(one.echoes for one in heard) > 1:
        alone = not any(one.frames or one.damaged for one in heard)
        yield Message("scan-only-echo") if alone else Message("scan-echo")


def parity(heard: Sequence[Heard]) -> Iterator[Message]:
    """Bytes come at the right speed with another parity. Reported where the port counts parity
    errors: by a UART's driver, or by a device server."""
    for one in heard:
        errors = one.errors
        if errors is not None and one.count >= FEW and errors.parity >= MOST * one.count:
            way = _ODD if one.settings.parity == "E" else _EVEN
            yield Message("scan-parity-errors", settings=str(one.settings), way=way)


def framing(heard: Sequence[Heard]) -> Iterator[Message]:
    """Bytes come, none of them whole, no setting has brought a frame, and they are not answers that met each other."""
    if any(one.frames or _pairs(one) or one.crowd for one in heard):
        return
    for one in heard:
        errors = one.errors
        if errors is not None and one.count >= FEW and errors.framing >= MANY * one.count:
            yield Message("scan-framing-errors", settings=str(one.settings))
            return


def noise(heard: Sequence[Heard]) -> Iterator[Message]:
    """Bytes come that are no frame at any setting, and nothing says why."""
    n = sum(one.count for one in heard)
    explained = any((*parity(heard), *framing(heard), *twice(heard), *crowd(heard)))
    if n >= FEW and not explained and not any(one.frames or one.echoes for one in heard):
        yield Message("scan-no-frame", n=n)


def twice(heard: Sequence[Heard]) -> Iterator[Message]:
    """Two devices have one address: their answers meet each time, or both come."""
    found = {unit for one in heard for unit in one.units if unit not in one.twice}
    for one in heard:
        for unit in sorted(_pairs(one) - found):
            yield Message("scan-two-units", unit=unit, settings=str(one.settings))


def _pairs(one: Heard) -> set[int]:
    """Units whose answers are damaged each time, as those of two devices are. Where almost every unit is like that, it
    is the line."""
    return one.twice if len(one.twice) <= MOST_PAIRS + len(one.units) else set()


def crowd(heard: Sequence[Heard]) -> Iterator[Message]:
    """Several DL/T 645 meters answer the question for the address of the only one."""
    for one in heard:
        if one.crowd:
            yield Message("scan-several-meters", settings=str(one.settings))
            return


def nothing(heard: Sequence[Heard]) -> Iterator[Message]:
    """Not one byte came of anything that was asked."""
    asked = sum(one.asked for one in heard)
    if asked and not any(one.count for one in heard):
        yield Message("scan-nothing", n=asked)


def refused(settings: tuple[str, ...]) -> Message:
    """The port, or its device server, cannot be set so; nothing was found at others."""
    return Message("scan-not-set", settings=settings)


_LOOKS: Final[Sequence[Callable[[Sequence[Heard]], Iterator[Message]]]] = (
    echo,
    parity,
    framing,
    noise,
    twice,
    crowd,
)
