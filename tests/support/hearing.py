"""A process that hears messages on its input, records them, and answers once they are durable. To be killed.

A line in: ``LABEL PART CONTENT``; a line out: ``LABEL PART CONTENT`` of what is recorded.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.recording.heard import Standing
from gateway.records import News, PollResult, SignedRecord, Timestamp, Token
from ledger_client.formats.senml import Reading, Value
from tests.support.samples import recorder

METER = "export-main"


def token(label: str, content: str, part: int = 1) -> Token:
    """By what a message is known that holds a number."""
    return Token(label, part, hashlib.sha256(content.encode()).digest())


def heard(due_ms: int, clock: Clock, label: str, content: str, part: int = 1) -> PollResult:
    """A message that holds a number, heard now."""
    now = Timestamp.now(clock)
    reading = Reading(now.time_ms, (Value("count", int(content), "count"),))
    return PollResult(METER, due_ms, reading, now, token=token(label, content, part))


def main(folder: str, commit_every_ms: str) -> None:
    """Hear until the input ends."""
    clock, said = Clock(), dict[tuple[str, Token], str]()
    made, anchor_ms = recorder(
        load_config(Path(folder) / "gateway.toml"), clock, secrets.token_bytes(8), commit_every_ms=int(commit_every_ms)
    )

    def answer(news: Sequence[News]) -> None:
        for item in news:
            if isinstance(item, SignedRecord) and item.token is not None:
                print(said[METER, item.token], flush=True)

    made.on_news.append(answer)
    made.start()
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        label, part, content = line.split()
        message = heard(anchor_ms + 10_000 * number, clock, label, content, int(part))
        assert message.token is not None
        said[METER, message.token] = line.strip()
        standing = made.standing(METER, message.token)
        if standing is Standing.NEW:
            made.put(message)
        elif standing is Standing.RECORDED:
            print(line.strip(), flush=True)
    made.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
