"""Lines in a clock of their own on which answers come later than the master waits: what a tap hears of them, and how
many pairs of a listener are wrong.

Every answer holds the number of its question, so a pair with another number is wrong, also where both ask for the same.
A frame on the wire is whole and nobody speaks into another's; what is damaged is so at the tap.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.fieldbus.modbus.frames import GATEWAY_SILENT, Reply, Request, crc, shape_of
from gateway.fieldbus.modbus.passive import Event, Exchange

CHAR_S, QUICK_S = 10 / 115_200, 0.004
FOREVER = float("inf")


class Asked(NamedTuple):
    """What the master asks next: ``question`` None: it writes ``frame``."""

    question: Request | None
    timeout_s: float
    pause_s: float
    frame: bytes = b""

    @property
    def unit(self) -> int:
        return self.frame[0]


def ask(question: Request, timeout_s: float, pause_s: float) -> Asked:
    """A read."""
    return Asked(question, timeout_s, pause_s, question.frame)


def write(unit: int, address: int, timeout_s: float, pause_s: float) -> Asked:
    """A write of three registers (function 16)."""
    body = bytes([unit, 16]) + address.to_bytes(2) + bytes([0, 3, 6]) + bytes(6)
    return Asked(None, timeout_s, pause_s, body + crc(body))


class Answer(NamedTuple):
    """An answer that will be put on the wire: at that moment, if that is free."""

    due: float
    number: int
    frame: bytes


class Device(Protocol):
    """What becomes of a question that reaches a unit, or a bridge with several."""

    def asked(self, now: float, number: int, asked: Asked) -> list[Answer]:
        """The answers that are certain now."""


def answer_to(asked: Asked, number: int) -> bytes:
    """A right answer."""
    if asked.question is None:
        body = asked.frame[:6]
        return body + crc(body)
    key = asked.question.key
    return Reply(key, (number.to_bytes(4) * (1 + key.byte_count // 4))[: key.byte_count]).encode()


class Steady:
    """Answers each question so much later, whatever it has to answer yet, and in order. ``latency``: of each answer."""

    def __init__(self, latency: Callable[[], float]) -> None:
        self._latency, self._last = latency, 0.0

    def asked(self, now: float, number: int, asked: Asked) -> list[Answer]:
        self._last = max(now + self._latency(), self._last + QUICK_S)
        return [Answer(self._last, number, answer_to(asked, number))]


class Queue:
    """Queues questions, so many at most, and works on one after the other, so long each."""

    def __init__(self, latency: Callable[[], float], most: int = 4) -> None:
        self._latency, self._most, self._ends = latency, most, list[float]()

    def asked(self, now: float, number: int, asked: Asked) -> list[Answer]:
        self._ends = [end for end in self._ends if end > now]
        if len(self._ends) >= self._most:
            return []
        self._ends.append(max(now, *self._ends, now) + self._latency())
        return [Answer(self._ends[-1], number, answer_to(asked, number))]


class Behind:
    """A bridge with what it has received last time: each question is answered at once, with the answer to the one
    before. ``slips``: the question whose answer came too late for it, the first of that kind; before it is in step."""

    def __init__(self, slips: int = 1) -> None:
        self._slips, self._asked, self._held = slips, 0, list[tuple[int, bytes]]()

    def asked(self, now: float, number: int, asked: Asked) -> list[Answer]:
        self._asked += 1
        self._held.append((number, answer_to(asked, number)))
        if self._asked == self._slips:
            return []
        of, frame = self._held.pop(0)
        return [Answer(now + QUICK_S, of, frame)]


class Faulty:
    """A device some of whose questions or answers are lost, and some of whose answers come twice, refuse, or are of a
    gateway that got none."""

    def __init__(
        self, device: Device, chance: random.Random, *, lost: float, twice: float = 0.0, refused: float = 0.0
    ) -> None:
        self._device, self._chance, self._lost, self._twice, self._refused = device, chance, lost, twice, refused

    def asked(self, now: float, number: int, asked: Asked) -> list[Answer]:
        if self._chance.random() < self._lost / 2:
            return []
        found = list[Answer]()
        for answer in self._device.asked(now, number, asked):
            if self._chance.random() < self._lost / 2:
                continue
            if self._chance.random() < self._refused:
                body = bytes([answer.frame[0], answer.frame[1] | 0x80, self._chance.choice((2, 6, *GATEWAY_SILENT))])
                answer = answer._replace(frame=body + crc(body))
            found.append(answer)
            if self._chance.random() < self._twice:
                found.append(answer)
        return found


class Impatient:
    """A bridge that says after so long that its device is silent; what that answers later comes all the same."""

    def __init__(self, device: Device, patience_s: float) -> None:
        self._device, self._patience_s = device, patience_s

    def asked(self, now: float, number: int, asked: Asked) -> list[Answer]:
        found = self._device.asked(now, number, asked)
        if all(answer.due <= now + self._patience_s for answer in found):
            return found
        body = bytes([asked.unit, asked.frame[1] | 0x80, GATEWAY_SILENT[1]])
        return [Answer(now + self._patience_s, number, body + crc(body)), *found]


class Carried(NamedTuple):
    """A frame as the tap carries it: when its last byte came, and the number of its question. ``clean``: of an answer
    that it stands right behind its own question, undamaged both, in time."""

    at: float
    data: bytes
    number: int
    is_question: bool = False
    clean: bool = False


def carried(
    master: Iterable[Asked],
    devices: Mapping[int, Device],
    seconds: float,
    *,
    oldest_s: float = FOREVER,
    damage: Callable[[bytes], bytes] = lambda frame: frame,
) -> list[Carried]:
    """All that a tap carries in so long. No answer is older than ``oldest_s``."""
    heard, waiting, asked_at = list[Carried](), list[Answer](), [0.0]
    now = free = 0.0

    def put(answer: Answer) -> float:
        nonlocal free
        if max(answer.due, free) - asked_at[answer.number] > oldest_s:
            return free
        free = max(answer.due, free) + len(answer.frame) * CHAR_S
        data, last = damage(answer.frame), heard[-1]
        clean = last.is_question and last.number == answer.number and data == answer.frame and last.clean
        heard.append(Carried(free, data, answer.number, clean=clean))
        return free

    for number, asked in enumerate(master, start=1):
        if now >= seconds:
            break
        now = free = max(now, free) + len(asked.frame) * CHAR_S
        asked_at.append(now)
        data = damage(asked.frame)
        heard.append(Carried(now, data, number, is_question=True, clean=data == asked.frame))
        for answer in devices[asked.unit].asked(now, number, asked):
            heapq.heappush(waiting, answer)
        deadline, answered = now + asked.timeout_s, False
        while not answered and waiting and waiting[0].due <= deadline:
            answer = heapq.heappop(waiting)
            now = put(answer)
            answered = answer.frame[0] == asked.unit and answer.frame[1] & 0x7F == asked.frame[1]
            answered &= asked.question is None or shape_of(answer.frame) in (
                asked.question.key,
                (asked.unit, asked.frame[1], -1),
            )
        now = (now if answered else max(deadline, free)) + asked.pause_s
        while waiting and waiting[0].due <= now:
            put(heapq.heappop(waiting))
    return heard


class Listener(Protocol):
    """``Pairing``, or what is to be compared with it."""

    def receive(self, data: bytes, now: float, since: float | None = None) -> list[Event]: ...


def judged(heard: Sequence[Carried], listener: Listener, timeout_s: float = FOREVER) -> Counter[str]:
    """Pairs that it has ``taken`` and those ``wrong`` of them, and the pairs that were ``right`` on the wire."""
    found, asked = Counter[str](), dict[float, int]()
    for place, frame in enumerate(heard):
        if frame.is_question:
            asked[frame.at] = frame.number
        elif frame.clean and frame.at - heard[place - 1].at <= timeout_s:
            found["right"] += 1
        for event in listener.receive(frame.data, frame.at):
            if isinstance(event, Exchange) and event.refused is None:
                found["taken"] += 1
                found["wrong"] += int.from_bytes(event.data[:4]) != asked[event.asked]
    return found


def random_line(seed: int, life_s: float, *, pauses: bool, faults: bool) -> list[Carried]:
    """A line that is drawn: units, what they are asked, how long that takes, who waits how long. Two or three answers
    mostly have one key. ``faults``: questions and answers are lost, come twice, are refused, and damaged at the tap."""
    chance = random.Random(seed)
    units = range(1, chance.randint(2, 5))
    reads = [
        Request(unit, chance.choice((3, 4, 4)), 10 * n, chance.choice((2, 2, 2, 4)))
        for unit in units
        for n in range(chance.randint(1, 3))
    ]
    damaged = chance.choice((0.0, 0.001, 0.01)) if faults else 0.0

    def damage(frame: bytes) -> bytes:
        if chance.random() >= damaged:
            return frame
        begin = chance.randrange(len(frame))
        end = begin + chance.choice((1, 1, 2, len(frame)))
        if chance.random() < 0.2:
            return frame[:begin] + frame[min(end, begin + 4) :]  # enough is left to be seen
        return frame[:begin] + bytes(byte ^ chance.randrange(1, 256) for byte in frame[begin:end]) + frame[end:]

    whole: Device = Behind(chance.randint(1, 50))
    bridged = chance.random() < 0.1
    devices = {unit: whole if bridged else _random_device(chance, life_s, faults=faults) for unit in units}
    heard = carried(
        _random_master(chance, reads, writes=faults, pauses=pauses),
        devices,
        60.0,
        oldest_s=0.95 * life_s,
        damage=damage,
    )
    return [frame for frame in heard if frame.data]


def _random_device(chance: random.Random, life_s: float, *, faults: bool) -> Device:
    quick_s, late, longest_s = chance.choice((0.004, 0.02, 0.1)), chance.choice((0.0, 0.002, 0.05, 0.3)), 0.8 * life_s
    slow_s = chance.choice((0.0, 0.3, 0.5, 1.2)) * (chance.random() < 0.3)

    def latency() -> float:
        return slow_s or (chance.uniform(quick_s, longest_s) if chance.random() < late else quick_s)

    kind = chance.randrange(6)
    device: Device = Steady(latency)
    if kind == 1:
        device = Queue(latency, chance.randint(2, 8))
    elif kind == 2:
        device = Queue(latency, 1)
    elif kind == 3:
        device = Behind(chance.randint(1, 50))
    elif kind == 4:
        device = Impatient(device, chance.uniform(0.05, 0.5))
    if not faults:
        return device
    lost, twice, refused = (chance.choice((0.0, 0.001, 0.02)) for _ in range(3))
    return Faulty(device, chance, lost=lost, twice=twice, refused=refused)


def _random_master(chance: random.Random, reads: Sequence[Request], *, writes: bool, pauses: bool) -> Iterator[Asked]:
    timeouts_s = [chance.choice((0.05, 0.1, 0.3, 1.0)) for _ in range(2)]
    hasty, again, turned = chance.choice((0.0, 0.0, 0.01)), chance.choice((0.0, 0.2)), chance.random() < 0.7
    pause_s = chance.choice((0.1, 0.5, 1.0, 2.0))
    for number in itertools.count():
        read = reads[number % len(reads)] if turned else chance.choice(reads)
        timeout_s = 0.0 if chance.random() < hasty else timeouts_s[number // 500 % 2]
        rest_s = 0.002
        if pauses and (number % len(reads) == 0 or chance.random() < 0.05):
            rest_s = pause_s * chance.uniform(0.8, 1.2)
        if writes and chance.random() < 0.02:
            yield write(read.unit, 100, timeout_s, rest_s)
        yield ask(read, timeout_s, rest_s)
        if chance.random() < again:
            yield ask(read, timeout_s, rest_s)


VOLTAGE, POWER = 0, 12
ROUNDS: Mapping[str, Sequence[tuple[int, int]]] = {
    "V2P2": ((1, VOLTAGE), (2, VOLTAGE), (1, POWER), (2, VOLTAGE)),
    "VP2": ((1, VOLTAGE), (1, POWER), (2, VOLTAGE)),
    "V2": ((1, VOLTAGE), (2, VOLTAGE)),
    "VP": ((1, VOLTAGE), (1, POWER)),
    "V23P23": ((1, VOLTAGE), (2, VOLTAGE), (3, VOLTAGE), (1, POWER), (2, VOLTAGE), (3, VOLTAGE)),
}
"""What is asked in turn: unit and register."""
PACES = (
    (0.5, 0.3, 0.03),
    (0.4, 0.3, 0.03),
    (0.6, 0.3, 0.1),
    (1.2, 1.0, 0.05),
    (1.2, 1.0, 0.3),
    (0.5, 0.3, 0.5),
    (0.35, 0.3, 1.0),
)
"""Latency of unit 1, time-out of the master, pause between questions in seconds."""


def in_turn(name: str, timeout_s: float, pause_s: float) -> Iterator[Asked]:
    """A master that asks one of ``ROUNDS`` without end."""
    return itertools.cycle([ask(Request(unit, 4, address, 2), timeout_s, pause_s) for unit, address in ROUNDS[name]])
