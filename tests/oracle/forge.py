"""Proofs layer by layer, each layer signed anew: whatever a signer may have written, the keys are ours.

Nothing of ``ledger_client`` makes these bytes. A hook sees each layer as plain data before it is written, and each
signed layer as bytes before it is signed; so a mutant can be wrong in one place, deep inside, and right elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

T0 = 1_795_000_000
NOW = T0 + 86_400
GATEWAY, METER, LEDGERS = "yunnan-hydro-07", "export-main", ("demo-ledger", "second-ledger")
EPOCH = bytes(range(1, 9))
KINDS = {
    "reading": "application/senml+cbor",
    "coverage": "application/vnd.meterseal.coverage+cbor",
    "event": "application/vnd.meterseal.event+cbor",
}
N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

Hook = Callable[[str, Any], Any]


class Tag(NamedTuple):
    number: int
    value: Any


class Raw(bytes):
    """Encoded already."""


class Pairs(NamedTuple):
    """A map in this order, even with a key twice."""

    pairs: list[tuple[Any, Any]]


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(number)


def encode(value: Any) -> bytes:
    """Deterministic CBOR (RFC 8949 §4.2.1), but for ``Raw`` and ``Pairs``."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        if -(2**64) <= value < 2**64:
            return head(0, value) if value >= 0 else head(1, -1 - value)
        big = value if value >= 0 else -1 - value
        return head(6, 2 if value >= 0 else 3) + encode(big.to_bytes((big.bit_length() + 7) // 8, "big"))
    if isinstance(value, float):
        return encode_float(value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, Tag):
        return head(6, value.number) + encode(value.value)
    if isinstance(value, Pairs):
        return head(5, len(value.pairs)) + b"".join(encode(key) + encode(one) for key, one in value.pairs)
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(sorted(encode(key) + encode(one) for key, one in value.items()))
    return head(4, len(value)) + b"".join(encode(one) for one in value)


def encode_float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for form, first in ((">e", b"\xf9"), (">f", b"\xfa")):
        try:
            raw = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, raw)[0] == value:
            return first + raw
    return b"\xfb" + struct.pack(">d", value)


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """Of a name, the same each time."""

    public: dict[int, Any]

    def __init__(self, name: str, alg: int = -8) -> None:
        seed = sha256(name.encode())
        self.alg = alg
        self.signer: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
        if alg in (-8, -19):
            self.signer = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
            raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
            point = {1: 1, -1: 6, -2: self.signer.public_key().public_bytes(*raw)}
        else:
            self.signer = ec.derive_private_key(int.from_bytes(seed, "big") % (N256 - 1) + 1, ec.SECP256R1())
            numbers = self.signer.public_key().public_numbers()
            point = {1: 2, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        self.public = {**point, 3: alg}
        self.kid = sha256(encode(point))

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.signer, ed25519.Ed25519PrivateKey):
            return self.signer.sign(message)
        r, s = decode_dss_signature(self.signer.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + min(s, N256 - s).to_bytes(32, "big")


def vkey(name: str, kind: int, key: Key) -> str:
    typed = bytes([kind]) + key.public[-2]
    key_id = sha256(name.encode(), b"\n", typed)[:4].hex()
    return f"{name}+{key_id}+{base64.b64encode(typed).decode()}"


def leaf(data: bytes) -> bytes:
    return sha256(b"\x00", data)


def cut(leaves: list[bytes]) -> int:
    return 1 << (len(leaves) - 1).bit_length() - 1


def tree(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    middle = cut(leaves)
    return sha256(b"\x01", tree(leaves[:middle]), tree(leaves[middle:]))


def path(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = cut(leaves)
    if index < middle:
        return [*path(leaves[:middle], index), tree(leaves[middle:])]
    return [*path(leaves[middle:], index - middle), tree(leaves[:middle])]


def milliseconds(number: int) -> Tag:
    return Tag(4, [-3, number])


def a_reading() -> list[dict[Any, Any]]:
    return [
        {-1: 26, -2: f"{GATEWAY}/{METER}/", -3: milliseconds(T0 * 1000 + 123), 0: "voltage_l1", 1: "V", 2: 230.5},
        {0: "power_active", 1: "kW", 2: Tag(4, [-3, 18250])},
        {0: "energy_export", 1: "Wh", 2: 123456789, 6: milliseconds(40)},
        {0: "co2", 1: "ppm", 3: "", 6: milliseconds(40), "q_": 1},
        {0: "state", 3: "running", "q_": 8388608},
        {0: "breaker", 4: True},
    ]


def a_coverage() -> dict[str, Any]:
    return {"from": T0 * 1000, "to": T0 * 1000 + 1000, "due": 11, "recorded": 8, "missed": {"timeout": 2, "stopped": 1}}


def an_event() -> dict[str, Any]:
    return {
        "event": "alarm",
        "code": "meter-away",
        "n": -5,
        "list": [1, 2.5, None, {1: "x", 2: b"y"}],
        "d": Tag(4, [1, 7]),
    }


BODIES: dict[str, Callable[[], Any]] = {"reading": a_reading, "coverage": a_coverage, "event": an_event}


@dataclass
class Forge:
    """One proof, and the trust file by which it is good, as ``kind``, keys, ledgers and the hook say."""

    kind: str = "reading"
    of_gateway: bool = False
    """The gateway's own event, by its statement key."""
    others: int = 2
    index: int = 0
    algs: tuple[int, ...] = (-8, -7, -8, -9)
    """Of meter, statement key and the two ledgers."""
    foreign: tuple[bool, ...] = (False,)
    """A receipt each: whether in the form of a foreign ledger. The ledgers take turns."""
    required: int = 1
    locators: int = 0
    witnesses: int | None = None
    """How many must have cosigned: a note of each ledger's log is in the proof then."""
    hook: Hook = lambda name, value: value
    keys: dict[str, Key] = field(init=False)

    def __post_init__(self) -> None:
        names = ("meter", "statement", *LEDGERS)
        self.keys = {name: Key(name, alg) for name, alg in zip(names, self.algs, strict=True)}

    def sign(self, name: str, key: Key, header: Any, payload: bytes, unprotected: Any, *, bare: bool = False) -> bytes:
        header = self.hook(name + "-header", {1: key.alg, 4: key.kid, **header})
        protected = self.hook(name + "-protected", encode(header))
        signature = self.hook(name + "-signature", key.sign(encode(["Signature1", protected, b"", payload])))
        outside = self.hook(name + "-outside", unprotected)
        parts = self.hook(name + "-parts", [protected, outside, None if bare else payload, signature])
        return encode(Tag(18, parts))

    def record(self) -> bytes:
        body = self.hook("body", BODIES[self.kind]())
        meter = "gateway" if self.of_gateway else METER
        claims = {1: GATEWAY, 2: meter, 6: T0 + 1, "up": 12345, "err": 12, "seq": 5, "clock": "S", "epoch": EPOCH}
        claims["prev"] = sha256(b"before")
        header = {3: KINDS[self.kind], 15: claims}
        key = self.keys["statement" if self.of_gateway else "meter"]
        return self.sign("record", key, header, self.hook("body-bytes", encode(body)), {})

    def receipt(self, entry: bytes, number: int) -> bytes:
        ledger = LEDGERS[number % 2]
        leaves = [leaf(b"%d" % one) for one in range(3 + number)]
        leaves.insert(2, leaf(entry))
        claims = {1: ledger, 2: base64url(sha256(entry)), 6: T0 + 5 + number, "size": len(leaves)}
        if self.foreign[number]:
            claims = {1: ledger, 2: "entries/17", 6: T0 + 5.25 + number}
        proof = self.hook("proof", [len(leaves), 2, path(leaves, 2)])
        outside = {396: {-1: [self.hook("proof-bytes", encode(proof))]}}
        return self.sign("receipt", self.keys[ledger], {15: claims, 395: 1}, tree(leaves), outside, bare=True)

    def note(self, entry: bytes, number: int) -> dict[str, Any]:
        """A state of the ledger's log that both witnesses have cosigned."""
        leaves = [leaf(b"%d" % one) for one in range(5 + number)]
        leaves.insert(3, leaf(entry))
        log = Key(f"log of {LEDGERS[number]}")
        lines = [f"log-{number}", str(len(leaves)), base64.b64encode(tree(leaves)).decode()]
        text = self.hook("checkpoint", "\n".join([*lines, ""]))
        marks = [(f"log-{number}", 1, log, b"", text)]
        for one in range(2):
            when = T0 + 7 + one
            cosigned = f"cosignature/v1\ntime {when}\n{text}"
            marks.append((f"w{one}", 4, Key(f"witness {one}"), when.to_bytes(8, "big"), cosigned))
        signatures = []
        for name, kind, key, before, signed in marks:
            blob = bytes.fromhex(vkey(name, kind, key).split("+")[1]) + before + key.sign(signed.encode())
            signatures.append([name, self.hook("cosignature", blob)])
        signatures = self.hook("signatures", signatures)
        behind = "".join(f"— {name} {base64.b64encode(blob).decode()}\n" for name, blob in signatures)
        place = self.hook("note-place", [len(leaves), 3, path(leaves, 3)])
        return {"note": self.hook("note", f"{text}\n{behind}".encode()), "place": place}

    def locator(self) -> dict[str, Any]:
        address = {"contract": b"c" * 20, "tx": sha256(b"tx"), "block_hash": sha256(b"block")}
        return {"type": "evm", "ledger": "consortium", "chain": 31337, "block": 17, "inclusion": [1, 0, []], **address}

    def build(self) -> bytes:
        record = self.hook("record", self.record())
        leaves = [leaf(b"%d" % one) for one in range(self.others)]
        leaves.insert(self.index, leaf(record))
        meter = "gateway" if self.of_gateway else METER
        statement: dict[str, Any] = {
            "from": T0 * 1000, "to": T0 * 1000 + 1000, "root": tree(leaves), "size": len(leaves), "batch": 3,
            "prev": sha256(b"batch 2"), "config": sha256(b"config"), "software": "meterseal/0.1.0",
            "meters": {meter: [[EPOCH, 5, 5]]},
        }  # fmt: skip
        if self.others:
            statement["meters"] |= {"a": [[EPOCH, 0, self.others - 1]]}
        statement = self.hook("statement", statement)
        payload = self.hook("statement-bytes", encode(statement))
        header = {3: "application/vnd.meterseal.batch+cbor", 15: {1: GATEWAY, 2: "batch/3", 6: T0 + 2}}
        taken: list[Any] = []

        def once(name: str, value: Any) -> Any:
            if name == "statement-parts":
                taken.append(value)
            return value if name.endswith("-outside") else hook(name, value)

        hook, self.hook = self.hook, once
        self.sign("statement", self.keys["statement"], header, payload, {})
        self.hook = hook
        protected, _, _, signature = taken[0]
        entry = encode(Tag(18, [protected, {}, payload, signature]))
        receipts = [self.hook("receipt", self.receipt(entry, number)) for number in range(len(self.foreign))]
        outside = self.hook("statement-outside", {394: receipts} if receipts else {})
        attached = encode(Tag(18, [protected, outside, payload, signature]))
        bundle = {
            "v": 1, "record": record, "statement": self.hook("attached", attached),
            "anchors": [self.hook("locator", self.locator()) for _ in range(self.locators)],
            "inclusion": self.hook("inclusion", [len(leaves), self.index, path(leaves, self.index)]),
        }  # fmt: skip
        if self.witnesses is not None:
            count = min(len(self.foreign), 2)
            bundle["witnessed"] = self.hook("witnessed", [self.note(entry, number) for number in range(count)] or [{}])
        return bytes(self.hook("bytes", encode(self.hook("bundle", bundle))))

    def trust(self) -> dict[str, Any]:
        """As tables of TOML; times are ``Raw``, written as they are."""
        begin = Raw(b"2026-11-17T00:00:00Z")
        owners = {"meter": {"role": "meter", "gateway": GATEWAY, "meter": METER, "identity": "serial_number=4711"}}
        owners["statement"] = {"role": "statement", "gateway": GATEWAY}
        owners |= {name: {"role": "ledger", "ledger": name} for name in LEDGERS}
        keys = [
            {**owners[name], "public": base64url(encode(key.public)), "valid_from": begin}
            for name, key in self.keys.items()
        ]
        keys[0] |= {"held": "hardware", "held_by": LEDGERS[0], "held_at": begin, "evidence": "seen"}
        keys[1]["valid_to"] = Raw(b"2027-11-17T00:00:00Z")
        chain = {"ledger": "consortium", "chain_id": 31337, "contract": "0x" + "ab" * 20, "sender": "0x" + "cd" * 20}
        policy = {"receipts": self.required, "ledgers": [*LEDGERS, "consortium"], "max_delay": "8d"}
        policy |= {"made": begin, "expires": Raw(b"2026-12-31T00:00:00Z")}
        trust: dict[str, Any] = {"policy": policy, "key": keys, "chain": [{**chain, "confirmations": 1}]}
        if self.witnesses is not None:
            policy["witnesses"] = self.witnesses
            logs = enumerate(LEDGERS)
            trust["log"] = [{"ledger": name, "vkey": vkey(f"log-{n}", 1, Key(f"log of {name}"))} for n, name in logs]
            trust["witness"] = [{"name": f"w-{n}", "vkey": vkey(f"w{n}", 4, Key(f"witness {n}"))} for n in range(2)]
        return trust


def toml(tables: dict[str, Any]) -> bytes:
    lines: list[str] = []
    for name, content in tables.items():
        if isinstance(content, list):
            for one in content:
                lines += [f"[[{name}]]", *(f"{word(key)} = {literal(value)}" for key, value in pairs(one))]
        elif isinstance(content, dict):
            lines += [f"[{name}]", *(f"{word(key)} = {literal(value)}" for key, value in pairs(content))]
        else:
            lines.insert(0, f"{word(name)} = {literal(content)}")
    return "\n".join([*lines, ""]).encode()


def pairs(content: Any) -> list[tuple[Any, Any]]:
    return list(content.items()) if isinstance(content, dict) else []


def word(key: Any) -> str:
    return literal(str(key))


def literal(value: Any) -> str:
    if isinstance(value, Raw):
        return value.decode()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return (
            '"'
            + "".join(one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08x}" for one in value)
            + '"'
        )
    if isinstance(value, list):
        return "[" + ", ".join(literal(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{word(key)} = {literal(one)}" for key, one in value.items()) + "}"
    return str(value) if isinstance(value, int | float) else '"?"'
