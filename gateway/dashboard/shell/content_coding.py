"""Content coding of what browsers get (RFC 9110 §8.4): pages and static files by gzip, proofs and the login never.

A page is compressed in the thread that made it. An attacker who can make a victim's browser ask for pages and sees how
long the answers are could guess what stands in them (BREACH): the session's cookie is ``SameSite=Strict`` and comes
with no request of another site, and the token of the forms, the one secret of a page, is other in each answer.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from functools import cache
from typing import Final

from gateway.dashboard.shell.page import HTML, Answer

LEVEL: Final = 4
"""Of a large page it takes half the time of the usual 6, for a twentieth more bytes."""
LEAST: Final = 1024
"""Bytes; less is sent as it is."""
VARY: Final = {"Vary": "Accept-Encoding"}
CODED: Final = {"Content-Encoding": "gzip"}
_GZIP: Final = 16 + zlib.MAX_WBITS
_ENTRY: Final = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?", re.IGNORECASE)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip, by its header: named with a weight other than 0, else by ``*``."""
    found = [entry for part in accept_encoding[:500].split(",") if (entry := _ENTRY.fullmatch(part))]
    weights = {entry[1].lower().removeprefix("x-"): (entry[2] or "1").strip("0.") for entry in found}
    return bool(weights.get("gzip", weights.get("*", "")))


def gzipped(data: bytes, level: int = LEVEL) -> bytes:
    """A gzip file (RFC 1952) without name and time."""
    coder = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    return coder.compress(data) + coder.flush()


def coded(answer: Answer, *, gzip: bool) -> Answer:
    """A page as a client takes it; what is no page stays as it is. In the thread that made it."""
    if answer.media_type != HTML:
        return answer
    varies = replace(answer, headers={**answer.headers, **VARY})
    if not gzip or len(answer.body) < LEAST:
        return varies
    return replace(varies, body=gzipped(answer.body), headers={**varies.headers, **CODED})


@cache
def coded_file(data: bytes) -> bytes | None:
    """A static file by gzip; None: it would not be shorter. Kept for good."""
    found = gzipped(data, 9)
    return found if len(found) < len(data) else None
