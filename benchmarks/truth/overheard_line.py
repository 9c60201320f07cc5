"""A line that another master asks on and a tap copies: its units answer with the number of the question.

So each answer that was carried behind another question than its own is known, whoever takes it for a pair.
"""

from __future__ import annotations

import asyncio
import os
import random
import tty
from collections import deque
from contextlib import suppress
from pathlib import Path

from firmware_sim.wire.tap import Tap
from gateway.fieldbus.modbus.frames import Reply, parse_request
from gateway.fieldbus.wire.serial_time import char_seconds

QUESTION = 8
CHAR_S = char_seconds(115_200)
QUICK_S = 0.002


class OverheardLine:
    """The units of one line behind a pseudo-terminal, for the life of a loop. A unit answers in the order in which it
    was asked.

    ``carried``: all that the tap carried, in order: the bytes, and the number of the question (of an answer: its own).

    Args:
        link: of the line's terminal, for the master.
        tap: gets a copy.
        late: share of answers that come later than ``timeout_s``, though within ``life_s``.
    """

    def __init__(self, link: Path, tap: Tap, *, late: float, timeout_s: float, life_s: float, seed: int) -> None:
        self.carried: list[tuple[bytes, int]] = []
        self.asked = 0
        self._tap, self._late, self._timeout_s, self._life_s = tap, late, timeout_s, life_s
        self._rng, self._loop = random.Random(seed), asyncio.get_running_loop()
        self._received, self._free_at = bytearray(), 0.0
        self._queues: dict[int, deque[tuple[float, int, bytes]]] = {}
        self._master, self._slave = os.openpty()  # the other side stays open here, so that the master may come and go
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        link.symlink_to(os.ttyname(self._slave))
        self._loop.add_reader(self._master, self._hear)

    def close(self) -> None:
        """Take the line away."""
        self._loop.remove_reader(self._master)
        os.close(self._slave)
        os.close(self._master)
        self._master = -1

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._received += os.read(self._master, 4096)
        while len(self._received) >= QUESTION:
            frame = bytes(self._received[:QUESTION])
            del self._received[:QUESTION]
            self.asked += 1
            self.carried.append((self._tap.carry_question(frame), self.asked))
            self._answer_later(frame, self.asked)

    def _answer_later(self, frame: bytes, number: int) -> None:
        question, now = parse_request(frame), self._loop.time()
        delay_s = QUICK_S + QUESTION * CHAR_S
        if self._rng.random() < self._late:
            delay_s = self._rng.uniform(1.05 * self._timeout_s, 0.9 * self._life_s)
        answer = Reply(question.key, number.to_bytes(question.key.byte_count)).encode()
        queue = self._queues.setdefault(question.unit, deque())
        queue.append((max(now + delay_s, queue[-1][0] + QUICK_S if queue else 0.0), number, answer))
        if len(queue) == 1:
            self._loop.call_at(queue[0][0], self._answer, queue)

    def _answer(self, queue: deque[tuple[float, int, bytes]]) -> None:
        now = self._loop.time()
        if self._free_at > now:
            self._loop.call_at(self._free_at, self._answer, queue)
            return
        _, number, answer = queue.popleft()
        self._free_at = now + len(answer) * CHAR_S
        self._loop.call_at(self._free_at, self._put, answer, number)
        if queue:
            self._loop.call_at(max(queue[0][0], self._free_at), self._answer, queue)

    def _put(self, answer: bytes, number: int) -> None:
        if self._master < 0:
            return
        self.carried.append((answer, number))
        self._tap.carry(answer)
        with suppress(BlockingIOError):
            os.write(self._master, answer)
