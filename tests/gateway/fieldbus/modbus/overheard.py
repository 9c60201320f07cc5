"""A line in a clock of its own: a master without a pause, devices that answer late, and a tap that damages.

Every answer holds the number of the question that it answers, so a pair with another number is wrong.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Sequence

from gateway.fieldbus.modbus.frames import Reply, Request, answer_length, intact, shape_of
from gateway.fieldbus.modbus.passive import Exchange, Pairing
from gateway.fieldbus.wire.keys import KeyTable

MASTER_S, CHAR_S, QUICK_S = 0.1, 10 / 115_200, 0.004


def naive(chunks: Sequence[tuple[float, bytes, int]]) -> Counter[str]:
    """What a listener counts that takes the next good frame of a question's key for its answer."""
    found: Counter[str] = Counter()
    waiting: tuple[Request, int] | None = None
    for _, data, number in chunks:
        if not intact(data):
            continue
        if len(data) == 8 and answer_length(data) != 8:
            waiting = Request(data[0], data[1], int.from_bytes(data[2:4]), int.from_bytes(data[4:6])), number
        elif waiting is not None and shape_of(data) == waiting[0].key:
            found["taken"] += 1
            found["wrong"] += int.from_bytes(data[3:7]) != waiting[1]
            waiting = None
    return found


def overhear(
    rounds: Sequence[Request], seconds: float, seed: int, *, late: float, damaged: float, life_s: float, order: bool
) -> tuple[list[tuple[float, bytes, int]], int]:
    """What a tap carries: (moment, frame, number of the question), and how many questions were asked.

    Args:
        rounds: what the master asks, again and again.
        late: share of answers that come after its time-out, though within ``life_s``.
        damaged: share of questions that are damaged at the tap alone.
        order: a unit answers in the order in which it was asked.
    """
    chance, chunks, asked = random.Random(seed), list[tuple[float, bytes, int]](), itertools.count(1)
    queue: list[tuple[float, int, bytes]] = []
    last: dict[int, float] = {}
    now = wire_free = 0.0
    number = 0
    for question in itertools.cycle(rounds):
        if now >= seconds:
            return chunks, number
        number = next(asked)
        frame = question.frame
        if chance.random() < damaged:
            place = chance.randrange(8)
            frame = frame[:place] + bytes([frame[place] ^ 1 << chance.randrange(8)]) + frame[place + 1 :]
        now = max(now, wire_free) + 8 * CHAR_S
        wire_free = now
        chunks.append((now, frame, number))
        delay_s = chance.uniform(MASTER_S, 0.95 * life_s) if chance.random() < late else QUICK_S
        due = now + delay_s
        if order:
            due = last[question.unit] = max(due, last.get(question.unit, 0.0) + QUICK_S)
            if due - now > 0.95 * life_s:
                due = now + 0.95 * life_s
        data = number.to_bytes(4) * (question.key.byte_count // 4)
        heapq.heappush(queue, (due, number, Reply(question.key, data).encode()))
        deadline, answered = now + MASTER_S, False
        while not answered and queue and queue[0][0] <= deadline:
            due, of, answer = heapq.heappop(queue)
            wire_free = max(due, wire_free) + len(answer) * CHAR_S
            chunks.append((wire_free, answer, of))
            answered = shape_of(answer) == question.key
            now = wire_free
        if not answered:
            now = max(deadline, wire_free)
    raise AssertionError


def listen(chunks: Sequence[tuple[float, bytes, int]], life_s: float, timeout_s: float) -> Counter[str]:
    """What ``Pairing`` makes of it: pairs ``taken``, and ``wrong`` ones."""
    found: Counter[str] = Counter()
    pairing = Pairing(KeyTable(life_s), lambda unit: timeout_s, 2.0)
    asked: dict[float, int] = {}
    for at, data, number in chunks:
        asked[at] = number
        for event in pairing.receive(data, at):
            if isinstance(event, Exchange) and event.refused is None:
                found["taken"] += 1
                found["wrong"] += int.from_bytes(event.data[:4]) != asked[event.asked]
    return found
