"""Proofs and trust files that are wrong in a few places, by a seed: bits, splices, and content that is signed anew."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from tests.oracle.forge import (
    EPOCH,
    GATEWAY,
    KINDS,
    LEDGERS,
    METER,
    NOW,
    T0,
    Forge,
    Key,
    Pairs,
    Raw,
    Tag,
    base64url,
    encode,
    milliseconds,
    toml,
)

# fmt: off
LAYERS = (
    "body", "record-header", "record-outside", "record-parts", "statement", "statement-header", "statement-outside",
    "receipt-header", "receipt-outside", "receipt-parts", "proof", "locator", "inclusion", "bundle",
    "witnessed", "note-place",
)
ENCODED = (
    "body-bytes", "record-protected", "record-signature", "record", "statement-bytes", "statement-protected",
    "statement-signature", "attached", "receipt-protected", "receipt-signature", "receipt", "proof-bytes", "bytes",
    "note", "cosignature",
)
NUMBERED = (
    "record-header", "record-header", "statement-header", "receipt-header", "statement", "body", "proof", "inclusion",
)
NUMBERS = [
    0, 1, -1, 2, 3, 5, 23, 24, 26, 64, 65, 255, 256, 394, 395, 396, -7, -8, -9, -19, 2**31, 2**53, 2**63, 2**64 - 1,
    2**64, -(2**64),
]
MOMENTS = [
    T0, T0 + 1, T0 + 2, T0 + 5, T0 + 305, T0 + 306, T0 * 1000, T0 * 1000 + 1000, T0 * 1000 + 1001, 253402300799,
    253402300800,
]
JUNK: list[Any] = [
    *NUMBERS, *MOMENTS, None, True, False, 1.5, -0.0, 1e300, float("nan"), float("inf"), "", "x", "a b", "é", "a\n",
    "gateway", "batch/3", "x" * 64, "x" * 65, "x" * 257, b"", b"x", b"x" * 32, b"x" * 64, EPOCH, bytes(8), bytes(32),
    [], [1], [[]], {}, {1: 2}, {"x": 1}, {-1: 0, 30: 0}, {24: 1, "a": 2}, Tag(4, [-3, 0]), Tag(4, [0, 5]), Tag(1, 5),
    Tag(4, [-65, 1]), Tag(18, []), milliseconds(1), milliseconds(253402300799999), GATEWAY, METER, *LEDGERS,
    *KINDS.values(), "kWh", "V", "MWh", "S", Raw(b"\x18\x01"), Raw(b"\x9f\xff"), Raw(b"\xf7"), Raw(b"\xfb" + bytes(8)),
    Raw(b"\x81" * 20 + b"\x01"), Pairs([("b", 1), ("a", 1)]), Pairs([(1, 1), (1, 1)]),
]
TIMES = [
    *(f"2026-11-18T11:06:4{second}Z" for second in range(10)), "2026-11-18T19:06:45+08:00", "2026-11-18T11:06:45.9Z",
    "2026-11-18", "2026-11-18T11:06:45", "1969-12-31T23:59:59.9Z", "9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00Z",
    "12:00:00", "2026-02-30T00:00:00Z",
]
TEXTS: list[Any] = [
    "", "x", "a b", "a\n", "a:b", "a:é", GATEWAY, METER, *LEDGERS, "gateway", "meter", "statement", "ledger", "party",
    "issuer", "verifier", "5s", "4s", "1.5h", "500ms", "0s", "36501d", "8d ", "0x" + "ab" * 20, "0x" + "AB" * 20,
    "0X" + "ab" * 20, "AAAA", "AAB", "AA==", "x" * 1024, "x" * 1025, 0, 1, 2, 3, 4, -1, 1.0, True, False, [], ["x"],
    [1], {}, {"x": 1},
]
NAMES = [
    "identity", "kid", "valid_to", "revoked", "revoked_reason", "party", "ledger", "gateway", "meter", "claims",
    "confirmations", "sender", "attested", "max_delay", "foo", "role", "public", "receipts",
    "held", "held_by", "held_at", "evidence", "made", "expires",
]
TEXT_EDITS = [
    ("6\n", "7\n"), ("6\n", "06\n"), ("6\n", "+6\n"), ("6\n", "9223372036854775808\n"), ("log-0\n", "log-1\n"),
    ("log", "läg"), ("log-0\n", "\n"), ("=\n", "=\nmore\n"), ("=\n", "=\n\n"), ("=\n", "=\n\nmore\n"), ("=\n", "\n"),
    ("=\n", "=\n\x01\n"),
]
NOTE_EDITS = [
    ("\n", "\r\n"), ("— ", "- "), ("— ", "—\xa0"), ("— ", "—  "), ("=\n", "\n"), ("=\n", "= \n"), ("A=\n", "B=\n"),
    ("g=\n", "h=\n"), ("— w", "— w+"), ("— w", "— w\u2003"), ("\n— w1", "\n\n— w1"), ("— w0", "— stranger"),
    ("w0", "w1"), ("\n\n", "\n"), ("— w0", "\ufeff— w0"), ("— log", "— x AAAAAAA=\n— log"),
    ("— log", "— x AAAAAA==\n— log"), ("— log", "— \x85 AAAAAAA=\n— log"),
    *(("— log", "— x AAAAAAA=\n" * n + "— log") for n in (96, 97, 98, 200)),
]
# fmt: on


KINDS_OF_MUTANTS = {
    "nothing": 1,
    "bits": 3,
    "splice": 2,
    "layers": 10,
    "numbers": 6,
    "encoded": 4,
    "trust": 5,
    "note": 4,
    "now": 1,
}
"""With how often."""


class Mutant(NamedTuple):
    what: str
    proof: bytes
    trust: bytes
    now: int


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested maps and lists."""
    if isinstance(value, Tag):
        value = {1: value.value}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*way, key)
        yield from places(one, (*way, key))


def changed(value: Any, chance: Random, junk: list[Any]) -> Any:
    """Something near to this value, or something else altogether."""
    if chance.random() < 0.5:
        if type(value) is int:
            return value + chance.choice([1, -1, 2, -2, 1000, -1000, 300])
        if isinstance(value, bytes) and value:
            return chance.choice([value[:-1], value + b"\x00", flipped(value, chance)])
        if isinstance(value, str) and value:
            return chance.choice([value[:-1], value + "x", value[::-1], value.upper(), value + "\n"])
        if isinstance(value, list) and value:
            return chance.choice([value[::-1], value * 2, value[:-1], [*value, value[0]]])
    return copy.deepcopy(chance.choice(junk))


def spoilt(value: Any, chance: Random, junk: list[Any] = JUNK, names: list[Any] = JUNK) -> Any:
    """A copy with one thing changed, left out, added, or brought from elsewhere in it."""
    value = copy.deepcopy(value)
    ways = [*places(value)]
    if not ways:
        return changed(value, chance, junk)
    *way, last = chance.choice(ways)
    inner = at(value, tuple(way))
    if isinstance(inner, Tag):
        return value
    luck = chance.random()
    if luck < 0.15:
        del inner[last]
    elif luck < 0.25 and isinstance(inner, dict):
        name = chance.choice([name for name in names if isinstance(name, str | int | bytes | float | None)])
        inner[name] = copy.deepcopy(chance.choice(junk))
    elif luck < 0.3 and isinstance(inner, list):
        inner.insert(last, copy.deepcopy(chance.choice(junk)))
    else:
        inner[last] = changed(inner[last], chance, junk)
    return value


def renumbered(value: Any, chance: Random) -> Any:
    """A copy with one number that is a little greater or smaller."""
    value = copy.deepcopy(value)
    found = [
        (inner, key)
        for way in places(value)
        if isinstance(inner := at(value, way[:-1]), dict | list) and type(inner[key := way[-1]]) is int
    ]
    if found:
        inner, key = chance.choice(found)
        more = chance.choice([1, -1, 2, -2, 300, 301, -300, -301, 1000, -1000, 1001, -2000, 700_000, -691_200])
        of_range = isinstance(inner, list) and len(inner) == 3 and isinstance(inner[0], bytes)
        for one in (1, 2) if of_range and chance.random() < 0.7 else (key,):  # a range moves as a whole
            inner[one] += more
    return value


def at(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        value = value.value if isinstance(value, Tag) else value[key]
    return value


def edited(chance: Random) -> Callable[[str, Any], Any]:
    """A hook that makes one thing of notes another."""
    where = chance.choice(["checkpoint", "signatures", "note", "note-place"])

    def hook(name: str, value: Any) -> Any:
        if name != where:
            return value
        if name == "note-place":
            return renumbered(value, chance) if chance.random() < 0.5 else spoilt(value, chance)
        if name == "checkpoint":
            return str(value).replace(*chance.choice(TEXT_EDITS))
        if name == "note":
            old, new = chance.choice(NOTE_EDITS)
            return bytes(value).replace(old.encode(), new.encode(), chance.choice([1, 1, -1]))
        lines = copy.deepcopy(value)
        at = chance.randrange(len(lines))
        stranger = [chance.choice(["x", "log-0", "w0", "w1"]), chance.randbytes(chance.choice([5, 68, 76]))]
        lines[at : at + 1] = chance.choice(
            [[], [lines[at]] * 2, [lines[at], stranger], [[lines[at][0], flipped(lines[at][1], chance)]]]
        )
        return lines

    return hook


def flipped(data: bytes, chance: Random) -> bytes:
    """One bit turned."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def spliced(data: bytes, other: bytes, chance: Random) -> bytes:
    """A piece left out, doubled, or taken from ``other`` at the same place."""
    begin = chance.randrange(len(data))
    end = min(len(data), begin + chance.choice([1, 2, 8, 32, 64, 200]))
    piece = chance.choice([b"", data[begin:end] * 2, other[begin:end], bytes(chance.randbytes(end - begin))])
    return data[:begin] + piece + data[end:]


def a_forge(chance: Random) -> Forge:
    kind = chance.choice(["reading", "reading", "coverage", "event"])
    others = chance.choice([0, 1, 2, 2, 3, 6])
    foreign = chance.choice([(False,), (False,), (False, False), (True,), (False, True), (True, False, False), ()])
    return Forge(
        kind=kind,
        of_gateway=kind == "event" and chance.random() < 0.4,
        others=others,
        index=chance.randint(0, others),
        algs=(
            chance.choice([-8, -19, -7, -9]),
            chance.choice([-8, -7]),
            chance.choice([-8, -9]),
            chance.choice([-8, -7]),
        ),
        foreign=foreign,
        required=max(1, min(len(foreign), chance.choice([1, 1, 2]))),
        locators=chance.choice([0, 0, 0, 1]),
        witnesses=chance.choice([None, None, 0, 1, 2]),
    )


def spoilt_trust(trust: dict[str, Any], chance: Random) -> dict[str, Any]:
    times = [Raw(time.encode()) for time in TIMES]
    if not (isinstance(trust.get("key"), list) and trust["key"] and all(isinstance(key, dict) for key in trust["key"])):
        return trust
    keys = [*trust["key"], {"role": "meter"}]
    luck = chance.random()
    if luck < 0.1:
        trust = copy.deepcopy(trust)
        trust["key"].append({**chance.choice(keys), **{chance.choice(NAMES): chance.choice(TEXTS)}})
    elif luck < 0.45:
        trust = copy.deepcopy(trust)
        when = chance.choice(["valid_from", "valid_to", "revoked", "held_at"])
        chance.choice(trust["key"])[when] = chance.choice(times)
        if chance.random() < 0.2:
            trust["policy"][chance.choice(["made", "expires"])] = chance.choice(times)
    elif luck < 0.55:
        trust = copy.deepcopy(trust)
        some = Key("some", chance.choice([-8, -7])).public
        chance.choice(trust["key"])["public"] = base64url(encode(spoilt(some, chance)))
    else:
        trust = spoilt(trust, chance, [*TEXTS, *times], [*NAMES, "key", "chain", "policy"])
    return trust


def mutant(seed: int) -> Mutant:
    chance = Random(seed)
    forge = a_forge(chance)
    trust = forge.trust()
    kinds = {
        "nothing": 1,
        "bits": 3,
        "splice": 2,
        "layers": 10,
        "numbers": 6,
        "encoded": 4,
        "trust": 5,
        "now": 1,
        "note": 5,
    }
    kind = chance.choices(list(kinds), list(kinds.values()))[0]
    now = NOW
    if kind == "layers":
        wanted = {chance.choice(LAYERS): chance.choice([1, 1, 1, 2]) for _ in range(chance.choice([1, 1, 2]))}

        def hook(name: str, value: Any) -> Any:
            for _ in range(wanted.get(name, 0)):
                value = spoilt(value, chance)
            return value

        forge.hook = hook
        kind = f"layers {sorted(wanted)}"
    elif kind == "numbers":
        numbered = chance.choice(NUMBERED)

        def shift(name: str, value: Any) -> Any:
            return renumbered(value, chance) if name == numbered else value

        forge.hook = shift
        kind = f"numbers {numbered}"
    elif kind == "encoded":
        layer = chance.choice(ENCODED)

        def turn(name: str, value: Any) -> Any:
            if name == layer and value:
                value = flipped(value, chance) if chance.random() < 0.5 else spliced(value, value[::-1], chance)
            return value

        forge.hook = turn
        kind = f"encoded {layer}"
    elif kind == "note":
        forge.witnesses = chance.choice([1, 1, 2])
        trust = forge.trust()
        forge.hook = edited(chance)
    elif kind == "trust":
        for _ in range(chance.choice([1, 1, 1, 2])):
            trust = spoilt_trust(trust, chance)
    elif kind == "now":
        now = T0 + chance.choice([-296, -295, -294, 0, 5, 10**6, 3_675_199, 3_675_200, 10**8, -T0])
    written = toml(trust)
    proof = forge.build()
    if kind == "bits":
        for _ in range(chance.choice([1, 1, 2])):
            proof = flipped(proof, chance)
    elif kind == "splice":
        proof = spliced(proof, a_forge(chance).build(), chance)
    elif kind == "trust" and chance.random() < 0.15:
        written = flipped(written, chance)
    return Mutant(kind, proof, written, now)
