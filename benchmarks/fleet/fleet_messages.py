"""Messages of many gateways as their feeds publish them, and the trust file of their keys."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.fleet.fleet_records import KINDS, Meter
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.feed_messages import FRAME, RECORDS, TOGETHER, encode_records, record_size, topic
from ledger_client.verification.trust_text import key_entry


class Made(NamedTuple):
    """``messages``: each its topic and its bytes, in the order in which they come in; ``trust``: text of the trust
    file; ``records`` in them, of ``record_bytes`` in all."""

    messages: list[tuple[str, bytes]]
    trust: str
    records: int
    record_bytes: int


def made(count: int, gateways: int, meters: int, begin_ms: int, period_ms: int, seed: int = 1) -> Made:
    """About ``count`` records of so many gateways of so many meters each, a reading of each every ``period_ms``: one
    message for what a gateway commits at once, or as many as hold it."""
    chance = random.Random(seed)
    fleet: list[list[Meter]] = []
    entries = []
    for number in range(gateways):
        gateway, epoch = f"gw-{number:03}", chance.randbytes(8)
        entries.append(key_entry("statement", PrivateKey.generate().public, begin_ms // 1000 - 60, gateway=gateway))
        fleet.append([])
        for n in range(meters):
            key, name = PrivateKey.generate(), f"meter-{n:03}"
            entries.append(key_entry("meter", key.public, begin_ms // 1000 - 60, gateway=gateway, meter=name))
            fleet[-1].append(Meter(gateway, name, key, epoch, KINDS["float32"]))
    messages: list[tuple[str, bytes]] = []
    records = record_bytes = 0
    for turn in range(max(1, round(count / gateways / meters))):
        for number, site in enumerate(fleet):
            data = [meter.record(begin_ms + turn * period_ms + number, chance) for meter in site]
            records, record_bytes = records + len(data), record_bytes + sum(map(len, data))
            first = turn * meters + 1
            messages += [(topic(site[0].gateway, RECORDS), each) for each in _messages(first, data)]
    return Made(messages, "\n".join(entries), records, record_bytes)


def _messages(first: int, data: Sequence[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = FRAME
    for place, record in enumerate(data, first):
        more = record_size(place, record)
        if held and size + more > TOGETHER:
            yield encode_records(range(place - len(held), place), held)
            held, size = [], FRAME
        held.append(record)
        size += more
    yield encode_records(range(first + len(data) - len(held), first + len(data)), held)
