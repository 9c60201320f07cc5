"""Requests that no client of ours would send, at random but the same for one seed: what is sent, and how it ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal
from urllib.parse import quote

import cbor2

from ledger_client.formats.statement import statement_id
from ledger_client.transport.wire import MAX_ENTRY, id_to_text
from tests.support.enrolled import Gateway

Ending = Literal["read", "half-close", "close", "reset", "hold"]


@dataclass(frozen=True, slots=True)
class Attack:
    """``pieces`` are sent one after the other with a short pause; ``ending`` is what becomes of the connection then.

    ``read``: the answer is awaited; ``half-close``: nothing more is sent, the answer is awaited; ``close``, ``reset``:
    gone at once; ``hold``: it stays open, silent, until the run is over.
    """

    name: str
    pieces: tuple[bytes, ...]
    ending: Ending = "read"


class Hostile:
    """A source of attacks. ``known`` is a statement that the ledger holds, of a gateway that it knows."""

    def __init__(self, seed: int, known: Gateway) -> None:
        self._random = random.Random(seed)
        self._gateway = known
        self._entry = known.statement(0)
        self._stranger = Gateway("stranger")
        self._kinds: list[Callable[[], Attack]] = [
            self._method, self._path, self._query, self._noise, self._mutant, self._mutant, self._nested, self._lengths,
            self._foreign, self._huge, self._headers, self._framing, self._chunks, self._chunks, self._no_http,
            self._pipeline, self._slow, self._cut, self._unread, self._media,
        ]  # fmt: skip

    def next(self) -> Attack:
        """The next attack."""
        return self._random.choice(self._kinds)()

    def _one(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _bytes(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randrange(most))

    def _route(self) -> str:
        id_ = id_to_text(statement_id(self._entry))
        return self._one(
            "/entries", f"/entries/{id_}", "/.well-known/scitt-keys", "/.well-known/scitt-keys/x", "/log/head",
            "/log/entries", "/log/consistency?from=1", "/log/keys", f"/gateways/{self._gateway.name}/last",
            f"/gateways/{self._gateway.name}/statements", f"/gateways/{self._gateway.name}/keys", "/log/gateways",
            "/healthz", "/metrics", "/",
        )  # fmt: skip

    def _number(self) -> str:
        n = self._random.choice([0, 1, 2, 3, 255, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**18, 10**400])
        return self._one(
            str(n), str(-n), f"+{n}", f"{n}.0", f"0x{n:x}", f" {n}", f"{n}e9", "NaN", "", "١٢", "1_0", "%00"
        )  # fmt: skip

    def _method(self) -> Attack:
        method = self._one(
            "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "CONNECT", "BREW", "get", "P\x7fST", "*"
        )  # fmt: skip
        body = self._bytes(2000) if self._random.random() < 0.5 else b""
        return Attack("method", (_request(method, self._route(), body),))

    def _path(self) -> Attack:
        junk = self._one(
            "/../../etc/passwd", "/%2e%2e/%2e%2e/key.pem", "/entries/" + quote(self._random.randbytes(40)), "//", "/*",
            "/entries/%", "/entries/%zz", "/" + "a/" * self._random.randrange(3000), "/gateways/" + "%00" * 30,
            "http://other.example/entries", "/entries/" + "A" * self._random.randrange(9000), "/log/head/../entries",
            "/gateways/" + quote("网关") + "/last", "/log/\ufeffhead".encode().decode("latin-1"), "*", "?", "#",
        )  # fmt: skip
        return Attack("path", (_request(self._one("GET", "POST"), junk),))

    def _query(self) -> Attack:
        name = self._one("from", "to", "limit", "after", "from[]", "FROM", "x" * 100)
        pairs = [f"{name}={quote(self._number())}" for _ in range(self._random.randrange(1, 40))]
        pairs += [f"{self._one('from', 'to', 'limit', 'after')}={quote(self._number())}" for _ in range(2)]
        return Attack("query", (_request("GET", self._route().partition("?")[0] + "?" + "&".join(pairs)),))

    def _noise(self) -> Attack:
        return Attack("noise", (_post(self._bytes(5000)),))

    def _mutant(self) -> Attack:
        data = bytearray(self._random.choice([self._entry, self._stranger.statement(0)]))
        for _ in range(self._random.randrange(1, 6)):
            at = self._random.randrange(len(data))
            what = self._random.randrange(5)
            if what == 0:
                data[at] ^= 1 << self._random.randrange(8)
            elif what == 1:
                data[at:at] = self._bytes(20)
            elif what == 2:
                del data[at : at + self._random.randrange(20)]
            elif what == 3:
                data[at : at + 8] = data[: self._random.randrange(8)]
            else:
                data[at] = self._random.choice([0x00, 0x1B, 0x3B, 0x5F, 0x9F, 0xBF, 0xC0, 0xD2, 0xF7, 0xFB, 0xFF])
        return Attack("mutant", (_post(bytes(data)),))

    def _nested(self) -> Attack:
        depth = self._random.choice([10, 100, 1000, 20_000, MAX_ENTRY])
        opener = self._random.choice(
            [b"\x81", b"\x9f", b"\xa1\x00", b"\xbf\x00", b"\xd2", b"\xc0", b"\x82\x00", b"\x5f"]
        )
        body = (opener * depth)[:MAX_ENTRY]
        head = self._random.choice([b"", b"\xd2\x84", b"\xd2\x84\x40\xa0", self._entry[:60]])
        return Attack("nested", (_post((head + body)[:MAX_ENTRY]),))

    def _lengths(self) -> Attack:
        major = self._random.choice([0x40, 0x60, 0x80, 0xA0])
        size = self._random.choice([2**16, 2**31, 2**32, 2**62, 2**64 - 1])
        body = b"\xd2\x84" + bytes([major | 27]) + size.to_bytes(8, "big") + self._bytes(100)
        return Attack("lengths", (_post(body),))

    def _foreign(self) -> Attack:
        """Well-formed CBOR, and COSE that means something else."""
        value = self._random.choice(
            [
                cbor2.CBORTag(18, [b"", {}, b"", b""]),
                cbor2.CBORTag(18, [cbor2.dumps({1: -7}), {394: [self._entry] * 16}, b"x", bytes(64)]),
                cbor2.CBORTag(98, [b"", {}, b"", []]),
                dict.fromkeys(range(self._random.randrange(500)), "x" * 50),
                [[n] * 100 for n in range(100)],
                2**2000,
                "😀" * self._random.randrange(5000),
                cbor2.CBORTag(2, self._bytes(60_000)),
                float("nan"),
            ]
        )
        return Attack("foreign", (_post(cbor2.dumps(value)[:MAX_ENTRY]),))

    def _huge(self) -> Attack:
        size = self._random.choice([MAX_ENTRY, MAX_ENTRY + 1, 2 * MAX_ENTRY, 8 * MAX_ENTRY])
        if self._random.random() < 0.5:
            return Attack("huge", (_post(bytes(size)),))
        claimed = self._random.choice([size, 10**12, 10**30])
        return Attack("huge", (_post(bytes(1000), length=str(claimed)), bytes(size)), "half-close")

    def _headers(self) -> Attack:
        lines = self._random.choice(
            [
                "A: b\r\n" * self._random.randrange(1, 5000),
                f"A: {'b' * self._random.randrange(100_000)}\r\n",
                f"{'A' * self._random.randrange(30_000)}: b\r\n",
                "No colon here\r\n",
                "A : b\r\n",
                " folded: once\r\n  twice\r\n",
                "A: \x00\x01\x02\r\n",
                "Cookie: " + "; ".join(f"a{n}=b" for n in range(300)) + "\r\n",
                "Expect: 100-continue\r\n",
                "Upgrade: websocket\r\nConnection: upgrade\r\n",
                "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n",
                "X-Forwarded-For: ::1, 127.0.0.1, " + "a" * 2000 + "\r\nX-Forwarded-Proto: gopher\r\n",
                "Host: a\r\nHost: b\r\n",
                "Range: bytes=0-,1-,2-\r\n",
                "\xff\xfe: \xff\r\n",
            ]
        )
        head = f"{self._one('GET', 'POST')} {self._route()} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"
        return Attack("headers", (head.encode("latin-1"),), "half-close")

    def _framing(self) -> Attack:
        lengths = self._one(
            "Content-Length: -1", "Content-Length: +5", "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 5", "Content-Length: 0x10", "Content-Length: ",
            "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding:\x0bchunked",
            "Content-Length: 99999999999999999999999999",
        )  # fmt: skip
        head = f"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\n{lengths}\r\n\r\n"
        return Attack("framing", (head.encode("latin-1") + b"5\r\nhello\r\n0\r\n\r\n",), "half-close")

    def _chunks(self) -> Attack:
        head = b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        body = self._random.choice(
            [
                b"".join(b"1\r\n%c\r\n" % byte for byte in self._entry) + b"0\r\n\r\n",
                b"XX\r\nhello\r\n0\r\n\r\n",
                b"-5\r\nhello\r\n0\r\n\r\n",
                b"5\r\nhello world\r\n0\r\n\r\n",
                b"FFFFFFFFFFFFFFFFFF\r\nhello",
                b"5;" + b"ext=1;" * self._random.randrange(5000) + b"\r\nhello\r\n0\r\n\r\n",
                b"0\r\n" + b"Trailer: x\r\n" * self._random.randrange(5000) + b"\r\n",
                b"10000\r\n" + bytes(0x10000) + b"\r\n" + b"10000\r\n" + bytes(0x10000),
                (b"8000\r\n" + bytes(0x8000) + b"\r\n") * 20 + b"0\r\n\r\n",
                b"5\r\nhel",
                b"\r\n\r\n\r\n",
                b"5\nhello\n0\n\n",
            ]
        )
        return Attack("chunks", (head, body), "half-close")

    def _no_http(self) -> Attack:
        data = self._random.choice(
            [
                self._bytes(3000),
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self._bytes(500),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._bytes(100),
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET /\r\n",
                b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01-",
                b"EHLO ledger\r\nMAIL FROM:<a@b>\r\n",
                b"\n" * self._random.randrange(1, 50_000),
                b"\x00" * self._random.randrange(1, 50_000),
                b"GET " + b"/" * self._random.randrange(1, 100_000),
            ]
        )
        return Attack("no http", (data,), "half-close")

    def _pipeline(self) -> Attack:
        one = _request("GET", self._route())
        return Attack("pipeline", (one * self._random.randrange(2, 60),), self._random.choice(["half-close", "reset"]))

    def _slow(self) -> Attack:
        data = self._random.choice([_post(self._entry), _request("GET", self._route()), _post(bytes(5000))])
        end = self._random.randrange(1, len(data) + 1)
        cuts = sorted(self._random.randrange(end) for _ in range(self._random.randrange(1, 8)))
        bounds = [0, *cuts, end]
        pieces = tuple(data[a:b] for a, b in pairwise(bounds) if a != b)
        return Attack("slow", pieces, self._random.choice(["hold", "close", "half-close"]))

    def _cut(self) -> Attack:
        data = _post(self._entry)
        return Attack("cut", (data[: self._random.randrange(len(data))],), self._random.choice(["close", "reset"]))

    def _unread(self) -> Attack:
        page = _request("GET", self._one("/log/entries", f"/gateways/{self._gateway.name}/statements"))
        ending: Ending = self._random.choice(["close", "reset", "hold"])
        return Attack("unread", (page * self._random.randrange(1, 20),), ending)

    def _media(self) -> Attack:
        kind = self._one("", "application/json", "application/cose; " + "a" * 9000, "multipart/form-data; boundary=x")
        encoding = self._one("", "Content-Encoding: gzip\r\n", "Content-Encoding: br, zstd, x\r\n")
        return Attack("media", (_request("POST", "/entries", self._entry, f"Content-Type: {kind}\r\n{encoding}"),))


def _request(method: str, target: str, body: bytes = b"", headers: str = "", length: str | None = None) -> bytes:
    counted = f"Content-Length: {length or len(body)}\r\n" if body or method == "POST" else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: ledger\r\n{headers}{counted}\r\n"
    return head.encode("latin-1", "replace") + body


def _post(body: bytes, length: str | None = None) -> bytes:
    return _request("POST", "/entries", body, "Content-Type: application/cose\r\n", length)
