"""A receiver without its broker: the messages of a file judged and stored, in portions, by the shipped functions.

``python -m benchmarks.fleet.fleet_receiver URL PASSWORD_FILE TRUST MESSAGES PORTION`` loads everything, prints
``ready``,
waits for a line, and prints as JSON the CPU seconds that judging and storing took, and how many records were new.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from control_room.judging.judge import judge
from control_room.store.connection import connect
from control_room.store.incoming.portions import store
from ledger_client.collector import seldom
from ledger_client.verification.trust_file import load_trust


def main(url: str, password_file: Path, trust_file: Path, messages_file: Path, portion: int) -> None:
    """Run it."""
    messages: list[tuple[str, bytes]] = pickle.loads(messages_file.read_bytes())
    trust = load_trust(trust_file, anchored=False)
    db = connect(url, password_file)
    print("ready", flush=True)
    sys.stdin.readline()
    judging_s = storing_s = 0.0
    new = 0
    with seldom():  # as meterseal-control run
        for part in portions(messages, portion):
            begun = time.process_time()
            judged = [judge(topic, data, trust, int(time.time())) for topic, data in part]
            stored_from = time.process_time()
            new += store(db, judged, int(time.time() * 1000)).new
            judging_s, storing_s = judging_s + stored_from - begun, storing_s + time.process_time() - stored_from
    print(json.dumps({"new": new, "judging_s": judging_s, "storing_s": storing_s}))


def portions(messages: Sequence[tuple[str, bytes]], most: int) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Whole messages that bring about so many records together, as a receiver takes them."""
    part: list[tuple[str, bytes]] = []
    size = 0
    for topic, data in messages:
        part.append((topic, data))
        size += data.count(b"\xd2\x84")  # tag and array of a COSE_Sign1; a few more, by chance, make it shorter
        if size >= most:
            yield part
            part, size = [], 0
    if part:
        yield part


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
