"""A process that hears messages on its input, records them, and answers once they are durable. To be killed.

A line in: ``LABEL PART CONTENT``; a line out: ``LABEL PART CONTENT`` of what is recorded.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.config.model import Config, Configured
from gateway.recording.rules import Rules
from gateway.records import News, PollResult, SignedRecord, Timestamp, Token
from ledger_client.formats.senml import Reading, Value
from tests.support.samples import recorder

METER = "export-main"
PERIODS_MS = {METER: 100, "stack-co2": 60_000, "pv-inverter": 60_000}


def token(label: str, content: str, part: int = 1) -> Token:
    """By what a message is known that holds a number."""
    return Token(label, part, hashlib.sha256(content.encode()).digest())


def heard(due_ms: int, clock: Clock, label: str, content: str, part: int = 1) -> PollResult:
    """A message that holds a number, heard now."""
    now = Timestamp.now(clock)
    reading = Reading(now.time_ms, (Value("count", int(content), "count"),))
    return PollResult(METER, due_ms, reading, now, token=token(label, content, part))


def as_series(loaded: Config) -> dict[str, Configured]:
    """What is configured, with the meter as one that sends unasked; as ``configured`` of ``recorder``."""
    configured = dict(Rules.of(loaded).configured)
    return configured | {METER: replace(configured[METER], series=True)}


def main(folder: str, commit_every_ms: str) -> None:
    """Hear until the input ends."""
    clock, lines = Clock(), dict[tuple[str, Token], str]()
    loaded = load_config(Path(folder) / "gateway.toml")
    changes = {"commit_every_ms": int(commit_every_ms), "configured": as_series(loaded), "periods_ms": PERIODS_MS}
    made, _ = recorder(loaded, clock, secrets.token_bytes(8), **changes)

    def answer(news: Sequence[News]) -> None:
        for item in news:
            if isinstance(item, SignedRecord) and item.token is not None:
                print(lines[METER, item.token], flush=True)

    made.on_news.append(answer)
    made.start()
    print("ready", flush=True)
    for line in sys.stdin:
        label, part, content = line.split()
        message = heard(clock.schedule_ms(), clock, label, content, int(part))
        assert message.token is not None
        lines[METER, message.token] = line.strip()
        standing = made.standing(METER, message.token)
        if standing == "new":
            made.put(message)
        elif standing == "recorded":
            print(line.strip(), flush=True)
    made.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
